//! `bakeline rehearse`: runs a release from bake to cleanup on the embedded AWS, with the worker's own code.

mod collect_artifacts;
pub mod fixtures;
pub mod serve_aws;
mod source;
mod summary;
mod watch;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::exit::{CliError, Message};
use super::{Output, say};
use crate::aws::Environments;
use crate::engine::error::with_causes;
use crate::engine::{Clock, Job, Timestamp};
use crate::evidence::Stage;
use crate::spec::ReleaseSpec;
use crate::worker::WorkerDeps;
use crate::worker::journal::Journal;
use crate::worker::run_once::run_once;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::external_events;
use bakeline_rehearsal::scenario::Scenario;
use bakeline_rehearsal::setup::{self, Provisioned, Setup};
use bakeline_rehearsal::time::Time;
use bakeline_rehearsal::timeline::Timeline;
use bakeline_rehearsal::transcript::Transcript;
use bakeline_rehearsal::world::World;
use watch::{Style, Watch};

/// When every rehearsal begins: a fixed moment, so that a repeated rehearsal is the same to the byte.
pub const EPOCH: Time = Time(1_767_225_600_000);
/// The longest a rehearsal may take in virtual time.
const MAX_DURATION: Duration = Duration::from_hours(14 * 24);
/// Virtual time between two polls for jobs.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Arguments of `bakeline rehearse`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The release spec; its folder is the source artifact
    #[arg(default_value = "bakeline.yaml")]
    spec: PathBuf,
    /// The folder that is the source artifact, if the spec is in a folder below it; the spec's paths start there
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// How images behave, how builds end and which calls fail
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// The folder for the artifacts and the trust root
    #[arg(long, value_name = "DIR", default_value = ".bakeline/rehearsal")]
    out: PathBuf,
    /// Write every API call to this file as a JSON line
    #[arg(long, value_name = "FILE")]
    transcript: Option<PathBuf>,
}

/// A release, the AWS it needs, and the scenario.
pub struct Plan {
    pub setup: Setup,
    pub scenario: Scenario,
    /// A role for every target that the spec names.
    pub environments: Environments,
}

impl Plan {
    /// Reads the spec, packs its folder and reads the scenario.
    ///
    /// # Errors
    /// A file cannot be read or has mistakes.
    pub fn read(spec: &Path, scenario: Option<&Path>) -> Result<Self, CliError> {
        Self::read_below(None, spec, scenario)
    }

    /// As [`Plan::read`], with another folder as the source artifact: one that contains the spec's.
    ///
    /// # Errors
    /// As [`Plan::read`]; the spec is not below `root`.
    pub fn read_below(root: Option<&Path>, spec: &Path, scenario: Option<&Path>) -> Result<Self, CliError> {
        let shown = spec.display().to_string();
        let text = crate::cli::read_input(spec, crate::spec::MAX_BYTES, "release spec")?;
        let release = ReleaseSpec::parse(&text, &shown).map_err(|mistakes| {
            let hint = "an editor finds mistakes with the JSON Schema of `bakeline schema`";
            CliError::data(Message::of(&mistakes), hint)
        })?;
        let (folder, inside) = source::root_and_spec(spec, root)?;
        let packed = source::pack(&folder)?;
        let bytes =
            std::fs::read(packed.path()).map_err(|error| CliError::unavailable(error.to_string(), ""))?;
        let setup = fixtures::setup(&release, Bytes::from(bytes), &inside);
        Ok(Self { setup, scenario: read_scenario(scenario)?, environments: fixtures::environments(&release) })
    }
}

/// The longest scenario that is read, in bytes.
const MAX_SCENARIO: usize = 1 << 20;

fn read_scenario(path: Option<&Path>) -> Result<Scenario, CliError> {
    let Some(path) = path else { return Ok(Scenario::default()) };
    let shown = path.display().to_string();
    let bytes = crate::cli::read_input(path, MAX_SCENARIO, "scenario")?;
    let text = String::from_utf8(bytes).map_err(|error| {
        CliError::data(format!("{shown} is not a scenario"), "examples/scenarios has scenarios")
            .caused_by(&error)
    })?;
    Scenario::parse(&crate::text::yaml(&text), &shown)
        .map_err(|error| CliError::data(Message::of(&error), error.hint()))
}

pub fn main(args: Args, output: Output) -> Result<(), CliError> {
    let plan = Plan::read_below(args.root.as_deref(), &args.spec, args.scenario.as_deref())?;
    paused_runtime()?.block_on(rehearse(plan, &args, output))
}

/// A runtime whose clock moves only when every task waits: virtual time.
fn paused_runtime() -> Result<tokio::runtime::Runtime, CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .map_err(|error| CliError::unavailable(format!("no runtime: {error}"), ""))
}

/// The virtual clock of a rehearsal in this process. To be called inside a paused runtime.
#[must_use]
pub fn virtual_clock() -> Clock {
    Clock::tokio(SystemTime::UNIX_EPOCH + Duration::from_millis(EPOCH.0.unsigned_abs()))
}

/// Creates the embedded AWS with what the release spec names.
fn provision(plan: &Plan) -> Result<(World, Provisioned), CliError> {
    setup::provision(&plan.setup, &plan.scenario, EPOCH).map_err(|error| {
        CliError::data(with_causes(&error), "the spec has a name or number that AWS refuses")
    })
}

/// Writes every API call as a JSON line, if a file is given.
fn write_transcript(cloud: &Cloud, path: Option<&Path>) -> Result<(), CliError> {
    let Some(path) = path else { return Ok(()) };
    std::fs::write(path, cloud.with_transcript(Transcript::json_lines)).map_err(|error| {
        CliError::unavailable(
            format!("{} cannot be written: {error}", path.display()),
            "name another file with --transcript",
        )
    })
}

async fn rehearse(plan: Plan, args: &Args, output: Output) -> Result<(), CliError> {
    // This thread is the only one that runs the SDK here.
    fastrand::seed(plan.scenario.seed);
    let (world, provisioned) = provision(&plan)?;
    let cloud = Cloud::new(world, Timeline::tokio(EPOCH));
    let clock = virtual_clock();
    let style = Style::choose(output == Output::Json);
    if style != Style::Json {
        say(&format!(
            "Rehearsing {} on the embedded AWS: {}\n",
            plan.setup.service, plan.scenario.description
        ))?;
    }
    let watch = Watch::new(style, clock.now(), plan.setup.actions);
    let mut deps = fixtures::worker_deps(
        &cloud,
        &provisioned,
        &plan.setup.region,
        &clock,
        Arc::new(Journal::in_memory()),
        watch.telemetry(),
    )
    .await?;
    deps.environments = plan.environments.clone();
    cloud.set_faults(plan.scenario.fault_plan(EPOCH));
    let mut ended = run_line(&deps, &provisioned, &plan.setup.pipeline).await;
    while matches!(ended, Ok(Ended::Failed))
        && cloud.with_world(|world| external_events::has_scheduled_retry(world))
    {
        while cloud.with_world(|world| external_events::has_scheduled_retry(world)) {
            deps.clock.sleep(POLL_INTERVAL).await;
        }
        ended = run_line(&deps, &provisioned, &plan.setup.pipeline).await;
    }
    watch.finish();
    cloud.set_faults(bakeline_rehearsal::faults::FaultPlan::default());
    let kept = collect_artifacts::artifacts(&deps, &provisioned, &plan.setup, &args.out).await?;
    write_transcript(&cloud, args.transcript.as_deref())?;
    if style != Style::Json {
        summary::print(&deps, &cloud, &plan, &watch, &kept).await?;
    }
    match ended? {
        Ended::Succeeded => Ok(()),
        Ended::Failed => {
            let why = watch.seen().values().find_map(|seen| match &seen.outcome {
                Some(crate::engine::Outcome::Failed(failure)) => Some(failure.message.clone()),
                _ => None,
            });
            Err(CliError::failed(
                format!("the release failed: {}", why.unwrap_or_else(|| "an action failed".into())),
                "the artifacts hold the statement of what was done",
            ))
        }
    }
}

/// How a pipeline execution ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Succeeded,
    Failed,
}

/// Works until the execution has ended, as a worker in production would.
///
/// # Errors
/// AWS refused what a worker asks, or the execution did not end.
pub async fn run_line(
    deps: &WorkerDeps,
    provisioned: &Provisioned,
    pipeline: &str,
) -> Result<Ended, CliError> {
    let began = deps.clock.now();
    loop {
        match run_once(deps).await {
            Ok(0) => {
                if let Some(ended) = execution_ended(deps, provisioned, pipeline).await {
                    return Ok(ended);
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %with_causes(&error), "a turn was cut short"),
        }
        if deps.clock.now().since(began) > MAX_DURATION {
            return Err(CliError::bug("the pipeline execution did not end within fourteen virtual days"));
        }
        deps.clock.sleep(POLL_INTERVAL).await;
    }
}

async fn execution_ended(deps: &WorkerDeps, provisioned: &Provisioned, pipeline: &str) -> Option<Ended> {
    use aws_sdk_codepipeline::types::PipelineExecutionStatus as Status;
    let asked = deps
        .aws
        .codepipeline
        .get_pipeline_execution()
        .pipeline_name(pipeline)
        .pipeline_execution_id(&provisioned.execution)
        .send()
        .await;
    match asked.ok()?.pipeline_execution?.status? {
        Status::Succeeded => Some(Ended::Succeeded),
        Status::Failed | Status::Stopped | Status::Cancelled | Status::Superseded => Some(Ended::Failed),
        _ => None,
    }
}

/// Runs one job by hand on an embedded AWS in which the stages before the job's have been through.
pub fn one_job(
    job: Job,
    inputs: std::collections::BTreeMap<String, PathBuf>,
    output: Option<PathBuf>,
) -> Result<(), CliError> {
    collect_artifacts::one_job(paused_runtime()?, job, &inputs, output)
}

/// The name of the artifact a stage leaves, as the rehearsal's pipeline calls it.
#[must_use]
pub const fn output_name(stage: Stage) -> &'static str {
    match stage {
        Stage::Bake => "BakedImage",
        Stage::Test => "TestedImage",
        Stage::Promote => "PromotedImage",
        Stage::Cleanup => "CleanedUp",
    }
}

/// The moment a rehearsal began.
#[must_use]
pub fn epoch() -> Timestamp {
    Timestamp(EPOCH.0 / 1000)
}
