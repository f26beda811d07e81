//! Cleanup plan v1: what a cleanup is about to do with each image, and why.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::cleanup::ContainerImage;
use crate::evidence::image::ImageIdentity;

/// The predicate type of a plan. It stands in no chain: it speaks of an account and region, not of a release.
pub const CLEANUP_PLAN: &str = "https://bakeline.dev/cleanup-plan/v1";

/// The predicate [`CLEANUP_PLAN`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CleanupPlan {
    /// The service whose images were looked at.
    pub service: String,
    /// The account that owns them, 12 digits.
    pub account: String,
    /// The region they lie in.
    pub region: String,
    /// The rules, as the spec gives them; a JSON object.
    pub policy: Value,
    /// The Auto Scaling group that the service's images are promoted to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// When everything was looked at.
    #[serde(with = "time::serde::rfc3339")]
    pub planned_on: OffsetDateTime,
    /// From when on the plan is no longer carried out.
    #[serde(with = "time::serde::rfc3339")]
    pub expires_on: OffsetDateTime,
    /// What a GiB of snapshots costs a month; none when that was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price_per_gib_month: Option<f64>,
    /// Every image of the service, oldest first.
    pub images: Vec<PlannedImage>,
    /// Every container image of the repositories that the rules name, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub containers: Vec<PlannedContainer>,
}

/// What is about to happen to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aim {
    /// It stays.
    Keep,
    /// It is in quarantine and comes back as it was.
    Reinstate,
    /// It is marked, deprecated and disabled; a container image goes into the archive.
    Quarantine,
    /// It is in quarantine, and not yet for long enough.
    Rest,
    /// It is deregistered and its snapshots are deleted.
    Deregister,
    /// A container image is in quarantine, and is deleted.
    Delete,
    /// Nothing speaks for it, and others are older: it is left to the next cleanup.
    Later,
}

impl Aim {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Reinstate => "bring back",
            Self::Quarantine => "quarantine",
            Self::Rest => "rest",
            Self::Deregister => "deregister",
            Self::Delete => "delete",
            Self::Later => "later",
        }
    }

    /// Whether carrying out the plan changes the image.
    #[must_use]
    pub const fn acts(self) -> bool {
        match self {
            Self::Reinstate | Self::Quarantine | Self::Deregister | Self::Delete => true,
            Self::Keep | Self::Rest | Self::Later => false,
        }
    }
}

/// One image of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedImage {
    /// The image.
    pub image: ImageIdentity,
    /// What is about to happen to it.
    pub aim: Aim,
    /// Every reason for that.
    pub reasons: Vec<String>,
    /// The snapshots behind it.
    pub snapshots: Vec<String>,
    /// The sizes of its volumes together; its snapshots take up at most as much.
    pub gib: u64,
}

/// One container image of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedContainer {
    /// The image.
    pub image: ContainerImage,
    /// When it was pushed, if ECR says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_on: Option<String>,
    /// What is about to happen to it.
    pub aim: Aim,
    /// Every reason for that.
    pub reasons: Vec<String>,
    /// The size of its layers together; layers that others have too are stored once.
    pub bytes: u64,
}
