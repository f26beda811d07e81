//! The `test` section: how the image is tested.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::promote::Metric;
use super::span::Span;

/// How the image is tested: one instance of it in staging, and checks that run there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The id of the subnet of the instance.
    #[schemars(regex(pattern = r"^subnet-[0-9a-f]{8,17}$"), example = &"subnet-0123456789abcdef0")]
    pub subnet: String,
    /// The ids of the security groups of the instance.
    #[schemars(length(min = 1, max = 5), inner(regex(pattern = r"^sg-[0-9a-f]{8,17}$")), extend("uniqueItems" = true), extend("examples" = [["sg-0123456789abcdef0"]]))]
    pub security_groups: Vec<String>,
    /// Name or ARN of the instance profile. It must let the instance register with Systems Manager.
    #[schemars(
        regex(
            pattern = r"^(arn:aws(-[a-z]+)*:iam::[0-9]{12}:instance-profile/([A-Za-z0-9+=,.@_-]+/)*)?[A-Za-z0-9+=,.@_-]{1,128}$"
        ),
        example = &"web-staging"
    )]
    pub instance_profile: String,
    /// The type of the instance, such as t3.small.
    #[schemars(regex(pattern = r"^[a-z0-9-]+\.[a-z0-9-]+$"), example = &"t3.small")]
    pub instance_type: String,
    /// Whether the instance may be a Spot instance; where there is no Spot capacity it is an on-demand one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spot: bool,
    /// How long the instance may take until its status checks pass and Systems Manager hears from it. At least 1m, at most 2h.
    #[schemars(extend("x-at-least" = "1m", "x-at-most" = "2h"))]
    pub boot_timeout: Span,
    /// How long the whole test may take, boot included. At most 14d.
    #[schemars(extend("x-at-most" = "14d"))]
    pub timeout: Span,
    /// What is looked at on the instance: one after the other, or side by side where `needs` says so.
    #[schemars(length(min = 1, max = 20))]
    pub checks: Vec<Check>,
    /// How long the instance goes on once all checks have passed, and which metrics must keep their bounds meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Soak")]
    pub soak: Option<Soak>,
}

/// A time of watching after the checks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Soak {
    /// How long it is. At least 1m, at most 2d.
    #[serde(rename = "for")]
    #[schemars(extend("x-at-least" = "1m", "x-at-most" = "2d"))]
    pub lasts: Span,
    /// What is measured. `$instance` in the value of a dimension is the id of the instance.
    #[schemars(length(min = 1, max = 10))]
    pub metrics: Vec<Metric>,
}

impl Soak {
    /// What reports call it.
    pub const NAME: &str = "soak";

    /// How long the last datapoints may take until `CloudWatch` has them.
    pub const LAG: Duration = Duration::from_mins(5);

    /// The metrics of an instance.
    pub fn metrics_of(&self, instance: &str) -> impl Iterator<Item = Metric> {
        self.metrics.iter().cloned().map(move |mut metric| {
            for value in metric.queries.iter_mut().flat_map(|query| query.dimensions.values_mut()) {
                *value = value.replace("$instance", instance);
            }
            metric
        })
    }
}
