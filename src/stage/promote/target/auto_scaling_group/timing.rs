//! The timing of holds: how long they last, how often they are polled, and how much longer AWS must hold than the spec says.
//!
//! An instance refresh continues by itself when `CheckpointDelay` has passed: no API call makes it continue.
//! So AWS gets a longer delay than the spec asks for, and an inconclusive analysis rolls back within the rest.

use std::time::Duration;

use crate::spec::Limit;
use crate::stage::promote::settings::Settings;

/// The longest `CheckpointDelay` and `BakeTime` that AWS accepts, in seconds.
pub const MAX_DELAY: u64 = 172_800;

/// The timing of one promotion, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// Between two polls.
    pub poll: u64,
    /// After a hold, so long late datapoints may still arrive before missing data roll back.
    pub grace: u64,
    /// The rest of AWS's delay when missing data roll back: at least two polls.
    pub margin: u64,
    /// How long a step holds before it may continue.
    pub hold: u64,
    /// How long the soak at the end takes.
    pub soak: u64,
}

impl Timing {
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let hold = u64::from(settings.hold);
        let poll = (hold / 15).clamp(15, 60);
        let period =
            settings.limits.iter().map(|metric| u64::from(metric.period().as_secs())).max().unwrap_or(0);
        // Two periods, because neither the first nor the last may be whole, and the delay of CloudWatch.
        let grace = (2 * period + 120).min(1800);
        let margin = 2 * poll + 30;
        let within = |length: u64| length.min(MAX_DELAY - grace - margin);
        Self { poll, grace, margin, hold: within(hold), soak: within(u64::from(settings.soak)) }
    }

    /// `CheckpointDelay`, in seconds.
    #[must_use]
    pub fn checkpoint_delay(&self) -> u64 {
        self.hold + self.grace + self.margin
    }

    /// `BakeTime`, in seconds.
    #[must_use]
    pub fn bake_time(&self) -> u64 {
        self.soak + self.grace + self.margin
    }

    /// The time between two polls.
    #[must_use]
    pub fn again_in(&self) -> Duration {
        Duration::from_secs(self.poll)
    }

    /// Whether the soak alone is long enough for the datapoints that every metric needs. If not, the soak is judged on
    /// the datapoints of the last hold as well.
    #[must_use]
    pub fn soak_has_enough_datapoints(&self, metrics: &[Limit]) -> bool {
        metrics.iter().all(|metric| {
            self.soak >= u64::from(metric.period().as_secs()) * u64::from(metric.min_datapoints)
        })
    }
}
