//! How many instances a rolling replacement may launch and terminate now, computed from counts.

use super::super::support::percent_up;

/// A group in the middle of a replacement, in counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// The group's desired capacity.
    pub desired: usize,
    /// Pending or in service.
    pub live: usize,
    /// In service, healthy and warmed up.
    pub ready: usize,
    /// To be replaced, whether or not they can be now.
    pub stale: usize,
    /// Live ones to be replaced that may be replaced now and are ready.
    pub stale_ready: usize,
    /// Live ones to be replaced that may be replaced now but are not ready: terminating them costs nothing.
    pub stale_unready: usize,
    /// How many of the stale have to stay until the next checkpoint is passed.
    pub keep: usize,
}

/// The limits of a replacement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub min_healthy_percent: usize,
    /// `None` when not given, which is not the same as 100: terminating and launching then go together.
    pub max_healthy_percent: Option<usize>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Stale ones to terminate that are not ready.
    pub terminate_unready: usize,
    /// Stale ones to terminate that are ready.
    pub terminate_ready: usize,
    /// Live instances to have afterwards.
    pub target: usize,
}

impl Limits {
    /// The least ready and the most live instances, for a desired capacity.
    #[must_use]
    pub fn bounds(self, desired: usize) -> (usize, usize) {
        let floor = percent_up(desired, self.min_healthy_percent);
        match self.max_healthy_percent {
            // Bounds that leave no room make room above: launch first.
            Some(percent) => (floor, percent_up(desired, percent).max(floor + 1).max(desired)),
            // Without an upper bound the group stays at its size, so one at least must go below.
            None => (floor.min(desired.saturating_sub(1)), desired),
        }
    }

    /// The next move.
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
