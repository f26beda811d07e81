//! Limits: numbers from `CloudWatch` with bounds that they must keep.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cloudwatch::CloudWatch;
use crate::spec::names::NAME;
use crate::spec::span::Span;

/// A number from `CloudWatch` and its bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Name of the limit in reports, unique in its list: 1 to 64 of a-z, 0-9 and `-`, with no `-` at either end.
    #[schemars(length(max = 64), regex(pattern = NAME), example = &"error-percent")]
    pub name: String,
    /// The number, from `CloudWatch`.
    pub cloudwatch: CloudWatch,
    /// Lowest value that passes. One of `min` and `max` is needed, or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub min: Option<f64>,
    /// Highest value that passes. One of `min` and `max` is needed, or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub max: Option<f64>,
    /// Fewest datapoints that a decision needs. With fewer, the limit does not pass.
    #[schemars(range(min = 1, max = 10_000))]
    pub min_datapoints: u32,
}

impl Limit {
    /// The time that one datapoint covers.
    #[must_use]
    pub fn period(&self) -> Span {
        self.cloudwatch.period
    }

    /// The same with those placeholders replaced that `known` knows.
    #[must_use]
    pub fn with<'w>(&self, known: impl Fn(&str) -> Option<&'w str>) -> Self {
        Self { cloudwatch: self.cloudwatch.with(known), ..self.clone() }
    }
}
