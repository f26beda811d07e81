//! `bakeline cleanup undo`.

use super::failed;
use super::places::Place;
use crate::cli::exit::CliError;
use crate::cli::identity::Identity;
use crate::cli::say;
use crate::engine::key::tag;
use crate::stage::cleanup::act;
use crate::stage::cleanup::apply::{Undone, bring_back};
use crate::stage::cleanup::quarantine::Back;

/// Arguments of `bakeline cleanup undo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The images
    #[arg(value_name = "IMAGE", required = true, value_parser = ami)]
    images: Vec<String>,
    /// Pin the images by tag, so that the next cleanup keeps them
    #[arg(long)]
    pin: bool,
    /// The target, of the file of targets, in whose account and region the images lie
    #[arg(long, value_name = "ALIAS")]
    target: Option<String>,
    #[command(flatten)]
    identity: Identity,
}

fn ami(text: &str) -> Result<String, String> {
    let fine = crate::stage::cleanup::graph::amis(text).len() == 1 && text.starts_with("ami-");
    if fine {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is not an image id, such as ami-0123456789abcdef0"))
    }
}

pub async fn main(args: Args) -> Result<(), CliError> {
    let clock = args.identity.clock();
    let Place { aws, .. } = Place::named(&args.identity, args.target.as_deref()).await?;
    for image in &args.images {
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
            let tags = std::collections::BTreeMap::from([(tag::PIN.to_owned(), "undo".to_owned())]);
            act::tag(&aws, image, &tags).await.map_err(|e| failed(&e))?;
            say(&format!("{image}: pinned"))?;
        }
    }
    if !args.pin {
        say("the next cleanup judges these images anew; --pin keeps them")?;
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
