//! The suite itself: it knows no target.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bakeline::engine::{Failure, FailureKind, Machine, StageError, Step, Timestamp};
use bakeline::evidence::Stage;
use bakeline::stage::promote::target::DeploymentTarget;
use bakeline::stage::promote::{Inputs, Promote};
use bakeline::stage::{Cx, StageMachine};
use bakeline::telemetry::Telemetry;
use bakeline::worker::journal::Journal;
use bakeline::worker::service::{Runner, Service, Settings, Stop};
use bakeline::worker::slice::attempt_as;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::faults::{Fault, FaultPlan, When};
use bakeline_rehearsal::services::codepipeline::ActionStatus;
use bakeline_rehearsal::transcript::Record;
use bakeline_rehearsal::world::World;
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::crash::{applied_twice, differences, faults};
use crate::promote::artifact;
use crate::support::{Moment, in_virtual_time};
use crate::trail::{Trail, trail};

/// The most characters of a continuation token that CodePipeline takes.
const MAX_TOKEN: usize = 2048;

/// Units of a target that run the old and the new version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    pub old: usize,
    pub new: usize,
}

type OfWorld<T> = fn(&Moment, &mut World) -> T;

/// A target under test.
pub struct Target {
    pub name: &'static str,
    /// The promote job of a good release waits.
    pub before: Moment,
    /// Whether the target runs the new version on some of its units.
    pub is_under_way: OfWorld<bool>,
    /// What someone else does then, such that the promotion must not succeed.
    pub interfere: OfWorld<()>,
    pub versions: OfWorld<Versions>,
    /// The most cases of the crash test, unless `BAKELINE_TEST_CRASH=all`; they are spread over all calls and faults.
    pub cases: usize,
}

/// How a machine is stepped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Once,
    /// Each step runs twice; the result of the first run is dropped.
    Twice,
    /// The step with this number unwinds instead.
    AbandonAt(u32),
}

/// A promotion to `D`, stepped in a mode that the context carries in the number of steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "D: DeploymentTarget")]
struct Stepped<D, const TWICE: bool> {
    steps: u32,
    state: Promote<D>,
}

thread_local! {
    /// The number of the step that unwinds, on this thread's runtime.
    static ABANDON_AT: std::cell::Cell<Option<u32>> = const { std::cell::Cell::new(None) };
}

impl<D: DeploymentTarget, const TWICE: bool> Stepped<D, TWICE> {
    fn after(step: Step<Promote<D>>, steps: u32) -> Step<Self> {
        match step {
            Step::Next(state) => Step::Next(Self { steps, state }),
            Step::Wait { state, again_in, progress } => {
                Step::Wait { state: Self { steps, state }, again_in, progress }
            }
            Step::Done(outcome) => Step::Done(outcome),
        }
    }
}

impl<D: DeploymentTarget, const TWICE: bool> Machine for Stepped<D, TWICE> {
    type Inputs = Inputs;
    type Context = Cx;

    fn start(inputs: &Inputs) -> Self {
        Self { steps: 0, state: Promote::start(inputs) }
    }

    fn timeout(inputs: &Inputs) -> Duration {
        Promote::<D>::timeout(inputs)
    }

    fn unwind(self, why: Failure) -> Self {
        Self { state: self.state.unwind(why), ..self }
    }

    fn is_unwinding(&self) -> bool {
        self.state.is_unwinding()
    }

    fn unwinding_grace(&self) -> Duration {
        self.state.unwinding_grace()
    }

    async fn step(self, inputs: &Inputs, cx: &Cx) -> Result<Step<Self>, StageError> {
        let steps = self.steps + 1;
        if ABANDON_AT.get() == Some(self.steps) && !self.state.is_unwinding() {
            let why = Failure::new(FailureKind::JobFailed, "abandoned by the test");
            return Ok(Step::Next(Self { steps, state: self.state.unwind(why) }));
        }
        if TWICE {
            let _ = self.state.clone().step(inputs, cx).await;
        }
        Ok(Self::after(self.state.step(inputs, cx).await?, steps))
    }
}

impl<D: DeploymentTarget, const TWICE: bool> StageMachine for Stepped<D, TWICE> {
    const STAGE: Stage = Stage::Promote;

    async fn load(cx: &mut Cx, at: Timestamp) -> Result<Inputs, StageError> {
        Promote::<D>::load(cx, at).await
    }

    fn recover_lost_first_slice(why: Failure) -> Option<Self> {
        Promote::recover_lost_first_slice(why).map(|state| Self { steps: 0, state })
    }

    async fn unwind_without_inputs(self, cx: &Cx) -> Result<Step<Self>, StageError> {
        let steps = self.steps + 1;
        Ok(Self::after(self.state.unwind_without_inputs(cx).await?, steps))
    }
}

fn runner<D: DeploymentTarget + 'static>(mode: Mode) -> Runner {
    Arc::new(move |_, cx| {
        async move {
            ABANDON_AT.set(match mode {
                Mode::AbandonAt(step) => Some(step),
                Mode::Once | Mode::Twice => None,
            });
            match mode {
                Mode::Twice => attempt_as::<Stepped<D, true>>(&cx).await,
                Mode::Once | Mode::AbandonAt(_) => attempt_as::<Stepped<D, false>>(&cx).await,
            }
        }
        .boxed()
    })
}

/// What happens while the promotion is under way.
enum Meanwhile<'t> {
    Nothing,
    Faults(FaultPlan),
    /// Someone else changes the target.
    Interfere(&'t Target),
    /// No worker runs for two days.
    NoWorker(&'t Target),
}

/// How a promotion ended.
struct End {
    status: Option<ActionStatus>,
    trail: Trail,
    records: Vec<Record>,
    versions: Versions,
    outcome: String,
    steps: u32,
}

/// A promotion that has not ended after this time never does.
const LONGEST: Duration = Duration::from_hours(96);

fn called(cloud: &Cloud) -> usize {
    cloud.with_transcript(|transcript| transcript.records().len())
}

fn run<D: DeploymentTarget + 'static>(target: &Target, mode: Mode, meanwhile: Meanwhile<'_>) -> End {
    let moment = &target.before;
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        clock.sleep(Duration::from_secs(5)).await;
        let journal = Arc::new(Journal::in_memory());
        let first = called(&cloud);
        let began = clock.now();
        let (mut plan, mut happens) = (None, None);
        match meanwhile {
            Meanwhile::Nothing => {}
            Meanwhile::Faults(faults) => plan = Some(faults),
            Meanwhile::Interfere(target) => happens = Some((target, false)),
            Meanwhile::NoWorker(target) => happens = Some((target, true)),
        }
        loop {
            let deps = moment.worker(&cloud, &clock, &journal, &[Stage::Promote], Telemetry::default()).await;
            if let Some(plan) = plan.take() {
                cloud.set_faults(plan);
            }
            let mut kills = cloud.kills();
            kills.mark_unchanged();
            let settings = Settings { drain: true, ..Settings::default() };
            let (_stop, stopped) = watch::channel(Stop::No);
            let service = Service::with_runner(deps, settings, runner::<D>(mode)).run(stopped);
            let under_way = async {
                let Some((target, _)) = happens else { return std::future::pending().await };
                while !cloud.with_world(|world| (target.is_under_way)(moment, world)) {
                    clock.sleep(Duration::from_secs(5)).await;
                }
            };
            tokio::select! {
                ended = service => {
                    ended.unwrap();
                    let status = cloud.with_world(|world| moment.action(world, Stage::Promote));
                    // CodePipeline offers a job again whose poll was lost; the project that drains it starts again, too.
                    if status != Some(ActionStatus::InProgress) || clock.now().since(began) > LONGEST {
                        break;
                    }
                    clock.sleep(Duration::from_mins(1)).await;
                }
                _ = kills.changed() => {}
                () = under_way => match happens.take() {
                    Some((_, true)) => clock.sleep(Duration::from_hours(48)).await,
                    Some((target, false)) => cloud.with_world(|world| (target.interfere)(moment, world)),
                    None => {}
                },
            }
        }
        cloud.set_faults(FaultPlan::default());
        clock.sleep(Duration::from_mins(10)).await;
        let records: Vec<Record> = cloud.with_transcript(|transcript| transcript.records()[first..].to_vec());
        cloud.with_world(|world| End {
            status: moment.action(world, Stage::Promote),
            trail: trail(moment, world),
            versions: (target.versions)(moment, world),
            outcome: outcome(moment, world),
            steps: steps(&records),
            records,
        })
    })
}

/// The outcome of the promotion's statement; empty without one.
fn outcome(moment: &Moment, world: &World) -> String {
    let files: BTreeMap<String, Vec<u8>> = artifact(moment, world);
    let record = files.get("reports/promote/report.json");
    let record: Value = record.map_or(Value::Null, |bytes| serde_json::from_slice(bytes).unwrap());
    record["outcome"].as_str().unwrap_or_default().to_owned()
}

/// The longest token, and the number of steps that the last one counts.
fn tokens(records: &[Record]) -> impl Iterator<Item = &str> {
    let sent = records.iter().filter(|record| record.operation == "PutJobSuccessResult");
    sent.filter_map(|record| record.input.get("continuationToken")?.as_str())
}

fn steps(records: &[Record]) -> u32 {
    let last = tokens(records).last().and_then(|token| serde_json::from_str::<Value>(token).ok());
    last.and_then(|token| u32::try_from(token["state"]["steps"].as_u64()?).ok()).unwrap_or(0)
}

/// Everything in which an end contradicts itself: what the statement says, what the target runs, what the action says.
fn contradictions(end: &End) -> Vec<String> {
    let Versions { old, new } = end.versions;
    let mut wrong = Vec::new();
    match end.outcome.as_str() {
        "promoted" if new == 0 || old > 0 => wrong.push(format!("promoted, and {:?}", end.versions)),
        "rolled_back" if old == 0 || new > 0 => wrong.push(format!("rolled back, and {:?}", end.versions)),
        _ => {}
    }
    if (end.outcome == "promoted") != (end.status == Some(ActionStatus::Succeeded)) {
        wrong.push(format!("{}, and the action is {:?}", end.outcome, end.status));
    }
    if end.status.is_none_or(|status| status == ActionStatus::InProgress) {
        wrong.push("the action did not end".to_owned());
    }
    wrong.extend(applied_twice(&end.records));
    let longest = tokens(&end.records).map(str::len).max().unwrap_or(0);
    if longest > MAX_TOKEN {
        wrong.push(format!("a token of {longest} bytes"));
    }
    wrong
}

fn none(name: &str, what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{name}, {what}: {wrong:#?}");
}

/// A good release is promoted, and each step run twice has the effect of one.
pub fn every_step_twice<D: DeploymentTarget + 'static>(target: &Target) {
    let once = run::<D>(target, Mode::Once, Meanwhile::Nothing);
    none(target.name, "undisturbed", &contradictions(&once));
    assert_eq!(once.outcome, "promoted", "{}", target.name);
    let twice = run::<D>(target, Mode::Twice, Meanwhile::Nothing);
    none(target.name, "each step twice", &contradictions(&twice));
    none(target.name, "each step twice", &differences(&once.trail, &twice.trail));
}

/// Every call meets every fault, forward and in a rollback; the end is the undisturbed one.
pub fn crash_at_every_call<D: DeploymentTarget + 'static>(target: &Target) {
    let forward = run::<D>(target, Mode::Once, Meanwhile::Nothing);
    crash_in::<D>(target, Mode::Once, &forward);
    let mode = Mode::AbandonAt(forward.steps / 2);
    let backward = run::<D>(target, mode, Meanwhile::Nothing);
    crash_in::<D>(target, mode, &backward);
}

fn crash_in<D: DeploymentTarget + 'static>(target: &Target, mode: Mode, expected: &End) {
    let mut cases = Vec::new();
    for (call, record) in expected.records.iter().enumerate() {
        // A stale read hides the last write to its service: there is none of S3, and a call that writes reads nothing.
        let has_write = |earlier: &Record| earlier.mutating && earlier.service == record.service;
        let is_stale =
            !record.mutating && record.service != "s3" && expected.records[..call].iter().any(has_write);
        for (what, fault) in faults() {
            if fault != Fault::StaleRead || is_stale {
                cases.push((call, what, fault));
            }
        }
    }
    let stride = stride(cases.len(), target.cases);
    let (total, mut ran, mut wrong) = (cases.len(), 0, Vec::new());
    for (call, what, fault) in cases.into_iter().step_by(stride) {
        ran += 1;
        let index = u64::try_from(call).expect("fits") + 1;
        let faults = FaultPlan::default().rule(When::index(index), fault);
        let end = run::<D>(target, mode, Meanwhile::Faults(faults));
        let mut found = contradictions(&end);
        found.extend(differences(&expected.trail, &end.trail));
        if (end.status, &end.outcome) != (expected.status, &expected.outcome) {
            found.push(format!("{:?}, {} instead of {}", end.status, end.outcome, expected.outcome));
        }
        let met = &expected.records[call];
        wrong.extend(
            found.into_iter().map(|found| {
                format!("call {}, {}:{}, {what}: {found}", call + 1, met.service, met.operation)
            }),
        );
    }
    println!("{}, {mode:?}: {ran} of {total} cases", target.name);
    none(target.name, &format!("crash, {mode:?}"), &wrong);
}

/// The distance between the cases that run: 1 with `BAKELINE_TEST_CRASH=all`. It is odd, so that no fault is left out.
fn stride(total: usize, cases: usize) -> usize {
    let all = std::env::var("BAKELINE_TEST_CRASH").as_deref() == Ok("all");
    if all { 1 } else { total.div_ceil(cases.max(1)) | 1 }
}

/// Two days without a worker: the action ends, and its statement is true.
pub fn no_worker_for_two_days<D: DeploymentTarget + 'static>(target: &Target) {
    let end = run::<D>(target, Mode::Once, Meanwhile::NoWorker(target));
    none(target.name, "no worker for two days", &contradictions(&end));
    assert_ne!(end.outcome, "promoted", "{}: nobody judged it", target.name);
}

/// Someone else changes the target in the middle: the promotion does not succeed, and its statement is true.
pub fn someone_else_interferes<D: DeploymentTarget + 'static>(target: &Target) {
    let end = run::<D>(target, Mode::Once, Meanwhile::Interfere(target));
    none(target.name, "someone else interferes", &contradictions(&end));
    assert_ne!(end.outcome, "promoted", "{}", target.name);
}

/// The promotion is abandoned at each step in turn, or at a sample of them: the target runs the old version again, or the statement says why not.
pub fn rollback_from_every_state<D: DeploymentTarget + 'static>(target: &Target) {
    let forward = run::<D>(target, Mode::Once, Meanwhile::Nothing);
    assert!(forward.steps > 2, "{}: the steps are counted", target.name);
    let mut outcomes: BTreeMap<String, usize> = BTreeMap::new();
    let stride = stride(forward.steps as usize, 4 * target.cases);
    let steps: Vec<u32> = (0..=forward.steps).step_by(stride).collect();
    println!("{}: abandoned at {} of {} steps", target.name, steps.len(), forward.steps + 1);
    for step in steps {
        let end = run::<D>(target, Mode::AbandonAt(step), Meanwhile::Nothing);
        none(target.name, &format!("abandoned at step {step}"), &contradictions(&end));
        if end.outcome.is_empty() {
            assert_eq!(end.versions.new, 0, "{}: without a statement nothing is changed", target.name);
        }
        *outcomes.entry(end.outcome).or_default() += 1;
    }
    println!("{}: {outcomes:?}", target.name);
    assert!(outcomes.get("rolled_back").is_some_and(|count| *count > 0), "{}: {outcomes:?}", target.name);
}
