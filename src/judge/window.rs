//! The observations of one window of time, as they are recorded, and the errors that make a measurement invalid.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One window of observations. Counts are those of the window alone, not running totals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// Identifies the window: a window that is sent twice counts once.
    pub id: String,
    /// The step it belongs to; 0 is the first.
    #[serde(rename = "step")]
    pub stage: u32,
    /// Minutes from the start of the rollout to the start of the window, written as a duration.
    #[serde(with = "duration")]
    pub start: f64,
    /// Its length in minutes, written as `duration`.
    #[serde(rename = "duration", with = "duration")]
    pub minutes: f64,
    /// The old image.
    #[serde(rename = "baseline")]
    pub control: Arm,
    /// The new image.
    pub canary: Arm,
    /// The readings by metric. A metric that is absent was not measured; that is not zero.
    #[serde(default)]
    pub metrics: BTreeMap<String, Reading>,
}

/// One side in one window.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Arm {
    /// Requests it served.
    pub requests: Option<f64>,
    /// Instances in service.
    pub instances: u32,
}

/// A metric in one window. Numbers are optional because a source may answer with a value that is not a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Reading {
    /// Events.
    Counts {
        /// On the old image.
        #[serde(rename = "baseline")]
        control: Counted,
        /// On the new image.
        canary: Counted,
    },
    /// Requests slower than each of the thresholds.
    Latency {
        /// On the old image.
        #[serde(rename = "baseline")]
        control: Slow,
        /// On the new image.
        canary: Slow,
    },
    /// The value of each instance, by its id.
    Gauge {
        /// On the old image.
        #[serde(rename = "baseline")]
        control: BTreeMap<String, Option<f64>>,
        /// On the new image.
        canary: BTreeMap<String, Option<f64>>,
    },
}

/// Events among requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Counted {
    /// The number of events.
    pub events: Option<f64>,
    /// The number of requests among them; by default the requests of the side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
}

/// Slow requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Slow {
    /// The number of requests slower than each threshold, in the order of the thresholds.
    pub over: Vec<Option<f64>>,
    /// The number of requests among them; by default the requests of the side.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
}

/// A measurement error.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a number.
    #[error("{0} is not a number")]
    NotANumber(&'static str),
    /// A negative count.
    #[error("{0} is negative: a counter was reset or is read as a running total")]
    Negative(&'static str),
    /// A count with a fraction.
    #[error("{0} is not a whole number below 2^53")]
    NotWhole(&'static str),
    /// More events than requests.
    #[error("{0}: more events than requests")]
    MoreThanAll(&'static str),
    /// The rule asks for another kind of measurement.
    #[error("the reading has another kind than the rule, or another number of thresholds")]
    OtherKind,
    /// The same id with other contents.
    #[error("window {0} was sent twice with different contents")]
    Changed(String),
    /// Time runs backwards.
    #[error("window {0} begins before the one before it ended: the clocks are not aligned")]
    Overlap(String),
    /// A length of zero.
    #[error("window {0} has no length")]
    NoLength(String),
    /// A step that is over or not planned.
    #[error("window {0} belongs to a step that is over or not planned")]
    OtherStage(String),
    /// Nothing to compare with.
    #[error("the baseline serves no requests while the canary does: there is nothing to compare with")]
    BaselineDead,
}

/// A number of minutes, written as a duration with one unit: `90s`, `7m`.
mod duration {
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
    pub fn serialize<S: Serializer>(minutes: &f64, to: S) -> Result<S::Ok, S::Error> {
        let seconds = minutes * 60.0;
        if minutes.fract() == 0.0 {
            to.collect_str(&format_args!("{minutes}m"))
        } else {
            to.collect_str(&format_args!("{seconds}s"))
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
        let text = String::deserialize(from)?;
        let number = |text: &str| text.parse::<f64>().ok();
        let minutes = match (text.strip_suffix('m'), text.strip_suffix('s')) {
            (Some(minutes), _) => number(minutes),
            (None, Some(seconds)) => number(seconds).map(|seconds| seconds / 60.0),
            (None, None) => None,
        };
        minutes.ok_or_else(|| D::Error::custom(format!("`{text}` is not a duration such as 90s or 7m")))
    }
}

/// Beyond 2^53 whole numbers have gaps.
const LARGEST: f64 = 9_007_199_254_740_992.0;

/// A valid count.
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

/// The valid counts of events and requests of one side.
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
