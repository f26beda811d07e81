//! What of a promotion travels in the token, whatever its target: its decisions so far, and its end.

use serde::{Deserialize, Serialize};

use super::analysis::input::AnalysisResult;
use super::analysis::windows::Period;
use super::log::Log;
use crate::engine::Timestamp;
use crate::evidence::predicate::{PromotionOutcome, Units};
use crate::stage::failure_reason::FailureReason;

/// The history of a promotion past its preflight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// When the promotion began.
    pub began: Timestamp,
    #[serde(default)]
    pub log: Log,
    /// The periods in which canary and baseline were compared, in order; the last of them may not be over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub periods: Vec<Period>,
    /// The result of the last comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<AnalysisResult>,
}

impl History {
    /// The history of a promotion that begins.
    #[must_use]
    pub fn begin(began: Timestamp) -> Self {
        Self { began, log: Log::default(), periods: Vec::new(), analysis: None }
    }
}

/// How a promotion ended, and the units at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub outcome: PromotionOutcome,
    /// None for a promotion that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<FailureReason>,
    /// Units in service, of them on the new version, of them healthy.
    pub units: [u32; 3],
    /// When they were read back.
    pub at: Timestamp,
}

impl End {
    #[must_use]
    pub fn units(&self) -> Units {
        let [total, updated, healthy] = self.units;
        Units { total, updated, healthy }
    }
}
