//! `bakeline work`: polls CodePipeline for jobs and runs them, as a service or until there are no jobs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::exit::{CliError, Message};
use super::health;
use super::identity::{Identity, Keys};
use super::logging::Format;
use crate::aws::{Aws, Class};
use crate::engine::{Clock, Network, Outcome};
use crate::evidence::Stage;
use crate::junit::{self, Case, CaseResult};
use crate::spec::Span;
use crate::telemetry::{Event, JobLabel, Telemetry};
use crate::worker::journal::{BucketJournal, Journal, JournalError};
use crate::worker::service::{Service, Settings, Stop, Summary};
use crate::worker::{WorkerDeps, WorkerError};

/// Arguments of `bakeline work`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Exit once CodePipeline offers no jobs and none is running or waiting
    #[arg(long, env = "BAKELINE_DRAIN")]
    drain: bool,
    /// Slices that run at the same time
    #[arg(long, value_name = "N", env = "BAKELINE_SLOTS", default_value_t = 16, value_parser = slots)]
    slots: usize,
    /// How long running slices may take after SIGTERM or SIGINT; a second signal ends the worker at once
    #[arg(long, value_name = "DURATION", env = "BAKELINE_GRACE", default_value = "60s")]
    grace: Span,
    /// Serve GET /livez and GET /readyz on this address, such as 127.0.0.1:8080
    #[arg(long, value_name = "ADDR", env = "BAKELINE_HEALTH")]
    health: Option<SocketAddr>,
    /// Keep claimed jobs in a folder of this worker or in `s3://BUCKET/PREFIX` until their results are reported
    #[arg(long, value_name = "PLACE", env = "BAKELINE_JOURNAL")]
    journal: Option<String>,
    /// Run jobs of these stages only
    #[arg(long, value_name = "STAGES", env = "BAKELINE_STAGES", value_delimiter = ',', value_parser = stage,
          default_value = "bake,test,promote,cleanup")]
    stages: Vec<Stage>,
    /// Write the outcomes of the actions into this folder as a JUnit report
    #[arg(long, value_name = "DIR", env = "BAKELINE_JUNIT")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    identity: Identity,
}

fn slots(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(slots @ 1..=1000) => Ok(slots),
        _ => Err("expected a number from 1 to 1000".into()),
    }
}

fn stage(text: &str) -> Result<Stage, String> {
    let found = Stage::ALL.into_iter().find(|stage| stage.name() == text.trim());
    found.ok_or_else(|| format!("`{text}` is not bake, test, promote or cleanup"))
}

pub fn main(args: Args, log_format: Format) -> Result<(), CliError> {
    let runtime = super::runtime()?;
    // As a task, the worker shares a thread with its slices: a slice need not wake another thread.
    let ended = runtime.block_on(async { tokio::spawn(work(args, log_format)).await });
    // A hanging file operation must not block the end of the worker.
    runtime.shutdown_background();
    match ended {
        Ok(ended) => ended,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(CliError::unavailable("the worker was aborted", "").caused_by(&error)),
        },
    }
}

async fn work(args: Args, log_format: Format) -> Result<(), CliError> {
    // First of all: from here on a signal is a request.
    let stop = signals()?;
    let clock = args.identity.clock();
    let aws = Identity::aws(&clock).await;
    let authority = args.keys.authority(&aws).await?;
    let environments = args.identity.environments(&aws).await?;
    let name = worker_name(&clock);
    let journal = journal(args.journal.as_deref(), &aws, &name)?;
    let outcomes: Outcomes = Arc::default();
    let mut stages = args.stages.clone();
    stages.sort();
    stages.dedup();
    let deps = WorkerDeps {
        aws,
        clock: clock.clone(),
        network: Network::direct(),
        authority: Arc::new(authority),
        environments,
        journal: Arc::new(journal),
        telemetry: telemetry(&outcomes, log_format),
        stages,
        input_files: BTreeMap::new(),
        output_folder: None,
    };
    let durable = deps.journal.is_durable();
    if !durable {
        tracing::warn!(
            event = "bakeline.worker.no_journal",
            "without --journal, the jobs of a crashed worker wait until they time out"
        );
    }
    let settings = Settings {
        slots: args.slots,
        drain: args.drain,
        // Who stops a worker waits in the machine's time.
        grace: clock.from_machine_time(args.grace.as_duration()),
        seed: seed(&name),
        slice_timeout: clock.from_machine_time(Settings::default().slice_timeout),
        ..Settings::default()
    };
    tracing::info!(
        event = "bakeline.worker.started",
        worker = name,
        slots = args.slots,
        drain = args.drain,
        "the worker started"
    );
    let service = Service::new(deps, settings);
    if let Some(address) = args.health {
        let listener = health::bind(address).await?;
        let (health, clock) = (service.health(), clock.clone());
        let read_state = move || {
            let now = clock.time_source().now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
            health::State { is_live: health.is_live(now), is_ready: health.is_ready() }
        };
        tokio::spawn(health::serve(listener, Arc::new(read_state)));
    }
    let ended = service.run(stop).await;
    if let Some(folder) = &args.junit {
        write_junit(folder, &outcomes)?;
    }
    end(ended, durable)
}

fn end(ended: Result<Summary, WorkerError>, durable: bool) -> Result<(), CliError> {
    let summary = ended.map_err(|error| {
        let message = Message::of(&error);
        match error {
            WorkerError::Aws(error) if error.class == Class::Denied => {
                CliError::denied(message, "compare the role with pipeline/roles.yaml")
            }
            WorkerError::Aws(error) if error.is("ActionTypeNotFoundException") => CliError::unavailable(
                message,
                "deploy pipeline/action-types.yaml, or remove the stage from `--stages`",
            ),
            _ => CliError::unavailable(message, ""),
        }
    })?;
    let unfinished = summary.unfinished.len();
    tracing::info!(
        event = "bakeline.worker.stopped",
        slices = summary.slices,
        unfinished,
        "the worker stopped"
    );
    if unfinished > 0 && !durable {
        let message = format!(
            "{unfinished} claimed jobs have no result, and no journal has them: {}",
            summary.unfinished.join(", ")
        );
        return Err(CliError::unavailable(message, "give the worker a `--journal`"));
    }
    Ok(())
}

/// Listens for SIGTERM and SIGINT: the first signal requests a graceful stop, the second an immediate one.
fn signals() -> Result<watch::Receiver<Stop>, CliError> {
    let failed =
        |error: std::io::Error| CliError::unavailable("cannot listen for signals", "").caused_by(&error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (sender, receiver) = watch::channel(Stop::No);
    tokio::spawn(async move {
        for stop in [Stop::Graceful, Stop::Immediate] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!(event = "bakeline.worker.stopping", ?stop, "received a signal");
            sender.send_replace(stop);
        }
    });
    Ok(receiver)
}

/// A unique name of this worker, from the host, the process and the time.
fn worker_name(clock: &Clock) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let now = clock.time_source().now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let digest = Sha256::digest(format!("{}\n{}\n{}\n{}", host, boot, std::process::id(), now.as_nanos()));
    let short: String = digest.iter().take(6).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let host: String =
        host.trim().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(40).collect();
    if host.is_empty() { short } else { format!("{host}-{short}") }
}

fn seed(name: &str) -> u64 {
    Sha256::digest(name).iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

fn journal(place: Option<&str>, aws: &Aws, worker: &str) -> Result<Journal, CliError> {
    let Some(place) = place else { return Ok(Journal::in_memory()) };
    if let Some(rest) = place.strip_prefix("s3://") {
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(CliError::usage(
                format!("`--journal {place}` has no bucket"),
                "give s3://BUCKET/PREFIX",
            ));
        }
        // With the worker's own credentials: those of a job are for its artifacts only.
        return Ok(Journal::Bucket(BucketJournal::new(aws.artifacts(None), bucket, prefix, worker)));
    }
    Journal::in_folder(PathBuf::from(place)).map_err(|error| match &error {
        JournalError::InUse { .. } => {
            CliError::usage(Message::of(&error), "give each worker a `--journal` folder of its own")
        }
        _ => CliError::unavailable(Message::of(&error), "give a writable folder with `--journal`"),
    })
}

/// An ended action, for the JUnit report.
struct EndedAction {
    label: JobLabel,
    outcome: Outcome,
    duration: Duration,
}

impl EndedAction {
    fn case(&self) -> Case {
        Case {
            class_name: self.label.pipeline.clone(),
            name: format!("{} {}", self.label.action, self.label.run_id),
            duration: self.duration,
            result: match &self.outcome {
                Outcome::Succeeded { .. } => CaseResult::Passed,
                Outcome::Failed(failure) => CaseResult::Failed(failure.message.clone()),
            },
            ..Case::default()
        }
    }
}

type Outcomes = Arc<Mutex<Vec<EndedAction>>>;

fn telemetry(outcomes: &Outcomes, format: Format) -> Telemetry {
    /// Limits the memory of a service that writes its report at the end.
    const MAX_OUTCOMES: usize = 10_000;
    let outcomes = Arc::clone(outcomes);
    let telemetry = Telemetry::with_observer(move |_, label, event| {
        if let Event::Ended { outcome, action } = event {
            let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
            if outcomes.len() < MAX_OUTCOMES {
                let (label, outcome) = (label.clone(), (*outcome).clone());
                outcomes.push(EndedAction { label, outcome, duration: action.duration });
            }
        }
    });
    if format == Format::Json { telemetry.with_metrics() } else { telemetry }
}

/// Writes a JUnit report with one case for each ended action.
fn write_junit(folder: &Path, outcomes: &Outcomes) -> Result<(), CliError> {
    let outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
    let cases: Vec<Case> = outcomes.iter().map(EndedAction::case).collect();
    let path = folder.join("actions.xml");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(&path, junit::report("bakeline", &cases)))
        .map_err(|error| {
            let message = format!("cannot write the JUnit report `{}`", path.display());
            CliError::unavailable(message, "give a writable folder with `--junit`").caused_by(&error)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_slots_is_limited() {
        for (text, expected) in
            [("1", Some(1)), ("1000", Some(1000)), ("0", None), ("1001", None), ("x", None)]
        {
            assert_eq!(slots(text).ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_worker_name_is_safe_in_an_s3_key() {
        let name = worker_name(&Clock::system());
        assert!(!name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{name}");
    }
}
