//! `bakeline cleanup undo`.

use serde::Serialize;

use super::environments::Environment;
use super::failed;
use crate::aws::Aws;
use crate::cli::exit::CliError;
use crate::cli::identity::Identity;
use crate::cli::{Output, json_line, say};
use crate::engine::Clock;
use crate::engine::key::tag;
use crate::stage::aws_view::image_references::graph::amis;
use crate::stage::cleanup::container_images::image::ImageKey;
use crate::stage::cleanup::container_images::image_names::digests;
use crate::stage::cleanup::container_images::undo::RestoreStatus;
use crate::stage::cleanup::machine_images::calls;
use crate::stage::cleanup::machine_images::quarantine::UndoStep;
use crate::stage::cleanup::machine_images::undo::UndoResult;
use crate::stage::cleanup::{container_images, machine_images};

/// The schema of a line of JSON output.
const STEP: &str = "cleanup-undo/v1";

/// Arguments of `bakeline cleanup undo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The images: `ami-…`, or `REPOSITORY@sha256:…` for a container image
    #[arg(value_name = "IMAGE", required = true, value_parser = image)]
    images: Vec<Image>,
    /// Tag the images with `bakeline:keep`, so that the next cleanup keeps them
    #[arg(long)]
    keep: bool,
    /// The environment of the images
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    #[command(flatten)]
    identity: Identity,
}

/// An image on the command line.
#[derive(Clone, Debug)]
enum Image {
    Machine(String),
    Container(ImageKey),
}

/// A line of JSON output: one step.
#[derive(Debug, Serialize)]
struct Step<'a> {
    image: &'a str,
    step: &'static str,
}

fn image(text: &str) -> Result<Image, String> {
    if let Some((repository, digest)) = text.split_once('@')
        && digests(digest).contains(digest)
    {
        return Ok(Image::Container(ImageKey::new(repository, digest)));
    }
    if amis(text).len() == 1 && text.starts_with("ami-") {
        return Ok(Image::Machine(text.to_owned()));
    }
    Err(format!(
        "`{text}` is neither an image id, such as ami-0123456789abcdef0, nor a container image, such as web@sha256:… \
         with 64 hexadecimal digits"
    ))
}

pub async fn main(args: Args, output: Output) -> Result<(), CliError> {
    let clock = args.identity.clock();
    let Environment { aws, .. } = Environment::named(&args.identity, args.environment.as_deref()).await?;
    let container = args.images.iter().find_map(|image| match image {
        Image::Container(key) => Some(key),
        Image::Machine(_) => None,
    });
    if let Some(key) = container.filter(|_| args.keep) {
        return Err(CliError::usage(
            format!("{key} is a container image, and --keep is for machine images"),
            "give it a tag that cleanup.container_images.keep.tags keeps",
        ));
    }
    for image in &args.images {
        match image {
            Image::Machine(image) => restore(&aws, &clock, image, args.keep, output).await?,
            Image::Container(key) => restore_container(&aws, &clock, key, output).await?,
        }
    }
    if !args.keep && output == Output::Text {
        say("the next cleanup decides about these images again; --keep keeps them")?;
    }
    Ok(())
}

async fn restore(aws: &Aws, clock: &Clock, image: &str, keep: bool, output: Output) -> Result<(), CliError> {
    let (mut steps, mut reported) = (0, Ok(()));
    let restore = machine_images::undo::restore(aws, clock, image, |result| {
        steps += 1;
        if reported.is_ok() {
            let (step, text) = describe(result);
            reported = print(output, image, step, &text);
        }
    });
    restore.await.map_err(|e| failed(&e))?;
    reported?;
    if steps == 0 {
        print(output, image, "none", "is not in quarantine; there is nothing to undo")?;
    }
    if keep {
        let tags = std::collections::BTreeMap::from([(tag::KEEP.to_owned(), "undo".to_owned())]);
        calls::tag(aws, image, &tags).await.map_err(|e| failed(&e))?;
        print(output, image, "keep", "tagged bakeline:keep")?;
    }
    Ok(())
}

async fn restore_container(aws: &Aws, clock: &Clock, key: &ImageKey, output: Output) -> Result<(), CliError> {
    let (mut steps, mut reported) = (0, Ok(()));
    let restore = container_images::undo::restore(aws, clock, key, |key, status| {
        steps += 1;
        let (step, text) = match status {
            RestoreStatus::Requested => {
                ("restore_requested", "restore from the archive requested, which takes up to twenty minutes")
            }
            RestoreStatus::InProgress => ("restore_in_progress", "being restored from the archive"),
            RestoreStatus::Restored => ("restored", "restored from the archive"),
        };
        if reported.is_ok() {
            reported = print(output, &key.to_string(), step, text);
        }
    });
    restore.await.map_err(|e| failed(&e))?;
    reported?;
    if steps == 0 {
        print(output, &key.to_string(), "none", "is not in the archive; there is nothing to undo")?;
    }
    Ok(())
}

fn print(output: Output, image: &str, step: &'static str, text: &str) -> Result<(), CliError> {
    match output {
        Output::Json => json_line(STEP, &Step { image, step }),
        Output::Text => say(&format!("{image}: {text}")),
    }
}

fn describe(result: &UndoResult) -> (&'static str, String) {
    match result {
        UndoResult::SnapshotRestored(id) => {
            ("snapshot_restored", format!("snapshot {id} restored from the Recycle Bin"))
        }
        UndoResult::ImageRestored => ("image_restored", "restored from the Recycle Bin".to_owned()),
        UndoResult::Step(UndoStep::Enable) => ("enabled", "enabled".to_owned()),
        UndoResult::Step(UndoStep::SetDeprecation(None)) => {
            ("deprecation_removed", "no longer deprecated".to_owned())
        }
        UndoResult::Step(UndoStep::SetDeprecation(Some(at))) => {
            ("deprecation_set", format!("deprecated from {at} on, as before"))
        }
        UndoResult::Step(UndoStep::Share(with)) => {
            ("shared", format!("shared again with {}", with.join(", ")))
        }
        UndoResult::Step(UndoStep::Protect { .. }) => {
            ("protected", "protected from deregistration again".to_owned())
        }
        UndoResult::Step(UndoStep::RemoveRecord) => {
            ("restored", "restored; the record of its quarantine is removed".to_owned())
        }
    }
}
