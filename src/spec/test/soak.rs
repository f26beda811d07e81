//! `test.soak`: how long the instance is watched after the checks.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::promote::limit::Limit;
use crate::spec::span::Span;

/// How long the instance keeps running after the checks, and the limits that its metrics must keep.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Soak {
    /// How long the soak lasts. At least 1m, at most 2d.
    #[schemars(extend("x-min" = "1m", "x-max" = "2d"))]
    pub duration: Span,
    /// Metrics and their limits. In the value of a dimension, `$instance` is the id of the instance and `$$` a dollar.
    #[schemars(length(min = 1, max = 10))]
    pub limits: Vec<Limit>,
}

impl Soak {
    /// The name of the soak in reports.
    pub const NAME: &str = "soak";

    /// How long `CloudWatch` may take to show the last datapoints.
    pub const LAG: Duration = Duration::from_mins(5);

    /// The limits of an instance: `$instance` replaced by its id.
    pub fn limits_of(&self, instance: &str) -> impl Iterator<Item = Limit> {
        self.limits.iter().map(move |limit| limit.with(|word| (word == "instance").then_some(instance)))
    }
}
