//! The release spec as types. The JSON Schema that checks a spec file is derived from them, so that a rule on
//! one value stands here once; rules between values stand in [`super::rules`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;

/// A release: how one service is baked into an image, tested, promoted and cleaned up after.
///
/// A stage's section may be left out where the pipeline has no action of that kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSpec {
    /// The version of this format.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The service's name, 1 to 40 of a-z, 0-9 and `-`: the value of the tag `bakeline:service` on its images.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,40}$"), example = &"web")]
    pub service: String,
    /// How the image is baked. Read by the bake stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Bake")]
    pub bake: Option<Bake>,
    /// How the image is tested on an instance in staging. Read by the test stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Test")]
    pub test: Option<Test>,
    /// How the image replaces the one in production. Read by the promote stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Promote")]
    pub promote: Option<Promote>,
    /// Which images of the service are kept. Read by the cleanup stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Cleanup")]
    pub cleanup: Option<Cleanup>,
    /// What holds for the statements that travel between the stages.
    #[serde(default)]
    pub evidence: Evidence,
}

/// A section that a stage needs and the spec does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the release spec has no section `{section}`; the {section} stage does not run without it")]
pub struct MissingSection {
    /// The key of the section, which is also the name of the stage.
    pub section: &'static str,
}

impl ReleaseSpec {
    /// The section of the bake stage.
    ///
    /// # Errors
    /// [`MissingSection`] when the spec has none.
    pub fn bake(&self) -> Result<&Bake, MissingSection> {
        self.bake.as_ref().ok_or(MissingSection { section: "bake" })
    }

    /// The section of the test stage.
    ///
    /// # Errors
    /// [`MissingSection`] when the spec has none.
    pub fn test(&self) -> Result<&Test, MissingSection> {
        self.test.as_ref().ok_or(MissingSection { section: "test" })
    }

    /// The section of the promote stage.
    ///
    /// # Errors
    /// [`MissingSection`] when the spec has none.
    pub fn promote(&self) -> Result<&Promote, MissingSection> {
        self.promote.as_ref().ok_or(MissingSection { section: "promote" })
    }

    /// The section of the cleanup stage.
    ///
    /// # Errors
    /// [`MissingSection`] when the spec has none.
    pub fn cleanup(&self) -> Result<&Cleanup, MissingSection> {
        self.cleanup.as_ref().ok_or(MissingSection { section: "cleanup" })
    }
}

/// How the image is baked: one execution of an EC2 Image Builder pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bake {
    /// ARN of the Image Builder pipeline that bakes the image.
    #[schemars(
        regex(
            pattern = r"^arn:aws(-[a-z]+)*:imagebuilder:[a-z]{2}(-[a-z]+)+-[0-9]:[0-9]{12}:image-pipeline/[a-z0-9_-]{1,128}$"
        ),
        example = &"arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web"
    )]
    pub image_pipeline: String,
    /// How long the image may take, from the start of the pipeline to copies in every region. At least 5m, at most
    /// 14d.
    #[schemars(extend("x-at-least" = "5m", "x-at-most" = "14d"))]
    pub timeout: Span,
    /// Name of an SSM parameter (data type `aws:ec2:image`) that is set to the new image: letters, digits and `_.-`,
    /// in parts between single `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        length(min = 1, max = 1011),
        regex(pattern = r"^/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$"),
        example = &"/imagebuilder/web/candidate"
    )]
    pub parameter: Option<String>,
    /// Copies of the image that must come out of the pipeline's distribution. None given: those that come out are taken as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub expect: Vec<ImageCopy>,
}

/// One copy of an image: a region and the account that owns it there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageCopy {
    /// The region, such as eu-west-1.
    #[schemars(regex(pattern = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"), example = &"eu-west-1")]
    pub region: String,
    /// The account's twelve digits, in quotes.
    #[schemars(regex(pattern = r"^[0-9]{12}$"), example = &"123456789012")]
    pub account: String,
}

/// How the image is tested: one instance of it in staging, and checks that run there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// How long the instance may take until its status checks pass and Systems Manager hears from it. At least 1m, at most 2h.
    #[schemars(extend("x-at-least" = "1m", "x-at-most" = "2h"))]
    pub boot_timeout: Span,
    /// How long the whole test may take, boot included. At most 14d.
    #[schemars(extend("x-at-most" = "14d"))]
    pub timeout: Span,
    /// What is run on the instance, one after the other.
    #[schemars(length(min = 1, max = 20))]
    pub checks: Vec<Check>,
}

/// A script that runs on the test instance. It passes by ending with exit code 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// The check's name in reports, unique in the spec: 1 to 64 letters, digits, spaces and `._-`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}$"), example = &"serves")]
    pub name: String,
    /// Path of the script in the source artifact: relative, `/` between folders, of letters, digits and `._-`, no
    /// part beginning with a dot.
    #[schemars(
        length(max = 255),
        regex(pattern = r"^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$"),
        example = &"checks/serves.sh"
    )]
    pub script: String,
    /// How long the command may wait until the instance takes it (`TimeoutSeconds` of `SendCommand`). At least 30s, at most 30d.
    #[serde(default = "Check::default_delivery_timeout")]
    #[schemars(extend("x-at-least" = "30s", "x-at-most" = "30d"))]
    pub delivery_timeout: Span,
    /// How long the script may run (`executionTimeout` of the document). At most 2d.
    #[schemars(extend("x-at-most" = "2d"))]
    pub timeout: Span,
}

impl Check {
    fn default_delivery_timeout() -> Span {
        Span::from_secs(120)
    }
}

/// How the image replaces the one in production: an instance refresh of an Auto Scaling group, judged at checkpoints.
///
/// Target groups, launch template and capacity are the group's own and are read from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// Name of the Auto Scaling group.
    #[schemars(length(min = 1, max = 255))]
    pub group: String,
    /// Percentages of replaced instances at which the refresh holds to be judged: ascending, the last one 100.
    #[schemars(length(min = 1, max = 20), inner(range(min = 1, max = 100)), extend("examples" = [[10, 25, 50, 100]]))]
    pub checkpoints: Vec<u8>,
    /// How long it holds at every checkpoint before it is judged. At least 1m, at most 47h: a checkpoint of an
    /// instance refresh ends by itself after 48h, and the judgement needs the rest.
    #[schemars(extend("x-at-least" = "1m", "x-at-most" = "47h"))]
    pub hold: Span,
    /// The share of the group that must stay healthy during the refresh, in percent. Not 0, which would let every
    /// instance be replaced at once.
    #[schemars(range(min = 1, max = 100))]
    pub min_healthy_percent: u8,
    /// The share up to which the group may grow during the refresh, in percent; at most 100 above `min_healthy_percent`.
    #[schemars(range(min = 100, max = 200))]
    pub max_healthy_percent: u8,
    /// How long a new instance warms up before it counts. At most 2d.
    #[schemars(extend("x-at-most" = "2d"))]
    pub instance_warmup: Span,
    /// How long the whole new fleet is watched at the end, alarms armed. At most 2d.
    #[schemars(extend("x-at-most" = "2d"))]
    pub bake_time: Span,
    /// `CloudWatch` alarms of which none may go off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), inner(length(min = 1, max = 255)), extend("uniqueItems" = true))]
    pub alarms: Vec<String>,
    /// Metrics with thresholds that must hold at every checkpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub metrics: Vec<Metric>,
    /// How long the whole promotion may take. At most 14d, and longer than all holds and the bake time together.
    #[schemars(extend("x-at-most" = "14d"))]
    pub timeout: Span,
}

/// A number from `CloudWatch` with bounds that it must keep at every checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// The metric's name in reports, unique in the spec: 1 to 64 letters, digits, spaces and `._-`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}$"), example = &"error-share")]
    pub name: String,
    /// The `CloudWatch` metrics it is made of.
    #[schemars(length(min = 1, max = 20))]
    pub queries: Vec<Query>,
    /// `CloudWatch` metric math over the ids of the queries. Needed when there is more than one query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 2048))]
    pub expression: Option<String>,
    /// The time one datapoint covers: 1s, 5s, 10s, 20s, 30s or whole minutes, at most 1d.
    #[schemars(extend("x-at-most" = "1d"))]
    pub period: Span,
    /// The highest value that passes. Given here or `at_least`, or both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub at_most: Option<f64>,
    /// The lowest value that passes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    pub at_least: Option<f64>,
    /// How many datapoints a judgement needs. Fewer are not a pass.
    #[schemars(range(min = 1, max = 10_000))]
    pub min_datapoints: u32,
}

/// One `CloudWatch` metric, as `GetMetricData` asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Query {
    /// What the expression calls it: a lower-case letter, then letters, digits and underscores.
    #[schemars(regex(pattern = r"^[a-z][A-Za-z0-9_]{0,254}$"), example = &"errors")]
    pub id: String,
    /// The metric's namespace, such as AWS/ApplicationELB.
    #[schemars(length(min = 1, max = 255))]
    pub namespace: String,
    /// The metric's name, such as `RequestCount`.
    #[schemars(length(min = 1, max = 255))]
    pub metric: String,
    /// The metric's dimensions: all of them, for `CloudWatch` finds a metric by its full set only.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 30))]
    pub dimensions: BTreeMap<String, String>,
    /// How the samples of one period become one value: Average, Sum, Minimum, Maximum, `SampleCount`, or a percentile such as p99.
    #[schemars(
        regex(
            pattern = r"^(Average|Sum|Minimum|Maximum|SampleCount|IQM|(p|tm|wm|tc|ts)([0-9]{1,2}(\.[0-9]{1,10})?|100))$"
        ),
        example = &"Sum"
    )]
    pub statistic: String,
}

/// Which images of the service are kept. Those in use or referenced are kept whatever stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cleanup {
    /// How many of the newest images are kept.
    #[schemars(range(min = 1, max = 1000))]
    pub keep_last: u32,
    /// Images younger than this are kept.
    pub keep_younger_than: Span,
}

/// What holds for the statements that travel between the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// How long a hand-over may wait for the next stage. At least 1h, at most 90d.
    #[schemars(extend("x-at-least" = "1h", "x-at-most" = "90d"))]
    pub valid_for: Span,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { valid_for: Span::from_secs(7 * 86_400) }
    }
}
