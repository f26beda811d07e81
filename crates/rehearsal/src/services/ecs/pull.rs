//! Pulling a container image: whether it succeeds, the digest, and the image's behavior.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::super::super::container_behavior::ContainerBehavior;
use super::super::super::world::World;
use super::super::ecr;

/// An image that is there.
pub(super) struct Pulled {
    /// `sha256:` and 64 digits.
    pub digest: String,
    pub behavior: ContainerBehavior,
}

/// Pulls an image: of ECR one that is there and active, of other registries any.
///
/// # Errors
/// Why it cannot be pulled, as ECS words it.
pub(super) fn pull(world: &World, image: &str) -> Result<Pulled, String> {
    let behavior = world.ecs.options.container.clone();
    if let Some(error) = &behavior.pull_error {
        return Err(format!("CannotPullContainerError: {error}"));
    }
    let named = if image.contains(".dkr.ecr.") {
        ecr::resolve(world, image).ok_or_else(|| {
            format!(
                "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref \
                 {image}: {image}: not found"
            )
        })?
    } else {
        image.to_owned()
    };
    let digest = match named.split_once('@') {
        Some((_, digest)) => digest.to_owned(),
        // Another registry's answer for a tag; the same one for as long as the tag stays where it is.
        None => format!("sha256:{}", hex(&Sha256::digest(image))),
    };
    Ok(Pulled { digest, behavior })
}

/// How long the pull of an image takes, in seconds.
pub(super) fn seconds(world: &World, _image: &str) -> u64 {
    world.ecs.options.container.pull.duration().as_secs()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
