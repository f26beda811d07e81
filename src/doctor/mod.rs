//! `bakeline doctor`: preflight checks of a pipeline and of the AWS resources that its release spec names.
//!
//! [`read`] reads AWS and returns plain values ([`observed`]); [`checks`] turns them into findings and makes no call. A
//! resource that cannot be read is a finding of its own, never [`Status::Ok`].

pub mod checks;
mod examination;
pub mod observed;
pub mod read;

pub use examination::Examination;

use schemars::JsonSchema;
use serde::Serialize;

/// Result of a check. A greater one is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The resource is as a release needs it.
    Ok,
    /// A release works, but may not do what is meant.
    Warning,
    /// AWS did not answer.
    Unknown,
    /// The caller may not read the resource.
    Denied,
    /// A release would fail.
    Failed,
}

impl Status {
    /// The name in the table and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Unknown => "unknown",
            Self::Denied => "denied",
            Self::Failed => "failed",
        }
    }
}

/// Result of one check on one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// Name of the check. It never changes its meaning.
    pub check: &'static str,
    /// Name or ARN of the resource that was checked.
    pub subject: String,
    pub status: Status,
    /// What was observed.
    pub observed: String,
    /// What to change; empty if nothing.
    pub hint: String,
}

impl Finding {
    fn new(
        check: &'static str,
        subject: impl Into<String>,
        status: Status,
        observed: impl Into<String>,
    ) -> Self {
        Self { check, subject: subject.into(), status, observed: observed.into(), hint: String::new() }
    }

    fn ok(check: &'static str, subject: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::new(check, subject, Status::Ok, observed)
    }

    fn failed(check: &'static str, subject: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::new(check, subject, Status::Failed, observed)
    }

    fn warning(check: &'static str, subject: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::new(check, subject, Status::Warning, observed)
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// The worst status of all findings; [`Status::Ok`] if there are none.
#[must_use]
pub fn worst(findings: &[Finding]) -> Status {
    findings.iter().map(|finding| finding.status).max().unwrap_or(Status::Ok)
}

#[cfg(test)]
mod tests;
