//! Stages that act in an environment: which role makes each call, for how long, and which environments are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bakeline::aws::environment::Allow;
use bakeline::aws::{Environment, Environments};
use bakeline::cli::rehearse::Plan;
use bakeline::evidence::Stage;
use bakeline::telemetry::Telemetry;
use bakeline::worker::WorkerDeps;
use bakeline::worker::journal::Journal;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::scenario::Scenario;
use bakeline_rehearsal::services::codepipeline::ActionStatus;
use bakeline_rehearsal::services::sts::{self, Trust};

use crate::support::{Moment, in_virtual_time, repository, work};

const WORKER: &str = "arn:aws:iam::123456789012:role/bakeline-worker";
const STAGING: &str = "arn:aws:iam::123456789012:role/staging";
const PRODUCTION: &str = "arn:aws:iam::123456789012:role/production";

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let place = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}

/// The spec with an environment for some stages: `{STAGE: NAME, …}`.
fn in_environments(spec: &str, environments: &str) -> String {
    let pairs = environments.trim_matches(['{', '}']).split(',').map(str::trim);
    pairs.filter(|pair| !pair.is_empty()).fold(spec.to_owned(), |spec, pair| {
        let (stage, name) = pair.split_once(": ").unwrap();
        let section = format!("\n{stage}:\n");
        assert_eq!(spec.matches(&section).count(), 1, "{stage}");
        spec.replacen(&section, &format!("{section}  environment: {name}\n"), 1)
    })
}

/// The start of the example release, with an environment for stages in its spec: `STAGE: NAME` pairs in braces.
pub fn start(environments: &str) -> Moment {
    let folder = tempfile::tempdir().unwrap();
    copy(&repository("examples/web"), folder.path());
    let spec = folder.path().join("bakeline.yaml");
    let text = std::fs::read_to_string(&spec).unwrap();
    std::fs::write(&spec, in_environments(&text, environments)).unwrap();
    let mut plan = Plan::read(&spec, None).unwrap();
    plan.scenario = Scenario::parse("version: 1", "scenario").unwrap();
    Moment::start(&plan)
}

fn environment(name: &str, role: &str, external_id: &str, pipelines: &[&str]) -> Environment {
    Environment {
        name: name.into(),
        role: role.into(),
        external_id: Some(external_id.into()),
        region: None,
        allow: Allow {
            pipelines: pipelines.iter().map(|name| (*name).to_owned()).collect(),
            stages: Stage::ALL.to_vec(),
        },
    }
}

/// A worker with environments whose roles it may assume.
pub async fn deps(
    moment: &Moment,
    cloud: &Cloud,
    clock: &bakeline::engine::Clock,
    stages: &[Stage],
) -> WorkerDeps {
    cloud.with_world(|world| {
        for (arn, id) in [(STAGING, "four"), (PRODUCTION, "seven")] {
            sts::place_role(world, arn, Trust { principal: WORKER.into(), external_id: Some(id.into()) });
        }
    });
    let journal = Arc::new(Journal::in_memory());
    let mut deps = moment.worker(cloud, clock, &journal, stages, Telemetry::default()).await;
    let mut tests_only = environment("tests-only", STAGING, "four", &["web"]);
    tests_only.allow.stages = vec![Stage::Test];
    deps.environments = Environments::new(vec![
        tests_only,
        environment("staging", STAGING, "four", &["web"]),
        environment("production", PRODUCTION, "seven", &["other", "web"]),
        environment("foreign", PRODUCTION, "seven", &["other"]),
        environment("guessed", PRODUCTION, "eight", &["*"]),
    ]);
    deps
}

#[test]
fn a_release_with_environments_can_be_rehearsed() {
    let folder = tempfile::tempdir().unwrap();
    copy(&repository("examples/web"), folder.path());
    let spec = folder.path().join("bakeline.yaml");
    let text = std::fs::read_to_string(&spec).unwrap();
    std::fs::write(&spec, in_environments(&text, "{promote: production}")).unwrap();
    let mut command = std::process::Command::new(crate::kill::BAKELINE);
    command.arg("rehearse").arg(&spec).arg("--out").arg(folder.path().join("out"));
    let ended = command.output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
}

/// The principals that made the calls, by operation.
fn callers(cloud: &Cloud) -> BTreeMap<String, BTreeSet<String>> {
    let calls: Vec<(String, String)> = cloud.with_transcript(|transcript| {
        let records = transcript.records().iter();
        records.map(|r| (r.operation.clone(), r.access_key.clone().unwrap_or_default())).collect()
    });
    let mut callers: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (operation, key) in calls {
        let who = cloud.with_world(|world| sts::principal(world, &key)).unwrap().arn;
        callers.entry(operation).or_default().insert(who);
    }
    callers
}

#[test]
fn each_stage_acts_in_its_environment_and_signs_as_the_worker() {
    let moment = start("{test: staging, promote: production, cleanup: production}");
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        let deps = deps(&moment, &cloud, &clock, &Stage::ALL).await;
        assert_eq!(work(&moment, &cloud, &deps, Stage::Cleanup).await, ActionStatus::Succeeded);
        let callers = callers(&cloud);
        let by = |operation: &str| -> Vec<&str> {
            callers[operation]
                .iter()
                .map(|who| match who.rsplit_once("/bakeline-") {
                    // A session is named after the stage and the attempt.
                    Some((role, _)) if who.starts_with("arn:aws:sts:") => role,
                    _ => who.as_str(),
                })
                .collect()
        };
        for operation in ["PollForJobs", "AcknowledgeJob", "PutJobSuccessResult", "AssumeRole", "CreateImage"]
        {
            assert_eq!(by(operation), [WORKER], "{operation}");
        }
        assert_eq!(by("Sign"), [WORKER]);
        for (operation, role) in [
            ("RunInstances", "staging"),
            ("SendCommand", "staging"),
            ("TerminateInstances", "staging"),
            ("CreateLaunchTemplateVersion", "production"),
            ("StartInstanceRefresh", "production"),
            ("GetMetricData", "production"),
            ("DeregisterImage", "production"),
        ] {
            let expected = format!("arn:aws:sts::123456789012:assumed-role/{role}");
            assert_eq!(by(operation), [expected], "{operation}");
        }
        let artifacts = callers["PutObject"].iter();
        assert!(
            artifacts.clone().all(|who| who != WORKER
                && !who.contains("/bakeline-test-")
                && !who.contains("/bakeline-promote-")),
            "{artifacts:?}"
        );
        // A promotion of three hours outlasts its sessions: the worker renews them with the same session name.
        let assumed: Vec<(String, bool)> = cloud.with_transcript(|transcript| {
            let records = transcript.records().iter().filter(|record| record.operation == "AssumeRole");
            records.map(|r| (r.input["RoleSessionName"].as_str().unwrap().to_owned(), r.applied)).collect()
        });
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for (session, _) in &assumed {
            *times.entry(session).or_default() += 1;
        }
        assert_eq!(times.len(), 3, "one session name for each action: {times:?}");
        let most = times.values().max().copied().unwrap();
        assert!((3..=6).contains(&most), "{times:?}");
        assert!(assumed.iter().all(|(_, applied)| *applied));
        let expired = cloud.with_transcript(|transcript| {
            transcript
                .records()
                .iter()
                .filter(|r| r.code.as_deref().is_some_and(|c| c.contains("Expired")))
                .count()
        });
        assert_eq!(expired, 0, "an expired session was used");
    });
}

#[test]
fn a_release_cannot_use_an_environment_that_the_worker_does_not_allow() {
    for (alias, said) in [
        ("nobody", "has no environment `nobody`"),
        ("foreign", "the pipeline web may not use the environment `foreign`"),
        ("tests-only", "the stage bake may not use the environment `tests-only`"),
        ("guessed", "not authorized to perform: sts:AssumeRole"),
    ] {
        let moment = start(&format!("{{bake: {alias}}}"));
        in_virtual_time(async {
            let (cloud, clock) = moment.go_on();
            let deps = deps(&moment, &cloud, &clock, &[Stage::Bake]).await;
            assert_eq!(work(&moment, &cloud, &deps, Stage::Bake).await, ActionStatus::Failed, "{alias}");
            let started = cloud.with_transcript(|transcript| {
                transcript.records().iter().any(|record| record.operation == "CreateImage")
            });
            assert!(!started, "{alias}");
            let message = cloud.with_transcript(|transcript| {
                let told =
                    transcript.records().iter().find(|record| record.operation == "PutJobFailureResult");
                told.map(|record| record.input.to_string()).unwrap_or_default()
            });
            assert!(message.contains(said), "{alias}: {message}");
        });
    }
}
