//! `analysis.judge`: what the new image and the old one are compared on, and how sure the judge must be.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cloudwatch::SideMetric;
use crate::spec::names::NAME;
use crate::spec::one_of::{as_mapping, one_of};
use crate::spec::span::Span;

/// Statistical comparison of the new image with the old one (docs/judge.md).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// How long the judge may take to reach a verdict, with `blue_green` at each step. At least 5m, at most 20h: a custom action of CodePipeline ends after a day.
    #[schemars(extend("x-min" = "5m", "x-max" = "20h"))]
    pub timeout: Span,
    /// What happens when there is no verdict by then. Default: `roll_back`.
    #[serde(default, skip_serializing_if = "OnInconclusive::is_default")]
    pub on_inconclusive: OnInconclusive,
    /// Length of one window of counts: whole minutes, at most 1h. Default: 1m.
    #[serde(default = "one_minute")]
    #[schemars(extend("x-min" = "1m", "x-max" = "1h"))]
    pub window: Span,
    /// How long after its end a window is evaluated, so that `CloudWatch` has all its datapoints. At most 1h. Default: 2m.
    #[serde(default = "two_minutes")]
    #[schemars(extend("x-max" = "1h"))]
    pub evaluation_delay: Span,
    /// Chance that a good image is rolled back by this judge. Default: 0.01.
    #[serde(default = "one_percent")]
    #[schemars(range(min = 0.000_001, max = 0.5))]
    pub false_rollback: f64,
    /// Chance that an image passes whose harm is at the critical ratio. Default: 0.05.
    #[serde(default = "five_percent")]
    #[schemars(range(min = 0.000_001, max = 0.5))]
    pub false_promotion: f64,
    /// Fewest requests that each side must serve before the image can pass. Default: 1000.
    #[serde(default = "thousand")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_requests: u32,
    /// Shortest time that must be observed before the image can pass. At least 1m, at most 20h. Default: 10m.
    #[serde(default = "ten_minutes")]
    #[schemars(extend("x-min" = "1m", "x-max" = "20h"))]
    pub min_duration: Span,
    /// Metric whose Sum is the number of requests that a side serves.
    pub requests: Requests,
    /// Metrics that the two sides are compared on.
    #[schemars(length(min = 1, max = 50))]
    pub metrics: Vec<JudgeMetric>,
}

impl Judge {
    /// The metrics of both sides, the requests first.
    pub fn side_metrics(&self) -> impl Iterator<Item = &SideMetric> + Clone {
        std::iter::once(&self.requests.cloudwatch).chain(self.metrics.iter().map(|metric| &metric.cloudwatch))
    }
}

/// Metric whose Sum is the number of requests that a side serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Requests {
    /// The metric, from `CloudWatch`.
    pub cloudwatch: SideMetric,
}

/// What happens when the judge reaches no verdict in time: exactly one of `roll_back`, wait and ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(transform = as_mapping)]
pub enum OnInconclusive {
    /// The promotion rolls back.
    RollBack(RollBack),
    /// The judge continues until the timeout of the promotion.
    Wait(Wait),
    /// A manual approval of the pipeline decides.
    Ask(Ask),
}

/// Rolls back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollBack {}

/// Waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wait {}

/// Asks a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// Name of the manual approval action that decides. It runs beside this action, in the same stage of the pipeline.
    #[schemars(length(min = 1, max = 100), example = &"Decide")]
    pub approval_action: String,
}

impl Default for OnInconclusive {
    fn default() -> Self {
        Self::RollBack(RollBack {})
    }
}

impl OnInconclusive {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The manual approval action that decides, if one does.
    #[must_use]
    pub fn approval_action(&self) -> Option<&str> {
        match self {
            Self::Ask(Ask { approval_action }) => Some(approval_action),
            Self::RollBack(_) | Self::Wait(_) => None,
        }
    }
}

/// A metric that the new image and the old one are compared on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = one_of(&["count", "latency", "gauge"])))]
pub struct JudgeMetric {
    /// Name of the metric in reports, unique in the judge: 1 to 64 of a-z, 0-9 and `-`, with no `-` at either end.
    #[schemars(length(max = 64), regex(pattern = NAME), example = &"errors")]
    pub name: String,
    /// The metric counts events among the requests, such as errors: its Sum is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Count")]
    pub count: Option<Count>,
    /// The metric measures the time of each request: the requests above each threshold are compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Latency")]
    pub latency: Option<Latency>,
    /// The metric measures a level of each instance, such as memory: its Average is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Gauge")]
    pub gauge: Option<Gauge>,
    /// The metric, from `CloudWatch`.
    pub cloudwatch: SideMetric,
    /// Effect on the verdict: required (the metric must show that there is no harm), veto (it can only show harm) or none (it is reported only). Default: required.
    #[serde(default, skip_serializing_if = "Effect::is_default")]
    pub effect: Effect,
    /// Share of the metric in `false_rollback`, relative to the other metrics. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 0.001, max = 1000.0))]
    pub weight: f64,
    /// Ratio of new to old up to which a change is no harm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 1.0, max = 100.0))]
    pub allowed_ratio: Option<f64>,
    /// Ratio of new to old that must not be promoted. Above `allowed_ratio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 1.01, max = 100.0))]
    pub critical_ratio: Option<f64>,
}

/// How events among the requests are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Meaning of a window with requests and without a datapoint: missing, or zero for a metric that is published only when there is an event. Default: missing.
    #[serde(default, skip_serializing_if = "MissingData::is_default")]
    pub missing_data: MissingData,
    /// Change that is harm: increase or decrease. Default: increase.
    #[serde(default, skip_serializing_if = "Harm::is_default")]
    pub harm: Harm,
    /// Share of requests that must be without an event, such as 0.999. The new image fails when it spends this error budget too fast, whatever the old one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 0.01, max = 0.999_999))]
    pub objective: Option<f64>,
    /// Rate of events of the new image below which nothing is harm, whatever the ratio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 0.000_000_001, max = 0.999))]
    pub negligible_rate: Option<f64>,
    /// Number of events that one cause produces at a time. The evidence is divided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 1.0, max = 1_000_000.0))]
    pub events_per_cause: Option<f64>,
}

/// How slow requests are counted. More of them are the harm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Latency {
    /// Thresholds above which a request is slow, in the unit of the metric.
    #[schemars(length(min = 1, max = 10), extend("examples" = [[0.1, 0.5]]))]
    pub thresholds: Vec<f64>,
    /// Meaning of a window with requests and without a datapoint: missing or zero. Default: missing.
    #[serde(default, skip_serializing_if = "MissingData::is_default")]
    pub missing_data: MissingData,
    /// Number of slow requests that one cause produces at a time. The evidence is divided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 1.0, max = 1_000_000.0))]
    pub events_per_cause: Option<f64>,
}

/// How a level is compared, instance by instance: a dimension has `$instance`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gauge {
    /// Change that is harm: increase or decrease. Default: increase.
    #[serde(default, skip_serializing_if = "Harm::is_default")]
    pub harm: Harm,
}

/// What a metric measures.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measured<'a> {
    /// Events among the requests.
    Count(&'a Count),
    /// The time of each request.
    Latency(&'a Latency),
    /// A level of each instance.
    Gauge(&'a Gauge),
}

impl JudgeMetric {
    /// What the metric measures. A spec that names nothing is refused before; it would be a gauge.
    #[must_use]
    pub fn measured(&self) -> Measured<'_> {
        match (&self.count, &self.latency, &self.gauge) {
            (Some(count), _, _) => Measured::Count(count),
            (None, Some(latency), _) => Measured::Latency(latency),
            (None, None, Some(gauge)) => Measured::Gauge(gauge),
            (None, None, None) => Measured::Gauge(&Gauge { harm: Harm::Increase }),
        }
    }

    /// The change that is harm.
    #[must_use]
    pub fn harm(&self) -> Harm {
        match self.measured() {
            Measured::Count(count) => count.harm,
            Measured::Latency(_) => Harm::Increase,
            Measured::Gauge(gauge) => gauge.harm,
        }
    }

    /// The meaning of a window without a datapoint.
    #[must_use]
    pub fn missing_data(&self) -> MissingData {
        match self.measured() {
            Measured::Count(count) => count.missing_data,
            Measured::Latency(latency) => latency.missing_data,
            Measured::Gauge(_) => MissingData::Missing,
        }
    }

    /// The number of events that one cause produces at a time, if it is given.
    #[must_use]
    pub fn events_per_cause(&self) -> Option<f64> {
        match self.measured() {
            Measured::Count(count) => count.events_per_cause,
            Measured::Latency(latency) => latency.events_per_cause,
            Measured::Gauge(_) => None,
        }
    }

    /// The share of the metric in the chance of a false rollback: none without an effect.
    #[must_use]
    pub fn weight(&self) -> f64 {
        if self.effect == Effect::None { 0.0 } else { self.weight }
    }
}

choice! {
    /// Meaning of a window without a datapoint.
    MissingData { Missing, Zero }
}
choice! {
    /// Change that is harm.
    Harm { Increase, Decrease }
}
choice! {
    /// Effect of a metric on the verdict.
    Effect { Required, Veto, None }
}

fn one_minute() -> Span {
    Span::from_secs(60)
}
fn two_minutes() -> Span {
    Span::from_secs(120)
}
fn ten_minutes() -> Span {
    Span::from_secs(600)
}
fn one_percent() -> f64 {
    0.01
}
fn five_percent() -> f64 {
    0.05
}
fn thousand() -> u32 {
    1000
}
fn one() -> f64 {
    1.0
}
