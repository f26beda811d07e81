//! How long a promotion holds, how often it looks, and how much longer AWS must hold than the spec says.
//!
//! An instance refresh goes on by itself when `CheckpointDelay` has passed: there is no call that lets it go on.
//! So AWS is told to hold longer than the spec asks for, and an inconclusive judgement rolls back within that rest.

use std::time::Duration;

use crate::spec::{GroupPromotion, Limit};

/// The most that `CheckpointDelay` and `BakeTime` take, in seconds.
pub const MOST: u64 = 172_800;

/// The rhythm of one promotion, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Between two looks.
    pub look: u64,
    /// What late datapoints are given after a hold before missing data roll back.
    pub grace: u64,
    /// What is left of AWS's delay when missing data roll back: at least two looks.
    pub margin: u64,
    /// How long a checkpoint holds before it may be let on.
    pub hold: u64,
    /// How long the whole fleet is watched.
    pub bake: u64,
}

impl Pace {
    #[must_use]
    pub fn of(promote: &GroupPromotion) -> Self {
        let hold = u64::from(promote.hold.as_secs());
        let look = (hold / 15).clamp(15, 60);
        let period =
            promote.limits.iter().map(|metric| u64::from(metric.period().as_secs())).max().unwrap_or(0);
        // Two periods, since neither the first nor the last need be whole, and what CloudWatch takes to show one.
        let grace = (2 * period + 120).min(1800);
        let margin = 2 * look + 30;
        let within = |length: u64| length.min(MOST - grace - margin);
        Self { look, grace, margin, hold: within(hold), bake: within(u64::from(promote.soak.as_secs())) }
    }

    /// `CheckpointDelay`, in seconds.
    #[must_use]
    pub fn checkpoint_delay(&self) -> u64 {
        self.hold + self.grace + self.margin
    }

    /// `BakeTime`, in seconds.
    #[must_use]
    pub fn bake_time(&self) -> u64 {
        self.bake + self.grace + self.margin
    }

    /// The time between two looks.
    #[must_use]
    pub fn again_in(&self) -> Duration {
        Duration::from_secs(self.look)
    }

    /// Whether the bake time alone is long enough for every metric's datapoints. If not, the watch of the whole
    /// fleet is judged on the last hold's datapoints as well.
    #[must_use]
    pub fn bake_stands_alone(&self, metrics: &[Limit]) -> bool {
        metrics
            .iter()
            .all(|metric| self.bake >= u64::from(metric.period().as_secs()) * u64::from(metric.min_datapoints))
    }
}
