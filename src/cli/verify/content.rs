//! `bakeline verify --content`: what is on an image's volumes today, held against what was signed.

use std::collections::BTreeSet;

use crate::aws::Aws;
use crate::cli::cleanup::failed;
use crate::cli::exit::CliError;
use crate::cli::say;
use crate::digest::Sha256;
use crate::engine::Clock;
use crate::evidence::image::content_digest;
use crate::evidence::{Chain, ContainerIdentity, ImageIdentity};
use crate::stage::content::{ContentEvent, Position, digest};

use super::progress::Progress;

/// The images of a chain, each with the content digest that its statement binds, if it binds one.
///
/// # Errors
/// A subject of the bake's statement has a digest or an annotation that is none.
pub fn bound(chain: &Chain) -> Result<Vec<(ImageIdentity, Option<Sha256>)>, CliError> {
    let odd = |why: String| CliError::data(format!("the statement of the bake: {why}"), "");
    let mut bound = Vec::new();
    for subject in chain.first().statement.subject() {
        if let Some(image) = ImageIdentity::of(subject).map_err(|error| odd(error.to_string()))? {
            let content =
                content_digest(subject).map_err(|error| odd(format!("{}: {error}", subject.label())))?;
            bound.push((image, content));
        }
    }
    Ok(bound)
}

/// Reads the volumes of every image whose content is bound, and compares. Says beforehand what that costs.
///
/// # Errors
/// No image's content is bound; one holds something else; one cannot be read; the progress cannot be kept.
pub async fn compare<'c>(
    aws: &Aws,
    clock: &Clock,
    chains: impl IntoIterator<Item = &'c Chain>,
    progress: &mut Progress,
) -> Result<(), CliError> {
    let (mut images, mut containers) = (BTreeSet::new(), BTreeSet::new());
    for chain in chains {
        for (image, content) in bound(chain)? {
            images.extend(content.map(|content| (image.region, image.image_id, content)));
        }
        containers.extend(chain.containers().iter().map(ContainerIdentity::reference));
    }
    if images.is_empty() && containers.is_empty() {
        return Err(CliError::data(
            "the statements bind the images' identities only: there is no content to compare with",
            "bake.content in the release spec has the next bake read it",
        ));
    }
    for reference in containers {
        say(&format!(
            "{reference}: its digest binds its bytes, and whoever pulls it by the digest compares them"
        ))?;
    }
    for (region, image, signed) in images {
        let place = format!("{image} in {region}");
        let mut kept = Ok(());
        let from = progress.of(&region, &image, &signed);
        let tell = |news| {
            // A reader of standard output that went away does not end the comparison.
            let _ = match news {
                ContentEvent::Started(survey) if from == Position::default() => {
                    say(&format!("{place}: reading {survey}"))
                }
                ContentEvent::Started(survey) => {
                    say(&format!("{place}: going on where an earlier reading stopped, of {survey}"))
                }
                ContentEvent::Progress { percent, position } => {
                    let written = progress.keep(&region, &image, &signed, position);
                    kept = std::mem::replace(&mut kept, Ok(())).and(written);
                    say(&format!("{place}: {percent} %"))
                }
            };
        };
        let found = digest(aws, clock, &region, &image, from, tell).await.map_err(|error| failed(&error))?;
        kept?;
        progress.end(&region, &image, &signed)?;
        if found != signed {
            return Err(CliError::data(
                format!(
                    "{place} does not hold what was signed: its content digest is {found}, the statement has {signed}"
                ),
                "do not use this image: a block of its snapshots was changed, added or taken away since it was baked",
            ));
        }
        say(&format!("{place}: holds what was signed ({found})"))?;
    }
    Ok(())
}
