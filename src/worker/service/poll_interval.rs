//! The interval between polls of a stage: short after jobs, with exponential backoff without jobs or after errors.

use std::time::Duration;

/// Between two polls after jobs were offered, in milliseconds.
const BUSY: u64 = 100;
/// Between two polls of a worker with free slots, if the first returned the maximum number of jobs.
const FULL_BATCH: u64 = 10;
/// The first interval after an empty poll; it doubles with each further one.
const IDLE: u64 = 1_000;
/// The longest interval of a service after empty polls.
const MAX_IDLE: u64 = 20_000;
/// The first and the longest interval after a failed poll.
const FAILED: u64 = 2_000;
const MAX_FAILED: u64 = 120_000;

/// The result of a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PollResult {
    /// The maximum number of jobs: more are waiting.
    FullBatch,
    /// Fewer jobs than the maximum.
    Jobs,
    Empty,
    /// CodePipeline throttled or refused the poll, or did not answer.
    Failed,
}

/// When a stage is polled next. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug)]
pub struct PollInterval {
    due: u64,
    /// When it is due for a worker with free slots, if more jobs are waiting.
    due_with_free_slots: Option<u64>,
    idle: u64,
    failed: u64,
    max_idle: u64,
    random: fastrand::Rng,
}

impl PollInterval {
    /// A stage that is due at once. `max_idle` limits the interval after empty polls; `seed` makes the jitter repeatable.
    #[must_use]
    pub fn new(now: u64, max_idle: Option<Duration>, seed: u64) -> Self {
        let max_idle = max_idle.map_or(MAX_IDLE, |max| u64::try_from(max.as_millis()).unwrap_or(MAX_IDLE));
        Self {
            due: now,
            due_with_free_slots: None,
            idle: IDLE,
            failed: FAILED,
            max_idle,
            random: fastrand::Rng::with_seed(seed),
        }
    }

    /// When the next poll is due. A worker with half of its slots free fetches waiting jobs sooner; other workers leave
    /// them to it.
    #[must_use]
    pub fn due(&self, has_free_slots: bool) -> u64 {
        self.due_with_free_slots.filter(|_| has_free_slots).unwrap_or(self.due)
    }

    /// Sets the next interval after a poll.
    pub fn polled(&mut self, result: PollResult, now: u64) {
        let pause = match result {
            PollResult::FullBatch | PollResult::Jobs => {
                self.idle = IDLE;
                self.failed = FAILED;
                BUSY
            }
            PollResult::Empty => {
                self.failed = FAILED;
                let pause = self.idle.min(self.max_idle);
                self.idle = pause.saturating_mul(2).min(self.max_idle);
                pause
            }
            PollResult::Failed => {
                let pause = self.failed;
                self.failed = pause.saturating_mul(2).min(MAX_FAILED);
                pause
            }
        };
        self.due = now.saturating_add(self.jittered(pause));
        self.due_with_free_slots = (result == PollResult::FullBatch).then(|| now.saturating_add(FULL_BATCH));
    }

    /// Polls soon, because a job is expected. A stage whose polls fail keeps its interval.
    pub fn expect_work(&mut self, now: u64) {
        if self.failed == FAILED {
            self.idle = IDLE;
            let soon = now.saturating_add(self.jittered(IDLE));
            self.due = self.due.min(soon);
        }
    }

    /// Adds jitter of a quarter of the interval, so that workers do not poll at the same time.
    fn jittered(&mut self, pause: u64) -> u64 {
        pause - pause / 4 + self.random.u64(0..=pause / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn intervals(results: &[PollResult]) -> Vec<u64> {
        let mut interval = PollInterval::new(0, None, 7);
        let mut now = 0;
        results
            .iter()
            .map(|result| {
                interval.polled(*result, now);
                let pause = interval.due(false) - now;
                now = interval.due(false);
                pause
            })
            .collect()
    }

    #[test]
    fn the_first_poll_is_due_at_once() {
        assert_eq!(PollInterval::new(5, None, 1).due(true), 5);
    }

    #[test]
    fn waiting_jobs_are_fetched_at_once_by_a_worker_with_free_slots() {
        let mut interval = PollInterval::new(0, None, 7);
        interval.polled(PollResult::FullBatch, 1_000);
        assert_eq!(interval.due(true), 1_010);
        assert!(interval.due(false) >= 1_075);
        for result in [PollResult::Jobs, PollResult::Empty, PollResult::Failed] {
            interval.polled(PollResult::FullBatch, 1_000);
            interval.polled(result, 1_000);
            assert!(interval.due(true) >= 1_075, "{result:?}");
        }
    }

    #[test]
    fn intervals_grow_with_empty_polls_and_shrink_with_jobs() {
        let idle = intervals(&[PollResult::Empty; 8]);
        let about = [1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000, 20_000];
        for (pause, about) in idle.iter().zip(about) {
            assert!((about * 3 / 4..=about * 5 / 4).contains(pause), "{pause} for {about}");
        }
        let reset = intervals(&[
            PollResult::Empty,
            PollResult::Empty,
            PollResult::Empty,
            PollResult::Jobs,
            PollResult::Empty,
        ]);
        assert!(reset[3] <= 125 && reset[4] <= 1_250, "{reset:?}");
    }

    #[test]
    fn failed_polls_keep_their_interval_even_if_a_job_is_expected() {
        let mut interval = PollInterval::new(0, None, 7);
        for _ in 0..9 {
            interval.polled(PollResult::Failed, 0);
        }
        interval.expect_work(0);
        assert!(interval.due(false) >= 90_000, "{}", interval.due(false));
        interval.polled(PollResult::Empty, 0);
        interval.polled(PollResult::Empty, 0);
        interval.expect_work(0);
        assert!(interval.due(false) <= 1_250, "{}", interval.due(false));
    }

    proptest! {
        #[test]
        fn jitter_is_at_most_a_quarter_of_the_interval(pause in 0u64..1_000_000, seed: u64) {
            let jittered = PollInterval::new(0, None, seed).jittered(pause);
            prop_assert!(jittered >= pause - pause / 4 && jittered <= pause + pause / 4 + 1);
        }
    }
}
