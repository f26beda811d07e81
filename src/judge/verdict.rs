//! The verdict of a look, and the record of every number it used.

use serde::{Deserialize, Serialize};

use super::counts::{Interval, Totals};
use super::gauge::Gate;
use super::guard::GuardRecord;
use super::rules::Role;

/// What the judge says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Evidence that the stage is not harmed: go on.
    Pass,
    /// Not enough evidence of either: hold.
    Inconclusive,
    /// The measurement cannot be believed: hold, and look at the measurement. Never passes.
    Error,
    /// Evidence of harm: roll back.
    Fail,
}

impl Verdict {
    /// The verdict's name, as people read it.
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

/// One look: the verdict and every number behind it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// The last window seen; none before the first.
    pub window: Option<String>,
    /// The stage; 0 is the first.
    pub stage: u32,
    /// Minutes from the start of the rollout to the end of the last window.
    pub minute: f64,
    /// The verdict.
    pub verdict: Verdict,
    /// Why, in sentences; empty for PASS.
    pub reasons: Vec<String>,
    /// Whether the rollout has held longer than the rules allow. What then happens is the caller's policy.
    pub bake_expired: bool,
    /// What the stage has seen.
    pub exposure: ExposureRecord,
    /// The traffic-share test; none if the stage has no planned share.
    pub share: Option<ShareRecord>,
    /// The absolute limits.
    pub guards: Vec<GuardRecord>,
    /// The metrics, in the order of the rules.
    pub metrics: Vec<MetricRecord>,
}

/// What a stage has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct ExposureRecord {
    /// Requests on the old image.
    pub control_requests: f64,
    /// Requests on the new image.
    pub canary_requests: f64,
    /// Minutes of believed windows.
    pub minutes: f64,
    /// Instances of the old image in the last window.
    pub control_instances: u32,
    /// Instances of the new image in the last window.
    pub canary_instances: u32,
    /// Whether that is enough to pass.
    pub enough: bool,
}

/// The traffic-share test.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ShareRecord {
    /// The canary's planned part of the requests.
    pub planned: f64,
    /// Its part of them in this stage; none without requests.
    pub seen: Option<f64>,
    /// Logarithm of the highest e-value in this stage.
    pub ln_e: f64,
    /// What it must stay below.
    pub ln_threshold: f64,
    /// Its part of the share test's own error budget.
    pub alpha: f64,
}

/// One metric at a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRecord {
    /// Its name.
    pub name: String,
    /// Whether the stage needs evidence from it.
    pub role: Role,
    /// Its own verdict.
    pub verdict: Verdict,
    /// Why; none for PASS.
    pub reason: Option<String>,
    /// Its part of the error budget.
    pub alpha: f64,
    /// What of it was spent so far: all of it from the first look of an e-process, which may look without end.
    pub alpha_spent: f64,
    /// Windows in a row up to this one that could be believed.
    pub clean_windows: u32,
    /// What it rests on.
    pub evidence: Evidence,
}

/// What a metric's verdict rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// Counts, one stream or one for each latency threshold.
    Counts {
        /// Logarithm of the e-value of harm (the mean of the streams' e-values) now.
        ln_e_harm: f64,
        /// The highest it has been: what decides.
        ln_e_harm_highest: f64,
        /// What decides against the canary.
        ln_threshold_harm: f64,
        /// Logarithm of the e-value of no harm (the least of the streams') in this stage.
        ln_e_safe: f64,
        /// What lets the stage pass.
        ln_threshold_safe: f64,
        /// The streams.
        streams: Vec<StreamRecord>,
    },
    /// A gauge.
    Gauge {
        /// Instances of the smaller arm.
        instances: usize,
        /// What the stage's gate found; none before it, or with too few instances.
        gate: Option<Gate>,
    },
}

/// One stream of counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamRecord {
    /// The latency threshold; none for plain counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// Since the start of the rollout.
    pub total: Totals,
    /// Since the start of the stage.
    pub stage: Totals,
    /// The rates' ratio, canary over control, as counted.
    pub ratio: Option<f64>,
    /// Where the ratio lies, at every look at once.
    pub interval: Interval,
    /// Logarithm of the e-value of harm.
    pub ln_e_harm: f64,
    /// Logarithm of the e-value of no harm.
    pub ln_e_safe: f64,
}
