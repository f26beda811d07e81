//! What of a promotion travels in the token.

use serde::{Deserialize, Serialize};

use super::log::Log;
use super::trial::{Stretch, Trial};
use crate::engine::Timestamp;
use crate::evidence::predicate::{Fleet, PromotionOutcome};
use crate::stage::failure_reason::FailureReason;

/// What preflight proved: where the fleet stands and where it goes back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The group's launch template, by id.
    pub template: String,
    /// The version the group launches before.
    pub from: i64,
    /// The image of that version.
    pub old: String,
    /// Desired and maximum size of the group.
    pub size: [u32; 2],
    /// When the promotion began.
    pub began: Timestamp,
    /// The trial of the image beside a baseline, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// Of two groups that take turns, the one that the spec names second serves, and the image goes into the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swapped: bool,
}

/// A promotion past its preflight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    pub plan: Plan,
    /// The template version with the new image; the version before when the fleet ran the image already.
    pub to: i64,
    /// The instance refresh, once it is known to have been started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
    #[serde(default)]
    pub log: Log,
    /// The windows in which each share of the traffic was judged, in order; the last of them may not be over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shares: Vec<Stretch>,
}

impl Run {
    /// A run of which nothing is known but its plan.
    #[must_use]
    pub fn begin(plan: Plan, to: i64) -> Self {
        Self { plan, to, refresh: None, log: Log::default(), shares: Vec::new() }
    }
}

/// How a promotion ended, and the fleet at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub outcome: PromotionOutcome,
    /// None for a promotion that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<FailureReason>,
    /// Instances in service, of them on the new image, of them healthy.
    pub fleet: [u32; 3],
    /// When it was read back.
    pub at: Timestamp,
}

impl End {
    #[must_use]
    pub fn fleet(&self) -> Fleet {
        let [in_service, on_new_image, healthy] = self.fleet;
        Fleet { in_service, on_new_image, healthy }
    }
}
