//! How often a stage is polled: soon after work, ever more seldom while there is none or AWS asks for patience.

use std::time::Duration;

/// Between two polls that both found work.
const BUSY: u64 = 100;
/// Between two polls of which the first brought as many jobs as were asked for, while half of the slots are free.
const FULL: u64 = 10;
/// First pause after a poll that found nothing; doubled with each further one.
const IDLE: u64 = 1_000;
/// Longest pause of a service that finds nothing.
const IDLE_MOST: u64 = 20_000;
/// First and longest pause after a poll that AWS refused or did not answer.
const REFUSED: u64 = 2_000;
const REFUSED_MOST: u64 = 120_000;

/// What a poll came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// As many jobs as were asked for: more are waiting.
    Full,
    /// Some, but fewer than were asked for.
    Work,
    Nothing,
    /// Throttled, or no answer.
    Refused,
}

/// A small generator of even noise (splitmix64): jitter needs no more, and a seed makes it repeatable.
#[derive(Clone, Debug)]
pub struct Jitter(u64);

impl Jitter {
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number, below `bound`; zero if the bound is.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).checked_rem(bound).unwrap_or(0)
    }
}

/// When one stage is polled next. Times are milliseconds since the Unix epoch.
#[derive(Clone, Debug)]
pub struct Pace {
    due: u64,
    /// When it is due for a worker that is hungry, if more jobs are known to wait.
    sooner: Option<u64>,
    idle: u64,
    refused: u64,
    most: u64,
    noise: Jitter,
}

impl Pace {
    /// A stage to be polled at once. `most` bounds the pause while there is nothing to do.
    #[must_use]
    pub fn new(now: u64, most: Option<Duration>, seed: u64) -> Self {
        let most = most.map_or(IDLE_MOST, |most| u64::try_from(most.as_millis()).unwrap_or(IDLE_MOST));
        Self { due: now, sooner: None, idle: IDLE, refused: REFUSED, most, noise: Jitter::new(seed) }
    }

    /// When the next poll is due. A hungry worker, one with half of its slots free, fetches sooner what it knows to wait;
    /// others leave it to their fellows.
    #[must_use]
    pub fn due(&self, hungry: bool) -> u64 {
        self.sooner.filter(|_| hungry).unwrap_or(self.due)
    }

    /// Takes a poll's answer into account.
    pub fn heard(&mut self, found: Found, now: u64) {
        let pause = match found {
            Found::Full | Found::Work => {
                self.idle = IDLE;
                self.refused = REFUSED;
                BUSY
            }
            Found::Nothing => {
                self.refused = REFUSED;
                let pause = self.idle.min(self.most);
                self.idle = pause.saturating_mul(2).min(self.most);
                pause
            }
            Found::Refused => {
                let pause = self.refused;
                self.refused = pause.saturating_mul(2).min(REFUSED_MOST);
                pause
            }
        };
        self.due = now.saturating_add(self.jittered(pause));
        self.sooner = (found == Found::Full).then(|| now.saturating_add(FULL));
    }

    /// There is reason to believe that work is coming: what was put off is brought forward.
    pub fn expect_work(&mut self, now: u64) {
        // A stage that AWS asked to leave alone stays alone.
        if self.refused == REFUSED {
            self.idle = IDLE;
            let soon = now.saturating_add(self.jittered(IDLE));
            self.due = self.due.min(soon);
        }
    }

    /// Between three quarters and five quarters of a pause, so that many workers do not poll in step.
    fn jittered(&mut self, pause: u64) -> u64 {
        pause - pause / 4 + self.noise.below(pause / 2 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pauses(found: &[Found]) -> Vec<u64> {
        let mut pace = Pace::new(0, None, 7);
        let mut now = 0;
        found
            .iter()
            .map(|found| {
                pace.heard(*found, now);
                let pause = pace.due(false) - now;
                now = pace.due(false);
                pause
            })
            .collect()
    }

    #[test]
    fn the_first_poll_is_due_at_once() {
        assert_eq!(Pace::new(5, None, 1).due(true), 5);
    }

    #[test]
    fn what_is_known_to_wait_is_fetched_at_once_by_whoever_has_room() {
        let mut pace = Pace::new(0, None, 7);
        pace.heard(Found::Full, 1_000);
        assert_eq!(pace.due(true), 1_010);
        assert!(pace.due(false) >= 1_075);
        for found in [Found::Work, Found::Nothing, Found::Refused] {
            pace.heard(Found::Full, 1_000);
            pace.heard(found, 1_000);
            assert!(pace.due(true) >= 1_075, "{found:?}");
        }
    }

    #[test]
    fn pauses_grow_while_idle_and_shrink_with_work() {
        let idle = pauses(&[Found::Nothing; 8]);
        let about = [1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000, 20_000];
        for (pause, about) in idle.iter().zip(about) {
            assert!((about * 3 / 4..=about * 5 / 4).contains(pause), "{pause} for {about}");
        }
        let reset = pauses(&[Found::Nothing, Found::Nothing, Found::Nothing, Found::Work, Found::Nothing]);
        assert!(reset[3] <= 125 && reset[4] <= 1_250, "{reset:?}");
    }

    #[test]
    fn throttling_is_obeyed_even_when_work_is_expected() {
        let mut pace = Pace::new(0, None, 7);
        for _ in 0..9 {
            pace.heard(Found::Refused, 0);
        }
        pace.expect_work(0);
        assert!(pace.due(false) >= 90_000, "{}", pace.due(false));
        pace.heard(Found::Nothing, 0);
        pace.heard(Found::Nothing, 0);
        pace.expect_work(0);
        assert!(pace.due(false) <= 1_250, "{}", pace.due(false));
    }

    proptest! {
        #[test]
        fn a_pause_stays_within_a_quarter_of_its_length(pause in 0u64..1_000_000, seed: u64) {
            let jittered = Pace::new(0, None, seed).jittered(pause);
            prop_assert!(jittered >= pause - pause / 4 && jittered <= pause + pause / 4 + 1);
        }
    }
}
