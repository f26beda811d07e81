//! `analysis`: what decides whether a promotion continues.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judge::Judge;
use super::limit::Limit;

/// Alarms, limits and the judge that decide whether a promotion continues.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Analysis {
    /// Names of `CloudWatch` alarms. The promotion rolls back when one of them goes off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 255)), extend("uniqueItems" = true), extend("examples" = [["web-5xx"]]))]
    pub alarms: Vec<String>,
    /// Metrics and the limits that they must keep at every step.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub limits: Vec<Limit>,
    /// Statistical comparison of the new image with the old one: in the canary phase, or with `blue_green` at every step below 100 percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Judge")]
    pub judge: Option<Judge>,
}

impl Analysis {
    /// Whether nothing is analyzed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Alarms and limits of a wave, each in place of the promotion's own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaveAnalysis {
    /// Names of `CloudWatch` alarms in the wave's account and region, in place of `promote.analysis.alarms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", length(min = 1, max = 10), inner(length(min = 1, max = 255)), extend("uniqueItems" = true), extend("examples" = [["web-5xx"]]))]
    pub alarms: Option<Vec<String>>,
    /// Metrics in the wave's account and region with their limits, in place of `promote.analysis.limits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Limit>", length(max = 20))]
    pub limits: Option<Vec<Limit>>,
}
