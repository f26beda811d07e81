//! The `promote.judge` section: what a canary is compared on, and how sure the judge must be.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;

/// How the image reaches production.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline, extend("type" = "string"))]
pub enum Strategy {
    // No comments here: the schema of a commented variant is not a plain `enum`.
    Canary,
    BlueGreen,
    #[default]
    Rolling,
}

impl Strategy {
    /// Whether it is the one a spec that names none gets.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The trial of a new image beside a fresh baseline of the old one, and its judge (docs/judge.md).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Judge {
    /// Instances of the canary, and as many of the baseline beside it. With `blue_green`: the fewest that each side may have.
    #[schemars(range(min = 1, max = 100))]
    pub instances: u32,
    /// How long the judge may take to be sure, with `blue_green` of each share. At least 5m, at most 20h: a custom action ends after a day.
    #[schemars(extend("x-at-least" = "5m", "x-at-most" = "20h"))]
    pub longest: Span,
    /// What happens when it is not sure by then: rollback, wait (until the stage's timeout), or ask (the pipeline's manual approval decides).
    #[serde(default, skip_serializing_if = "Inconclusive::is_default")]
    #[schemars(extend("examples" = ["rollback"]))]
    pub inconclusive: Inconclusive,
    /// With `inconclusive: ask`: the name of the manual approval action that decides. It runs beside this action, in the same stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 100))]
    pub approval: Option<String>,
    /// The length of one window of counts: whole minutes, at most 1h.
    #[serde(default = "one_minute")]
    #[schemars(extend("x-at-least" = "1m", "x-at-most" = "1h"))]
    pub window: Span,
    /// What `CloudWatch` is given to complete a window before it is judged. At most 1h.
    #[serde(default = "two_minutes")]
    #[schemars(extend("x-at-most" = "1h"))]
    pub settle: Span,
    /// Chance that a good image is ever rolled back by this judge.
    #[serde(default = "one_percent")]
    #[schemars(range(min = 0.000_001, max = 0.5))]
    pub false_rollback: f64,
    /// Chance that an image with harm at the harm margin passes.
    #[serde(default = "five_percent")]
    #[schemars(range(min = 0.000_001, max = 0.5))]
    pub false_promotion: f64,
    /// Requests that each side must have served before the image can pass.
    #[serde(default = "thousand")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub min_requests: u32,
    /// Time that must have been observed before the image can pass.
    #[serde(default = "ten_minutes")]
    #[schemars(extend("x-at-least" = "1m", "x-at-most" = "20h"))]
    pub min_time: Span,
    /// The `CloudWatch` metric whose Sum is the number of requests a side has served.
    pub requests: Source,
    /// What the two sides are compared on.
    #[schemars(length(min = 1, max = 50))]
    pub metrics: Vec<Compared>,
}

/// A `CloudWatch` metric of one side. `$group` in a dimension's value stands for the side's Auto Scaling group, `$instance` for each of its instances, `$target_group` for its target group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The metric's namespace, such as Web.
    #[schemars(length(min = 1, max = 255))]
    pub namespace: String,
    /// The metric's name, such as Requests.
    #[schemars(length(min = 1, max = 255))]
    pub metric: String,
    /// The metric's dimensions: all of them, and one at least that tells the sides apart.
    #[schemars(extend("maxProperties" = 30, "minProperties" = 1))]
    pub dimensions: BTreeMap<String, String>,
}

/// One thing that canary and baseline are compared on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Compared {
    /// The metric's name in reports, unique in the spec: 1 to 64 letters, digits, spaces and `._-`.
    #[schemars(regex(pattern = r"^[A-Za-z0-9][A-Za-z0-9 _.-]{0,63}$"), example = &"errors")]
    pub name: String,
    /// What is measured: counts (its Sum, out of the requests), latency (requests above each threshold), or gauge (its Average on each instance).
    #[schemars(extend("examples" = ["counts"]))]
    pub kind: Kind,
    /// Where it is measured.
    pub source: Source,
    /// Of a latency, in the metric's own unit: the limits above which a request is slow, fixed before the rollout.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub thresholds: Vec<f64>,
    /// What a window without a datapoint means where there were requests: missing, or zero for a source that counts only when there is something to count.
    #[serde(default, skip_serializing_if = "Absent::is_default")]
    #[schemars(extend("examples" = ["zero"]))]
    pub absent: Absent,
    /// The metric's part of the chance of a false rollback, relative to the others. 0: shown, never failing.
    #[serde(default = "one")]
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub weight: f64,
    /// Whether evidence of no harm is needed to pass (critical), or only absence of harm (informational).
    #[serde(default, skip_serializing_if = "Role::is_default")]
    #[schemars(extend("examples" = ["critical"]))]
    pub role: Role,
    /// Which change is harm: increase or decrease.
    #[serde(default, skip_serializing_if = "Harm::is_default")]
    #[schemars(extend("examples" = ["increase"]))]
    pub harm: Harm,
    /// Ratios of canary to baseline up to this one are no harm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 1.0, max = 100.0))]
    pub margin: Option<f64>,
    /// The ratio that must not be promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 1.01, max = 100.0))]
    pub harm_margin: Option<f64>,
    /// Events of one cause that may come together (B): evidence is divided by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 1.0, max = 1_000_000.0))]
    pub tempering: Option<f64>,
    /// Of counts: a rate of the canary below this is no harm whatever the ratio.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 0.000_000_001, max = 0.999))]
    pub negligible_rate: Option<f64>,
    /// Of counts: the share of requests that must be without, such as 0.999. A canary that burns this budget too fast fails whatever the baseline does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", range(min = 0.01, max = 0.999_999))]
    pub objective: Option<f64>,
}

/// Defines a choice between words, the first of them being the default.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $first:ident $(, $other:ident)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        #[schemars(inline, extend("type" = "string"))]
        pub enum $name { #[default] $first $(, $other)* }

        impl $name {
            /// Whether it is what a spec that does not say gets.
            #[must_use]
            pub fn is_default(&self) -> bool {
                *self == Self::default()
            }
        }
    };
}

choice! {
    /// What is done when the judge is not sure in time.
    Inconclusive { Rollback, Wait, Ask }
}
choice! {
    /// What is measured.
    Kind { Counts, Latency, Gauge }
}
choice! {
    /// What a missing datapoint means.
    Absent { Missing, Zero }
}
choice! {
    /// Whether a metric must give evidence of no harm.
    Role { Critical, Informational }
}
choice! {
    /// Which change is harm.
    Harm { Increase, Decrease }
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
