//! A release on the embedded AWS, up to any stage of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bakeline::cli::rehearse::{EPOCH, Plan, fixtures};
use bakeline::engine::Clock;
use bakeline::evidence::Stage;
use bakeline::telemetry::Telemetry;
use bakeline::worker::WorkerDeps;
use bakeline::worker::journal::Journal;
use bakeline::worker::run_once::run_once;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::scenario::Scenario;
use bakeline_rehearsal::services::codepipeline::{self, ActionStatus};
use bakeline_rehearsal::setup::{Provisioned, provision};
use bakeline_rehearsal::time::Time;
use bakeline_rehearsal::timeline::Timeline;
use bakeline_rehearsal::world::World;

/// A path in the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The example release under a scenario.
pub fn example(scenario: &str) -> Plan {
    plan("examples/web/bakeline.yaml", scenario)
}

/// A release under a scenario given as text, without its version.
pub fn plan(spec: &str, scenario: &str) -> Plan {
    let mut plan = Plan::read(&repository(spec), None).unwrap();
    plan.scenario = Scenario::parse(&format!("version: 1\n{scenario}"), "scenario").unwrap();
    plan
}

/// A release of a fixture, with the `files` beside its spec, under a scenario given as text. Passages of the spec are
/// replaced; each stands in it once.
pub fn changed(spec: &str, files: &[&str], changes: &[(&str, &str)], scenario: &str) -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let mut text = std::fs::read_to_string(repository(spec)).unwrap();
    for (passage, replacement) in changes {
        assert_eq!(text.matches(passage).count(), 1, "{passage}");
        text = text.replacen(passage, replacement, 1);
    }
    let path = folder.path().join("bakeline.yaml");
    std::fs::write(&path, text).unwrap();
    for file in files {
        let to = folder.path().join(file);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(repository(spec).with_file_name(file), to).unwrap();
    }
    plan(path.to_str().unwrap(), scenario)
}

/// Runs a future in virtual time.
pub fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    crate::transitions::record();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

/// A world at a moment, with what its clients must know.
#[derive(Clone)]
pub struct Moment {
    pub world: World,
    pub now: Time,
    pub provisioned: Provisioned,
    pub region: String,
}

impl Moment {
    /// The start of a release.
    pub fn start(plan: &Plan) -> Self {
        let (world, provisioned) = provision(&plan.setup, &plan.scenario, EPOCH).unwrap();
        Self { world, now: EPOCH, provisioned, region: plan.setup.region.clone() }
    }

    /// An AWS that goes on from here, and its clock. Inside [`in_virtual_time`].
    pub fn go_on(&self) -> (Cloud, Clock) {
        let since = Duration::from_millis(self.now.0.unsigned_abs());
        (
            Cloud::new(self.world.clone(), Timeline::tokio(self.now)),
            Clock::tokio(SystemTime::UNIX_EPOCH + since),
        )
    }

    /// A worker for one AWS that runs `stages` only.
    pub async fn worker(
        &self,
        cloud: &Cloud,
        clock: &Clock,
        journal: &Arc<Journal>,
        stages: &[Stage],
        telemetry: Telemetry,
    ) -> WorkerDeps {
        let mut deps = fixtures::worker_deps(
            cloud,
            &self.provisioned,
            &self.region,
            clock,
            Arc::clone(journal),
            telemetry,
        )
        .await
        .unwrap();
        deps.stages = stages.to_vec();
        deps
    }

    /// How the pipeline's action of a stage stands.
    pub fn action(&self, world: &World, stage: Stage) -> Option<ActionStatus> {
        let category = bakeline::worker::action::category(stage);
        let execution = codepipeline::execution(world, &self.provisioned.execution)?;
        execution.runs.iter().rev().find(|run| run.type_id.category == category).map(|run| run.status)
    }

    /// Lets an undisturbed worker run one stage to its end.
    pub fn after(&self, stage: Stage) -> Self {
        in_virtual_time(async {
            let (cloud, clock) = self.go_on();
            let deps = self
                .worker(&cloud, &clock, &Arc::new(Journal::in_memory()), &[stage], Telemetry::default())
                .await;
            let ended = work(self, &cloud, &deps, stage).await;
            assert_eq!(ended, ActionStatus::Succeeded, "{stage}");
            self.now(&cloud)
        })
    }

    /// The moment an AWS that went on from here has come to.
    pub fn now(&self, cloud: &Cloud) -> Self {
        Self { world: cloud.with_world(|world| world.clone()), now: cloud.now(), ..self.clone() }
    }

    /// The moment at which each stage's job is waiting.
    pub fn before_each_stage(plan: &Plan) -> Vec<(Stage, Self)> {
        let mut moment = Self::start(plan);
        let mut moments = Vec::new();
        for stage in Stage::ALL {
            moments.push((stage, moment.clone()));
            if stage != Stage::Cleanup {
                moment = moment.after(stage);
            }
        }
        moments
    }
}

impl Moment {
    /// The moment at which one stage's job is waiting.
    pub fn before(plan: &Plan, last: Stage) -> Self {
        Stage::ALL
            .into_iter()
            .filter(|stage| *stage < last)
            .fold(Self::start(plan), |moment, stage| moment.after(stage))
    }
}

/// Works until the pipeline's action of `stage` has ended.
pub async fn work(moment: &Moment, cloud: &Cloud, deps: &WorkerDeps, stage: Stage) -> ActionStatus {
    work_until(moment, cloud, deps, stage, || false).await.expect("nothing else stops it")
}

/// As [`work`], or until `stop` says so; it is asked between two slices.
pub async fn work_until(
    moment: &Moment,
    cloud: &Cloud,
    deps: &WorkerDeps,
    stage: Stage,
    mut stop: impl FnMut() -> bool,
) -> Option<ActionStatus> {
    let began = deps.clock.now();
    loop {
        if stop() {
            return None;
        }
        // A worker repeats a poll that failed.
        let _ = run_once(deps).await;
        match cloud.with_world(|world| moment.action(world, stage)) {
            Some(ActionStatus::InProgress) | None => {}
            Some(over) => return Some(over),
        }
        let passed = deps.clock.now().since(began);
        assert!(passed < Duration::from_hours(30), "{stage} does not end");
        deps.clock.sleep(Duration::from_secs(5)).await;
    }
}
