//! How a rehearsal is expected to end.

use schemars::JsonSchema;
use serde::Deserialize;

use super::Mistake;

/// How the release ends.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Expectation {
    pub result: RunResult,
    /// The stage that fails, with `result: failure`.
    pub stage: Option<ExpectedStage>,
    /// Texts that the report contains.
    pub report_contains: Vec<String>,
}

/// The result of a release.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum RunResult {
    /// Every stage succeeds.
    #[default]
    Success,
    /// One stage fails.
    Failure,
    /// Someone stops the release; no stage fails.
    Cancellation,
}

/// A stage of a release.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedStage {
    Bake,
    Test,
    Promote,
    Cleanup,
}

impl ExpectedStage {
    /// The name that reports show.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bake => "bake",
            Self::Test => "test",
            Self::Promote => "promote",
            Self::Cleanup => "cleanup",
        }
    }
}

impl Expectation {
    pub(super) fn check(&self) -> Result<(), Mistake> {
        let fails = self.result == RunResult::Failure;
        if fails == self.stage.is_some() { Ok(()) } else { Err(Mistake::Stage) }
    }
}
