//! Promotion v1: what was done to the fleet, and every number it was decided on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Predicate;
use crate::evidence::image::ImageIdentity;
use crate::evidence::link::Stage;

/// The predicate `https://bakeline.dev/promotion/v1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Promotion {
    /// How it ended.
    pub outcome: PromotionOutcome,
    /// Why it ended so, in a sentence.
    pub reason: String,
    /// The fleet.
    pub target: Target,
    /// The image the fleet ran before; none if it ran none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<ImageIdentity>,
    /// The template version that launches the new image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_template: Option<LaunchTemplate>,
    /// The instance refresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_refresh_id: Option<String>,
    /// When the promotion began.
    #[serde(with = "time::serde::rfc3339")]
    pub started_on: OffsetDateTime,
    /// When its end was read back.
    #[serde(with = "time::serde::rfc3339")]
    pub finished_on: OffsetDateTime,
    /// What was proved before the first instance changed.
    pub preflight: Vec<Preflight>,
    /// The trial of the image beside a baseline, before production changed; none if the spec asks for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
    /// Each look at a checkpoint, in order.
    pub decisions: Vec<Decision>,
    /// The fleet as it was read back at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fleet: Option<Fleet>,
    /// The groups that follow the first, wave by wave, as they were read back at the end; `fleet` counts them in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<Wave>,
}

/// A wave of groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wave {
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
    /// The launch template version it launches; none if there is no such group, or it launches from something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its instances.
    pub fleet: Fleet,
}

/// How a promotion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromotionOutcome {
    /// Every instance runs the new image and is healthy.
    Promoted,
    /// The fleet is back on the previous image.
    RolledBack,
    /// Neither is certain; a person has to look.
    Failed,
}

/// The fleet a promotion is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The account, 12 digits.
    pub account: String,
    /// The Region.
    pub region: String,
    /// What it is: `auto_scaling_group`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A numbered version of a launch template.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LaunchTemplate {
    /// The template's id.
    pub id: String,
    /// The version the fleet ran before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_version: Option<String>,
    /// The version with the new image.
    pub version: String,
}

/// One thing proved before anything changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Preflight {
    /// What was checked.
    pub check: String,
    /// Whether it held.
    pub holds: bool,
    /// What was seen.
    pub observed: String,
}

/// A trial: canary and baseline side by side, and what the judge said. Every number is in the recording.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// The start of the first window.
    #[serde(with = "time::serde::rfc3339")]
    pub from: OffsetDateTime,
    /// The end of the last window.
    #[serde(with = "time::serde::rfc3339")]
    pub until: OffsetDateTime,
    /// Instances on each side.
    pub instances: u32,
    /// The judge's verdict on the last window.
    pub verdict: TrialVerdict,
    /// Why, in sentences; empty for PASS.
    pub reasons: Vec<String>,
    /// Requests the canary answered.
    pub canary_requests: u64,
    /// Requests the baseline answered.
    pub baseline_requests: u64,
    /// The recording's path in the artifact.
    pub recording: String,
    /// The numbers in the recording are the very ones the verdict was given on, and judge the same.
    pub same_numbers: bool,
    /// What Kayenta's judge would say of the same windows. It decides nothing.
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
    pub class: String,
    /// The class of each metric, such as Pass or High.
    pub metrics: BTreeMap<String, String>,
}

/// The judge's verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrialVerdict {
    /// Evidence of no harm.
    Pass,
    /// Evidence of neither.
    Inconclusive,
    /// A measurement that cannot be believed.
    Broken,
    /// Evidence of harm.
    Fail,
}

impl TrialVerdict {
    /// The verdict as people read it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pass => "PASS",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Broken => "BROKEN",
            Self::Fail => "FAIL",
        }
    }
}

/// What was decided at a checkpoint, on what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// When.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The wave it was made on, from 1; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u8>,
    /// The share of the fleet on the new image, 0 to 100; of a wave, the share of all groups.
    pub percent: u8,
    /// What followed.
    pub verdict: Verdict,
    /// Why, in a sentence.
    pub reason: String,
    /// The alarms looked at.
    #[serde(default)]
    pub alarms: Vec<AlarmState>,
    /// The metrics looked at.
    #[serde(default)]
    pub measurements: Vec<Measurement>,
}

/// What a look at a checkpoint can lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Go on.
    Continue,
    /// Look again later.
    Wait,
    /// Roll back.
    RollBack,
}

/// An alarm and its state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AlarmState {
    /// The alarm's name.
    pub name: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`, as `CloudWatch` writes it.
    pub state: String,
}

/// A number and the limit it was held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measurement {
    /// The metric, as the spec calls it.
    pub name: String,
    /// `CloudWatch`'s statistic, for example `Average` or `p99`.
    pub statistic: String,
    /// The number; none if there were no data.
    pub value: Option<f64>,
    /// How it must compare: `at_most` or `at_least`.
    pub comparison: String,
    /// The limit.
    pub limit: f64,
    /// How many data points the number is made of.
    pub samples: u64,
    /// Whether the number held.
    pub holds: bool,
}

/// The fleet at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fleet {
    /// Instances in service.
    pub in_service: u32,
    /// Of them, on the new image.
    pub on_new_image: u32,
    /// Of them, healthy in every target group.
    pub healthy: u32,
}

impl Predicate for Promotion {
    const TYPE: &'static str = "https://bakeline.dev/promotion/v1";
    const STAGE: Stage = Stage::Promote;
}
