//! Whether a pipeline and everything it names are fit for the line, found out by looking only.
//!
//! [`look`] reads AWS and says what it saw in plain values; [`judge`] makes findings of them and knows no AWS. What
//! may not be read is a finding of its own: nothing is called fit that was not seen.

mod examination;
pub mod judge;
pub mod look;
pub mod observed;

pub use examination::Examination;

use serde::Serialize;

/// What is held about one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Fit,
    /// It works, and may not do what is meant.
    Doubtful,
    /// AWS did not answer.
    Unanswered,
    /// Whoever asked may not look.
    Denied,
    /// A release would fail on it.
    Unfit,
}

impl Verdict {
    /// How a table calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fit => "ok",
            Self::Doubtful => "doubtful",
            Self::Unanswered => "no answer",
            Self::Denied => "denied",
            Self::Unfit => "UNFIT",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Stable name of the check, for programs.
    pub check: &'static str,
    /// What was looked at: an ARN or a name.
    pub thing: String,
    pub verdict: Verdict,
    pub observed: String,
    /// What to do; empty when there is nothing.
    pub hint: String,
}

impl Finding {
    fn new(
        check: &'static str,
        thing: impl Into<String>,
        verdict: Verdict,
        observed: impl Into<String>,
    ) -> Self {
        Self { check, thing: thing.into(), verdict, observed: observed.into(), hint: String::new() }
    }

    fn fit(check: &'static str, thing: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::new(check, thing, Verdict::Fit, observed)
    }

    fn unfit(check: &'static str, thing: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::new(check, thing, Verdict::Unfit, observed)
    }

    fn doubtful(check: &'static str, thing: impl Into<String>, observed: impl Into<String>) -> Self {
        Self::new(check, thing, Verdict::Doubtful, observed)
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// The worst of all findings: what the whole is.
#[must_use]
pub fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Fit)
}

#[cfg(test)]
mod tests;
