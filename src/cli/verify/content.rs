//! `bakeline verify --content`: compares the content of an image's volumes with the digest in the statement.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::aws::Aws;
use crate::cli::cleanup::failed;
use crate::cli::exit::CliError;
use crate::cli::{Output, say};
use crate::digest::Sha256;
use crate::engine::Clock;
use crate::evidence::image::{BINDS, content_digest};
use crate::evidence::{Chain, ContainerIdentity, ImageIdentity};
use crate::stage::content::{ContentEvent, Position, digest};

use super::progress::Progress;

/// A machine image of a release, and what the bake's statement binds of it.
#[derive(Debug)]
pub struct Bound {
    /// The image.
    pub image: ImageIdentity,
    /// The annotation `bakeline_binds`; `identity` without one.
    pub binds: String,
    /// The content digest, if the statement has one.
    pub content: Option<Sha256>,
}

/// The machine images of a chain, each with what the bake's statement binds.
///
/// # Errors
/// A subject has a malformed digest or annotation.
pub fn bindings(chain: &Chain) -> Result<Vec<Bound>, CliError> {
    let mut bound = Vec::new();
    for subject in chain.first().statement.subject() {
        let malformed = |error: &dyn std::error::Error| {
            CliError::failed(format!("the bake's statement has a malformed subject {}", subject.label()), "")
                .caused_by(error)
        };
        if let Some(image) = ImageIdentity::of(subject).map_err(|error| malformed(&error))? {
            let content = content_digest(subject).map_err(|error| malformed(&error))?;
            let binds = subject.annotations.get(BINDS).and_then(Value::as_str).unwrap_or("identity");
            bound.push(Bound { image, binds: binds.to_owned(), content });
        }
    }
    Ok(bound)
}

/// Reads the volumes of every image with a content digest, and compares. Prints what that costs before it starts; with
/// JSON output it prints nothing.
///
/// # Errors
/// No image has a content digest, an image has other content, an image cannot be read, or the progress cannot be saved.
pub async fn compare<'c>(
    aws: &Aws,
    clock: &Clock,
    chains: impl IntoIterator<Item = &'c Chain>,
    progress: &mut Progress,
    output: Output,
) -> Result<(), CliError> {
    let tell = |line: &str| match output {
        Output::Text => say(line),
        Output::Json => Ok(()),
    };
    let (mut images, mut containers) = (BTreeSet::new(), BTreeSet::new());
    for chain in chains {
        for Bound { image, content, .. } in bindings(chain)? {
            images.extend(content.map(|content| (image.region, image.image_id, content)));
        }
        containers.extend(chain.containers().iter().map(ContainerIdentity::reference));
    }
    if images.is_empty() && containers.is_empty() {
        return Err(CliError::failed(
            "the statements bind the images' identities only: there is no content to compare",
            "set bake.content_digest in the release spec; the next bake then reads the content",
        ));
    }
    for reference in containers {
        tell(&format!("{reference}: the digest binds the bytes; every pull by this digest compares them"))?;
    }
    for (region, image, expected) in images {
        compare_image(aws, clock, (&region, &image), &expected, progress, &tell).await?;
    }
    Ok(())
}

async fn compare_image(
    aws: &Aws,
    clock: &Clock,
    (region, image): (&str, &str),
    expected: &Sha256,
    progress: &mut Progress,
    tell: &impl Fn(&str) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let name = format!("{image} in {region}");
    let mut saved = Ok(());
    let from = progress.of(region, image, expected);
    let on_news = |news| {
        // A closed standard output does not end the comparison.
        let _ = match news {
            ContentEvent::Started(survey) if from == Position::default() => {
                tell(&format!("{name}: reading {survey}"))
            }
            ContentEvent::Started(survey) => {
                tell(&format!("{name}: continuing an interrupted reading of {survey}"))
            }
            ContentEvent::Progress { percent, position } => {
                let written = progress.save(region, image, expected, position);
                saved = std::mem::replace(&mut saved, Ok(())).and(written);
                tell(&format!("{name}: {percent} %"))
            }
        };
    };
    let found = digest(aws, clock, region, image, from, on_news).await.map_err(|error| failed(&error))?;
    saved?;
    progress.remove(region, image, expected)?;
    if found != *expected {
        return Err(CliError::failed(
            format!("{name} has the content digest {found}, the statement has {expected}"),
            "do not use this image: a block of its snapshots has changed since the bake",
        ));
    }
    tell(&format!("{name}: the content matches the statement ({found})"))
}
