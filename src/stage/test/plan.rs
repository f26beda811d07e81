//! Which check is sent next, and when to stop: decided from what Systems Manager shows of those sent. Pure.

use std::time::Duration;

use super::judge::{self, Deadlines, Invocation, Look};
use crate::spec::Check;

/// What is known of a check that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// How often it was sent.
    pub attempts: u8,
    /// Since its last sending.
    pub elapsed: Duration,
    /// What Systems Manager shows of that; none while it shows nothing.
    pub shown: Option<Invocation>,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Send the check of this number, counted from 0, for the attempt of this number, counted from 0.
    Send { check: usize, attempt: u8 },
    /// Wait for this one, which is on its way or running.
    Wait { check: usize, status: String },
    /// One should have ended by itself and did not.
    Overdue,
    /// Nothing more is to be sent. `given_up`: some may not have ended.
    Stop { given_up: bool },
}

/// How one check stands.
enum Stand {
    Going(String),
    Overdue,
    /// It failed and is tried again.
    Again,
    Ended {
        reached: bool,
    },
}

/// Decides. `sent` are the checks sent so far, in the order of the spec; checks are sent in that order.
#[must_use]
pub fn next(checks: &[Check], sent: &[Sent]) -> Act {
    let stands: Vec<Stand> = checks.iter().zip(sent).map(|(check, sent)| stand(check, sent)).collect();
    let going = stands.iter().any(|stand| matches!(stand, Stand::Going(_) | Stand::Overdue));
    // The instance does not answer: the next command would not reach it either.
    if stands.iter().any(|stand| matches!(stand, Stand::Ended { reached: false })) {
        return Act::Stop { given_up: going };
    }
    if stands.iter().any(|stand| matches!(stand, Stand::Overdue)) {
        return Act::Overdue;
    }
    let rebooting = checks
        .iter()
        .zip(&stands)
        .any(|(check, stand)| check.reboot.is_some() && matches!(stand, Stand::Going(_)));
    if !rebooting {
        let again = stands.iter().position(|stand| matches!(stand, Stand::Again));
        if let Some((check, sent)) = again.and_then(|check| Some((check, sent.get(check)?))) {
            return Act::Send { check, attempt: sent.attempts };
        }
        let free = checks.get(stands.len()).is_some_and(|check| is_free(check, checks, &stands));
        if free {
            return Act::Send { check: stands.len(), attempt: 0 };
        }
    }
    let waited = stands.into_iter().enumerate().find_map(|(check, stand)| match stand {
        Stand::Going(status) => Some(Act::Wait { check, status }),
        Stand::Overdue | Stand::Again | Stand::Ended { .. } => None,
    });
    waited.unwrap_or(Act::Stop { given_up: false })
}

/// Whether everything a check needs has ended.
fn is_free(check: &Check, checks: &[Check], stands: &[Stand]) -> bool {
    let ended = |(before, stand): (&Check, &Stand)| {
        let needed = check.needs.as_ref().is_none_or(|needs| needs.contains(&before.name));
        // A reboot is asked for alone.
        let needed = needed || check.reboot.is_some();
        !needed || matches!(stand, Stand::Ended { .. })
    };
    checks.iter().zip(stands).all(ended)
}

fn stand(check: &Check, sent: &Sent) -> Stand {
    let deadlines = Deadlines::of(check);
    match judge::look(sent.shown.as_ref(), sent.elapsed, deadlines) {
        Look::Going(status) => Stand::Going(status),
        Look::Overdue => Stand::Overdue,
        Look::Ended => {
            let shown = sent.shown.clone().unwrap_or_default();
            let reached = judge::reached(&shown);
            // A command that ended Success had exit code 0.
            if reached && shown.status != "Success" && sent.attempts <= check.retries {
                Stand::Again
            } else {
                Stand::Ended { reached }
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

    fn sent(status: &str, details: &str, attempts: u8) -> Sent {
        let shown = Invocation { status: status.into(), details: details.into(), ..Invocation::default() };
        Sent { attempts, elapsed: Duration::from_secs(1), shown: Some(shown) }
    }

    fn ok() -> Sent {
        sent("Success", "Success", 1)
    }

    fn failed() -> Sent {
        sent("Failed", "Failed", 1)
    }

    fn runs() -> Sent {
        sent("InProgress", "InProgress", 1)
    }

    fn waits(check: usize) -> Act {
        Act::Wait { check, status: "inprogress".into() }
    }

    #[test]
    fn checks_without_needs_go_one_after_the_other_and_a_failure_stops_none() {
        let checks = [check("a", json!({})), check("b", json!({})), check("c", json!({}))];
        for (sent, expected) in [
            (vec![], Act::Send { check: 0, attempt: 0 }),
            (vec![runs()], waits(0)),
            (vec![Sent { shown: None, ..runs() }], Act::Wait { check: 0, status: "sent".into() }),
            (vec![ok()], Act::Send { check: 1, attempt: 0 }),
            (vec![failed()], Act::Send { check: 1, attempt: 0 }),
            (vec![ok(), failed(), runs()], waits(2)),
            (vec![ok(), failed(), ok()], Act::Stop { given_up: false }),
        ] {
            assert_eq!(next(&checks, &sent), expected, "{sent:?}");
        }
    }

    #[test]
    fn independent_checks_run_side_by_side() {
        let checks = [
            check("a", json!({ "needs": [] })),
            check("b", json!({ "needs": [] })),
            check("c", json!({ "needs": ["a"] })),
            check("d", json!({})),
        ];
        for (sent, expected) in [
            (vec![runs()], Act::Send { check: 1, attempt: 0 }),
            (vec![runs(), runs()], waits(0)),
            (vec![runs(), ok()], waits(0)),
            (vec![ok(), runs()], Act::Send { check: 2, attempt: 0 }),
            (vec![ok(), runs(), runs()], waits(1)),
            (vec![ok(), ok(), runs()], waits(2)),
            (vec![ok(), ok(), ok()], Act::Send { check: 3, attempt: 0 }),
        ] {
            assert_eq!(next(&checks, &sent), expected, "{sent:?}");
        }
    }

    #[test]
    fn a_failed_check_is_tried_again_as_often_as_the_spec_has_it() {
        let checks = [check("a", json!({ "retries": 2 })), check("b", json!({}))];
        assert_eq!(next(&checks, &[failed()]), Act::Send { check: 0, attempt: 1 });
        assert_eq!(
            next(&checks, &[sent("TimedOut", "Execution Timed Out", 2)]),
            Act::Send { check: 0, attempt: 2 }
        );
        assert_eq!(next(&checks, &[sent("Failed", "Failed", 3)]), Act::Send { check: 1, attempt: 0 });
        assert_eq!(next(&checks, &[sent("Success", "Success", 2)]), Act::Send { check: 1, attempt: 0 });
        // An instance that does not answer is not asked again.
        let gone = sent("TimedOut", "Delivery Timed Out", 1);
        assert_eq!(next(&checks, std::slice::from_ref(&gone)), Act::Stop { given_up: false });
        let beside = [check("a", json!({ "needs": [] })), check("b", json!({ "needs": [] }))];
        assert_eq!(next(&beside, &[gone, runs()]), Act::Stop { given_up: true });
    }

    #[test]
    fn nothing_runs_beside_a_reboot() {
        let checks = [
            check("a", json!({ "needs": [] })),
            check("reboot", json!({ "reboot": {}, "needs": [] })),
            check("b", json!({ "needs": [] })),
        ];
        assert_eq!(next(&checks, &[runs()]), waits(0));
        assert_eq!(next(&checks, &[ok()]), Act::Send { check: 1, attempt: 0 });
        assert_eq!(next(&checks, &[ok(), runs()]), waits(1));
        assert_eq!(next(&checks, &[ok(), ok()]), Act::Send { check: 2, attempt: 0 });
    }

    #[test]
    fn one_that_is_overdue_is_overdue_whatever_the_others_do() {
        let checks = [check("a", json!({ "needs": [] })), check("b", json!({ "needs": [] }))];
        let late = Sent { elapsed: Duration::from_hours(1), ..runs() };
        assert_eq!(next(&checks, &[late.clone(), runs()]), Act::Overdue);
        assert_eq!(next(&checks, &[ok(), late]), Act::Overdue);
    }
}
