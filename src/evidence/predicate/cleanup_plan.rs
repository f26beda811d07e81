//! The cleanup-plan predicate: what a cleanup is about to do with each image, and why.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::cleanup::ContainerImage;
use crate::evidence::image::ImageIdentity;

/// The predicate type of a plan. A plan belongs to no chain: it is about an account and region, not about a release.
pub const CLEANUP_PLAN: &str = "https://bakeline.dev/attestation/cleanup-plan/v1";

/// The predicate [`CLEANUP_PLAN`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanupPlan {
    /// The service whose images were surveyed.
    pub service: String,
    /// The account that owns the images, 12 digits.
    pub account: String,
    /// The region of the images.
    pub region: String,
    /// The `cleanup` section of the spec; a JSON object.
    pub policy: Value,
    /// What the service is promoted to in this account and region.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<PlanTarget>,
    /// When the images were surveyed.
    #[serde(with = "time::serde::rfc3339")]
    pub planned_on: OffsetDateTime,
    /// From when on the plan may no longer be applied.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_on: OffsetDateTime,
    /// The price of a GiB of snapshots per month, if it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_gib_month: Option<f64>,
    /// Every image of the service, oldest first.
    pub images: Vec<PlannedImage>,
    /// Every container image of the repositories in the rules, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<PlannedContainer>,
}

/// What a service is promoted to; each kind of target has a key of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PlanTarget {
    /// An Auto Scaling group.
    AutoScalingGroup {
        /// The group's name.
        name: String,
    },
}

/// What cleanup is about to do with an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlannedAction {
    /// Keep it.
    Keep,
    /// Restore it from quarantine.
    Restore,
    /// Mark, deprecate and disable it; move a container image to the archive.
    Quarantine,
    /// Wait: its quarantine has not ended.
    Wait,
    /// Deregister it and delete its snapshots.
    Deregister,
    /// Delete a container image, whose quarantine has ended.
    Delete,
    /// Leave it to a later cleanup: nothing keeps it, but `max_per_run` limits this one.
    Deferred,
}

impl PlannedAction {
    /// Its value in the plan.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Restore => "restore",
            Self::Quarantine => "quarantine",
            Self::Wait => "wait",
            Self::Deregister => "deregister",
            Self::Delete => "delete",
            Self::Deferred => "deferred",
        }
    }

    /// Whether applying the plan changes the image.
    #[must_use]
    pub const fn changes_image(self) -> bool {
        match self {
            Self::Restore | Self::Quarantine | Self::Deregister | Self::Delete => true,
            Self::Keep | Self::Wait | Self::Deferred => false,
        }
    }
}

/// One image of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedImage {
    /// The image.
    pub image: ImageIdentity,
    /// What cleanup is about to do with it.
    pub action: PlannedAction,
    /// The reasons.
    pub reasons: Vec<String>,
    /// Its snapshots.
    pub snapshots: Vec<String>,
    /// Total size of its volumes in GiB, an upper bound for its snapshots.
    pub gib: u64,
}

/// One container image of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedContainer {
    /// The image.
    pub image: ContainerImage,
    /// When it was pushed, if ECR reports it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_on: Option<String>,
    /// What cleanup is about to do with it.
    pub action: PlannedAction,
    /// The reasons.
    pub reasons: Vec<String>,
    /// Total size of its layers in bytes; ECR stores a layer that images share once.
    pub bytes: u64,
}
