//! The findings of a task as check results. The first result is the task itself. Pure.

use super::super::checks::outcome::{CheckOutcome, Invocation};
use super::super::checks::result::CheckResult;
use super::super::state::task::{Probe, ProbeAnswer, TaskFindings};
use super::status::{describe_answer, timeout};
use crate::spec::{Check, Task, Test};

/// The results of the task and its checks.
#[must_use]
pub fn results(test: &Test, task: &Task, findings: &TaskFindings) -> Vec<CheckResult> {
    let mut results = vec![task_result(test, task, findings)];
    let mut probes = findings.probes.iter();
    results.extend(test.checks.iter().map(|check| check_result(check, probes.next())));
    results
}

fn task_result(test: &Test, task: &Task, findings: &TaskFindings) -> CheckResult {
    let seconds = findings.start_seconds;
    let description = match (&findings.failure, task.expect_exit_code, &task.health_check) {
        (Some(failure), ..) => failure.clone(),
        (None, Some(code), _) => format!("it exited with code {code} after {seconds} s"),
        (None, None, Some(_)) => format!("it was healthy after {seconds} s"),
        (None, None, None) => format!("it was running after {seconds} s"),
    };
    CheckResult {
        name: Task::NAME.to_owned(),
        subject: Task::NAME.to_owned(),
        outcome: findings.failure.clone().map_or(CheckOutcome::Passed, CheckOutcome::Failed),
        limit: test.start_timeout.as_duration(),
        attempts: 1,
        invocation: Some(invocation(findings.failure.is_none(), &description, seconds)),
    }
}

fn check_result(check: &Check, probe: Option<&Probe>) -> CheckResult {
    let ended = probe.and_then(|probe| probe.ended);
    let outcome = match ended {
        None => CheckOutcome::NotRun,
        Some((_, ProbeAnswer::Expected)) => CheckOutcome::Passed,
        Some((seconds, answer)) => {
            CheckOutcome::Failed(format!("{} for {seconds} s", describe_answer(check, answer)))
        }
    };
    let kind = check.kinds().first().copied().unwrap_or_default();
    CheckResult {
        name: check.name.clone(),
        subject: kind.to_owned(),
        invocation: ended.map(|(seconds, answer)| {
            invocation(answer == ProbeAnswer::Expected, &describe_answer(check, answer), seconds)
        }),
        outcome,
        limit: timeout(check),
        attempts: probe.map_or(1, |probe| probe.attempts),
    }
}

fn invocation(passed: bool, text: &str, seconds: u32) -> Invocation {
    Invocation {
        status: if passed { "Success" } else { "Failed" }.to_owned(),
        exit_code: i32::from(!passed),
        stdout: format!("{text}\n"),
        elapsed: format!("PT{seconds}S"),
        ..Invocation::default()
    }
}
