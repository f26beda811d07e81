//! The results of the checks: report files, the test result to sign, and the failure message. Pure.

use std::collections::BTreeSet;

use super::junit;
use super::outcome::{CheckOutcome, Deadlines, Invocation, last_lines, outcome as outcome_of};
use super::result::CheckResult;
use crate::evidence::layout::{self, SPEC};
use crate::evidence::predicate::{TestOutcome, TestResult};
use crate::evidence::{ResourceDescriptor, Sha256};
use crate::spec::Check;
use crate::stage::store::Files;

/// Path of the JUnit report in the artifact.
pub const JUNIT: &str = layout::TEST_JUNIT;

/// Path of the instance's console output in the artifact, after a failed test.
pub const CONSOLE: &str = layout::TEST_CONSOLE;

/// Max bytes read of one output in S3: its last ones.
pub const READ_BYTES: usize = 128 << 10;

/// Max bytes of one output in the artifact: what is read in S3, and the line that says so.
const OUTPUT_BYTES: usize = READ_BYTES + 200;

/// The results of the checks. `invocations` are the commands that were run, in order; `attempts` the number of attempts of
/// each, 1 if missing.
#[must_use]
pub fn results(checks: &[Check], invocations: Vec<Invocation>, attempts: &[u8]) -> Vec<CheckResult> {
    let mut invocations = invocations.into_iter();
    checks
        .iter()
        .enumerate()
        .map(|(index, check)| {
            let invocation = invocations.next();
            let outcome = invocation
                .as_ref()
                .map_or(CheckOutcome::NotRun, |found| outcome_of(found, Deadlines::of(check)));
            let attempts = attempts.get(index).copied().unwrap_or(1);
            let limit = check.timeout().as_duration();
            CheckResult {
                name: check.name.clone(),
                subject: what(check),
                outcome,
                limit,
                attempts,
                invocation,
            }
        })
        .collect()
}

/// What a check runs: the path of its script, the name of its document, or its kind.
fn what(check: &Check) -> String {
    let kind = check.kinds().first().copied().unwrap_or_default();
    let script = check.script.as_ref().map(|script| &script.path);
    let named = script.or_else(|| Some(&check.document.as_ref()?.name));
    named.cloned().unwrap_or_else(|| kind.to_owned())
}

/// Whether all checks passed.
#[must_use]
pub fn passed(results: &[CheckResult]) -> bool {
    results.iter().all(|result| result.outcome == CheckOutcome::Passed)
}

/// The test result to sign. A check that was not run is neither passed nor failed; the test has failed then.
#[must_use]
pub fn test_result(results: &[CheckResult], files: &Files) -> TestResult {
    let names = |wanted: fn(&CheckOutcome) -> bool| {
        results.iter().filter(|result| wanted(&result.outcome)).map(|result| result.name.clone()).collect()
    };
    let passed_as = |flaky: bool| {
        let passed = results.iter().filter(|result| result.outcome == CheckOutcome::Passed);
        passed.filter(|result| result.is_flaky() == flaky).map(|result| result.name.clone()).collect()
    };
    let scripts = results.iter().map(|result| layout::source(&result.subject));
    let run: BTreeSet<String> = std::iter::once(SPEC.to_owned()).chain(scripts).collect();
    TestResult {
        result: match (passed(results), results.iter().any(CheckResult::is_flaky)) {
            (true, false) => TestOutcome::Passed,
            (true, true) => TestOutcome::Warned,
            (false, _) => TestOutcome::Failed,
        },
        configuration: run
            .into_iter()
            .filter_map(|path| {
                let digest = Sha256::of(files.get(&path)?);
                Some(ResourceDescriptor::named(path, &digest))
            })
            .collect(),
        url: None,
        passed_tests: passed_as(false),
        warned_tests: passed_as(true),
        failed_tests: names(|outcome| matches!(outcome, CheckOutcome::Failed(_))),
    }
}

/// The report files, by path.
#[must_use]
pub fn files(service: &str, results: &[CheckResult]) -> Files {
    let mut files = Files::from([(JUNIT.to_owned(), junit::report(service, results).into_bytes())]);
    for (result, folder) in results.iter().zip(folders(results)) {
        let Some(invocation) = &result.invocation else { continue };
        files.insert(layout::check_output(&folder, "stdout"), bounded(&invocation.stdout));
        files.insert(layout::check_output(&folder, "stderr"), bounded(&invocation.stderr));
    }
    files
}

fn bounded(text: &str) -> Vec<u8> {
    let end = (0..=text.len().min(OUTPUT_BYTES)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    text.as_bytes().get(..end).unwrap_or_default().to_vec()
}

/// A folder for every check: its name in plain characters, unique also where case does not count.
#[must_use]
pub fn folders(results: &[CheckResult]) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut folders = Vec::with_capacity(results.len());
    for result in results {
        let plain: String = result
            .name
            .chars()
            .take(64)
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '-' })
            .collect();
        let plain = plain.trim_matches('.');
        let plain = if plain.is_empty() { "check" } else { plain };
        let mut folder = plain.to_owned();
        let mut number = 2;
        while !taken.insert(folder.to_lowercase()) {
            folder = format!("{plain}-{number}");
            number += 1;
        }
        folders.push(folder);
    }
    folders
}

/// The failure message: the first check that failed, the end of its output, and the other checks that did not pass.
#[must_use]
pub fn failure(results: &[CheckResult]) -> Option<String> {
    let first = results.iter().find(|result| result.outcome != CheckOutcome::Passed)?;
    let why = match &first.outcome {
        CheckOutcome::Failed(why) => why.as_str(),
        CheckOutcome::Passed | CheckOutcome::NotRun => "it was not run",
    };
    let mut message = format!("check \"{}\" ({}) failed: {why}", first.name, first.subject);
    if let Some(invocation) = &first.invocation {
        let lines = last_lines(&invocation.stdout, &invocation.stderr);
        if !lines.is_empty() {
            message.push_str("; its last output: ");
            message.push_str(&lines);
        }
    }
    let list = |what: &str, wanted: fn(&CheckOutcome) -> bool| {
        let names: Vec<&str> = results
            .iter()
            .filter(|result| result.name != first.name && wanted(&result.outcome))
            .map(|result| result.name.as_str())
            .collect();
        if names.is_empty() { String::new() } else { format!("; {what}: {}", names.join(", ")) }
    };
    message.push_str(&list("failed too", |outcome| matches!(outcome, CheckOutcome::Failed(_))));
    message.push_str(&list("not run", |outcome| *outcome == CheckOutcome::NotRun));
    Some(message)
}
