//! Waves: further groups that follow once the first has taken the image over.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::promote::{Metric, Promote};
use super::trial::Strategy;

/// Groups that take the image over together, by an instance refresh each. A wave begins once every group of the one
/// before it has passed; a wave that fails takes the image back from every group of this promotion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// Names of the Auto Scaling groups, in the order in which they begin.
    #[schemars(length(min = 1, max = 500), inner(length(min = 1, max = 255)))]
    pub groups: Vec<String>,
    /// The region the groups are in, if it is another one than the first group's. The bake must distribute the image there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"), example = &"eu-central-1")]
    pub region: Option<String>,
    /// `CloudWatch` alarms of the wave's region of which none may go off, in place of `promote.alarms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>", length(min = 1, max = 10), inner(length(min = 1, max = 255)), extend("uniqueItems" = true))]
    pub alarms: Option<Vec<String>>,
    /// Metrics of the wave's region with thresholds that must hold, in place of `promote.metrics`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Metric>", length(max = 20))]
    pub metrics: Option<Vec<Metric>>,
}

/// Groups of a wave whose refreshes run at a time, unless the spec says otherwise.
pub(super) const fn at_once() -> u16 {
    10
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
pub(super) const fn is_at_once(number: &u16) -> bool {
    *number == at_once()
}

impl Promote {
    /// Groups of the promotion, the first one included.
    #[must_use]
    pub fn groups(&self) -> usize {
        1 + self.waves.iter().map(|wave| wave.groups.len()).sum::<usize>()
    }

    /// The promotion of one group of a wave: by a refresh alone, guarded by what the wave names.
    #[must_use]
    pub fn of(&self, wave: &Wave, group: &str) -> Self {
        // Not a clone of the whole, which carries every other wave.
        Self {
            group: group.to_owned(),
            checkpoints: self.checkpoints.clone(),
            alarms: wave.alarms.as_ref().unwrap_or(&self.alarms).clone(),
            metrics: wave.metrics.as_ref().unwrap_or(&self.metrics).clone(),
            strategy: Strategy::Rolling,
            turns_with: None,
            judge: None,
            waves: Vec::new(),
            ..*self
        }
    }
}
