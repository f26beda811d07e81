//! Runs a stage with an invalid input by the worker's own code, and reads the failure that CodePipeline received.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bakeline::evidence::{Stage, TrustRoot};
use bakeline::stage::Authority;
use bakeline::telemetry::Telemetry;
use bakeline::worker::journal::Journal;
use bakeline::worker::{WorkerDeps, action};
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::services::codepipeline::{self, ActionStatus};
use bakeline_rehearsal::services::s3;
use bakeline_rehearsal::time::Time;

use super::draft::Draft;
use crate::support::{Moment, in_virtual_time, plan, work};

/// A job that a stage is about to run, with its input artifact.
#[derive(Clone)]
pub struct PendingJob {
    pub stage: Stage,
    pub moment: Moment,
    pub bucket: String,
    pub key: String,
    pub body: Vec<u8>,
    /// The action execution that will read it.
    pub reader: String,
}

/// The failure that CodePipeline received.
#[derive(Debug)]
pub struct Refusal {
    pub kind: String,
    pub message: String,
}

impl PendingJob {
    /// The pending job of each stage of a short release.
    pub fn of_each_stage() -> &'static [Self] {
        static JOBS_OF_STAGES: OnceLock<Vec<PendingJob>> = OnceLock::new();
        JOBS_OF_STAGES.get_or_init(|| {
            let release = plan("tests/it/fixtures/crash/bakeline.yaml", "build: {duration: 4m}\n");
            Moment::before_each_stage(&release)
                .iter()
                .map(|(stage, moment)| Self::at(*stage, moment))
                .collect()
        })
    }

    /// The pending jobs of the stages that read the artifact of another stage.
    pub fn after_bake() -> impl Iterator<Item = &'static Self> {
        Self::of_each_stage().iter().filter(|pending| pending.stage != Stage::Bake)
    }

    fn at(stage: Stage, moment: &Moment) -> Self {
        in_virtual_time(async {
            let (cloud, clock) = moment.go_on();
            loop {
                let found = cloud.with_world(|world| {
                    let execution = codepipeline::execution(world, &moment.provisioned.execution)?;
                    let waits = |run: &&codepipeline::ActionRun| {
                        run.type_id.category == action::category(stage)
                            && run.status == ActionStatus::InProgress
                    };
                    let run = execution.runs.iter().find(waits)?;
                    let input = run.inputs.first()?;
                    let body = s3::get(world, &input.bucket, &input.key)?.body.to_vec();
                    Some((input.bucket.clone(), input.key.clone(), body, run.id.clone()))
                });
                if let Some((bucket, key, body, reader)) = found {
                    return Self { stage, moment: moment.now(&cloud), bucket, key, body, reader };
                }
                clock.sleep(Duration::from_secs(1)).await;
            }
        })
    }

    /// The artifact as error messages name it.
    pub fn uri(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// The artifact with changed statements, signed again, and the time that passes before it is read.
    pub fn with_chain(&self, change: impl FnOnce(&mut Draft)) -> (Vec<u8>, Duration) {
        in_virtual_time(async {
            let (cloud, clock) = self.moment.go_on();
            let deps = self.worker(&cloud, &clock).await;
            let mut draft = Draft::of(&self.body, &self.reader);
            change(&mut draft);
            let later = draft.later;
            (draft.seal(&deps.authority.signer).await, later)
        })
    }

    pub async fn worker(&self, cloud: &Cloud, clock: &bakeline::engine::Clock) -> WorkerDeps {
        let journal = Arc::new(Journal::in_memory());
        self.moment.worker(cloud, clock, &journal, &[self.stage], Telemetry::default()).await
    }

    /// Replaces the artifact with `body` and runs the stage. `trust` replaces the worker's trust root.
    pub fn run(&self, body: Vec<u8>, later: Duration, trust: Option<TrustRoot>) -> Refusal {
        in_virtual_time(async {
            let mut moment = self.moment.clone();
            moment.now = Time(moment.now.0 + i64::try_from(later.as_millis()).unwrap());
            let (cloud, clock) = moment.go_on();
            let encryption = s3::Encryption::default();
            cloud
                .with_world(|world| s3::put(world, &self.bucket, &self.key, body.into(), encryption))
                .unwrap();
            let mut deps = self.worker(&cloud, &clock).await;
            if let Some(trust) = trust {
                let signer = bakeline::evidence::Signer::kms(&deps.aws.kms, &moment.provisioned.signing_key)
                    .await
                    .unwrap();
                deps.authority = Arc::new(Authority { signer, trust });
            }
            if work(&moment, &cloud, &deps, self.stage).await == ActionStatus::Succeeded {
                return Refusal::none("the stage succeeded");
            }
            assert!(deps.journal.jobs().await.unwrap().is_empty(), "the job is still in the journal");
            refusal(&cloud)
        })
    }
}

/// The one failure that CodePipeline received. `no refusal` if it received none or several, or if AWS was changed.
pub fn refusal(cloud: &Cloud) -> Refusal {
    cloud.with_transcript(|transcript| {
        let applied = || transcript.records().iter().filter(|record| record.applied && record.mutating);
        let allowed = ["AcknowledgeJob", "PutJobFailureResult"];
        let changed: Vec<String> = applied()
            .filter(|record| !allowed.contains(&record.operation.as_str()))
            .map(|record| format!("{}:{} {}", record.service, record.operation, record.input))
            .collect();
        if !changed.is_empty() {
            return Refusal::none(&format!("changed in AWS: {changed:?}"));
        }
        let failures: Vec<_> = applied().filter(|record| record.operation == "PutJobFailureResult").collect();
        let [failure] = failures[..] else {
            return Refusal::none(&format!("{} failures were reported", failures.len()));
        };
        let text = |member: &str| failure.input["failureDetails"][member].as_str().unwrap().to_owned();
        Refusal { kind: text("type"), message: text("message") }
    })
}

impl Refusal {
    fn none(why: &str) -> Self {
        Self { kind: "no refusal".into(), message: why.into() }
    }

    /// The differences from the expected failure, one line each.
    pub fn differences(&self, name: &str, kind: &str, says: &[&str]) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.kind != kind {
            wrong.push(format!("{name}: is {} instead of {kind}: {}", self.kind, self.message));
        }
        for part in says.iter().filter(|part| !self.message.contains(**part)) {
            wrong.push(format!("{name}: does not say {part:?}: {}", self.message));
        }
        for defect in ["defect in bakeline", "panicked"] {
            if self.message.contains(defect) {
                wrong.push(format!("{name}: {}", self.message));
            }
        }
        wrong
    }
}
