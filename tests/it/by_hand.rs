//! `bakeline run`: one job by hand, which lasts longer than its artifact credentials.

use std::sync::Arc;
use std::time::Duration;

use bakeline::engine::{Job, Outcome};
use bakeline::evidence::Stage;
use bakeline::telemetry::Telemetry;
use bakeline::worker::WorkerDeps;
use bakeline::worker::claim::{self, Claim};
use bakeline::worker::journal::Journal;
use bakeline::worker::run_job::{RunJobError, StateFile, run_job};
use bakeline_rehearsal::cloud::Cloud;

use crate::support::{Moment, example, in_virtual_time};

/// The bake's job, claimed.
async fn claimed(deps: &WorkerDeps) -> Job {
    loop {
        if let Some(offered) = claim::poll(deps, Stage::Bake, 1).await.unwrap().pop() {
            match claim::acknowledge(deps, offered).await.unwrap() {
                Claim::Ours(job) => return *job,
                Claim::Refused { reason, .. } => panic!("{reason}"),
            }
        }
        deps.clock.sleep(Duration::from_secs(5)).await;
    }
}

fn called(cloud: &Cloud, operation: &str) -> usize {
    cloud.with_transcript(|t| t.records().iter().filter(|record| record.operation == operation).count())
}

#[test]
fn a_bake_by_hand_outlives_its_artifact_credentials() {
    let moment = Moment::start(&example("build: {duration: 50m}"));
    in_virtual_time(async {
        let folder = tempfile::tempdir().unwrap();
        let (cloud, clock) = moment.go_on();
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[Stage::Bake], Telemetry::default()).await;
        let job = claimed(&deps).await;
        let state = StateFile::in_folder(folder.path(), &job);
        let outcome = run_job(&deps, job, &state, false).await.unwrap();
        assert!(matches!(outcome, Outcome::Succeeded { .. }), "{outcome:?}");
        assert_eq!(called(&cloud, "CancelImageCreation"), 0);
        assert!(called(&cloud, "GetJobDetails") > 5);
    });
}

#[test]
fn a_job_that_codepipeline_does_not_know_is_refused_before_it_starts() {
    let moment = Moment::start(&example("build: {duration: 4m}"));
    in_virtual_time(async {
        let folder = tempfile::tempdir().unwrap();
        let (cloud, clock) = moment.go_on();
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[Stage::Bake], Telemetry::default()).await;
        let job = claimed(&deps).await;
        let unknown = Job { id: "8d3f6a52-1c0e-4b7f-9a64-2f5f0c1d7e11".into(), ..job.clone() };
        let state = StateFile::in_folder(folder.path(), &unknown);
        let error = run_job(&deps, unknown, &state, false).await.unwrap_err();
        assert!(matches!(&error, RunJobError::UnknownJob { .. }), "{error}");
        assert_eq!(called(&cloud, "CreateImage"), 0);
        assert_eq!(called(&cloud, "CreateComponent"), 0);
    });
}
