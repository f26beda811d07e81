//! The `promote` section: how the image replaces the one in production.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;
use super::trial::{Judge, Strategy};
use super::wave::{self, Wave};

/// How the image replaces the one in production: an instance refresh of an Auto Scaling group, judged at checkpoints.
///
/// With `strategy: canary`, a trial beside a fresh baseline comes first, and the refresh begins only when it passed. With
/// `strategy: blue_green`, no instance is replaced: the other of two groups is filled with the image, and the weights of
/// the load balancer bring it the traffic, share by share.
///
/// Target groups, launch template and capacity are the group's own and are read from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Promote {
    /// Name of the Auto Scaling group.
    #[schemars(length(min = 1, max = 255))]
    pub group: String,
    /// Percentages of replaced instances, or with `blue_green` of the traffic, at which it holds to be judged: ascending, the last one 100.
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
    /// How long the whole new fleet is watched at the end, alarms armed. With `blue_green` the group before stays whole until then. At most 2d.
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
    /// How the image reaches production: canary (a trial that must pass, then the refresh), `blue_green` (a second group, by the load balancer's weights) or rolling (the refresh alone).
    #[serde(default, skip_serializing_if = "Strategy::is_default")]
    #[schemars(extend("examples" = ["canary"]))]
    pub strategy: Strategy,
    /// With `blue_green`: the Auto Scaling group that takes turns with `group`. It has the same launch template and a target group of its own, which stands beside the other one wherever the load balancer forwards to it. Whichever serves, the image goes into the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 255))]
    pub turns_with: Option<String>,
    /// The judge: of the trial with `canary`, of every share of the traffic below 100 with `blue_green`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Judge")]
    pub judge: Option<Judge>,
    /// Further groups, wave by wave, once `group` has taken the image over. Not with `blue_green`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub waves: Vec<Wave>,
    /// How many groups of a wave are refreshed, or taken back, at a time.
    #[serde(default = "wave::at_once", skip_serializing_if = "wave::is_at_once")]
    #[schemars(range(min = 1, max = 50))]
    pub at_once: u16,
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
