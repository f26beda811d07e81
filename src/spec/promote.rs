//! The `promote` section: how the image replaces the one in production.

pub mod analysis;
pub mod cloudwatch;
pub mod judge;
pub mod limit;
pub mod placeholder;
pub mod target;
pub mod wave;
pub mod way;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::analysis::Analysis;
use self::target::Target;
use self::wave::Wave;
use self::way::{BlueGreen, Canary, Rolling};
use super::names::NAME;
use super::one_of::one_of;
use super::span::Span;

/// How the image replaces the one in production: to which target, in which way, and how each step of it is analyzed.
///
/// Capacity, launch template and target groups belong to the target and are read from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = one_of(&["rolling", "blue_green"])))]
pub struct Promote {
    /// Environment that the stage acts in: a role and a region in the worker's own file. Default: the worker's own role and region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64), regex(pattern = NAME), example = &"production")]
    pub environment: Option<String>,
    /// What the image is promoted to.
    pub target: Target,
    /// Canary phase before a rolling replacement: instances of the new image beside as many fresh ones of the old image, compared by `analysis.judge`, before production changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Canary")]
    pub canary: Option<Canary>,
    /// Replaces the target's capacity step by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Rolling")]
    pub rolling: Option<Rolling>,
    /// Starts the new image beside the old one and shifts the traffic to it step by step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "BlueGreen")]
    pub blue_green: Option<BlueGreen>,
    /// Watch at the end, once everything is replaced.
    pub soak: Soak,
    /// Alarms, limits and the judge that decide at each step, and in the soak.
    #[serde(default, skip_serializing_if = "Analysis::is_empty")]
    pub analysis: Analysis,
    /// Further targets, wave by wave, once the first target has passed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub waves: Vec<Wave>,
    /// How long the whole promotion may take: longer than all holds and the soak together. At most 14d.
    #[schemars(extend("x-max" = "14d"))]
    pub timeout: Span,
}

impl Promote {
    /// Name of the Auto Scaling group that the image is promoted to, if the target is one.
    #[must_use]
    pub fn auto_scaling_group(&self) -> Option<&str> {
        self.target.auto_scaling_group().ok().map(|group| group.name.as_str())
    }
}

/// Watch at the end of a promotion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Soak {
    /// How long the new image is watched once it serves everything, with all alarms armed. With `blue_green`, the old capacity is kept until the end of it. At most 2d.
    #[schemars(extend("x-max" = "2d"))]
    pub duration: Span,
}
