//! Continuation tokens of another job, of another version or malformed.

use std::time::Duration;

use bakeline::engine::Job;
use bakeline::worker::claim::{self, Claim};
use bakeline::worker::{WorkerDeps, run_once};
use serde_json::{Value, json};

use super::refusal::{PendingJob, Refusal, refusal};
use crate::support::{in_virtual_time, repository};

/// The golden tokens of a stage, by file name.
fn golden(stage: &str) -> Vec<(String, String)> {
    let mut tokens = Vec::new();
    for file in std::fs::read_dir(repository(&format!("tests/golden/tokens/2/{stage}"))).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        tokens.push((name, std::fs::read_to_string(path).unwrap().trim_end().to_owned()));
    }
    tokens.sort();
    tokens
}

/// Claims the pending job.
async fn claimed(deps: &WorkerDeps, pending: &PendingJob) -> Job {
    let offered = claim::poll(deps, pending.stage, 1).await.unwrap().remove(0);
    assert_eq!(offered.key.attempt_id, pending.reader);
    match claim::acknowledge(deps, offered).await.unwrap() {
        Claim::Ours(job) => *job,
        Claim::Refused { reason, .. } => panic!("{reason}"),
    }
}

/// Runs the pending job with another token. Returns the failure and the virtual time it took.
fn run(pending: &PendingJob, token: &str) -> (Refusal, Duration) {
    in_virtual_time(async {
        let (cloud, clock) = pending.moment.go_on();
        let deps = pending.worker(&cloud, &clock).await;
        let job = claimed(&deps, pending).await;
        let began = clock.now();
        run_once::run(&deps, Job { continuation_token: Some(token.to_owned()), ..job }).await.unwrap();
        (refusal(&cloud), clock.now().since(began))
    })
}

#[test]
fn an_invalid_token_is_refused_and_changes_nothing() {
    let (mut ran, mut wrong) = (0, Vec::new());
    for pending in PendingJob::of_each_stage() {
        let stage = pending.stage.name();
        let (_, sample) = golden(stage).remove(0);
        let sample: Value = serde_json::from_str(&sample).unwrap();
        let with = |member: &str, value: Value| {
            let mut token = sample.clone();
            token["execution"] = json!(pending.reader);
            token[member] = value;
            token.to_string()
        };
        let mut cases: Vec<(String, String, String)> = golden(stage)
            .into_iter()
            .map(|(rests, token)| {
                let says = format!(
                    "belongs to action execution 1f0c2d3e-0000-4000-8000-000000000001, the job to {}",
                    pending.reader
                );
                (format!("another execution's, {rests}"), token, says)
            })
            .collect();
        for other in ["bake", "test", "promote", "cleanup"].into_iter().filter(|other| *other != stage) {
            let (rests, token) =
                golden(other).into_iter().find(|(rests, _)| rests != "start" && rests != "sealing").unwrap();
            let token = token.replace("1f0c2d3e-0000-4000-8000-000000000001", &pending.reader);
            cases.push((
                format!("another stage's, {other} {rests}"),
                token,
                "is not a token of bakeline (byte ".into(),
            ));
        }
        let mut unending = sample.clone();
        unending["not_before"] = json!(i64::MAX);
        let version = |found| format!("has version {found}; this build reads version 2");
        let not_ours = || "is not a token of bakeline (byte ".to_owned();
        let long = with("state", json!("x".repeat(2048)));
        let length = format!("has {} bytes; CodePipeline accepts at most 2048", long.len());
        for (name, token, says) in [
            ("due at the end of time", unending.to_string(), "belongs to action execution".to_owned()),
            ("of version 1", with("v", json!(1)), version("1")),
            ("of version 0", with("v", json!(0)), version("0")),
            ("of a version too large", with("v", json!(u64::MAX)), version("18446744073709551615")),
            ("too long", long, length),
            ("empty", String::new(), not_ours()),
            ("garbage", "arn:aws:states:eu-west-1:1:execution:x".into(), not_ours()),
            ("null", "null".into(), not_ours()),
            ("deeply nested", "[".repeat(2000), not_ours()),
            ("cut short", sample.to_string()[..100].into(), not_ours()),
            ("without a state", with("state", json!(null)), not_ours()),
            ("in an unknown state", with("state", json!({"at": "flying"})), not_ours()),
            ("with a member more", with("extra", json!(1)), not_ours()),
            ("with a negative count", with("slices", json!(-1)), not_ours()),
            ("with a date too large", with("deadline", json!(u64::MAX)), not_ours()),
        ] {
            cases.push((name.to_owned(), token, says));
        }
        for (name, token, says) in cases {
            let name = format!("{stage}, a token {name}");
            let (refusal, took) = run(pending, &token);
            wrong.extend(refusal.differences(
                &name,
                "ConfigurationError",
                &["the continuation token", &says],
            ));
            if took > Duration::from_mins(1) {
                wrong.push(format!("{name}: took {took:?}"));
            }
            ran += 1;
        }
    }
    println!("{ran} tokens were refused");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// While a deployment replaces the workers, two versions run at the same time.
#[test]
fn a_job_of_a_newer_worker_is_left_to_it_and_does_not_fail() {
    for pending in PendingJob::of_each_stage() {
        let stage = pending.stage.name();
        let (_, sample) = golden(stage).remove(0);
        let mut newer: Value = serde_json::from_str(&sample).unwrap();
        newer["v"] = json!(3);
        newer["execution"] = json!(pending.reader);
        newer["state"] = json!({ "at": "a state of the future" });
        let newer = newer.to_string();
        in_virtual_time(async {
            let (cloud, clock) = pending.moment.go_on();
            let deps = pending.worker(&cloud, &clock).await;
            let job = claimed(&deps, pending).await;
            // A job that an older worker finds in a journal it took over.
            run_once::run(&deps, Job { continuation_token: Some(newer.clone()), ..job }).await.unwrap();
            let sent = |operation: &str| {
                cloud.with_transcript(|transcript| {
                    let calls = transcript.records().iter().filter(|record| record.operation == operation);
                    calls.map(|record| record.input.clone()).collect::<Vec<_>>()
                })
            };
            let tokens = sent("PutJobSuccessResult");
            assert_eq!(tokens.len(), 1, "{stage}");
            assert_eq!(tokens[0]["continuationToken"], newer.as_str(), "{stage}");
            let claims = sent("AcknowledgeJob").len();
            // CodePipeline offers it again, and the older worker does not claim it.
            for _ in 0..20 {
                clock.sleep(Duration::from_secs(30)).await;
                assert_eq!(run_once::run_once(&deps).await.unwrap(), 0, "{stage}");
            }
            assert_eq!(sent("AcknowledgeJob").len(), claims, "{stage}");
            assert!(sent("PutJobFailureResult").is_empty(), "{stage}");
            assert!(sent("PollForJobs").len() >= 20, "{stage}");
        });
    }
}

#[test]
fn a_job_of_another_action_type_fails_and_changes_nothing() {
    let pending = &PendingJob::of_each_stage()[0];
    for (category, provider, version) in
        [("Build", "BakelineBake", "2"), ("Build", "Other", "1"), ("Test", "BakelineBake", "1")]
    {
        let refusal = in_virtual_time(async {
            let (cloud, clock) = pending.moment.go_on();
            let deps = pending.worker(&cloud, &clock).await;
            let mut job = claimed(&deps, pending).await;
            job.action_type = bakeline::engine::job::ActionType {
                category: category.into(),
                provider: provider.into(),
                version: version.into(),
            };
            run_once::run(&deps, job).await.unwrap();
            refusal(&cloud)
        });
        let says = format!("the action type of the job is {category} {provider} {version}");
        let wrong = refusal.differences(provider, "ConfigurationError", &[&says]);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
fn a_job_without_artifacts_fails_and_changes_nothing() {
    for pending in PendingJob::of_each_stage() {
        let refusal = in_virtual_time(async {
            let (cloud, clock) = pending.moment.go_on();
            let deps = pending.worker(&cloud, &clock).await;
            let job = claimed(&deps, pending).await;
            run_once::run(&deps, Job { inputs: Vec::new(), ..job }).await.unwrap();
            refusal(&cloud)
        });
        let wrong = refusal.differences(pending.stage.name(), "ConfigurationError", &["no input artifact"]);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
fn a_wrong_path_of_the_spec_is_refused_with_the_property_that_has_it() {
    let pending = &PendingJob::of_each_stage()[0];
    for (value, says) in [
        ("../bakeline.yaml", "the property `Spec` of the action's configuration is \"../bakeline.yaml\""),
        ("/bakeline.yaml", "the property `Spec` of the action's configuration is \"/bakeline.yaml\""),
        (
            "deploy/bakeline.yaml",
            "no file `deploy/bakeline.yaml`, the release spec, which the property `Spec` of the action's",
        ),
    ] {
        let refusal = in_virtual_time(async {
            let (cloud, clock) = pending.moment.go_on();
            let deps = pending.worker(&cloud, &clock).await;
            let job = claimed(&deps, pending).await;
            let configuration = [("Spec".to_owned(), value.to_owned())].into_iter().collect();
            run_once::run(&deps, Job { configuration, ..job }).await.unwrap();
            refusal(&cloud)
        });
        let wrong = refusal.differences(value, "ConfigurationError", &[says]);
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[test]
fn a_job_that_uses_reserved_properties_or_artifacts_fails_and_changes_nothing() {
    use bakeline::worker::action::{OPTIONS, PART};
    fn set(property: &str) -> bakeline::engine::job::Configuration {
        [(property.to_owned(), "eu".to_owned())].into_iter().collect()
    }
    for pending in PendingJob::of_each_stage() {
        let run_as = |change: fn(Job) -> Job| {
            in_virtual_time(async {
                let (cloud, clock) = pending.moment.go_on();
                let deps = pending.worker(&cloud, &clock).await;
                let job = claimed(&deps, pending).await;
                run_once::run(&deps, change(job)).await.unwrap();
                refusal(&cloud)
            })
        };
        for (change, says) in [
            ((|job| Job { configuration: set(PART), ..job }) as fn(Job) -> Job, "property Part is reserved"),
            (|job| Job { configuration: set(OPTIONS), ..job }, "property Options is reserved"),
            (
                |job| {
                    let inputs = [job.inputs.clone(), job.inputs.clone()].concat();
                    Job { inputs, ..job }
                },
                "2 input artifacts",
            ),
        ] {
            let wrong = run_as(change).differences(says, "ConfigurationError", &[says]);
            assert!(wrong.is_empty(), "{}: {wrong:#?}", pending.stage);
        }
    }
}
