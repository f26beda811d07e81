//! Virtual time of the embedded AWS.

use std::ops::{Add, Sub};
use std::time::Duration;

/// A point in virtual time: milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    /// Seconds since the Unix epoch, the format of JSON timestamps in the service models.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "the milliseconds of any plausible date fit into 53 bits")]
    pub fn epoch_seconds(self) -> f64 {
        self.0 as f64 / 1000.0
    }
}

impl Add<Duration> for Time {
    type Output = Self;
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl Sub for Time {
    type Output = Duration;
    /// Zero if `earlier` is later.
    fn sub(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}
