//! `promote.waves`: further targets that follow once the first one has passed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::analysis::WaveAnalysis;
use super::target::Target;
use crate::spec::names::{NAME, REGION};

/// Targets that take the image together. A wave starts once every target of the wave before has passed; a wave that fails rolls back every target of the promotion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// Name of the wave in reports, unique in the spec: 1 to 64 of a-z, 0-9 and `-`, with no `-` at either end.
    #[schemars(length(max = 64), regex(pattern = NAME), example = &"frankfurt")]
    pub name: String,
    /// Environment of the targets: a role and a region in the worker's own file. Default: that of the first target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64), regex(pattern = NAME), example = &"production-frankfurt")]
    pub environment: Option<String>,
    /// Region of the targets. The bake must distribute the image there. Default: that of the environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = REGION), example = &"eu-central-1")]
    pub region: Option<String>,
    /// Targets of the wave, in the order in which they start.
    #[schemars(length(min = 1, max = 500))]
    pub targets: Vec<Target>,
    /// Number of targets that are replaced, or rolled back, at a time. Default: 10.
    #[serde(default = "default_max_concurrent", skip_serializing_if = "is_default_max_concurrent")]
    #[schemars(range(min = 1, max = 50))]
    pub max_concurrent: u16,
    /// Alarms and limits of the wave, in place of those of the promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "WaveAnalysis")]
    pub analysis: Option<WaveAnalysis>,
}

const fn default_max_concurrent() -> u16 {
    10
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
const fn is_default_max_concurrent(number: &u16) -> bool {
    *number == default_max_concurrent()
}
