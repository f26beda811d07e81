//! Image pulls: whether one succeeds, how long it takes, and the digest.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use super::super::super::container_behavior::ContainerBehavior;
use super::super::super::world::World;
use super::super::ecr;

/// A pulled image.
pub(super) struct Pulled {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    pub behavior: ContainerBehavior,
}

/// Pulls an image. An ECR image must exist and be active; images of other registries always exist.
///
/// # Errors
/// ECS's message if the image cannot be pulled.
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
        // A made-up digest for another registry's image, derived from its name.
        None => format!("sha256:{}", hex(&Sha256::digest(image))),
    };
    Ok(Pulled { digest, behavior })
}

/// The duration of an image pull in seconds.
pub(super) fn seconds(world: &World, _image: &str) -> u64 {
    world.ecs.options.container.pull.duration().as_secs()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
