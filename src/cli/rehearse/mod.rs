//! `bakeline rehearse`: the whole line on the embedded AWS, by the code that works in production.

mod collect_artifacts;
pub mod fixtures;
mod source;
mod summary;
mod watch;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::exit::CliError;
use super::{Output, say};
use crate::aws::Environments;
use crate::engine::clock::Mapping;
use crate::engine::error::with_causes;
use crate::engine::{Clock, Job, Timestamp};
use crate::evidence::Stage;
use crate::spec::ReleaseSpec;
use crate::worker::WorkerDeps;
use crate::worker::journal::Journal;
use crate::worker::run_once::run_once;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::external_events;
use bakeline_rehearsal::listen::Listener;
use bakeline_rehearsal::scenario::Scenario;
use bakeline_rehearsal::setup::{Provisioned, Setup, found, found_beside};
use bakeline_rehearsal::time::Time;
use bakeline_rehearsal::timeline::Timeline;
use watch::{Style, Watch};

/// When every rehearsal begins: a fixed moment, so that the same rehearsal is the same to the byte.
pub const EPOCH: Time = Time(1_767_225_600_000);
/// A rehearsal that lasts longer than this in virtual time has lost its way.
const LONGEST: Duration = Duration::from_hours(14 * 24);
/// Virtual time between two rounds of polls.
const IDLE: Duration = Duration::from_secs(5);

/// Arguments of `bakeline rehearse`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The release spec; its folder is the source artifact
    #[arg(default_value = "bakeline.yaml")]
    spec: PathBuf,
    /// What is different this time: how images behave, how builds end, which calls fail
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Where the artifacts and the trust root are put
    #[arg(long, value_name = "DIR", default_value = ".bakeline/rehearsal")]
    out: PathBuf,
    /// Write every API call as a JSON line
    #[arg(long, value_name = "FILE")]
    transcript: Option<PathBuf>,
    /// Do not run the line, but serve the embedded AWS on this loopback address for other clients
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// A further release that waits in the same AWS while it is served; may be given several times
    #[arg(long, value_name = "SPEC", requires = "listen")]
    beside: Vec<PathBuf>,
    /// Virtual seconds that pass in one second while listening
    #[arg(long, value_name = "N", default_value_t = 60.0, requires = "listen")]
    speed: f64,
}

/// What is rehearsed.
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
        let shown = spec.display().to_string();
        let hint = "name the release's spec, such as: bakeline rehearse examples/web/bakeline.yaml";
        let text = crate::cli::read(spec, crate::spec::MAX_BYTES)
            .map_err(|error| CliError::data(format!("{shown}: {error}"), hint))?;
        let release = ReleaseSpec::parse(&text, &shown).map_err(|mistakes| {
            CliError::data(
                mistakes.to_string(),
                "an editor finds such mistakes with the output of: bakeline schema",
            )
        })?;
        let folder = spec.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let packed = source::pack(folder)?;
        let bytes =
            std::fs::read(packed.path()).map_err(|error| CliError::unavailable(error.to_string(), ""))?;
        let inside = spec.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let setup = fixtures::setup(&release, Bytes::from(bytes), inside);
        Ok(Self { setup, scenario: read_scenario(scenario)?, environments: fixtures::environments(&release) })
    }
}

fn read_scenario(path: Option<&Path>) -> Result<Scenario, CliError> {
    let Some(path) = path else { return Ok(Scenario::default()) };
    let shown = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|error| CliError::data(format!("{shown}: {error}"), "examples/web/scenarios has some"))?;
    Scenario::parse(&text, &shown)
        .map_err(|error| CliError::data(with_causes(&error), "examples/web/scenarios has some"))
}

pub fn main(args: Args, output: Output) -> Result<(), CliError> {
    let plan = Plan::read(&args.spec, args.scenario.as_deref())?;
    if let Some(address) = args.listen {
        return listen(plan, address, args.speed, &args);
    }
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

fn found_world(plan: &Plan) -> Result<(bakeline_rehearsal::world::World, Provisioned), CliError> {
    found(&plan.setup, &plan.scenario, EPOCH)
        .map_err(|error| CliError::data(error.to_string(), "the spec names something AWS would refuse"))
}

async fn rehearse(plan: Plan, args: &Args, output: Output) -> Result<(), CliError> {
    // This thread is the only one that runs the SDK here.
    fastrand::seed(plan.scenario.seed);
    let (world, founded) = found_world(&plan)?;
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
        &founded,
        &plan.setup.region,
        &clock,
        Arc::new(Journal::in_memory()),
        watch.telemetry(),
    )
    .await?;
    deps.environments = plan.environments.clone();
    cloud.set_faults(plan.scenario.fault_plan(EPOCH));
    let mut ended = run_line(&deps, &founded, &plan.setup.pipeline).await;
    while matches!(ended, Ok(Ended::Failed)) && cloud.with_world(|world| external_events::awaits_retry(world))
    {
        while cloud.with_world(|world| external_events::awaits_retry(world)) {
            deps.clock.sleep(IDLE).await;
        }
        ended = run_line(&deps, &founded, &plan.setup.pipeline).await;
    }
    watch.finish();
    cloud.set_faults(bakeline_rehearsal::faults::FaultPlan::default());
    let kept = collect_artifacts::artifacts(&deps, &founded, &plan.setup, &args.out).await?;
    if let Some(path) = &args.transcript {
        std::fs::write(path, cloud.with_transcript(bakeline_rehearsal::transcript::Transcript::json_lines))
            .map_err(|error| {
            CliError::unavailable(format!("{}: {error}", path.display()), "name a file that can be written")
        })?;
    }
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
pub async fn run_line(deps: &WorkerDeps, founded: &Provisioned, pipeline: &str) -> Result<Ended, CliError> {
    let began = deps.clock.now();
    loop {
        match run_once(deps).await {
            Ok(0) => {
                if let Some(ended) = execution_ended(deps, founded, pipeline).await {
                    return Ok(ended);
                }
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(error = %with_causes(&error), "a turn was cut short"),
        }
        if deps.clock.now().since(began) > LONGEST {
            return Err(CliError::bug("the pipeline execution did not end within fourteen virtual days"));
        }
        deps.clock.sleep(IDLE).await;
    }
}

async fn execution_ended(deps: &WorkerDeps, founded: &Provisioned, pipeline: &str) -> Option<Ended> {
    use aws_sdk_codepipeline::types::PipelineExecutionStatus as Status;
    let asked = deps
        .aws
        .codepipeline
        .get_pipeline_execution()
        .pipeline_name(pipeline)
        .pipeline_execution_id(&founded.execution)
        .send()
        .await;
    match asked.ok()?.pipeline_execution?.status? {
        Status::Succeeded => Some(Ended::Succeeded),
        Status::Failed | Status::Stopped | Status::Cancelled | Status::Superseded => Some(Ended::Failed),
        _ => None,
    }
}

/// Serves the embedded AWS until the process is told to stop.
fn listen(plan: Plan, address: SocketAddr, speed: f64, args: &Args) -> Result<(), CliError> {
    if !speed.is_finite() || speed <= 0.0 {
        return Err(CliError::usage("--speed must be more than zero", "60 lets an hour pass in a minute"));
    }
    let runtime = crate::cli::runtime()?;
    runtime.block_on(async {
        let (mut world, founded) = found_world(&plan)?;
        for spec in &args.beside {
            let other = Plan::read(spec, None)?;
            let put = found_beside(world, &other.setup, &plan.scenario);
            (world, _) = put.map_err(|error| {
                CliError::data(
                    format!("{}: {error}", spec.display()),
                    "each release needs a service and names of its own",
                )
            })?;
        }
        let timeline = Timeline::scaled(EPOCH, speed);
        let cloud = Cloud::new(world, timeline);
        cloud.set_faults(plan.scenario.fault_plan(EPOCH));
        let listener = Listener::bind(address).await.map_err(|error| {
            CliError::unavailable(with_causes(&error), "give a free loopback address, such as 127.0.0.1:0")
        })?;
        collect_artifacts::keys(&founded, &args.out)?;
        announce(&listener, &founded, &plan, timeline, &args.out)?;
        listener.serve(cloud.clone(), stopped()).await;
        if let Some(path) = &args.transcript {
            std::fs::write(
                path,
                cloud.with_transcript(bakeline_rehearsal::transcript::Transcript::json_lines),
            )
            .map_err(|error| CliError::unavailable(format!("{}: {error}", path.display()), ""))?;
        }
        Ok(())
    })
}

/// Resolves when the process is asked to stop.
async fn stopped() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// Prints what a shell must set so that any client reaches this AWS.
fn announce(
    listener: &Listener,
    founded: &Provisioned,
    plan: &Plan,
    timeline: Timeline,
    out: &Path,
) -> Result<(), CliError> {
    let Timeline::Scaled { real_epoch_ms, epoch, speed } = timeline else { return Ok(()) };
    let clock = Mapping { real_epoch_ms, epoch_ms: epoch.0, speed };
    for (name, value) in [
        ("AWS_ENDPOINT_URL", format!("http://{}", listener.address())),
        ("AWS_ACCESS_KEY_ID", founded.credentials.access_key_id.clone()),
        ("AWS_SECRET_ACCESS_KEY", founded.credentials.secret_access_key.clone()),
        ("AWS_REGION", plan.setup.region.clone()),
        // What the AWS CLI version 1 and boto3 look at.
        ("AWS_DEFAULT_REGION", plan.setup.region.clone()),
        ("BAKELINE_TEST_CLOCK", clock.to_string()),
        ("BAKELINE_SIGNING_KEY", format!("kms:{}", founded.signing_key)),
        ("BAKELINE_TRUST", format!("file:{}", out.join(collect_artifacts::TRUST).display())),
    ] {
        say(&format!("export {name}={value}"))?;
    }
    say(&format!("# pipeline {} execution {}", founded.pipeline_arn, founded.execution))
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
