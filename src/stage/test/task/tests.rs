//! Tests of the pure parts of a test in a task, and its tokens.

use serde_json::{Value, json};

use super::super::checks::outcome::CheckOutcome;
use super::super::state::task::{Probe, ProbeAnswer, TaskFindings};
use super::status::{self, DescribedContainer, DescribedTask, TaskState, describe_answer, task_state};
use super::*;
use crate::engine::{Failure, FailureKind, Timestamp, Token};
use crate::spec::Check;
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

fn running(health: &str) -> DescribedTask {
    DescribedTask {
        last_status: "RUNNING".into(),
        desired_status: "RUNNING".into(),
        health: health.into(),
        address: Some([10, 0, 1, 2].into()),
        ..DescribedTask::default()
    }
}

fn stopped(last_status: &str, code: Option<i32>) -> DescribedTask {
    DescribedTask {
        last_status: last_status.into(),
        desired_status: "STOPPED".into(),
        stop_code: "EssentialContainerExited".into(),
        reason: "Essential container in task exited".into(),
        containers: vec![DescribedContainer { name: "app".into(), exit_code: code, reason: String::new() }],
        ..DescribedTask::default()
    }
}

/// One of every state, as in the golden tokens.
pub fn states() -> Vec<(&'static str, Test)> {
    let reason = || Failure::new(FailureKind::JobFailed, "the stage was not done by its deadline");
    let since = Timestamp(1_767_229_200);
    let task = || TASK.to_owned();
    let probes = || {
        let going = Probe { attempts: 2, since: 41, ended: None };
        vec![
            Probe { attempts: 1, since: 0, ended: Some((3, ProbeAnswer::Expected)) },
            Probe { attempts: 1, since: 0, ended: Some((30, ProbeAnswer::Status(503))) },
            going,
        ]
    };
    let findings = || TaskFindings::new(21, Some("it stopped"), probes());
    let revision = 1;
    let states = vec![
        ("task_registering", TaskTest::Registering),
        ("task_starting", TaskTest::Starting { revision, since }),
        ("task_waiting_for_task", TaskTest::WaitingForTask { revision, task: task(), since }),
        (
            "task_probing",
            TaskTest::Probing { revision, task: task(), since, start_seconds: 21, probes: probes() },
        ),
        ("task_stopping", TaskTest::Stopping { revision, task: task(), findings: findings() }),
        ("task_confirming_stop", TaskTest::ConfirmingStop { revision, task: task(), findings: findings() }),
        ("task_deregistering", TaskTest::Deregistering { revision, task: task(), findings: findings() }),
        ("task_deleting", TaskTest::Deleting { revision, task: task(), findings: findings() }),
        ("task_sealing", TaskTest::Sealing { task: task(), findings: findings() }),
        (
            "task_undo_finding_definitions",
            TaskTest::UndoFindingDefinitions { empty_reads: 1, then_instances: true, reason: reason() },
        ),
        (
            "task_undo_stopping",
            TaskTest::UndoStopping { revision, empty_reads: 1, then_instances: false, reason: reason() },
        ),
        (
            "task_undo_deregistering",
            TaskTest::UndoDeregistering { revision, then_instances: false, reason: reason() },
        ),
        ("task_undo_deleting", TaskTest::UndoDeleting { revision, then_instances: false, reason: reason() }),
    ];
    states.into_iter().map(|(name, state)| (name, state.into())).collect()
}

/// A state whose fields are all as long as possible.
pub fn grown(state: TaskTest) -> TaskTest {
    let since = Timestamp(i64::MIN);
    let revision = i32::MIN;
    let probes = || {
        let ended = Some((u32::MAX, ProbeAnswer::Status(u16::MAX)));
        vec![Probe { attempts: u8::MAX, since: u32::MAX, ended }; 20]
    };
    let task = TASK.to_owned();
    let findings = TaskFindings::new(u32::MAX, Some(&"\"\u{1}w".repeat(1000)), probes());
    let (empty_reads, then_instances, reason) = (u8::MAX, false, longest_failure());
    match state {
        TaskTest::Registering => TaskTest::Registering,
        TaskTest::Starting { .. } => TaskTest::Starting { revision, since },
        TaskTest::WaitingForTask { .. } => TaskTest::WaitingForTask { revision, task, since },
        TaskTest::Probing { .. } => {
            TaskTest::Probing { revision, task, since, start_seconds: u32::MAX, probes: probes() }
        }
        TaskTest::Stopping { .. } => TaskTest::Stopping { revision, task, findings },
        TaskTest::ConfirmingStop { .. } => TaskTest::ConfirmingStop { revision, task, findings },
        TaskTest::Deregistering { .. } => TaskTest::Deregistering { revision, task, findings },
        TaskTest::Deleting { .. } => TaskTest::Deleting { revision, task, findings },
        TaskTest::Sealing { .. } => TaskTest::Sealing { task, findings },
        TaskTest::UndoFindingDefinitions { .. } => {
            TaskTest::UndoFindingDefinitions { empty_reads, then_instances, reason }
        }
        TaskTest::UndoStopping { .. } => {
            TaskTest::UndoStopping { revision, empty_reads, then_instances, reason }
        }
        TaskTest::UndoDeregistering { .. } => {
            TaskTest::UndoDeregistering { revision, then_instances, reason }
        }
        TaskTest::UndoDeleting { .. } => TaskTest::UndoDeleting { revision, then_instances, reason },
    }
}

#[test]
fn the_answers_of_20_checks_fit_in_a_token() {
    for (name, state) in states() {
        let Test::Task { task } = state else { panic!("{name}") };
        let length = worst(Test::from(grown(task))).encode().unwrap().len();
        assert!(length <= Token::<()>::MAX, "{name}: {length}");
    }
}

#[test]
fn undo_starts_by_finding_the_definition_unless_everything_is_gone() {
    let reason = Failure::new(FailureKind::JobFailed, "reason");
    for (name, state) in states() {
        let Test::Task { task } = state else { panic!("{name}") };
        let kept = matches!(
            name,
            "task_sealing"
                | "task_undo_finding_definitions"
                | "task_undo_stopping"
                | "task_undo_deregistering"
                | "task_undo_deleting"
        );
        let finding = TaskTest::UndoFindingDefinitions {
            empty_reads: 0,
            then_instances: false,
            reason: reason.clone(),
        };
        let expected = if kept { task.clone() } else { finding };
        let undo = task.clone().undo(reason.clone());
        assert_eq!(undo, expected, "{name}");
        assert_eq!(undo.is_undo(), name != "task_sealing", "{name}");
        assert_eq!(task.is_undo(), kept && name != "task_sealing", "{name}");
    }
}

#[test]
fn a_task_is_up_when_it_runs_and_is_healthy() {
    let serves = wanted(&json!({}));
    let healthy = wanted(&json!({ "health_check": { "command": ["CMD-SHELL", "true"] } }));
    let up = TaskState::Up([10, 0, 1, 2].into());
    let waiting = |what: &str| TaskState::Waiting(what.into());
    let pending = DescribedTask {
        last_status: "PENDING".into(),
        desired_status: "RUNNING".into(),
        ..DescribedTask::default()
    };
    let bare = DescribedTask { address: None, ..running("UNKNOWN") };
    let ended = TaskState::Failed(
        "it stopped: EssentialContainerExited: Essential container in task exited; container app exited with code 3"
            .into(),
    );
    for (task, found, expected) in [
        (&serves, None, waiting("not found yet")),
        (&serves, Some(pending), waiting("pending")),
        (&serves, Some(running("UNKNOWN")), up.clone()),
        (&serves, Some(bare), waiting("running, address unknown")),
        (&healthy, Some(running("UNKNOWN")), waiting("running, health unknown")),
        (&healthy, Some(running("HEALTHY")), up),
        (&healthy, Some(running("UNHEALTHY")), TaskState::Failed("its health check fails".into())),
        (&serves, Some(stopped("DEPROVISIONING", Some(3))), ended),
    ] {
        assert_eq!(task_state(task, found.as_ref()), expected, "{found:?}");
    }
}

#[test]
fn a_job_passes_with_the_expected_exit_code_only() {
    let job = wanted(&json!({ "expect_exit_code": 0 }));
    let stopped_as = "EssentialContainerExited: Essential container in task exited";
    for (found, expected) in [
        (running("UNKNOWN"), TaskState::Waiting("running".into())),
        (stopped("STOPPING", None), TaskState::Waiting("stopping".into())),
        (stopped("STOPPED", Some(0)), TaskState::Completed(0)),
        (
            stopped("STOPPED", Some(2)),
            TaskState::Failed(format!(
                "it must exit with code 0; {stopped_as}; container app exited with code 2"
            )),
        ),
        (stopped("STOPPED", None), TaskState::Failed(format!("it stopped: {stopped_as}"))),
    ] {
        assert_eq!(task_state(&job, Some(&found)), expected, "{found:?}");
    }
}

#[test]
fn a_check_ends_with_the_expected_answer_or_its_timeout() {
    let check = check(&json!({}));
    for (seen, now, expected) in [
        (ProbeAnswer::Expected, 12, Some((2, ProbeAnswer::Expected))),
        (ProbeAnswer::Status(503), 39, None),
        (ProbeAnswer::Status(503), 40, Some((30, ProbeAnswer::Status(503)))),
        (ProbeAnswer::Timeout, 100, Some((90, ProbeAnswer::Timeout))),
    ] {
        let mut probe = Probe { attempts: 1, since: 10, ended: None };
        status::record(&mut probe, &check, seen, now);
        assert_eq!(probe.ended, expected, "{seen:?} at {now}");
    }
    let short = self::check(&json!({ "timeout": "5s" }));
    assert_eq!(
        status::timeout(&short),
        Duration::from_secs(5),
        "a check never takes longer than its timeout"
    );
}

#[test]
fn the_first_result_is_the_task_and_every_failure_names_its_answer() {
    let test: spec::Test = serde_json::from_value(json!({ "start_timeout": "5m", "timeout": "1h",
        "checks": [check(&json!({})), check(&json!({ "name": "again" })), check(&json!({ "name": "last" }))] }))
    .unwrap();
    let probes = vec![
        Probe { attempts: 2, since: 0, ended: Some((4, ProbeAnswer::Expected)) },
        Probe { attempts: 1, since: 0, ended: Some((30, ProbeAnswer::TextMissing)) },
        Probe { attempts: 1, since: 0, ended: None },
    ];
    let results = report::results(&test, &wanted(&json!({})), &TaskFindings::new(21, None, probes));
    let outcomes: Vec<(&str, &CheckOutcome)> =
        results.iter().map(|result| (result.name.as_str(), &result.outcome)).collect();
    let missing = CheckOutcome::Failed("the answer does not contain \"ok\" for 30 s".into());
    assert_eq!(
        outcomes,
        [
            ("task", &CheckOutcome::Passed),
            ("health", &CheckOutcome::Passed),
            ("again", &missing),
            ("last", &CheckOutcome::NotRun)
        ]
    );
    assert!(results[1].is_flaky());
    let failed =
        report::results(&test, &wanted(&json!({})), &TaskFindings::new(9, Some("it stopped"), Vec::new()));
    assert_eq!(failed[0].outcome, CheckOutcome::Failed("it stopped".into()));
    assert!(failed[1..].iter().all(|result| result.outcome == CheckOutcome::NotRun));
    assert!(describe_answer(&check(&json!({})), ProbeAnswer::Status(500)).contains("500, not 200"));
}
