//! A stage that is given something bad, run by the worker's own code to its end, and what came of it.

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

/// The artifact that a stage is about to read.
#[derive(Clone)]
pub struct Waiting {
    pub stage: Stage,
    pub moment: Moment,
    pub bucket: String,
    pub key: String,
    pub body: Vec<u8>,
    /// The action execution that will read it.
    pub reader: String,
}

/// What came of a job.
#[derive(Debug)]
pub struct Refusal {
    pub kind: String,
    pub message: String,
}

impl Waiting {
    /// Every stage with its job waiting, on a short release.
    pub fn everywhere() -> &'static [Self] {
        static EVERYWHERE: OnceLock<Vec<Waiting>> = OnceLock::new();
        EVERYWHERE.get_or_init(|| {
            let release = plan("tests/it/fixtures/crash/bakeline.yaml", "build: {minutes: 4}\n");
            Moment::before_each_stage(&release)
                .iter()
                .map(|(stage, moment)| Self::at(*stage, moment))
                .collect()
        })
    }

    /// The stages that read what another one handed over.
    pub fn for_hand_overs() -> impl Iterator<Item = &'static Self> {
        Self::everywhere().iter().filter(|waiting| waiting.stage != Stage::Bake)
    }

    fn at(stage: Stage, moment: &Moment) -> Self {
        in_virtual_time(async {
            let (cloud, clock) = moment.go_on();
            loop {
                let found = cloud.with_world(|world| {
                    let execution = codepipeline::execution(world, &moment.founded.execution)?;
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

    /// How a message calls the artifact.
    pub fn place(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }

    /// The artifact with its statements changed and signed again, and the time at which it is read.
    pub fn redrafted(&self, change: impl FnOnce(&mut Draft)) -> (Vec<u8>, Duration) {
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

    /// Puts `body` in the artifact's place and runs the stage. `trust` is believed instead of the worker's own root.
    pub fn refuse(&self, body: Vec<u8>, later: Duration, trust: Option<TrustRoot>) -> Refusal {
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
                let signer = bakeline::evidence::Signer::kms(&deps.aws.kms, &moment.founded.signing_key)
                    .await
                    .unwrap();
                deps.authority = Arc::new(Authority { signer, trust });
            }
            if work(&moment, &cloud, &deps, self.stage).await == ActionStatus::Succeeded {
                return Refusal::none("it was taken for good");
            }
            assert!(deps.journal.jobs().await.unwrap().is_empty(), "the job is not struck from the journal");
            refusal(&cloud)
        })
    }
}

/// The one failure that CodePipeline was told; none, if nothing or more was told, or something was changed in AWS.
pub fn refusal(cloud: &Cloud) -> Refusal {
    cloud.with_transcript(|transcript| {
        let applied = || transcript.records().iter().filter(|record| record.applied && record.mutating);
        let harmless = ["AcknowledgeJob", "PutJobFailureResult"];
        let changed: Vec<String> = applied()
            .filter(|record| !harmless.contains(&record.operation.as_str()))
            .map(|record| format!("{}:{} {}", record.service, record.operation, record.input))
            .collect();
        if !changed.is_empty() {
            return Refusal::none(&format!("changed in AWS: {changed:?}"));
        }
        let told: Vec<_> = applied().filter(|record| record.operation == "PutJobFailureResult").collect();
        let [told] = told[..] else {
            return Refusal::none(&format!("{} failures were reported", told.len()));
        };
        let text = |member: &str| told.input["failureDetails"][member].as_str().unwrap().to_owned();
        Refusal { kind: text("type"), message: text("message") }
    })
}

impl Refusal {
    fn none(why: &str) -> Self {
        Self { kind: "no refusal".into(), message: why.into() }
    }

    /// What is not as it should be.
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
