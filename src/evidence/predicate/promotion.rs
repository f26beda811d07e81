//! Promotion v1: what was changed on a deployment target, and every number that decided it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Predicate;
use crate::evidence::image::ImageIdentity;
use crate::evidence::link::Stage;

/// The predicate `https://bakeline.dev/attestation/promotion/v1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// How the promotion ended.
    pub outcome: PromotionOutcome,
    /// Why it ended so, in a sentence.
    pub reason: String,
    /// The first target.
    pub target: Target,
    /// The image that the target ran before; absent if it ran none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ImageIdentity>,
    /// What was changed on the target; absent if nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<Change>,
    /// When the promotion began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_on: OffsetDateTime,
    /// When its end was read back.
    #[serde(with = "time::serde::rfc3339")]
    pub finished_on: OffsetDateTime,
    /// The checks before the first change.
    pub preflight: Vec<Preflight>,
    /// The comparison of canary and baseline; absent if the spec asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// Each decision at a hold, in order.
    pub decisions: Vec<Decision>,
    /// The units of the target as they were read back at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub units: Option<Units>,
    /// The waves after the first target, as they were read back at the end; `units` includes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Wave>,
}

/// What was changed, by the kind of the target. Exactly one member is present.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// An Auto Scaling group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_scaling_group: Option<AutoScalingGroupChange>,
}

/// What was changed on an Auto Scaling group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AutoScalingGroupChange {
    /// Id of the launch template.
    pub launch_template: String,
    /// The template version that the group launched before.
    pub previous_version: String,
    /// The template version with the new image.
    pub version: String,
    /// Id of the instance refresh; absent if none was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_refresh_id: Option<String>,
}

/// A wave of Auto Scaling groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wave {
    /// Its name in the spec.
    pub name: String,
    /// The Region of its groups.
    pub region: String,
    /// Its groups, in the order of the spec.
    pub groups: Vec<WaveGroup>,
}

/// A group of a wave as it was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaveGroup {
    /// Its name.
    pub name: String,
    /// The launch template version that it launches; absent if it does not exist or launches from something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its instances.
    pub units: Units,
}

/// How a promotion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromotionOutcome {
    /// Every unit runs the new image and is healthy.
    Promoted,
    /// Every unit runs the previous image again.
    RolledBack,
    /// Neither is certain: a person must check the target.
    Indeterminate,
}

/// The deployment target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The account, 12 digits.
    pub account: String,
    /// The Region.
    pub region: String,
    /// The kind of the target: `auto_scaling_group`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its ARN; absent if it does not exist.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
}

/// One check before the first change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preflight {
    /// The name of the check.
    pub check: String,
    /// Whether it passed.
    pub holds: bool,
    /// What was observed.
    pub observed: String,
}

/// The comparison of canary and baseline, and the judge's verdict. Every number is in the recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// The start of the first window.
    #[serde(with = "time::serde::rfc3339")]
    pub started_on: OffsetDateTime,
    /// The end of the last window.
    #[serde(with = "time::serde::rfc3339")]
    pub finished_on: OffsetDateTime,
    /// The number of instances on each side.
    pub size: u32,
    /// The judge's verdict on the last window.
    pub verdict: CanaryVerdict,
    /// Why, in sentences; empty for `pass`.
    pub reasons: Vec<String>,
    /// Requests that the canary answered.
    pub canary_requests: u64,
    /// Requests that the baseline answered.
    pub baseline_requests: u64,
    /// The path of the recording in the artifact.
    pub recording: String,
    /// The recording has the same numbers and the same verdict as the decision.
    pub recording_matches: bool,
    /// The score that Kayenta's judge gives the same windows. It decides nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kayenta: Option<KayentaScore>,
}

/// A score as Kayenta's `NetflixACAJudge-v1.0` gives it, with the thresholds 95 and 75.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KayentaScore {
    /// 0 to 100.
    pub score: f64,
    /// Pass, Marginal or Fail.
    pub classification: String,
    /// The class of each metric, such as Pass or High.
    pub metrics: BTreeMap<String, String>,
}

/// The judge's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CanaryVerdict {
    /// Evidence of no harm.
    Pass,
    /// Evidence neither of harm nor of no harm.
    Inconclusive,
    /// A measurement error.
    Error,
    /// Evidence of harm.
    Fail,
}

impl CanaryVerdict {
    /// The verdict as reports show it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Error => "ERROR",
            Self::Fail => "FAIL",
        }
    }
}

/// A decision at a hold, and what it was made on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When it was made.
    #[serde(with = "time::serde::rfc3339")]
    pub decided_on: OffsetDateTime,
    /// The wave that it was made on, from 1; absent before the first wave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u8>,
    /// The percentage of units or traffic on the new image, 0 to 100; for a wave, the percentage of all groups.
    pub percent: u8,
    /// What followed.
    pub action: DecisionAction,
    /// Why, in a sentence.
    pub reason: String,
    /// The alarms that were read.
    #[serde(default)]
    pub alarms: Vec<AlarmReading>,
    /// The metrics that were read.
    #[serde(default)]
    pub measurements: Vec<Measurement>,
}

/// What follows from a poll of a hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionAction {
    /// The deployment continues.
    Continue,
    /// Poll again later.
    Wait,
    /// The deployment is rolled back.
    RollBack,
}

/// An alarm and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmReading {
    /// The alarm's name.
    pub name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`, as `CloudWatch` writes it; `GONE` or `UNREAD` if it could not be read.
    pub state: String,
}

/// The value of a metric and one of its limits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// The metric, as the spec names it.
    pub name: String,
    /// `CloudWatch`'s statistic, for example `Average` or `p99`.
    pub statistic: String,
    /// The value; null if there were no data.
    pub value: Option<f64>,
    /// The bound that the limit is: `min` or `max`.
    pub comparison: String,
    /// The limit.
    pub limit: f64,
    /// The number of datapoints that the value is the mean of.
    pub samples: u64,
    /// Whether the value is within the limit, with enough datapoints.
    pub holds: bool,
}

/// The units of a target: instances, tasks or versions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Units {
    /// Units in service.
    pub total: u32,
    /// Of them, on the new image.
    pub updated: u32,
    /// Of them, healthy everywhere.
    pub healthy: u32,
}

impl Predicate for Promotion {
    const TYPE: &'static str = "https://bakeline.dev/attestation/promotion/v1";
    const STAGE: Stage = Stage::Promote;
}
