//! What was seen in one window of time, as it is recorded, and the ways in which it cannot be believed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One window of observations. Counts are those of the window alone, not running totals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Names the window: the same window sent twice counts once.
    pub id: String,
    /// The stage it belongs to; 0 is the first.
    pub stage: u32,
    /// Minutes from the start of the rollout to the start of the window.
    pub start: f64,
    /// Length in minutes.
    pub minutes: f64,
    /// The old image.
    pub control: Arm,
    /// The new image.
    pub canary: Arm,
    /// What was measured, by metric. A metric that is not here was not measured, which is not zero.
    #[serde(default)]
    pub metrics: BTreeMap<String, Reading>,
}

/// One arm in one window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Requests it served.
    pub requests: Option<f64>,
    /// Instances in service.
    pub instances: u32,
}

/// A metric in one window. Numbers are optional because a source may answer with something that is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reading {
    /// Events.
    Counts {
        /// On the old image.
        control: Counted,
        /// On the new image.
        canary: Counted,
    },
    /// Requests slower than each of the thresholds.
    Latency {
        /// On the old image.
        control: Slow,
        /// On the new image.
        canary: Slow,
    },
    /// The value of each instance, by its id.
    Gauge {
        /// On the old image.
        control: BTreeMap<String, Option<f64>>,
        /// On the new image.
        canary: BTreeMap<String, Option<f64>>,
    },
}

/// Events among requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// How many.
    pub events: Option<f64>,
    /// Among how many; the arm's requests unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
}

/// Slow requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slow {
    /// How many were slower than each threshold, in the thresholds' order.
    pub over: Vec<Option<f64>>,
    /// Among how many; the arm's requests unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
}

/// Why a measurement cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a number.
    #[error("{0} is not a number")]
    NotANumber(&'static str),
    /// A counter ran backwards.
    #[error("{0} is negative: a counter was reset or is read as a running total")]
    Negative(&'static str),
    /// A count with a fraction.
    #[error("{0} is not a whole number below 2^53")]
    NotWhole(&'static str),
    /// More events than requests.
    #[error("{0}: more events than requests")]
    MoreThanAll(&'static str),
    /// The rule asks for another kind of measurement.
    #[error("the reading is of another kind than the rule, or has another number of thresholds")]
    OtherKind,
    /// The same id with other contents.
    #[error("window {0} came twice with different contents")]
    Changed(String),
    /// Time runs backwards.
    #[error("window {0} begins before the one before it ended: the clocks are not aligned")]
    Overlap(String),
    /// A length that is none.
    #[error("window {0} has no length")]
    NoLength(String),
    /// A stage that is over or that is not planned.
    #[error("window {0} belongs to a stage that is over or not planned")]
    OtherStage(String),
    /// Nothing to compare with.
    #[error("the baseline serves no requests while the canary does: there is nothing to compare with")]
    BaselineDead,
}

/// Beyond 2^53 whole numbers have gaps.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// A count that can be believed.
pub fn whole(value: Option<f64>, what: &'static str) -> Result<f64, Fault> {
    match value {
        None => Err(Fault::NotANumber(what)),
        Some(value) if !value.is_finite() => Err(Fault::NotANumber(what)),
        Some(value) if value < 0.0 => Err(Fault::Negative(what)),
        Some(value) if value.fract() != 0.0 || value > LARGEST => Err(Fault::NotWhole(what)),
        // Not minus zero.
        Some(value) => Ok(value.abs()),
    }
}

/// Events of one arm among its requests, both believed.
pub fn believed(
    events: Option<f64>,
    total: Option<f64>,
    requests: f64,
    what: &'static str,
) -> Result<(f64, f64), Fault> {
    let total = match total {
        None => requests,
        given => whole(given, what)?,
    };
    let events = whole(events, what)?;
    if events > total { Err(Fault::MoreThanAll(what)) } else { Ok((events, total)) }
}
