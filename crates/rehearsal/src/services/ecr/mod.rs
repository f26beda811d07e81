//! ECR: repositories, images by the digest of their manifest, tags that move, indexes, referrers, and the archive.
//!
//! Rules come from the service model 2015-09-21 and the user guide. Layers are not stored: a manifest may name any.
//! Policies of access and of lifecycle, scanning, replication and signing are not here.

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

/// Operations this service offers.
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

/// How long an image takes to come back from the archive: up to twenty minutes, says the user guide.
const ACTIVATION: Duration = Duration::from_mins(12);
/// The time of the last pull is written at least this often.
const PULL_RECORD: Duration = Duration::from_hours(24);

/// Every repository, by its place and name.
#[derive(Clone, Debug, Default)]
pub struct State {
    repositories: BTreeMap<(Place, String), Repository>,
}

#[derive(Clone, Debug)]
struct Repository {
    created: Time,
    mutability: Mutability,
    /// As the request had it.
    scanning: Value,
    encryption: Value,
    resource_tags: Tags,
    /// By digest.
    images: BTreeMap<String, Image>,
    /// What each tag means today.
    tags: BTreeMap<String, String>,
}

/// Which tags may move.
#[derive(Clone, Debug)]
struct Mutability {
    /// `MUTABLE`, `IMMUTABLE`, …, as the request had it.
    setting: String,
    /// Patterns of tags that are excepted from the setting.
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

/// Where an image lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Active,
    Archived,
    /// Coming back from the archive, and there at this moment.
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
    /// Whether it can be pulled.
    fn is_active(&self) -> bool {
        self.status == Status::Active
    }
}

impl Repository {
    fn tags_of(&self, digest: &str) -> BTreeSet<&str> {
        self.tags.iter().filter(|(_, of)| *of == digest).map(|(tag, _)| tag.as_str()).collect()
    }

    /// An index that names this image.
    fn list_of(&self, digest: &str) -> Option<&str> {
        self.images
            .iter()
            .find(|(_, image)| image.parsed.children.iter().any(|child| child == digest))
            .map(|(list, _)| list.as_str())
    }

    /// What is due by now: images that have come back from the archive.
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

/// Answers one call.
///
/// # Errors
/// The service's own refusal.
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
