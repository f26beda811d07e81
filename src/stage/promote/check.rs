//! A check of the preflight.

use crate::engine::FailureKind;
use crate::evidence::predicate::Preflight;

/// One check and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub check: &'static str,
    pub holds: bool,
    pub observed: String,
    /// What to change when the check fails.
    pub hint: &'static str,
    /// The failure type that CodePipeline gets when the check fails.
    pub kind: FailureKind,
}

impl Check {
    /// A check that only a change of the configuration can make pass.
    #[must_use]
    pub fn of_configuration(check: &'static str, holds: bool, observed: String, hint: &'static str) -> Self {
        Self { check, holds, observed, hint, kind: FailureKind::ConfigurationError }
    }

    /// A check that may pass at another time.
    #[must_use]
    pub fn of_state(check: &'static str, holds: bool, observed: String, hint: &'static str) -> Self {
        Self { check, holds, observed, hint, kind: FailureKind::JobFailed }
    }
}

impl From<&Check> for Preflight {
    fn from(check: &Check) -> Self {
        Self { check: check.check.to_owned(), holds: check.holds, observed: check.observed.clone() }
    }
}
