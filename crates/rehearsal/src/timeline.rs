//! How virtual time passes: with a paused tokio clock, or as a multiple of the wall clock.

use std::time::Duration;

use tokio::time::Instant;

use super::time::Time;

/// A source of virtual time. Never goes back.
#[derive(Clone, Copy, Debug)]
pub enum Timeline {
    /// Tokio's clock. Under a paused current-thread runtime tokio moves it only when every task waits, so hours
    /// of waiting cost nothing and nothing times out for want of CPU.
    Tokio { epoch: Time, start: Instant },
    /// The wall clock, sped up, for clients outside this process.
    Scaled { real_epoch_ms: i64, epoch: Time, speed: f64 },
}

impl Timeline {
    /// Tokio's clock, with `epoch` as the present moment.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "tokio's clock is the virtual clock; this module is its home"
    )]
    pub fn tokio(epoch: Time) -> Self {
        Self::Tokio { epoch, start: Instant::now() }
    }

    /// The wall clock at `speed` virtual seconds a second, with `epoch` as the present moment.
    #[must_use]
    pub fn scaled(epoch: Time, speed: f64) -> Self {
        Self::Scaled { real_epoch_ms: wall_clock_ms(), epoch, speed }
    }

    /// The present virtual moment.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "tokio's clock is the virtual clock; this module is its home"
    )]
    pub fn now(&self) -> Time {
        match self {
            Self::Tokio { epoch, start } => *epoch + Instant::now().saturating_duration_since(*start),
            Self::Scaled { .. } => self.at(wall_clock_ms()),
        }
    }

    /// The virtual moment at a moment of the wall clock (milliseconds since the Unix epoch): the same sum a
    /// client does that has the timeline's settings. Tokio's clock is not tied to the wall clock: the result is its epoch.
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

/// The one reading of the wall clock in the embedded AWS.
#[allow(
    clippy::disallowed_methods,
    reason = "a listening AWS must keep pace with clients in other processes"
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
    #[allow(clippy::disallowed_methods, reason = "this is the clock's own test: waiting is what moves it")]
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
