//! Fault rules of a scenario: which calls fail, and how.

use schemars::JsonSchema;
use serde::Deserialize;

use super::super::faults::{CallMatch, Fault, Trigger, When};
use super::super::span::Span;
use super::super::time::Time;
use super::Mistake;

pub use super::super::faults::RateLimit;

/// A fault, and the calls that meet it: every matching call, or those of one trigger (`nth`, `during` or `chance`).
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
#[schemars(extend("allOf" = [
    { "not": { "required": ["nth", "during"] } },
    { "not": { "required": ["nth", "chance"] } },
    { "not": { "required": ["during", "chance"] } },
]))]
pub struct FaultRule {
    /// Which calls the rule is about. Default: every call.
    #[serde(default, rename = "match")]
    pub calls: CallMatch,
    pub fault: Fault,
    /// Only the nth matching call, counted from 1.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub nth: Option<u64>,
    /// Only matching calls in this period.
    #[serde(default)]
    pub during: Option<During>,
    /// The chance of each matching call to meet the fault, 0 to 1. The same seed gives the same calls.
    #[serde(default)]
    pub chance: Option<f64>,
}

/// A period of the rehearsal.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct During {
    /// Time since the rehearsal began.
    pub from: Span,
    pub duration: Span,
}

impl FaultRule {
    pub(super) fn check(&self, number: usize) -> Result<(), Mistake> {
        let triggers = [self.nth.is_some(), self.during.is_some(), self.chance.is_some()];
        if triggers.into_iter().filter(|given| *given).count() > 1 {
            return Err(Mistake::Triggers(number));
        }
        if self.nth == Some(0) { Err(Mistake::Nth(number)) } else { Ok(()) }
    }

    /// The rule's condition in a rehearsal that begins at `start`.
    pub(super) fn when(&self, start: Time, seed: u64) -> When {
        let trigger = match (self.nth, &self.during, self.chance) {
            (Some(nth), _, _) => Trigger::Nth(nth),
            (_, Some(during), _) => {
                let from = start + during.from.duration();
                Trigger::During { from, until: from + during.duration.duration() }
            }
            (_, _, Some(probability)) => Trigger::Chance { seed, probability },
            (None, None, None) => Trigger::Every,
        };
        When { calls: self.calls.clone(), trigger }
    }
}
