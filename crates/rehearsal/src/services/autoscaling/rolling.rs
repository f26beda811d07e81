//! Computes how many instances a rolling replacement may launch and terminate now.

use super::super::support::percent_up;

/// The instance counts of a group during a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The group's desired capacity.
    pub desired: usize,
    /// Pending or in service.
    pub live: usize,
    /// In service, healthy and warmed up.
    pub ready: usize,
    /// To be replaced, now or later.
    pub stale: usize,
    /// Live stale instances that are ready and may be replaced now.
    pub stale_ready: usize,
    /// Live stale instances that are not ready and may be replaced now: terminating them costs no capacity.
    pub stale_unready: usize,
    /// How many stale instances must stay until the next checkpoint is passed.
    pub keep: usize,
}

/// The limits of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub min_healthy_percent: usize,
    /// `None` if not given, which differs from 100: instances are then terminated and launched at the same time.
    pub max_healthy_percent: Option<usize>,
}

/// The next launches and terminations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The number of stale instances to terminate that are not ready.
    pub terminate_unready: usize,
    /// The number of stale instances to terminate that are ready.
    pub terminate_ready: usize,
    /// The target number of live instances.
    pub target: usize,
}

impl Limits {
    /// The minimum of ready and the maximum of live instances for a desired capacity.
    #[must_use]
    pub fn bounds(self, desired: usize) -> (usize, usize) {
        let floor = percent_up(desired, self.min_healthy_percent);
        match self.max_healthy_percent {
            // If the bounds leave no room, raise the upper one: launch first.
            Some(percent) => (floor, percent_up(desired, percent).max(floor + 1).max(desired)),
            // Without an upper bound the group does not grow, so the lower bound must allow at least one termination.
            None => (floor.min(desired.saturating_sub(1)), desired),
        }
    }

    /// Computes the next launches and terminations.
    #[must_use]
    pub fn next(self, now: Situation) -> Move {
        let (floor, ceiling) = self.bounds(now.desired);
        let may_go = now.stale.saturating_sub(now.keep);
        let terminate_unready = now.stale_unready.min(may_go);
        let may_go = may_go - terminate_unready;
        let terminate_ready = now.stale_ready.min(may_go).min(now.ready.saturating_sub(floor));
        let still_to_go = (now.stale_ready - terminate_ready).min(may_go - terminate_ready);
        let above = (ceiling - now.desired).min(still_to_go);
        Move { terminate_unready, terminate_ready, target: now.desired + above }
    }
}
