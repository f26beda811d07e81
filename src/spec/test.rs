//! The `test` section: how the image is tested.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;
use super::promote::Metric;
use super::span::Span;
use super::task::Task;

/// How the image is tested: one instance of it in staging, and checks that run there. A container image is tested in a task instead: `task` stands in place of `subnet`, `security_groups`, `instance_profile` and `instance_type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// The id of the subnet of the instance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^subnet-[0-9a-f]{8,17}$"), example = &"subnet-0123456789abcdef0")]
    pub subnet: Option<String>,
    /// The ids of the security groups of the instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 5), inner(regex(pattern = r"^sg-[0-9a-f]{8,17}$")), extend("uniqueItems" = true), extend("examples" = [["sg-0123456789abcdef0"]]))]
    pub security_groups: Vec<String>,
    /// Name or ARN of the instance profile. It must let the instance register with Systems Manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        regex(
            pattern = r"^(arn:aws(-[a-z]+)*:iam::[0-9]{12}:instance-profile/([A-Za-z0-9+=,.@_-]+/)*)?[A-Za-z0-9+=,.@_-]{1,128}$"
        ),
        example = &"web-staging"
    )]
    pub instance_profile: Option<String>,
    /// The type of the instance, such as t3.small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9-]+\.[a-z0-9-]+$"), example = &"t3.small")]
    pub instance_type: Option<String>,
    /// Whether the instance may be a Spot instance; where there is no Spot capacity it is an on-demand one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spot: bool,
    /// The task that a container image is tested in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Task")]
    pub task: Option<Task>,
    /// How long the instance may take until its status checks pass and Systems Manager hears from it; the task, until it runs and is healthy, or has exited where `exits` is given. At least 1m, at most 2h.
    #[schemars(extend("x-at-least" = "1m", "x-at-most" = "2h"))]
    pub boot_timeout: Span,
    /// How long the whole test may take, boot included. At most 14d.
    #[schemars(extend("x-at-most" = "14d"))]
    pub timeout: Span,
    /// What is looked at on the instance: one after the other, or side by side where `needs` says so. Of a task, http and tcp checks: 127.0.0.1 in them is the task, and the worker asks it at its private address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub checks: Vec<Check>,
    /// Where the instance writes what checks print, so that nothing of it is lost: Systems Manager keeps the first 24,000 characters only. Not given: those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Output")]
    pub output: Option<Output>,
    /// How long the instance goes on once all checks have passed, and which metrics must keep their bounds meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Soak")]
    pub soak: Option<Soak>,
}

/// The instance that an image is tested on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance<'a> {
    pub subnet: &'a str,
    pub security_groups: &'a [String],
    pub profile: &'a str,
    pub kind: &'a str,
}

impl Test {
    /// The instance that the image is tested on; none if it is tested in a task.
    #[must_use]
    pub fn instance(&self) -> Option<Instance<'_>> {
        Some(Instance {
            subnet: self.subnet.as_deref()?,
            security_groups: &self.security_groups,
            profile: self.instance_profile.as_deref()?,
            kind: self.instance_type.as_deref()?,
        })
    }
}

/// A place in S3 for what checks print. The instance's role must be allowed to write there, the worker's to read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// The bucket, in the region of the instance.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"), example = &"web-staging-output")]
    pub bucket: String,
    /// What the keys begin with: letters, digits and `._-`, in parts between single `/`.
    #[schemars(
        length(max = 300),
        regex(pattern = r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$"),
        example = &"bakeline"
    )]
    pub prefix: String,
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
