//! in-toto test-result v0.1: the checks that passed and failed on the image.

use serde::{Deserialize, Serialize};

use super::Predicate;
use crate::evidence::link::Stage;
use crate::evidence::resource::ResourceDescriptor;

/// The predicate <https://in-toto.io/attestation/test-result/v0.1>.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestResult {
    /// The result of all checks.
    pub result: TestOutcome,
    /// The spec and the scripts that were run, by digest.
    pub configuration: Vec<ResourceDescriptor>,
    /// The URL of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The names of the checks that passed.
    #[serde(default)]
    pub passed_tests: Vec<String>,
    /// The names of the checks that passed with a warning.
    #[serde(default)]
    pub warned_tests: Vec<String>,
    /// The names of the checks that failed.
    #[serde(default)]
    pub failed_tests: Vec<String>,
}

/// The result of a test run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TestOutcome {
    /// All checks passed.
    Passed,
    /// All checks passed, some with a warning.
    Warned,
    /// A check failed.
    Failed,
}

impl Predicate for TestResult {
    const TYPE: &'static str = "https://in-toto.io/attestation/test-result/v0.1";
    const STAGE: Stage = Stage::Test;
}
