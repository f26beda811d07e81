//! Each step of every stage runs twice in a row from the same state, as when a worker dies before it has told what the
//! first one came to: the world must be as if it had run once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bakeline::engine::{Failure, Machine, StageError, Step, Timestamp};
use bakeline::evidence::Stage;
use bakeline::stage::bake::Bake;
use bakeline::stage::cleanup::Cleanup;
use bakeline::stage::promote::Promote;
use bakeline::stage::test::Test;
use bakeline::stage::{Cx, StageMachine};
use bakeline::telemetry::Telemetry;
use bakeline::worker::journal::Journal;
use bakeline::worker::service::{Runner, Service, Settings, Stop, stages};
use bakeline::worker::slice::attempt_as;
use bakeline_rehearsal::services::codepipeline::ActionStatus;
use bakeline_rehearsal::transcript::Record;
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::crash::{SHORT, applied_twice, backward, differences};
use crate::support::{Moment, in_virtual_time, plan};
use crate::trail::{Trail, trail};

/// A machine each of whose steps runs twice. What the first one came to is forgotten, an error included.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Twice<M>(M);

/// First runs so far, over all machines of this test binary.
static FORGOTTEN: AtomicU32 = AtomicU32::new(0);

impl<M: Machine> Machine for Twice<M> {
    type Inputs = M::Inputs;
    type Context = M::Context;

    fn start(inputs: &M::Inputs) -> Self {
        Self(M::start(inputs))
    }

    fn timeout(inputs: &M::Inputs) -> Duration {
        M::timeout(inputs)
    }

    fn unwind(self, why: Failure) -> Self {
        Self(self.0.unwind(why))
    }

    fn is_unwinding(&self) -> bool {
        self.0.is_unwinding()
    }

    fn unwinding_grace(&self) -> Duration {
        self.0.unwinding_grace()
    }

    async fn step(self, inputs: &M::Inputs, context: &M::Context) -> Result<Step<Self>, StageError> {
        let _ = self.0.clone().step(inputs, context).await;
        FORGOTTEN.fetch_add(1, Ordering::Relaxed);
        Ok(both(self.0.step(inputs, context).await?))
    }
}

fn both<M>(step: Step<M>) -> Step<Twice<M>> {
    match step {
        Step::Next(state) => Step::Next(Twice(state)),
        Step::Wait { state, again_in, progress } => Step::Wait { state: Twice(state), again_in, progress },
        Step::Done(outcome) => Step::Done(outcome),
    }
}

impl<M: StageMachine> StageMachine for Twice<M> {
    const STAGE: Stage = M::STAGE;

    async fn load(cx: &mut Cx, at: Timestamp) -> Result<M::Inputs, StageError> {
        M::load(cx, at).await
    }

    fn recover_lost_first_slice(why: Failure) -> Option<Self> {
        M::recover_lost_first_slice(why).map(Self)
    }

    async fn unwind_without_inputs(self, cx: &Cx) -> Result<Step<Self>, StageError> {
        let _ = self.0.clone().unwind_without_inputs(cx).await;
        Ok(both(self.0.unwind_without_inputs(cx).await?))
    }
}

/// The four stages, each step twice.
fn doubled() -> Runner {
    Arc::new(|stage, cx| {
        async move {
            match stage {
                Stage::Bake => attempt_as::<Twice<Bake>>(&cx).await,
                Stage::Test => attempt_as::<Twice<Test>>(&cx).await,
                Stage::Promote => attempt_as::<Twice<Promote>>(&cx).await,
                Stage::Cleanup => attempt_as::<Twice<Cleanup>>(&cx).await,
            }
        }
        .boxed()
    })
}

/// Runs one stage to its end.
fn run(moment: &Moment, stage: Stage, runner: Runner) -> (Option<ActionStatus>, Trail, Vec<Record>) {
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        clock.sleep(Duration::from_secs(5)).await;
        let journal = Arc::new(Journal::in_memory());
        let deps = moment.worker(&cloud, &clock, &journal, &[stage], Telemetry::default()).await;
        let settings = Settings { drain: true, ..Settings::default() };
        let (_stop, told) = watch::channel(Stop::No);
        Service::with_runner(deps, settings, runner).run(told).await.unwrap();
        clock.sleep(Duration::from_mins(10)).await;
        let (status, trail) = cloud.with_world(|world| (moment.action(world, stage), trail(moment, world)));
        (status, trail, cloud.with_transcript(|transcript| transcript.records().to_vec()))
    })
}

fn as_if_once(name: &str, stage: Stage, moment: &Moment) {
    let (expected, expected_trail, _) = run(moment, stage, stages());
    let before = FORGOTTEN.load(Ordering::Relaxed);
    let (status, trail, records) = run(moment, stage, doubled());
    assert!(FORGOTTEN.load(Ordering::Relaxed) > before + 1, "{name}: no step ran twice");
    assert!(expected.is_some_and(|expected| expected != ActionStatus::InProgress), "{name}: {expected:?}");
    assert_eq!(status, expected, "{name}");
    assert_eq!(differences(&expected_trail, &trail), Vec::<String>::new(), "{name}");
    assert_eq!(applied_twice(&records), Vec::<String>::new(), "{name}");
}

#[test]
fn every_step_run_twice_is_as_if_run_once() {
    let release = plan("tests/it/fixtures/crash/bakeline.yaml", SHORT);
    for (stage, moment) in Moment::before_each_stage(&release) {
        as_if_once(stage.name(), stage, &moment);
    }
}

#[test]
fn every_step_of_the_test_of_a_container_run_twice_is_as_if_run_once() {
    as_if_once("task", Stage::Test, &crate::tasks::baked(&[], SHORT));
}

#[test]
fn every_step_on_the_way_back_run_twice_is_as_if_run_once() {
    for (stage, moment) in backward() {
        as_if_once(&format!("{stage} on its way back"), stage, &moment);
    }
}

#[test]
fn every_step_of_waves_run_twice_is_as_if_run_once() {
    let release = plan(crate::promote::waves::SPEC, SHORT);
    let mut moment = Moment::before(&release, Stage::Promote);
    as_if_once("waves", Stage::Promote, &moment);
    crate::promote::waves::unfit(&mut moment);
    as_if_once("waves taken back", Stage::Promote, &moment);
}

/// An image whose instances answer one request in five with an error.
const BAD: &str = "images: {baked: {instance: {error_rate: 0.2}}}\n";

#[test]
fn every_step_of_a_canary_run_twice_is_as_if_run_once() {
    let before = |scenario: &str| {
        let release = plan("tests/it/fixtures/trial/bakeline.yaml", &format!("{SHORT}{scenario}"));
        Moment::before(&release, Stage::Promote)
    };
    as_if_once("canary", Stage::Promote, &before(""));
    as_if_once("canary that fails", Stage::Promote, &before(BAD));
}

#[test]
fn every_step_of_blue_green_run_twice_is_as_if_run_once() {
    let before = |scenario: &str| {
        let release = plan(crate::promote::blue_green::SPEC, &format!("{SHORT}{scenario}"));
        Moment::before(&release, Stage::Promote)
    };
    as_if_once("blue/green", Stage::Promote, &before(""));
    as_if_once("blue/green that fails", Stage::Promote, &before(BAD));
}
