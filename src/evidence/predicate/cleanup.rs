//! The cleanup predicate: which images were kept and which were removed, each with its reasons.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::Predicate;
use crate::evidence::image::ImageIdentity;
use crate::evidence::link::Stage;

/// The predicate type `https://bakeline.dev/attestation/cleanup/v1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cleanup {
    /// The service whose images were surveyed.
    pub service: String,
    /// The `cleanup` section of the spec; a JSON object.
    pub policy: Value,
    /// Whether every list was read to its end after the last removal.
    pub complete: bool,
    /// When the images were surveyed last.
    #[serde(with = "time::serde::rfc3339")]
    pub observed_on: OffsetDateTime,
    /// When the cleanup ended.
    #[serde(with = "time::serde::rfc3339")]
    pub finished_on: OffsetDateTime,
    /// Every image that stays.
    pub kept: Vec<KeptImage>,
    /// Every image that was removed, or that EC2 refused to deregister.
    pub removed: Vec<RemovedImage>,
    /// Container images, if the spec has rules for them and every list was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<ContainerCleanup>,
}

/// The container images of a cleanup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerCleanup {
    /// Every image that stays.
    pub kept: Vec<KeptContainer>,
    /// Every image that this cleanup deleted, or the previous one after its last survey.
    pub removed: Vec<ContainerImage>,
}

/// A container image in its repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerImage {
    /// The account that owns the registry, 12 digits.
    pub account: String,
    /// The region of the registry.
    pub region: String,
    /// The repository's name.
    pub repository: String,
    /// The digest of its manifest, `sha256:…`.
    pub digest: String,
    /// The tags it has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A container image that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptContainer {
    /// The image.
    pub image: ContainerImage,
    /// Every reason to keep it, at least one.
    pub reasons: Vec<String>,
}

/// An image that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptImage {
    /// The image.
    pub image: ImageIdentity,
    /// Every reason to keep it, at least one.
    pub reasons: Vec<String>,
}

/// An image that was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedImage {
    /// The image.
    pub image: ImageIdentity,
    /// Why it was removed.
    pub reason: String,
    /// Whether it is deregistered.
    pub deregistered: bool,
    /// The outcome of each snapshot.
    pub snapshots: Vec<SnapshotOutcome>,
}

/// The outcome of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotOutcome {
    /// The snapshot's id.
    pub snapshot_id: String,
    /// EC2's return code, such as `success` or `skipped`; `retained` with the referencing resources; `not_deleted`,
    /// `not_listed` or `unknown`.
    pub outcome: String,
}

impl Predicate for Cleanup {
    const TYPE: &'static str = "https://bakeline.dev/attestation/cleanup/v1";
    const STAGE: Stage = Stage::Cleanup;
}
