//! Liveness and readiness of the worker, for the health check of a container.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// The worker is not live if its loop has not run for this long.
const STUCK: Duration = Duration::from_secs(90);

/// The state of the worker's loop, shared with the health endpoint.
#[derive(Debug, Default)]
pub struct Health {
    /// When the loop last ran, in milliseconds since the epoch; zero before the start.
    last_run: AtomicU64,
    polled: AtomicBool,
    stopping: AtomicBool,
}

impl Health {
    pub(super) fn loop_ran(&self, now: u64) {
        self.last_run.store(now, Ordering::Relaxed);
    }

    pub(super) fn polled(&self, succeeded: bool) {
        self.polled.store(succeeded, Ordering::Relaxed);
    }

    pub(super) fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the loop is running. `now` is in milliseconds since the epoch.
    #[must_use]
    pub fn is_live(&self, now: u64) -> bool {
        let last = self.last_run.load(Ordering::Relaxed);
        last == 0 || now.saturating_sub(last) < u64::try_from(STUCK.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the last poll succeeded and the worker is not stopping.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.polled.load(Ordering::Relaxed) && !self.stopping.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stuck_loop_is_not_live_and_a_stopping_worker_is_not_ready() {
        let health = Health::default();
        assert!(health.is_live(1_000_000) && !health.is_ready(), "starting");
        health.loop_ran(1_000_000);
        health.polled(true);
        assert!(health.is_live(1_089_000) && health.is_ready());
        assert!(!health.is_live(1_090_000));
        health.stopping();
        assert!(!health.is_ready());
    }
}
