//! Whether the worker lives, and whether it takes work: for a container's health check.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A loop that has not come round for this long is stuck.
const STUCK: Duration = Duration::from_secs(90);

/// Shared between the worker and whoever asks.
#[derive(Debug, Default)]
pub struct Health {
    /// When the loop last came round, in milliseconds since the epoch; zero before it began.
    beat: AtomicU64,
    polled: AtomicBool,
    stopping: AtomicBool,
}

impl Health {
    pub(super) fn beat(&self, now: u64) {
        self.beat.store(now, Ordering::Relaxed);
    }

    pub(super) fn polled(&self, well: bool) {
        self.polled.store(well, Ordering::Relaxed);
    }

    pub(super) fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Whether the loop comes round. `now` is in milliseconds since the epoch.
    #[must_use]
    pub fn is_live(&self, now: u64) -> bool {
        let beat = self.beat.load(Ordering::Relaxed);
        beat == 0 || now.saturating_sub(beat) < u64::try_from(STUCK.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether CodePipeline answered the last poll and the worker is not stopping.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.polled.load(Ordering::Relaxed) && !self.stopping.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_not_live_and_a_stop_is_not_ready() {
        let health = Health::default();
        assert!(health.is_live(1_000_000) && !health.is_ready(), "starting");
        health.beat(1_000_000);
        health.polled(true);
        assert!(health.is_live(1_089_000) && health.is_ready());
        assert!(!health.is_live(1_090_000));
        health.stopping();
        assert!(!health.is_ready());
    }
}
