//! The test stage with a container image: one task, requests to its ports, and the removal of everything it created.

use std::collections::BTreeMap;
use std::sync::Arc;

use bakeline::evidence::Stage;
use bakeline::stage::reap::{self, Builds, LeftoverKind};
use bakeline::telemetry::Telemetry;
use bakeline::worker::journal::Journal;
use bakeline_rehearsal::faults::{Fault, FaultPlan, When};
use bakeline_rehearsal::services::codepipeline::{self, ActionStatus};
use bakeline_rehearsal::services::s3;
use bakeline_rehearsal::transcript::Record;
use serde_json::{Value, json};

use crate::crash::{crash_everywhere, report};
use crate::hostile::draft::{payload, unpack};
use crate::reap::dies_when;
use crate::support::{Moment, changed, in_virtual_time, repository, work};
use crate::trail::ask;

const SPEC: &str = "tests/it/fixtures/task/bakeline.yaml";
const GOOD: &str = "build: {duration: 4m}\n";
const CHECKS: &str = "  checks:\n";

/// The release of the fixture with passages of its spec replaced, its image baked under a scenario.
pub fn baked(changes: &[(&str, &str)], scenario: &str) -> Moment {
    Moment::before(&changed(SPEC, &["image/Dockerfile"], changes, scenario), Stage::Test)
}

/// The fixture as a job: without checks.
fn job(scenario: &str) -> Moment {
    let spec = std::fs::read_to_string(repository(SPEC)).unwrap();
    let checks = &spec[spec.find(CHECKS).unwrap()..];
    let health = spec.lines().find(|line| line.contains("health_check:")).unwrap();
    baked(&[(checks, ""), (health, "    command: [bin/migrate, --check]\n    expect_exit_code: 0")], scenario)
}

/// A scenario with a behavior of the container.
fn behaves(how: &str) -> String {
    format!("{GOOD}images: {{baked: {{container: {{{how}}}}}}}\n")
}

/// The result of a test.
struct Tested {
    status: ActionStatus,
    why: String,
    records: Vec<Record>,
    files: BTreeMap<String, Vec<u8>>,
    after: Moment,
}

impl Tested {
    fn statement(&self) -> Value {
        payload(&self.files["statements/02-test.dsse.json"])
    }

    fn text(&self, path: &str) -> String {
        String::from_utf8(self.files[path].clone()).unwrap()
    }

    fn applied(&self, operation: &str) -> Vec<&Record> {
        self.records.iter().filter(|record| record.operation == operation && record.applied).collect()
    }
}

/// The number of tasks that should run, and of task definitions that are not deleted.
fn left(moment: &Moment) -> usize {
    let mut world = moment.world.clone();
    let mut ask = |operation, input| ask(moment, &mut world, "ecs", operation, input);
    let mut left = ask("ListTasks", json!({"cluster": "staging"}))["taskArns"].as_array().unwrap().len();
    for status in ["ACTIVE", "INACTIVE"] {
        let definitions = ask("ListTaskDefinitions", json!({"status": status}));
        left += definitions["taskDefinitionArns"].as_array().unwrap().len();
    }
    left
}

fn test(moment: &Moment) -> Tested {
    test_with(moment, FaultPlan::default())
}

fn test_with(moment: &Moment, faults: FaultPlan) -> Tested {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        cloud.set_faults(faults);
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[Stage::Test], Telemetry::default()).await;
        let status = work(moment, &cloud, &deps, Stage::Test).await;
        let after = moment.now(&cloud);
        let execution = codepipeline::execution(&after.world, &after.provisioned.execution).unwrap();
        let failure = execution.runs.iter().rev().find_map(|run| run.failure.clone());
        let bucket = s3::bucket(&after.world, &after.provisioned.bucket).unwrap();
        let artifact = bucket.objects().find(|(key, _)| key.contains("TestedIma"));
        Tested {
            status,
            why: failure.map(|failure| failure.message).unwrap_or_default(),
            records: cloud.with_transcript(|transcript| transcript.records().to_vec()),
            files: artifact.map(|(_, object)| unpack(&object.body)).unwrap_or_default(),
            after,
        }
    })
}

#[test]
fn a_container_image_is_run_by_its_digest_tested_and_removed() {
    let tested = test(&baked(&[], GOOD));
    assert_eq!(tested.status, ActionStatus::Succeeded, "{}", tested.why);
    let said = tested.statement();
    assert_eq!(said["predicate"]["result"], "PASSED");
    assert_eq!(said["predicate"]["passedTests"], json!(["task", "health", "metrics", "login"]));
    let digest = said["subject"][0]["digest"]["sha256"].as_str().unwrap();
    let registered = tested.applied("RegisterTaskDefinition");
    assert_eq!((registered.len(), tested.applied("RunTask").len()), (1, 1));
    let container = &registered[0].input["containerDefinitions"][0];
    let image = container["image"].as_str().unwrap();
    assert!(image.ends_with(&format!("/team/web@sha256:{digest}")), "{image}");
    // The definition refers to the secret; ECS reads it.
    assert_eq!(container["secrets"], json!([{"name": "TOKEN", "valueFrom": "/web/token"}]));
    let junit = tested.text("reports/test/junit.xml");
    assert!(junit.contains("<testcase classname=\"web\" name=\"task\""), "{junit}");
    let page = tested.text("reports/test/report.html");
    assert!(page.contains("4 of 4 checks passed") && page.contains("on task "), "{page}");
    assert_eq!(left(&tested.after), 0);
}

#[test]
fn a_job_passes_with_the_expected_exit_code_only() {
    for (code, status) in [(0, ActionStatus::Succeeded), (2, ActionStatus::Failed)] {
        let tested =
            test(&job(&behaves(&format!("exits: [{{contains: migrate, exit_code: {code}, after: 90s}}]"))));
        assert_eq!(tested.status, status, "{}", tested.why);
        let told = tested.text("reports/test/checks/task/stdout.txt");
        assert!(told.contains(&format!("exited with code {code}")), "{told}");
        assert_eq!(left(&tested.after), 0);
    }
}

#[test]
fn a_check_that_answers_late_is_flaky() {
    let late = behaves("answers: [{path: /healthz, status: 503, duration: 45s}]");
    let short = ("retries: 1, timeout: 2m", "retries: 1, timeout: 30s");
    let tested = test(&baked(&[short], &late));
    assert_eq!(tested.status, ActionStatus::Succeeded, "{}", tested.why);
    assert_eq!(tested.statement()["predicate"]["warnedTests"], json!(["health"]));
}

/// Without the permission for a call, the test says which one and leaves nothing.
#[test]
fn a_call_that_is_not_allowed_ends_the_test_and_leaves_nothing() {
    for operation in ["RegisterTaskDefinition", "RunTask"] {
        let faults = FaultPlan::default().rule(When::every("ecs", operation), Fault::Deny);
        let tested = test_with(&baked(&[], GOOD), faults);
        assert_eq!(tested.status, ActionStatus::Failed, "{operation}");
        assert!(tested.why.contains(operation), "{operation}: {}", tested.why);
        assert_eq!(left(&tested.after), 0, "{operation}");
    }
}

/// Tests that fail: the behavior of the container, and parts of the message. Everything they created is removed.
#[test]
fn a_failed_test_says_why_and_leaves_nothing() {
    let cases: [(&str, String, &[&str]); 9] = [
        (
            "the image cannot be pulled",
            behaves("pull_error: 'failed to resolve ref web: not found'"),
            &[
                "\"task\" (task) failed: it stopped: TaskFailedToStart: CannotPullContainerError",
                "not run: health",
            ],
        ),
        (
            "it exits at once",
            behaves("exits: [{exit_code: 127}]"),
            &["EssentialContainerExited", "container app exited with code 127"],
        ),
        ("it is unhealthy", behaves("healthy: false"), &["its health check fails"]),
        (
            "it never listens",
            behaves("listens: false"),
            &["\"health\" (http) failed: the port refuses connections"],
        ),
        (
            "it answers an error",
            behaves("answers: [{path: /login, status: 500}]"),
            &["\"login\" (http) failed: the status is 500, not 200 for"],
        ),
        (
            "it answers something else",
            behaves("answers: [{path: /healthz, status: 200, body: starting}]"),
            &["the answer does not contain \"ok\""],
        ),
        (
            "it exits during the test",
            behaves("answers: [{path: /healthz, status: 503}], exits: [{exit_code: 137, after: 30s}]"),
            &["it stopped during the test", "code 137", "not run: health"],
        ),
        (
            "its health is never known",
            behaves("pull: 900s"),
            &["was not up within 300 s of its start; last status: pending"],
        ),
        (
            "there is no capacity",
            format!("{GOOD}aws: {{ecs: {{capacity: none}}}}\n"),
            &["did not start a task of ", "Capacity is unavailable"],
        ),
    ];
    for (name, scenario, words) in &cases {
        let tested = test(&baked(&[], scenario));
        assert_eq!(tested.status, ActionStatus::Failed, "{name}");
        for word in *words {
            assert!(tested.why.contains(word), "{name}: {}", tested.why);
        }
        assert_eq!(left(&tested.after), 0, "{name}");
    }
}

#[test]
fn a_task_that_ecs_lists_late_is_waited_for() {
    let tested = test(&baked(&[], &format!("{GOOD}aws: {{ecs: {{visible_after: 40s}}}}\n")));
    assert_eq!(tested.status, ActionStatus::Succeeded, "{}", tested.why);
    assert_eq!(tested.applied("RunTask").len(), 1);
}

#[test]
fn reap_finds_and_removes_what_a_lost_worker_left() {
    let moment =
        dies_when(&baked(&[], GOOD), Stage::Test, |cloud| crate::unwinding::called(cloud, "RunTask") > 0);
    assert_eq!(left(&moment), 2);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps =
            moment.worker(&cloud, &clock, &Arc::new(Journal::in_memory()), &[], Telemetry::default()).await;
        let mut kinds = Vec::new();
        loop {
            let found = reap::find(&deps.aws, Builds::All).await.unwrap();
            let Some(first) = found.first() else { break };
            assert_eq!(first.run.run_id, moment.provisioned.execution);
            kinds.push(first.kind);
            reap::remove(&deps.aws, first).await.unwrap();
        }
        assert_eq!(
            kinds,
            [LeftoverKind::TestTask, LeftoverKind::TaskDefinition, LeftoverKind::DeregisteredTaskDefinition]
        );
        assert_eq!(left(&moment.now(&cloud)), 0);
    });
}

/// A test that has created something and lost its inputs.
fn without_inputs(scenario: &str, made: &str) -> Moment {
    let mut moment =
        dies_when(&baked(&[], scenario), Stage::Test, |cloud| crate::unwinding::called(cloud, made) > 0);
    let bucket = s3::bucket(&moment.world, &moment.provisioned.bucket).unwrap();
    let input = bucket.objects().find(|(key, _)| key.contains("/BakedImage/")).unwrap().0.to_owned();
    s3::delete(&mut moment.world, &moment.provisioned.bucket, &input);
    moment
}

#[test]
fn a_test_that_loses_its_inputs_removes_what_it_created() {
    let no_capacity = format!("{GOOD}aws: {{ecs: {{capacity: none}}}}\n");
    for (scenario, made, there) in [(no_capacity.as_str(), "RegisterTaskDefinition", 1), (GOOD, "RunTask", 2)]
    {
        let moment = without_inputs(scenario, made);
        assert_eq!(left(&moment), there, "{made}");
        let tested = test(&moment);
        assert_eq!(tested.status, ActionStatus::Failed, "{made}");
        assert_eq!(left(&tested.after), 0, "{made}: {}", tested.why);
    }
}

#[test]
fn every_call_of_the_test_of_a_container_survives_every_fault() {
    let failing = behaves("answers: [{path: /login, status: 500}]");
    let cases = [
        ("task", baked(&[], GOOD)),
        ("task that fails", baked(&[], &failing)),
        ("task without capacity", baked(&[], &format!("{GOOD}aws: {{ecs: {{capacity: none}}}}\n"))),
        ("task without inputs", without_inputs(GOOD, "RunTask")),
        ("job", job(&behaves("exits: [{exit_code: 0, after: 20s}]"))),
    ];
    let mut failures = Vec::new();
    for (name, moment) in cases {
        let (ran, wrong) = crash_everywhere(name, Stage::Test, &moment);
        println!("{name}: {ran} cases, {} of them wrong", wrong.len());
        failures.extend(wrong);
    }
    report(&failures);
}
