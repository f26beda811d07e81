//! The phases of a build: names, order and durations.

use std::time::Duration;

/// The state of an image, with the names of `ImageStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Pending,
    Creating,
    Building,
    Testing,
    Distributing,
    Integrating,
    Available,
    Cancelled,
    Failed,
}

impl Phase {
    /// The name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Creating => "CREATING",
            Self::Building => "BUILDING",
            Self::Testing => "TESTING",
            Self::Distributing => "DISTRIBUTING",
            Self::Integrating => "INTEGRATING",
            Self::Available => "AVAILABLE",
            Self::Cancelled => "CANCELLED",
            Self::Failed => "FAILED",
        }
    }

    /// Whether the build has ended.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Available | Self::Cancelled | Self::Failed)
    }

    /// The phase after this one if it succeeds.
    pub(super) fn next(self, tests: bool) -> Option<Self> {
        match self {
            Self::Pending => Some(Self::Creating),
            Self::Creating => Some(Self::Building),
            Self::Building if tests => Some(Self::Testing),
            Self::Building | Self::Testing => Some(Self::Distributing),
            Self::Distributing => Some(Self::Integrating),
            Self::Integrating => Some(Self::Available),
            Self::Available | Self::Cancelled | Self::Failed => None,
        }
    }

    /// The duration of the phase, as a share of the whole build's.
    pub(super) fn duration(self, whole: Duration) -> Duration {
        let percent = match self {
            Self::Pending => 2,
            Self::Creating => 6,
            Self::Building => 52,
            Self::Testing => 16,
            Self::Distributing => 20,
            Self::Integrating => 4,
            Self::Available | Self::Cancelled | Self::Failed => 0,
        };
        whole * percent / 100
    }
}
