//! The one clock: it dates SigV4 signatures, times SDK retries and measures our own waits.
//!
//! Nothing else in the product reads the time or sleeps (clippy.toml holds this).

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep, Sleep};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use serde::{Deserialize, Serialize};

/// Whole seconds since the Unix epoch, as they travel in a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment and `by` more, at most the end of time.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_secs()).unwrap_or(i64::MAX)))
    }

    /// The time from `earlier` to this moment; zero when `earlier` is in fact later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The last second of the year 9999.
    const LAST: i64 = 253_402_300_799;

    /// The moment as a calendar date. One outside the years 1970 to 9999, which only a token that is not ours can
    /// name, becomes the nearest inside: RFC 3339 cannot write every year that a date can have.
    #[must_use]
    pub fn date_time(self) -> time::OffsetDateTime {
        time::OffsetDateTime::from_unix_timestamp(self.0.clamp(0, Self::LAST))
            .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC: `2026-01-01T00:00:00Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self
            .date_time()
            .format(&time::format_description::well_known::Rfc3339)
            .map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self(i64::try_from(seconds).unwrap_or(i64::MAX))
    }
}

/// A moment in real time held against a moment in virtual time, and how fast the latter runs.
///
/// `bakeline rehearse --listen` prints it, so that another process lives in the same virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    /// Real milliseconds since the Unix epoch at which virtual time began.
    pub real_epoch_ms: i64,
    /// Virtual milliseconds since the Unix epoch at that moment.
    pub epoch_ms: i64,
    /// Virtual seconds in one real second.
    pub speed: f64,
}

impl std::str::FromStr for Mapping {
    type Err = String;

    /// Reads `REAL_MS:VIRTUAL_MS:SPEED`, the form of the environment variable `BAKELINE_CLOCK`.
    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not REAL_MS:VIRTUAL_MS:SPEED");
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or_else(refuse);
        let mapping = Self {
            real_epoch_ms: next()?.parse().map_err(|_| refuse())?,
            epoch_ms: next()?.parse().map_err(|_| refuse())?,
            speed: next()?.parse().map_err(|_| refuse())?,
        };
        // Beyond these a wait would overflow what a duration can hold, or round to nothing.
        if parts.next().is_some() || !(0.001..=1_000_000.0).contains(&mapping.speed) {
            return Err(refuse());
        }
        Ok(mapping)
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.real_epoch_ms, self.epoch_ms, self.speed)
    }
}

/// Reads the time and sleeps.
#[derive(Clone, Debug)]
pub struct Clock {
    time: SharedTimeSource,
    sleep: SharedAsyncSleep,
    /// Seconds of this clock in one second of the machine's; 1 where tokio's clock stands in for the machine's.
    speed: f64,
}

impl Clock {
    /// The machine's own time.
    #[must_use]
    pub fn system() -> Self {
        Self {
            time: SharedTimeSource::new(SystemClock),
            sleep: SharedAsyncSleep::new(TokioSleep { speed: 1.0 }),
            speed: 1.0,
        }
    }

    /// Time that begins at `epoch` now and moves with tokio's: under a paused runtime it moves only when every
    /// task waits, which is virtual time.
    #[must_use]
    pub fn tokio(epoch: SystemTime) -> Self {
        #[allow(
            clippy::disallowed_methods,
            reason = "tokio's clock is the virtual clock; this module is its home"
        )]
        let start = tokio::time::Instant::now();
        Self {
            time: SharedTimeSource::new(TokioClock { epoch, start }),
            sleep: SharedAsyncSleep::new(TokioSleep { speed: 1.0 }),
            speed: 1.0,
        }
    }

    /// Virtual time computed from the machine's: equal in every process that uses the same mapping.
    #[must_use]
    pub fn mapped(mapping: Mapping) -> Self {
        Self {
            time: SharedTimeSource::new(MappedClock(mapping)),
            sleep: SharedAsyncSleep::new(TokioSleep { speed: mapping.speed }),
            speed: mapping.speed,
        }
    }

    /// What the SDK is given as its source of time.
    #[must_use]
    pub fn time_source(&self) -> SharedTimeSource {
        self.time.clone()
    }

    /// What the SDK is given to sleep with.
    #[must_use]
    pub fn sleep_impl(&self) -> SharedAsyncSleep {
        self.sleep.clone()
    }

    /// How much of this clock's time passes while the machine works for `real`.
    ///
    /// A wait for something in the world is measured in the world's time. A guard against a connection or a slice that
    /// hangs is not: it bounds what the machine takes, which does not get faster because virtual time does.
    #[must_use]
    pub fn stretched(&self, real: Duration) -> Duration {
        // A mapping's speed is at most a million; what does not fit is as good as for ever.
        Duration::try_from_secs_f64(real.as_secs_f64() * self.speed).unwrap_or(Duration::MAX)
    }

    /// This moment.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.time.now().into()
    }

    /// Waits for `duration` of this clock's time.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep.sleep(duration).await;
    }
}

#[derive(Debug)]
struct SystemClock;

impl TimeSource for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the machine's time")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }
}

#[derive(Debug)]
struct TokioClock {
    epoch: SystemTime,
    start: tokio::time::Instant,
}

impl TimeSource for TokioClock {
    fn now(&self) -> SystemTime {
        self.epoch + self.start.elapsed()
    }
}

#[derive(Debug)]
struct MappedClock(Mapping);

impl TimeSource for MappedClock {
    #[allow(
        clippy::disallowed_methods,
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "virtual time is a function of the machine's; milliseconds of any plausible date fit 53 bits"
    )]
    fn now(&self) -> SystemTime {
        let real = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64;
        let virtual_ms =
            self.0.epoch_ms as f64 + (real - self.0.real_epoch_ms as f64).max(0.0) * self.0.speed;
        UNIX_EPOCH + Duration::from_millis(virtual_ms.max(0.0) as u64)
    }
}

#[derive(Debug)]
struct TokioSleep {
    speed: f64,
}

impl AsyncSleep for TokioSleep {
    #[allow(clippy::disallowed_methods, reason = "the one place that sleeps")]
    fn sleep(&self, duration: Duration) -> Sleep {
        Sleep::new(tokio::time::sleep(duration.div_f64(self.speed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_lasts_as_long_for_the_machine_however_fast_virtual_time_runs() {
        let mapping: Mapping = "0:0:1200".parse().unwrap();
        let guard = Duration::from_secs(20);
        assert_eq!(Clock::system().stretched(guard), guard);
        let stretched = Clock::mapped(mapping).stretched(guard);
        assert_eq!(stretched.div_f64(mapping.speed), guard);
        assert_eq!(Clock::mapped(mapping).stretched(Duration::MAX), Duration::MAX);
    }
}
