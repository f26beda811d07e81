//! The JUnit report of the checks, for CI systems: one suite with one case for each check. Pure.

use std::time::Duration;

use super::outcome::{CheckOutcome, seconds};
use super::result::CheckResult;
use crate::junit::{Case, CaseResult};

/// The report.
#[must_use]
pub fn report(service: &str, results: &[CheckResult]) -> String {
    let cases: Vec<Case> = results.iter().map(|result| case(service, result)).collect();
    crate::junit::report(service, &cases)
}

fn case(service: &str, result: &CheckResult) -> Case {
    let invocation = result.invocation.clone().unwrap_or_default();
    let elapsed = seconds(&invocation.elapsed).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Case {
        class_name: service.to_owned(),
        name: result.name.clone(),
        file: Some(result.subject.clone()),
        duration: elapsed.unwrap_or_default(),
        result: match &result.outcome {
            CheckOutcome::Passed if result.is_flaky() => {
                CaseResult::Flaky(format!("passed in attempt {}", result.attempts))
            }
            CheckOutcome::Passed => CaseResult::Passed,
            CheckOutcome::Failed(reason) => CaseResult::Failed(reason.clone()),
            CheckOutcome::NotRun => CaseResult::Skipped,
        },
        stdout: invocation.stdout,
        stderr: invocation.stderr,
    }
}
