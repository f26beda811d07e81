//! The clock of the process: SigV4 dates, the SDK's retries and bakeline's own waits all use it.
//!
//! No other module reads the time or sleeps; clippy.toml enforces this.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_smithy_async::rt::sleep::{AsyncSleep, SharedAsyncSleep, Sleep};
use aws_smithy_async::time::{SharedTimeSource, TimeSource};
use serde::{Deserialize, Serialize};

/// Whole seconds since the Unix epoch. Tokens carry times in this form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// Adds a duration; saturates at the largest timestamp.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_secs()).unwrap_or(i64::MAX)))
    }

    /// The duration from `earlier` to this time; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_secs(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The last second of the year 9999.
    const LAST: i64 = 253_402_300_799;

    /// The calendar date, clamped to the years 1970 to 9999.
    ///
    /// RFC 3339 has four digits for the year. Only a forged token contains a date outside this range.
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

/// How virtual time follows from the machine's time: a pair of matching moments and a speed.
///
/// `bakeline serve-aws` prints it, so that another process can use the same virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    /// When virtual time began, in real milliseconds since the Unix epoch.
    pub real_epoch_ms: i64,
    /// The virtual time at that moment, in milliseconds since the Unix epoch.
    pub epoch_ms: i64,
    /// Virtual seconds per real second.
    pub speed: f64,
}

impl std::str::FromStr for Mapping {
    type Err = String;

    /// Parses `REAL_MS:VIRTUAL_MS:SPEED`, the value of the environment variable `BAKELINE_TEST_CLOCK`.
    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || format!("`{text}` is not REAL_MS:VIRTUAL_MS:SPEED");
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or_else(invalid);
        let mapping = Self {
            real_epoch_ms: next()?.parse().map_err(|_| invalid())?,
            epoch_ms: next()?.parse().map_err(|_| invalid())?,
            speed: next()?.parse().map_err(|_| invalid())?,
        };
        // Outside this range a wait would overflow `Duration` or round to zero.
        if parts.next().is_some() || !(0.001..=1_000_000.0).contains(&mapping.speed) {
            return Err(invalid());
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
    /// Seconds of this clock per second of the machine; 1 for the system clock and for tokio's clock.
    speed: f64,
}

impl Clock {
    /// The system clock.
    #[must_use]
    pub fn system() -> Self {
        Self {
            time: SharedTimeSource::new(SystemClock),
            sleep: SharedAsyncSleep::new(TokioSleep { speed: 1.0 }),
            speed: 1.0,
        }
    }

    /// A clock that starts at `epoch` and advances with tokio's clock.
    ///
    /// In a paused runtime tokio's clock advances only while every task waits: that is virtual time.
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

    /// Virtual time computed from the system clock; equal in every process that uses the same mapping.
    #[must_use]
    pub fn mapped(mapping: Mapping) -> Self {
        Self {
            time: SharedTimeSource::new(MappedClock(mapping)),
            sleep: SharedAsyncSleep::new(TokioSleep { speed: mapping.speed }),
            speed: mapping.speed,
        }
    }

    /// The time source for the AWS SDK.
    #[must_use]
    pub fn time_source(&self) -> SharedTimeSource {
        self.time.clone()
    }

    /// The sleep implementation for the AWS SDK.
    #[must_use]
    pub fn sleep_impl(&self) -> SharedAsyncSleep {
        self.sleep.clone()
    }

    /// Converts a duration of the machine into a duration of this clock.
    ///
    /// Use it for timeouts that guard against a hanging connection or slice: the machine does not work faster when
    /// virtual time does. Waits for something in AWS need no conversion.
    #[must_use]
    pub fn from_machine_time(&self, real: Duration) -> Duration {
        // A duration that does not fit counts as infinite.
        Duration::try_from_secs_f64(real.as_secs_f64() * self.speed).unwrap_or(Duration::MAX)
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.time.now().into()
    }

    /// Waits for a duration of this clock.
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
    fn a_machine_timeout_does_not_depend_on_the_speed_of_virtual_time() {
        let mapping: Mapping = "0:0:1200".parse().unwrap();
        let guard = Duration::from_secs(20);
        assert_eq!(Clock::system().from_machine_time(guard), guard);
        let virtual_guard = Clock::mapped(mapping).from_machine_time(guard);
        assert_eq!(virtual_guard.div_f64(mapping.speed), guard);
        assert_eq!(Clock::mapped(mapping).from_machine_time(Duration::MAX), Duration::MAX);
    }
}
