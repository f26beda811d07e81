//! `bakeline cleanup undo`.

use super::failed;
use super::places::Place;
use crate::aws::Aws;
use crate::cli::exit::CliError;
use crate::cli::identity::Identity;
use crate::cli::say;
use crate::engine::Clock;
use crate::engine::key::tag;
use crate::stage::cleanup::act;
use crate::stage::cleanup::apply::{Undone, bring_back};
use crate::stage::cleanup::containers::act::Back as ContainerBack;
use crate::stage::cleanup::containers::apply::bring_back as bring_container_back;
use crate::stage::cleanup::containers::image::Key;
use crate::stage::cleanup::containers::uri::digests;
use crate::stage::cleanup::quarantine::Back;

/// Arguments of `bakeline cleanup undo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The images: `ami-…`, or `REPOSITORY@sha256:…` for a container image
    #[arg(value_name = "IMAGE", required = true, value_parser = image)]
    images: Vec<Image>,
    /// Pin the images by tag, so that the next cleanup keeps them
    #[arg(long)]
    pin: bool,
    /// The target, of the file of targets, in whose account and region the images lie
    #[arg(long, value_name = "ALIAS")]
    target: Option<String>,
    #[command(flatten)]
    identity: Identity,
}

/// An image as it is named on the command line.
#[derive(Clone, Debug)]
enum Image {
    Machine(String),
    Container(Key),
}

fn image(text: &str) -> Result<Image, String> {
    if let Some((repository, digest)) = text.split_once('@')
        && digests(digest).contains(digest)
    {
        return Ok(Image::Container(Key::new(repository, digest)));
    }
    let fine = crate::stage::cleanup::graph::amis(text).len() == 1 && text.starts_with("ami-");
    if fine {
        Ok(Image::Machine(text.to_owned()))
    } else {
        Err(format!(
            "`{text}` is not an image id, such as ami-0123456789abcdef0, nor a container image, such as \
             web@sha256:… with 64 digits"
        ))
    }
}

pub async fn main(args: Args) -> Result<(), CliError> {
    let clock = args.identity.clock();
    let Place { aws, .. } = Place::named(&args.identity, args.target.as_deref()).await?;
    let pinned = args.images.iter().find_map(|image| match image {
        Image::Container(key) => Some(key),
        Image::Machine(_) => None,
    });
    if let Some(key) = pinned.filter(|_| args.pin) {
        return Err(CliError::usage(
            format!("{key} is a container image, and --pin is for machine images"),
            "give it a tag that cleanup.container_images.keep.tags keeps",
        ));
    }
    for image in &args.images {
        let image = match image {
            Image::Machine(image) => image,
            Image::Container(key) => {
                container(&aws, &clock, key).await?;
                continue;
            }
        };
        let (mut steps, mut told) = (0, Ok(()));
        let back = bring_back(&aws, &clock, image, |undone| {
            steps += 1;
            if told.is_ok() {
                told = say(&format!("{image}: {}", words(undone)));
            }
        });
        back.await.map_err(|e| failed(&e))?;
        told?;
        if steps == 0 {
            say(&format!("{image}: is not in quarantine; there is nothing to undo"))?;
        }
        if args.pin {
            let tags = std::collections::BTreeMap::from([(tag::KEEP.to_owned(), "undo".to_owned())]);
            act::tag(&aws, image, &tags).await.map_err(|e| failed(&e))?;
            say(&format!("{image}: pinned"))?;
        }
    }
    if !args.pin {
        say("the next cleanup judges these images anew; --pin keeps them")?;
    }
    Ok(())
}

async fn container(aws: &Aws, clock: &Clock, key: &Key) -> Result<(), CliError> {
    let (mut steps, mut told) = (0, Ok(()));
    let back = bring_container_back(aws, clock, key, |key, back| {
        steps += 1;
        let words = match back {
            ContainerBack::Asked => "asked to come back from the archive, which takes up to twenty minutes",
            ContainerBack::Coming => "on its way back from the archive",
            ContainerBack::There => "back from the archive",
        };
        if told.is_ok() {
            told = say(&format!("{key}: {words}"));
        }
    });
    back.await.map_err(|e| failed(&e))?;
    told?;
    if steps == 0 {
        say(&format!("{key}: is not in the archive; there is nothing to undo"))?;
    }
    Ok(())
}

fn words(undone: &Undone) -> String {
    match undone {
        Undone::Snapshot(id) => format!("its snapshot {id} is back from the Recycle Bin"),
        Undone::Restored => "back from the Recycle Bin".to_owned(),
        Undone::Step(Back::Enable) => "enabled".to_owned(),
        Undone::Step(Back::Deprecation(None)) => "no longer deprecated".to_owned(),
        Undone::Step(Back::Deprecation(Some(at))) => format!("deprecated from {at}, as before"),
        Undone::Step(Back::Share(with)) => format!("shared again with {}", with.join(", ")),
        Undone::Step(Back::Protect { .. }) => "protected from deregistration again".to_owned(),
        Undone::Step(Back::Unmark) => "as it was; its record is removed".to_owned(),
    }
}
