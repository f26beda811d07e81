//! How tasks and their answers are judged, as tables; resting places as tokens.

use serde_json::{Value, json};

use super::judge::{Described, Found, Ran, Rise, Seen, rise, words};
use super::*;
use crate::engine::{FailureKind, Token};
use crate::spec::Check;
use crate::stage::test::judge::Verdict;
use crate::stage::tokens::{longest_failure, worst};

const TASK: &str = "0123456789abcdef0123456789abcdef";

fn wanted(more: &Value) -> spec::Task {
    let mut whole = json!({ "cluster": "staging", "subnets": ["subnet-0123456789abcdef0"],
        "security_groups": ["sg-0123456789abcdef0"], "cpu_units": 256, "memory_mib": 512,
        "execution_role": "arn:aws:iam::123456789012:role/web-execution" });
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn check(more: &Value) -> Check {
    let mut whole = json!({ "name": "health", "timeout": "30s",
        "http": { "url": "http://127.0.0.1:8080/healthz", "contains": "ok" } });
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn running(health: &str) -> Described {
    Described {
        last: "RUNNING".into(),
        desired: "RUNNING".into(),
        health: health.into(),
        address: Some([10, 0, 1, 2].into()),
        ..Described::default()
    }
}

fn stopped(last: &str, code: Option<i32>) -> Described {
    Described {
        last: last.into(),
        desired: "STOPPED".into(),
        stop_code: "EssentialContainerExited".into(),
        reason: "Essential container in task exited".into(),
        containers: vec![Ran { name: "app".into(), exit_code: code, reason: String::new() }],
        ..Described::default()
    }
}

/// One of every resting place, as the golden tokens hold them.
pub fn states() -> Vec<(&'static str, Test)> {
    let why = || Failure::new(FailureKind::JobFailed, "the stage was not done by its deadline");
    let since = Timestamp(1_767_229_200);
    let task = || TASK.to_owned();
    let asked = || {
        let going = Asked { attempts: 2, since: 41, ended: None };
        vec![
            Asked { attempts: 1, since: 0, ended: Some((3, Seen::Good)) },
            Asked { attempts: 1, since: 0, ended: Some((30, Seen::Status(503))) },
            going,
        ]
    };
    let found = || Found::new(21, Some("it stopped"), asked());
    let revision = 1;
    let states = vec![
        ("task_registering", TaskTest::Registering),
        ("task_starting", TaskTest::Starting { revision, since }),
        ("task_rising", TaskTest::Rising { revision, task: task(), since }),
        ("task_asking", TaskTest::Asking { revision, task: task(), since, rose: 21, asked: asked() }),
        ("task_stopping", TaskTest::Stopping { revision, task: task(), found: found() }),
        ("task_ending", TaskTest::Ending { revision, task: task(), found: found() }),
        ("task_deregistering", TaskTest::Deregistering { revision, task: task(), found: found() }),
        ("task_deleting", TaskTest::Deleting { revision, task: task(), found: found() }),
        ("task_sealing", TaskTest::Sealing { task: task(), found: found() }),
        ("task_recalling", TaskTest::Recalling { looks: 1, instances: true, why: why() }),
        ("task_withdrawing", TaskTest::Withdrawing { revision, looks: 1, instances: false, why: why() }),
        ("task_withdrawn", TaskTest::Withdrawn { revision, instances: false, why: why() }),
        ("task_clearing", TaskTest::Clearing { revision, instances: false, why: why() }),
    ];
    states.into_iter().map(|(name, state)| (name, state.into())).collect()
}

/// A resting place with everything in it as long as it gets.
pub fn grown(state: TaskTest) -> TaskTest {
    let since = Timestamp(i64::MIN);
    let revision = i32::MIN;
    let asked = || {
        let ended = Some((u32::MAX, Seen::Status(u16::MAX)));
        vec![Asked { attempts: u8::MAX, since: u32::MAX, ended }; 20]
    };
    let task = TASK.to_owned();
    let found = Found::new(u32::MAX, Some(&"\"\u{1}w".repeat(1000)), asked());
    let (looks, instances, why) = (u8::MAX, false, longest_failure());
    match state {
        TaskTest::Registering => TaskTest::Registering,
        TaskTest::Starting { .. } => TaskTest::Starting { revision, since },
        TaskTest::Rising { .. } => TaskTest::Rising { revision, task, since },
        TaskTest::Asking { .. } => TaskTest::Asking { revision, task, since, rose: u32::MAX, asked: asked() },
        TaskTest::Stopping { .. } => TaskTest::Stopping { revision, task, found },
        TaskTest::Ending { .. } => TaskTest::Ending { revision, task, found },
        TaskTest::Deregistering { .. } => TaskTest::Deregistering { revision, task, found },
        TaskTest::Deleting { .. } => TaskTest::Deleting { revision, task, found },
        TaskTest::Sealing { .. } => TaskTest::Sealing { task, found },
        TaskTest::Recalling { .. } => TaskTest::Recalling { looks, instances, why },
        TaskTest::Withdrawing { .. } => TaskTest::Withdrawing { revision, looks, instances, why },
        TaskTest::Withdrawn { .. } => TaskTest::Withdrawn { revision, instances, why },
        TaskTest::Clearing { .. } => TaskTest::Clearing { revision, instances, why },
    }
}

#[test]
fn as_many_answers_as_a_spec_may_have_checks_fit_in_a_token() {
    for (name, state) in states() {
        let Test::Task { task } = state else { panic!("{name}") };
        let length = worst(Test::from(grown(task))).encode().unwrap().len();
        assert!(length <= Token::<()>::MAX, "{name}: {length}");
    }
}

#[test]
fn unwinding_begins_by_looking_for_what_is_there_and_changes_nothing_that_is_gone() {
    let why = Failure::new(FailureKind::JobFailed, "why");
    for (name, state) in states() {
        let Test::Task { task } = state else { panic!("{name}") };
        let kept = matches!(
            name,
            "task_sealing" | "task_recalling" | "task_withdrawing" | "task_withdrawn" | "task_clearing"
        );
        let recalling = TaskTest::Recalling { looks: 0, instances: false, why: why.clone() };
        let expected = if kept { task.clone() } else { recalling };
        let unwound = task.clone().unwind(why.clone());
        assert_eq!(unwound, expected, "{name}");
        assert_eq!(unwound.is_unwinding(), name != "task_sealing", "{name}");
        assert_eq!(task.is_unwinding(), kept && name != "task_sealing", "{name}");
    }
}

#[test]
fn a_task_is_up_when_it_runs_and_is_healthy_where_that_is_known() {
    let serves = wanted(&json!({}));
    let healthy = wanted(&json!({ "health_check": { "command": ["CMD-SHELL", "true"] } }));
    let up = Rise::Up([10, 0, 1, 2].into());
    let waiting = |what: &str| Rise::Waiting(what.into());
    let pending = Described { last: "PENDING".into(), desired: "RUNNING".into(), ..Described::default() };
    let bare = Described { address: None, ..running("UNKNOWN") };
    let ended = Rise::Failed(
        "it stopped: EssentialContainerExited: Essential container in task exited; container app exited with code 3"
            .into(),
    );
    for (task, found, expected) in [
        (&serves, None, waiting("not shown yet")),
        (&serves, Some(pending), waiting("pending")),
        (&serves, Some(running("UNKNOWN")), up.clone()),
        (&serves, Some(bare), waiting("running, its address is not known yet")),
        (&healthy, Some(running("UNKNOWN")), waiting("running, its health is not known yet")),
        (&healthy, Some(running("HEALTHY")), up),
        (&healthy, Some(running("UNHEALTHY")), Rise::Failed("its health check fails".into())),
        (&serves, Some(stopped("DEPROVISIONING", Some(3))), ended),
    ] {
        assert_eq!(rise(task, found.as_ref()), expected, "{found:?}");
    }
}

#[test]
fn a_job_is_done_when_it_has_exited_with_its_code() {
    let job = wanted(&json!({ "expect_exit_code": 0 }));
    let told = "EssentialContainerExited: Essential container in task exited";
    for (found, expected) in [
        (running("UNKNOWN"), Rise::Waiting("running".into())),
        (stopped("STOPPING", None), Rise::Waiting("stopping".into())),
        (stopped("STOPPED", Some(0)), Rise::Done(0)),
        (
            stopped("STOPPED", Some(2)),
            Rise::Failed(format!("it must exit with code 0; {told}; container app exited with code 2")),
        ),
        (stopped("STOPPED", None), Rise::Failed(format!("it stopped: {told}"))),
    ] {
        assert_eq!(rise(&job, Some(&found)), expected, "{found:?}");
    }
}

#[test]
fn a_check_ends_with_what_must_be_or_with_its_time() {
    let check = check(&json!({}));
    for (seen, now, expected) in [
        (Seen::Good, 12, Some((2, Seen::Good))),
        (Seen::Status(503), 39, None),
        (Seen::Status(503), 40, Some((30, Seen::Status(503)))),
        (Seen::Silent, 100, Some((90, Seen::Silent))),
    ] {
        let mut asked = Asked { attempts: 1, since: 10, ended: None };
        asked.saw(&check, seen, now);
        assert_eq!(asked.ended, expected, "{seen:?} at {now}");
    }
    let short = self::check(&json!({ "timeout": "5s" }));
    assert_eq!(judge::window(&short), Duration::from_secs(5), "a check takes no longer than its timeout");
}

#[test]
fn results_begin_with_the_task_and_name_what_was_seen() {
    let test: spec::Test = serde_json::from_value(json!({ "start_timeout": "5m", "timeout": "1h",
        "checks": [check(&json!({})), check(&json!({ "name": "again" })), check(&json!({ "name": "last" }))] }))
    .unwrap();
    let asked = vec![
        Asked { attempts: 2, since: 0, ended: Some((4, Seen::Good)) },
        Asked { attempts: 1, since: 0, ended: Some((30, Seen::Lacks)) },
        Asked { attempts: 1, since: 0, ended: None },
    ];
    let results = report::results(&test, &wanted(&json!({})), &Found::new(21, None, asked));
    let told: Vec<(&str, &Verdict)> =
        results.iter().map(|result| (result.name.as_str(), &result.verdict)).collect();
    let lacks = Verdict::Failed("the answer does not hold \"ok\" for 30 s".into());
    assert_eq!(
        told,
        [
            ("task", &Verdict::Passed),
            ("health", &Verdict::Passed),
            ("again", &lacks),
            ("last", &Verdict::NotRun)
        ]
    );
    assert!(results[1].is_flaky());
    let failed = report::results(&test, &wanted(&json!({})), &Found::new(9, Some("it stopped"), Vec::new()));
    assert_eq!(failed[0].verdict, Verdict::Failed("it stopped".into()));
    assert!(failed[1..].iter().all(|result| result.verdict == Verdict::NotRun));
    assert!(words(&check(&json!({})), Seen::Status(500)).contains("500, not 200"));
}
