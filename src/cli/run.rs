//! `bakeline run`: one job from a job document, to its end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::exit::CliError;
use super::identity::{Identity, Keys};
use super::say;
use crate::engine::{FailureKind, Job, Network, Outcome};
use crate::evidence::Stage;
use crate::telemetry::{Event, Telemetry};
use crate::worker::action::{ACTION_TYPES, stage_of};
use crate::worker::by_hand::{ByHandError, StateFile, run_to_end};
use crate::worker::journal::Journal;
use crate::worker::slice::Answer;
use crate::worker::{WorkerDeps, report};

/// Arguments of `bakeline run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job document, as `aws codepipeline poll-for-jobs` or `get-job-details` prints it
    #[arg(long, value_name = "FILE")]
    job_file: PathBuf,
    /// A file that stands in for an input artifact in S3; may be given several times
    #[arg(long, value_name = "NAME=FILE", value_parser = name_and_file)]
    input: Vec<(String, PathBuf)>,
    /// A folder that stands in for the output locations in S3; the job's state rests there too
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on where an earlier run of the same job was cut off
    #[arg(long)]
    resume: bool,
    /// Answer CodePipeline with the outcome; without it CodePipeline is never answered
    #[arg(long, conflicts_with = "rehearse")]
    report: bool,
    /// Run on the AWS embedded in this binary, after the stages that come before the job's
    #[cfg(feature = "rehearsal")]
    #[arg(long, conflicts_with = "resume")]
    rehearse: bool,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    identity: Identity,
}

fn name_and_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => {
            Ok((name.to_owned(), PathBuf::from(file)))
        }
        _ => Err(format!("`{text}` is not NAME=FILE, such as SourceArtifact=source.zip")),
    }
}

pub fn main(args: Args) -> Result<(), CliError> {
    let file = args.job_file.display().to_string();
    let text = super::read(&args.job_file, Job::MAX_DOCUMENT)
        .map_err(|error| CliError::data(format!("{file}: {error}"), "give the path of a job document"))?;
    let job = Job::from_document(&text, &file).map_err(|error| {
        CliError::data(error.to_string(), "print one with: aws codepipeline get-job-details --job-id ID")
    })?;
    if stage_of(&job.action_type).is_none() {
        let action = &job.action_type;
        return Err(CliError::data(
            format!(
                "{file}: no stage runs an action of type {} {} {}",
                action.category, action.provider, action.version
            ),
            ACTION_TYPES,
        ));
    }
    #[cfg(feature = "rehearsal")]
    if args.rehearse {
        return super::rehearse::one_job(job, args.input.into_iter().collect(), args.out);
    }
    super::runtime()?.block_on(run(args, job))
}

async fn run(args: Args, job: Job) -> Result<(), CliError> {
    let clock = args.identity.clock();
    let aws = Identity::aws(&clock).await;
    let authority = args.keys.authority(&aws).await?;
    let environments = args.identity.environments(&aws).await?;
    let deps = WorkerDeps {
        aws,
        clock,
        network: Network::direct(),
        authority: Arc::new(authority),
        environments,
        journal: Arc::new(Journal::in_memory()),
        telemetry: Telemetry::watched(|now, label, event| tell(now, label.stage.name(), event)),
        stages: Stage::ALL.to_vec(),
        input_files: args.input.iter().cloned().collect::<BTreeMap<_, _>>(),
        output_folder: args.out.clone(),
    };
    let folder = args.out.clone().unwrap_or_else(|| PathBuf::from("."));
    let rest = StateFile::in_folder(&folder, &job);
    let outcome =
        run_to_end(&deps, job.clone(), &rest, args.resume).await.map_err(|error| match &error {
            ByHandError::Begun { .. } => CliError::usage(
                error.to_string(),
                "add --resume to go on from there, or remove the file to begin anew",
            ),
            ByHandError::State { .. } => {
                CliError::unavailable(error.to_string(), "the folder given with --out must be writable")
            }
            ByHandError::NoStage { .. } => CliError::data(error.to_string(), ACTION_TYPES),
        })?;
    if args.report {
        report::report(&deps, &job, &Answer::End(outcome.clone())).await.map_err(|error| {
            CliError::unavailable(
                format!("CodePipeline did not take the outcome: {error}"),
                "run again with --resume --report",
            )
        })?;
    }
    ended(outcome)
}

/// A line of progress on standard error.
pub fn tell(now: crate::engine::Timestamp, stage: &str, event: &Event<'_>) {
    use std::io::Write;
    let line = match event {
        Event::SliceYielded { progress, .. } => {
            let first = progress.summary.lines().next().unwrap_or_default();
            format!("{now} {stage}: {:>3} % {first}", progress.percent)
        }
        Event::Claimed { first: true } => format!("{now} {stage}: begun"),
        Event::Claimed { first: false } => format!("{now} {stage}: resumed"),
        Event::Ended { .. }
        | Event::NotOurs { .. }
        | Event::Dropped { .. }
        | Event::Abandoned { .. }
        | Event::Undone { .. } => return,
    };
    // Progress is a courtesy: a closed standard error does not stop a job.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// What the outcome of a job means to who ran it.
pub fn ended(outcome: Outcome) -> Result<(), CliError> {
    match outcome {
        Outcome::Succeeded { summary, variables, .. } => {
            say(&summary)?;
            for (name, value) in variables {
                say(&format!("  {name} = {value}"))?;
            }
            Ok(())
        }
        Outcome::Failed(failure) => Err(match failure.kind {
            FailureKind::JobFailed | FailureKind::TimedOut => CliError::failed(failure.message, ""),
            FailureKind::ConfigurationError | FailureKind::RevisionOutOfSync => {
                CliError::data(failure.message, "")
            }
            FailureKind::PermissionError => {
                CliError::denied(failure.message, "compare the role with pipeline/")
            }
            FailureKind::RevisionUnavailable | FailureKind::SystemUnavailable => {
                CliError::unavailable(failure.message, "run again with --resume")
            }
        }),
    }
}
