//! in-toto test-result v0.1: which checks passed on the image in staging.

use serde::{Deserialize, Serialize};

use super::Predicate;
use crate::evidence::link::Stage;
use crate::evidence::statement::ResourceDescriptor;

/// The predicate <https://in-toto.io/attestation/test-result/v0.1>.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// The result of the whole.
    pub result: TestOutcome,
    /// What was run: the spec and the scripts, by digest.
    pub configuration: Vec<ResourceDescriptor>,
    /// Where the run can be looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Names of the checks that passed.
    #[serde(default)]
    pub passed_tests: Vec<String>,
    /// Names of those that passed with a warning.
    #[serde(default)]
    pub warned_tests: Vec<String>,
    /// Names of those that failed.
    #[serde(default)]
    pub failed_tests: Vec<String>,
}

/// The result of a test run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TestOutcome {
    /// Everything passed.
    Passed,
    /// Passed, with warnings.
    Warned,
    /// Something failed.
    Failed,
}

impl Predicate for TestResult {
    const TYPE: &'static str = "https://in-toto.io/attestation/test-result/v0.1";
    const STAGE: Stage = Stage::Test;
}
