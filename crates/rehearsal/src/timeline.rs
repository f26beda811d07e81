//! Virtual time: a paused tokio clock, or a multiple of the wall clock.

use std::time::Duration;

use tokio::time::Instant;

use super::time::Time;

/// A monotonic source of virtual time.
#[derive(Clone, Copy, Debug)]
pub enum Timeline {
    /// Tokio's clock. In a paused current-thread runtime tokio advances it only when every task waits, so hours of
    /// waiting take no real time and nothing times out on a slow machine.
    Tokio { epoch: Time, start: Instant },
    /// A multiple of the wall clock, for clients in other processes.
    Scaled { real_epoch_ms: i64, epoch: Time, speed: f64 },
}

impl Timeline {
    /// A timeline on tokio's clock that starts at `epoch`.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "tokio's clock is the virtual clock, and only this module reads it"
    )]
    pub fn tokio(epoch: Time) -> Self {
        Self::Tokio { epoch, start: Instant::now() }
    }

    /// A timeline that starts at `epoch` and passes `speed` virtual seconds per real second.
    #[must_use]
    pub fn scaled(epoch: Time, speed: f64) -> Self {
        Self::Scaled { real_epoch_ms: wall_clock_ms(), epoch, speed }
    }

    /// The current virtual time.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "tokio's clock is the virtual clock, and only this module reads it"
    )]
    pub fn now(&self) -> Time {
        match self {
            Self::Tokio { epoch, start } => *epoch + Instant::now().saturating_duration_since(*start),
            Self::Scaled { .. } => self.at(wall_clock_ms()),
        }
    }

    /// The virtual time at a wall-clock time (milliseconds since the Unix epoch), computed as a client of the clock
    /// endpoint does. Tokio's clock is independent of the wall clock; for it the result is its epoch.
    #[must_use]
    pub fn at(&self, real_ms: i64) -> Time {
        match self {
            Self::Tokio { epoch, .. } => *epoch,
            Self::Scaled { real_epoch_ms, epoch, speed } => {
                let passed = u64::try_from(real_ms.saturating_sub(*real_epoch_ms)).unwrap_or(0);
                let scaled = Duration::try_from_secs_f64(Duration::from_millis(passed).as_secs_f64() * speed);
                *epoch + scaled.unwrap_or(Duration::ZERO)
            }
        }
    }
}

/// Reads the wall clock. Nothing else in the embedded AWS does.
#[allow(
    clippy::disallowed_methods,
    reason = "a listening AWS must keep the same time as clients in other processes"
)]
fn wall_clock_ms() -> i64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the clock's own test, and only waiting advances the clock"
    )]
    async fn a_paused_clock_moves_when_everyone_waits() {
        let timeline = Timeline::tokio(Time(1_000));
        assert_eq!(timeline.now(), Time(1_000));
        tokio::time::sleep(Duration::from_hours(2)).await;
        assert_eq!(timeline.now(), Time(7_201_000));
    }

    #[test]
    fn a_scaled_clock_is_a_function_of_the_wall_clock() {
        let timeline = Timeline::Scaled { real_epoch_ms: 500, epoch: Time(1_000), speed: 60.0 };
        for (real, at) in [(500, 1_000), (1_500, 61_000), (0, 1_000), (501, 1_060)] {
            assert_eq!(timeline.at(real), Time(at), "{real}");
        }
    }
}
