//! Ways of a promotion: `rolling` and `blue_green`, and the `canary` phase before.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::spec::span::Span;

/// Canary phase: instances of the new image beside as many fresh ones of the old image, the baseline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Number of canary instances, and of baseline instances.
    #[schemars(range(min = 1, max = 100))]
    pub size: u32,
}

/// Replaces the capacity of a target step by step, by an instance refresh.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rolling {
    /// Steps in ascending order, each held and analyzed. 100 percent is implied as the last one. Default: no step before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 19))]
    pub steps: Vec<RollingStep>,
    /// How long the promotion holds at every step, the implied one included, before its analysis decides. At least 1m, at most 47h: AWS ends a checkpoint after 48h, and the analysis needs the rest.
    #[schemars(extend("x-min" = "1m", "x-max" = "47h"))]
    pub hold: Span,
    /// Share of the capacity that must stay healthy, in percent. Needed for an `auto_scaling_group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u8", range(min = 1, max = 100))]
    pub min_healthy_percent: Option<u8>,
    /// Share that the capacity may grow to, in percent; at most 100 above `min_healthy_percent`. Needed for an `auto_scaling_group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u8", range(min = 100, max = 200))]
    pub max_healthy_percent: Option<u8>,
    /// How long a new instance warms up before it counts as healthy. At most 2d. Needed for an `auto_scaling_group`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Span", extend("x-max" = "2d"))]
    pub warmup: Option<Span>,
}

/// A step of a rolling replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollingStep {
    /// Share of the capacity that is replaced, in percent.
    #[schemars(range(min = 1, max = 99))]
    pub percent: u8,
}

/// Starts the new image beside the old one and shifts the traffic to it step by step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BlueGreen {
    /// Steps in ascending order, each held and analyzed. 100 percent is implied as the last one. Default: no step before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 7))]
    pub steps: Vec<TrafficStep>,
    /// How long the promotion holds at every step below 100 percent before its analysis decides. At least 1m, at most 47h.
    #[schemars(extend("x-min" = "1m", "x-max" = "47h"))]
    pub hold: Span,
    /// Fewest instances that each side may have. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 100))]
    pub min_size: u32,
}

/// A step of a traffic shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrafficStep {
    /// Share of the traffic that the new image serves, in percent.
    #[schemars(range(min = 1, max = 99))]
    pub percent: u8,
    /// How long the promotion holds at this step, in place of `blue_green.hold`. At least 1m, at most 47h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Span", extend("x-min" = "1m", "x-max" = "47h"))]
    pub hold: Option<Span>,
}

const fn one() -> u32 {
    1
}
