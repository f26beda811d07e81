//! `bakeline work`: polls CodePipeline for jobs and runs them, as a service or until there are none.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::exit::CliError;
use super::health;
use super::identity::{Identity, Keys};
use super::logging::Format;
use crate::aws::{Aws, Class};
use crate::engine::error::with_causes;
use crate::engine::{Clock, Network, Outcome};
use crate::evidence::Stage;
use crate::telemetry::{Event, JobLabel, Telemetry};
use crate::worker::journal::{BucketJournal, Journal, JournalError};
use crate::worker::service::{Service, Settings, Stop, Summary};
use crate::worker::{WorkerDeps, WorkerError};

/// Arguments of `bakeline work`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Exit once nothing is offered, parked or running
    #[arg(long, env = "BAKELINE_DRAIN")]
    drain: bool,
    /// Slices that run at the same time
    #[arg(long, value_name = "N", env = "BAKELINE_SLOTS", default_value_t = 16, value_parser = slots)]
    slots: usize,
    /// After SIGTERM or SIGINT, how long running slices may take to come to rest; a second signal ends at once
    #[arg(long, value_name = "TIME", env = "BAKELINE_GRACE", default_value = "60s", value_parser = seconds)]
    grace: Duration,
    /// Answer GET /live and GET /ready here, such as 127.0.0.1:8080
    #[arg(long, value_name = "ADDR", env = "BAKELINE_HEALTH")]
    health: Option<SocketAddr>,
    /// Where claimed jobs are written down until they are answered: a folder of this worker, or `s3://BUCKET/PREFIX`
    #[arg(long, value_name = "PLACE", env = "BAKELINE_JOURNAL")]
    journal: Option<String>,
    /// The stages whose jobs are run
    #[arg(long, value_name = "STAGES", env = "BAKELINE_STAGES", value_delimiter = ',', value_parser = stage,
          default_value = "bake,test,promote,cleanup")]
    stages: Vec<Stage>,
    /// Write what became of the actions into this folder as a JUnit report
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
        _ => Err("a number from 1 to 1000 is expected".into()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let number: u64 = number.parse().map_err(|_| format!("`{text}` is not a time such as 60s or 2m"))?;
    Ok(Duration::from_secs(number.saturating_mul(unit)))
}

fn stage(text: &str) -> Result<Stage, String> {
    let found = Stage::ALL.into_iter().find(|stage| stage.name() == text.trim());
    found.ok_or_else(|| format!("`{text}` is none of bake, test, promote, cleanup"))
}

pub fn main(args: Args, log_format: Format) -> Result<(), CliError> {
    let runtime = super::runtime()?;
    // As a task of its own the worker shares a thread with its slices: none of them has to wake another thread to be heard.
    let ended = runtime.block_on(async { tokio::spawn(work(args, log_format)).await });
    // A file operation that hangs must not keep a worker alive that was told to end.
    runtime.shutdown_background();
    match ended {
        Ok(ended) => ended,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(CliError::unavailable(format!("the worker was cut off: {error}"), "")),
        },
    }
}

async fn work(args: Args, log_format: Format) -> Result<(), CliError> {
    // Before anything else: from here on a signal is a request, not a death.
    let stop = signals()?;
    let clock = args.identity.clock();
    let aws = Identity::aws(&clock).await;
    let authority = args.keys.authority(&aws).await?;
    let environments = args.identity.environments(&aws).await?;
    let name = name(&clock);
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
            "without --journal, jobs that are in hand when this process dies wait for their time-out"
        );
    }
    let settings = Settings {
        slots: args.slots,
        drain: args.drain,
        // Whoever stops a worker waits in the machine's time.
        grace: clock.from_machine_time(args.grace),
        seed: seed(&name),
        slice_limit: clock.from_machine_time(Settings::default().slice_limit),
        ..Settings::default()
    };
    tracing::info!(worker = name, slots = args.slots, drain = args.drain, "the worker begins");
    let service = Service::new(deps, settings);
    if let Some(address) = args.health {
        let listener = health::bind(address).await?;
        let (health, clock) = (service.health(), clock.clone());
        let asked = move || {
            let now = clock.time_source().now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            (health.is_live(u64::try_from(now.as_millis()).unwrap_or(u64::MAX)), health.is_ready())
        };
        tokio::spawn(health::serve(listener, Arc::new(asked)));
    }
    let ended = service.run(stop).await;
    if let Some(folder) = &args.junit {
        junit(folder, &outcomes)?;
    }
    end(ended, durable)
}

fn end(ended: Result<Summary, WorkerError>, durable: bool) -> Result<(), CliError> {
    let summary = ended.map_err(|error| {
        let said = with_causes(&error);
        match error {
            WorkerError::Aws(error) if error.class == Class::Denied => {
                CliError::denied(said, "compare the role with pipeline/roles.yaml")
            }
            WorkerError::Aws(error) if error.is("ActionTypeNotFoundException") => CliError::unavailable(
                said,
                "deploy pipeline/action-types.yaml, or leave the stage out of --stages",
            ),
            _ => CliError::unavailable(said, ""),
        }
    })?;
    let left = summary.left.len();
    tracing::info!(slices = summary.slices, left, "the worker ends");
    if left > 0 && !durable {
        let message = format!(
            "{left} jobs in hand were not answered and are written down nowhere: {}",
            summary.left.join(", ")
        );
        return Err(CliError::unavailable(message, "give the worker a --journal"));
    }
    Ok(())
}

/// Counts signals: the first asks for an end, the second for one at once.
fn signals() -> Result<watch::Receiver<Stop>, CliError> {
    let failed =
        |error: std::io::Error| CliError::unavailable(format!("signals cannot be listened to: {error}"), "");
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (sender, receiver) = watch::channel(Stop::No);
    tokio::spawn(async move {
        for stop in [Stop::Gently, Stop::AtOnce] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::info!(?stop, "a signal came");
            sender.send_replace(stop);
        }
    });
    Ok(receiver)
}

/// A name no other worker has: of this host, this process and this moment.
fn name(clock: &Clock) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let moment = clock.time_source().now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let digest = Sha256::digest(format!("{}\n{}\n{}\n{}", host, boot, std::process::id(), moment.as_nanos()));
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
            return Err(CliError::usage(format!("`{place}` names no bucket"), "give s3://BUCKET/PREFIX"));
        }
        // The worker's own identity: a job's artifact credentials are for its artifacts only.
        return Ok(Journal::Bucket(BucketJournal::new(aws.artifacts(None), bucket, prefix, worker)));
    }
    Journal::in_folder(PathBuf::from(place)).map_err(|error| match &error {
        JournalError::InUse { .. } => CliError::usage(error.to_string(), ""),
        _ => CliError::unavailable(error.to_string(), "give a folder that can be written with --journal"),
    })
}

type Outcomes = Arc<Mutex<Vec<(JobLabel, Outcome)>>>;

fn telemetry(outcomes: &Outcomes, format: Format) -> Telemetry {
    /// A service keeps no more than this for a report that is written at its end.
    const KEPT: usize = 10_000;
    let heard = Arc::clone(outcomes);
    let telemetry = Telemetry::watched(move |_, label, event| {
        if let Event::Ended { outcome } = event {
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            if heard.len() < KEPT {
                heard.push((label.clone(), (*outcome).clone()));
            }
        }
    });
    if format == Format::Json { telemetry.with_metrics() } else { telemetry }
}

/// Writes a test suite with one case for each action that ended.
fn junit(folder: &std::path::Path, outcomes: &Outcomes) -> Result<(), CliError> {
    let outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
    let failures = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_))).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"bakeline\" tests=\"{}\" failures=\"{failures}\">\n",
        outcomes.len()
    );
    for (label, outcome) in outcomes.iter() {
        let case = format!(
            "<testcase classname=\"{}\" name=\"{} {}\"",
            escaped(&label.pipeline),
            escaped(&label.action),
            escaped(&label.execution)
        );
        let case = match outcome {
            Outcome::Succeeded { .. } => format!("  {case}/>\n"),
            Outcome::Failed(failure) => {
                format!("  {case}><failure message=\"{}\"/></testcase>\n", escaped(&failure.message))
            }
        };
        text.push_str(&case);
    }
    text.push_str("</testsuite>\n");
    let path = folder.join("actions.xml");
    std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, text)).map_err(|error| {
        CliError::unavailable(
            format!("{}: {error}", path.display()),
            "give a folder that can be written with --junit",
        )
    })
}

/// Text inside an XML attribute; what XML 1.0 cannot carry becomes a space.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            c if c.is_control() || c == '\u{fffe}' || c == '\u{ffff}' => " ".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_minutes() {
        for (text, expected) in [
            ("60s", Some(60)),
            ("90", Some(90)),
            ("2m", Some(120)),
            ("0s", Some(0)),
            ("1h", None),
            ("", None),
            ("-1s", None),
        ] {
            assert_eq!(seconds(text).ok(), expected.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn text_from_outside_stays_inside_its_attribute() {
        assert_eq!(escaped("a<b \"c\" & \u{1}\nd"), "a&lt;b &quot;c&quot; &amp;   d");
    }
}
