//! Cleanup v1: which images were kept and which removed, each with the reason.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::Predicate;
use crate::evidence::image::ImageIdentity;
use crate::evidence::link::Stage;

/// The predicate `https://bakeline.dev/cleanup/v1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cleanup {
    /// The service whose images were looked at.
    pub service: String,
    /// The rules, as the spec gives them; a JSON object.
    pub policy: Value,
    /// Whether every list was read to its end; if not, nothing was removed.
    pub complete: bool,
    /// When the images were listed.
    #[serde(with = "time::serde::rfc3339")]
    pub looked_on: OffsetDateTime,
    /// When the last removal was read back.
    #[serde(with = "time::serde::rfc3339")]
    pub finished_on: OffsetDateTime,
    /// Every image that stays.
    pub kept: Vec<KeptImage>,
    /// Every image that went, or should have.
    pub removed: Vec<RemovedImage>,
    /// Container images, where the rules name repositories and everything could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub containers: Option<ContainerCleanup>,
}

/// What became of container images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerCleanup {
    /// Every image that stays.
    pub kept: Vec<KeptContainer>,
    /// Every image that this cleanup took away, or one before it after its last look.
    pub removed: Vec<ContainerImage>,
}

/// A container image where it lies.
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

/// An image that went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RemovedImage {
    /// The image.
    pub image: ImageIdentity,
    /// Why it went.
    pub reason: String,
    /// Whether it was seen to be gone.
    pub gone: bool,
    /// What became of its snapshots.
    pub snapshots: Vec<SnapshotOutcome>,
}

/// What became of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotOutcome {
    /// The snapshot's id.
    pub snapshot_id: String,
    /// EC2's return code, for example `success` or `skipped`.
    pub outcome: String,
}

impl Predicate for Cleanup {
    const TYPE: &'static str = "https://bakeline.dev/cleanup/v1";
    const STAGE: Stage = Stage::Cleanup;
}
