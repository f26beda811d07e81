//! What was found out about a task as results of checks, the task itself being the first. Pure.

use super::super::judge::{Invocation, Verdict};
use super::super::report::Result as Checked;
use super::judge::{Asked, Found, Seen, window, words};
use crate::spec::Check;
use crate::spec::Task;
use crate::spec::Test;

/// How the task and its checks went.
#[must_use]
pub fn results(test: &Test, task: &Task, found: &Found) -> Vec<Checked> {
    let mut results = vec![itself(test, task, found)];
    let mut asked = found.asked.iter();
    results.extend(test.checks.iter().map(|check| result(check, asked.next())));
    results
}

fn itself(test: &Test, task: &Task, found: &Found) -> Checked {
    let told = match (&found.why, task.expect_exit_code, &task.health_check) {
        (Some(why), ..) => why.clone(),
        (None, Some(code), _) => format!("it exited with code {code} after {} s", found.rose),
        (None, None, Some(_)) => format!("it was healthy after {} s", found.rose),
        (None, None, None) => format!("it ran after {} s", found.rose),
    };
    let failed = found.why.is_some();
    Checked {
        name: Task::NAME.to_owned(),
        script: Task::NAME.to_owned(),
        verdict: found.why.clone().map_or(Verdict::Passed, Verdict::Failed),
        limit: test.start_timeout.as_duration(),
        attempts: 1,
        invocation: Some(invocation(!failed, &told, found.rose)),
    }
}

fn result(check: &Check, asked: Option<&Asked>) -> Checked {
    let ended = asked.and_then(|asked| asked.ended);
    let verdict = match ended {
        None => Verdict::NotRun,
        Some((_, Seen::Good)) => Verdict::Passed,
        Some((took, seen)) => Verdict::Failed(format!("{} for {took} s", words(check, seen))),
    };
    let kind = check.kinds().first().copied().unwrap_or_default();
    Checked {
        name: check.name.clone(),
        script: kind.to_owned(),
        invocation: ended.map(|(took, seen)| invocation(seen == Seen::Good, &words(check, seen), took)),
        verdict,
        limit: window(check),
        attempts: asked.map_or(1, |asked| asked.attempts),
    }
}

fn invocation(passed: bool, told: &str, took: u32) -> Invocation {
    Invocation {
        status: if passed { "Success" } else { "Failed" }.to_owned(),
        exit_code: i32::from(!passed),
        stdout: format!("{told}\n"),
        elapsed: format!("PT{took}S"),
        ..Invocation::default()
    }
}
