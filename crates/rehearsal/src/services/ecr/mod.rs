//! ECR: repositories, images, tags, manifest lists, referrers, and the archive storage class.
//!
//! The rules come from the service model 2015-09-21 and the user guide. Layers are not stored, so a manifest may have
//! any. Repository and lifecycle policies, scanning, replication and signing are not implemented.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::super::call::{Answer, ApiError, Call};
use super::super::time::Time;
use super::super::world::World;
use super::support::{Place, Tags};

mod archive;
mod delete;
mod describe;
mod manifest;
mod push;
mod repository;

pub use manifest::{index as sample_index, sample as sample_manifest};
pub use push::push;
pub use repository::{resolve, seed as seed_repository};

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &[
    "BatchDeleteImage",
    "BatchGetImage",
    "CreateRepository",
    "DeleteRepository",
    "DescribeImages",
    "DescribeRepositories",
    "ListImages",
    "ListTagsForResource",
    "PutImage",
    "UpdateImageStorageClass",
];

/// The time to restore an image from the archive: up to twenty minutes according to the user guide.
const ACTIVATION: Duration = Duration::from_mins(12);
/// The time of the last pull is updated at least this often.
const PULL_RECORD: Duration = Duration::from_hours(24);

/// All repositories, by place and name.
#[derive(Clone, Debug, Default)]
pub struct State {
    repositories: BTreeMap<(Place, String), Repository>,
}

#[derive(Clone, Debug)]
struct Repository {
    created: Time,
    mutability: Mutability,
    /// The scanning configuration as given.
    scanning: Value,
    encryption: Value,
    resource_tags: Tags,
    /// Images by digest.
    images: BTreeMap<String, Image>,
    /// The current digest of each tag.
    tags: BTreeMap<String, String>,
}

/// The tag mutability settings.
#[derive(Clone, Debug)]
struct Mutability {
    /// `MUTABLE`, `IMMUTABLE`, …, as given.
    setting: String,
    /// The tag patterns excluded from the setting.
    excluded: Vec<String>,
}

#[derive(Clone, Debug)]
struct Image {
    manifest: String,
    parsed: manifest::Manifest,
    pushed: Time,
    pulled: Option<Time>,
    status: Status,
    archived: Option<Time>,
    activated: Option<Time>,
}

/// The storage status of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Active,
    Archived,
    /// Being restored from the archive until this time.
    Activating(Time),
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Archived => "ARCHIVED",
            Self::Activating(_) => "ACTIVATING",
        }
    }
}

impl Image {
    /// Whether the image can be pulled.
    fn is_active(&self) -> bool {
        self.status == Status::Active
    }
}

impl Repository {
    fn tags_of(&self, digest: &str) -> BTreeSet<&str> {
        self.tags.iter().filter(|(_, of)| *of == digest).map(|(tag, _)| tag.as_str()).collect()
    }

    /// The digest of a manifest list that contains this image.
    fn list_of(&self, digest: &str) -> Option<&str> {
        self.images
            .iter()
            .find(|(_, image)| image.parsed.children.iter().any(|child| child == digest))
            .map(|(list, _)| list.as_str())
    }

    /// Activates the images whose restore from the archive is complete.
    fn live(&mut self, now: Time) {
        for image in self.images.values_mut() {
            if let Status::Activating(at) = image.status
                && at <= now
            {
                image.status = Status::Active;
                image.activated = Some(at);
            }
        }
    }
}

/// Handles one API call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &mut World, call: &Call) -> Answer {
    for repository in world.ecr.repositories.values_mut() {
        repository.live(call.now);
    }
    match call.operation.as_str() {
        "BatchDeleteImage" => delete::batch(world, call),
        "BatchGetImage" => describe::manifests(world, call),
        "CreateRepository" => repository::create(world, call),
        "DeleteRepository" => repository::delete(world, call),
        "DescribeImages" => describe::images(world, call),
        "DescribeRepositories" => repository::describe(world, call),
        "ListImages" => describe::list(world, call),
        "ListTagsForResource" => repository::tags(world, call),
        "PutImage" => push::put(world, call),
        "UpdateImageStorageClass" => archive::update(world, call),
        other => Err(ApiError::new("UnknownOperationException", other)),
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterException", message)
}

#[cfg(test)]
mod tests;
