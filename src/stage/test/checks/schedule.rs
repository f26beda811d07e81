//! Which check runs next, and when to stop: decided from the commands that were sent. Pure.

use std::time::Duration;

use super::outcome::{CommandState, Deadlines, Invocation, command_state, instance_answered};
use crate::spec::Check;

/// A check that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentCheck {
    /// The number of attempts.
    pub attempts: u8,
    /// The time since the last attempt was sent.
    pub elapsed: Duration,
    /// The command of the last attempt; none while Systems Manager does not list it.
    pub command: Option<Invocation>,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Send a check. Both numbers count from 0.
    Send { check: usize, attempt: u8 },
    /// Wait for a check that is sent or running.
    Wait { check: usize, status: String },
    /// A check missed its deadline.
    Overdue,
    /// Send no more checks. `abandoned`: some may still run.
    Stop { abandoned: bool },
}

/// The state of a check.
enum CheckState {
    Running(String),
    Overdue,
    /// It failed and has retries left.
    Retry,
    Ended {
        instance_answered: bool,
    },
}

/// Decides what to do next. `sent` are the checks sent so far; checks are sent in the order of the spec.
#[must_use]
pub fn next(checks: &[Check], sent: &[SentCheck]) -> NextStep {
    let states: Vec<CheckState> =
        checks.iter().zip(sent).map(|(check, sent)| check_state(check, sent)).collect();
    let running = states.iter().any(|state| matches!(state, CheckState::Running(_) | CheckState::Overdue));
    // The instance does not answer: it would not receive the next command either.
    if states.iter().any(|state| matches!(state, CheckState::Ended { instance_answered: false })) {
        return NextStep::Stop { abandoned: running };
    }
    if states.iter().any(|state| matches!(state, CheckState::Overdue)) {
        return NextStep::Overdue;
    }
    let rebooting = checks
        .iter()
        .zip(&states)
        .any(|(check, state)| check.reboot.is_some() && matches!(state, CheckState::Running(_)));
    if !rebooting {
        let retry = states.iter().position(|state| matches!(state, CheckState::Retry));
        if let Some((check, attempt)) = retry.and_then(|check| Some((check, sent.get(check)?.attempts))) {
            return NextStep::Send { check, attempt };
        }
        if checks.get(states.len()).is_some_and(|next| is_ready(next, checks, &states)) {
            return NextStep::Send { check: states.len(), attempt: 0 };
        }
    }
    let waiting = states.into_iter().enumerate().find_map(|(check, known)| match known {
        CheckState::Running(reported) => Some(NextStep::Wait { check, status: reported }),
        CheckState::Overdue | CheckState::Retry | CheckState::Ended { .. } => None,
    });
    waiting.unwrap_or(NextStep::Stop { abandoned: false })
}

/// Whether all checks that a check needs have ended.
fn is_ready(check: &Check, checks: &[Check], states: &[CheckState]) -> bool {
    let ended = |(before, state): (&Check, &CheckState)| {
        let needed = check.needs.as_ref().is_none_or(|needs| needs.contains(&before.name));
        // A reboot runs alone.
        let needed = needed || check.reboot.is_some();
        !needed || matches!(state, CheckState::Ended { .. })
    };
    checks.iter().zip(states).all(ended)
}

fn check_state(check: &Check, sent: &SentCheck) -> CheckState {
    let deadlines = Deadlines::of(check);
    match command_state(sent.command.as_ref(), sent.elapsed, deadlines) {
        CommandState::Running(status) => CheckState::Running(status),
        CommandState::Overdue => CheckState::Overdue,
        CommandState::Ended => {
            let command = sent.command.clone().unwrap_or_default();
            let answered = instance_answered(&command);
            // The status Success implies exit code 0.
            if answered && command.status != "Success" && sent.attempts <= check.retries {
                CheckState::Retry
            } else {
                CheckState::Ended { instance_answered: answered }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(name: &str, more: Value) -> Check {
        let mut whole = json!({ "name": name, "timeout": "5m" });
        for (key, value) in more.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    fn sent(status: &str, details: &str, attempts: u8) -> SentCheck {
        let command = Invocation { status: status.into(), details: details.into(), ..Invocation::default() };
        SentCheck { attempts, elapsed: Duration::from_secs(1), command: Some(command) }
    }

    fn ok() -> SentCheck {
        sent("Success", "Success", 1)
    }

    fn failed() -> SentCheck {
        sent("Failed", "Failed", 1)
    }

    fn runs() -> SentCheck {
        sent("InProgress", "InProgress", 1)
    }

    fn waits(check: usize) -> NextStep {
        NextStep::Wait { check, status: "inprogress".into() }
    }

    #[test]
    fn checks_without_needs_run_in_sequence_and_a_failure_stops_none() {
        let checks = [check("a", json!({})), check("b", json!({})), check("c", json!({}))];
        for (sent, expected) in [
            (vec![], NextStep::Send { check: 0, attempt: 0 }),
            (vec![runs()], waits(0)),
            (vec![SentCheck { command: None, ..runs() }], NextStep::Wait { check: 0, status: "sent".into() }),
            (vec![ok()], NextStep::Send { check: 1, attempt: 0 }),
            (vec![failed()], NextStep::Send { check: 1, attempt: 0 }),
            (vec![ok(), failed(), runs()], waits(2)),
            (vec![ok(), failed(), ok()], NextStep::Stop { abandoned: false }),
        ] {
            assert_eq!(next(&checks, &sent), expected, "{sent:?}");
        }
    }

    #[test]
    fn independent_checks_run_in_parallel() {
        let checks = [
            check("a", json!({ "needs": [] })),
            check("b", json!({ "needs": [] })),
            check("c", json!({ "needs": ["a"] })),
            check("d", json!({})),
        ];
        for (sent, expected) in [
            (vec![runs()], NextStep::Send { check: 1, attempt: 0 }),
            (vec![runs(), runs()], waits(0)),
            (vec![runs(), ok()], waits(0)),
            (vec![ok(), runs()], NextStep::Send { check: 2, attempt: 0 }),
            (vec![ok(), runs(), runs()], waits(1)),
            (vec![ok(), ok(), runs()], waits(2)),
            (vec![ok(), ok(), ok()], NextStep::Send { check: 3, attempt: 0 }),
        ] {
            assert_eq!(next(&checks, &sent), expected, "{sent:?}");
        }
    }

    #[test]
    fn a_failed_check_is_retried_as_often_as_the_spec_says() {
        let checks = [check("a", json!({ "retries": 2 })), check("b", json!({}))];
        assert_eq!(next(&checks, &[failed()]), NextStep::Send { check: 0, attempt: 1 });
        assert_eq!(
            next(&checks, &[sent("TimedOut", "Execution Timed Out", 2)]),
            NextStep::Send { check: 0, attempt: 2 }
        );
        assert_eq!(next(&checks, &[sent("Failed", "Failed", 3)]), NextStep::Send { check: 1, attempt: 0 });
        assert_eq!(next(&checks, &[sent("Success", "Success", 2)]), NextStep::Send { check: 1, attempt: 0 });
        // A check is not retried on an instance that does not answer.
        let gone = sent("TimedOut", "Delivery Timed Out", 1);
        assert_eq!(next(&checks, std::slice::from_ref(&gone)), NextStep::Stop { abandoned: false });
        let beside = [check("a", json!({ "needs": [] })), check("b", json!({ "needs": [] }))];
        assert_eq!(next(&beside, &[gone, runs()]), NextStep::Stop { abandoned: true });
    }

    #[test]
    fn nothing_runs_in_parallel_with_a_reboot() {
        let checks = [
            check("a", json!({ "needs": [] })),
            check("reboot", json!({ "reboot": {}, "needs": [] })),
            check("b", json!({ "needs": [] })),
        ];
        assert_eq!(next(&checks, &[runs()]), waits(0));
        assert_eq!(next(&checks, &[ok()]), NextStep::Send { check: 1, attempt: 0 });
        assert_eq!(next(&checks, &[ok(), runs()]), waits(1));
        assert_eq!(next(&checks, &[ok(), ok()]), NextStep::Send { check: 2, attempt: 0 });
    }

    #[test]
    fn one_overdue_check_makes_the_test_overdue() {
        let checks = [check("a", json!({ "needs": [] })), check("b", json!({ "needs": [] }))];
        let late = SentCheck { elapsed: Duration::from_hours(1), ..runs() };
        assert_eq!(next(&checks, &[late.clone(), runs()]), NextStep::Overdue);
        assert_eq!(next(&checks, &[ok(), late]), NextStep::Overdue);
    }
}
