//! The result of one check. Pure.

use std::time::Duration;

use super::outcome::{CheckOutcome, Invocation};

/// The result of one check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckResult {
    pub name: String,
    /// What it ran: the path of its script, the name of its document, or its kind.
    pub subject: String,
    pub outcome: CheckOutcome,
    /// The timeout of one attempt.
    pub limit: Duration,
    /// The number of attempts.
    pub attempts: u8,
    /// The command of the last attempt; none if the check was not run.
    pub invocation: Option<Invocation>,
}

impl CheckResult {
    /// Whether it passed only after a failed attempt.
    #[must_use]
    pub fn is_flaky(&self) -> bool {
        self.outcome == CheckOutcome::Passed && self.attempts > 1
    }
}
