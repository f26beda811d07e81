//! What the test stage leaves behind: outputs and a JUnit report for people and tools, a test result to be signed.
//! Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use super::judge::{self, Deadlines, Invocation, Verdict};
use super::{junit, output};
use crate::evidence::predicate::{TestOutcome, TestResult};
use crate::evidence::{ResourceDescriptor, Sha256};
use crate::spec::Check;
use crate::evidence::layout::{self, SPEC};
use crate::stage::store::Files;

/// Where the JUnit report lies in the artifact.
pub const JUNIT: &str = layout::TEST_JUNIT;

/// Where the console output of a failed test's instance lies in the artifact.
pub const CONSOLE: &str = layout::TEST_CONSOLE;

/// Most bytes kept of one output: what is read of it in S3, and the line that says so.
const OUTPUT_BYTES: usize = output::KEPT + 200;

/// How one check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Result {
    pub name: String,
    /// Its script's path, or the key that says what it looks at.
    pub script: String,
    pub verdict: Verdict,
    /// How long one attempt may run.
    pub limit: Duration,
    /// How often it was tried.
    pub attempts: u8,
    /// What Systems Manager kept of it; none if it was not run.
    pub invocation: Option<Invocation>,
}

impl Result {
    /// Whether it passed, and not at once.
    #[must_use]
    pub fn is_flaky(&self) -> bool {
        self.verdict == Verdict::Passed && self.attempts > 1
    }
}

/// How the checks went: `invocations` are those that were run, in order, and `attempts` how often each was; once where
/// it is not told.
#[must_use]
pub fn results(checks: &[Check], invocations: Vec<Invocation>, attempts: &[u8]) -> Vec<Result> {
    let mut invocations = invocations.into_iter();
    checks
        .iter()
        .enumerate()
        .map(|(index, check)| {
            let invocation = invocations.next();
            let verdict = invocation
                .as_ref()
                .map_or(Verdict::NotRun, |found| judge::verdict(found, Deadlines::of(check)));
            let attempts = attempts.get(index).copied().unwrap_or(1);
            let limit = check.timeout().as_duration();
            Result { name: check.name.clone(), script: what(check), verdict, limit, attempts, invocation }
        })
        .collect()
}

/// What a check looks at: its script's path, its document's name, or the key that says it.
fn what(check: &Check) -> String {
    let kind = check.kinds().first().copied().unwrap_or_default();
    let script = check.script.as_ref().map(|script| &script.path);
    let named = script.or_else(|| Some(&check.document.as_ref()?.name));
    named.cloned().unwrap_or_else(|| kind.to_owned())
}

impl Deadlines {
    /// The deadlines of a check of the spec.
    #[must_use]
    pub fn of(check: &Check) -> Self {
        Self { delivery: check.delivery_timeout().as_duration(), execution: check.timeout().as_duration() }
    }
}

/// Whether every check passed.
#[must_use]
pub fn passed(results: &[Result]) -> bool {
    results.iter().all(|result| result.verdict == Verdict::Passed)
}

/// The test result to be signed. A check that was not run is neither passed nor failed; the whole is then failed.
#[must_use]
pub fn test_result(results: &[Result], files: &Files) -> TestResult {
    let names = |wanted: fn(&Verdict) -> bool| {
        results.iter().filter(|result| wanted(&result.verdict)).map(|result| result.name.clone()).collect()
    };
    let passed_as = |flaky: bool| {
        let passed = results.iter().filter(|result| result.verdict == Verdict::Passed);
        passed.filter(|result| result.is_flaky() == flaky).map(|result| result.name.clone()).collect()
    };
    let scripts = results.iter().map(|result| layout::source(&result.script));
    let run: BTreeSet<String> = std::iter::once(SPEC.to_owned()).chain(scripts).collect();
    TestResult {
        result: match (passed(results), results.iter().any(Result::is_flaky)) {
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
        failed_tests: names(|verdict| matches!(verdict, Verdict::Failed(_))),
    }
}

/// The report files, by path.
#[must_use]
pub fn files(service: &str, results: &[Result]) -> Files {
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

/// A folder name for every check: its name where that is a plain one, made plain and told apart where it is not,
/// also on systems that do not tell upper case from lower.
#[must_use]
pub fn folders(results: &[Result]) -> Vec<String> {
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

/// Why the stage failed: the first check that did, with its last words, and which others did not pass.
#[must_use]
pub fn failure(results: &[Result]) -> Option<String> {
    let first = results.iter().find(|result| result.verdict != Verdict::Passed)?;
    let why = match &first.verdict {
        Verdict::Failed(why) => why.as_str(),
        Verdict::Passed | Verdict::NotRun => "it was not run",
    };
    let mut message = format!("check \"{}\" ({}) failed: {why}", first.name, first.script);
    if let Some(invocation) = &first.invocation {
        let tail = judge::tail(&invocation.stdout, &invocation.stderr);
        if !tail.is_empty() {
            message.push_str("; its last output: ");
            message.push_str(&tail);
        }
    }
    let list = |what: &str, wanted: fn(&Verdict) -> bool| {
        let names: Vec<&str> = results
            .iter()
            .filter(|result| result.name != first.name && wanted(&result.verdict))
            .map(|result| result.name.as_str())
            .collect();
        if names.is_empty() { String::new() } else { format!("; {what}: {}", names.join(", ")) }
    };
    message.push_str(&list("failed too", |verdict| matches!(verdict, Verdict::Failed(_))));
    message.push_str(&list("not run", |verdict| *verdict == Verdict::NotRun));
    Some(message)
}
