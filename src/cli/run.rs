//! `bakeline run`: runs one job from a job document until its action ends.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::exit::{CliError, Message};
use super::identity::{Identity, Keys};
use super::job_output::{print_outcome, print_progress};
use crate::engine::{Job, Network};
use crate::evidence::Stage;
use crate::telemetry::Telemetry;
use crate::worker::action::{ACTION_TYPES, stage_of};
use crate::worker::journal::Journal;
use crate::worker::run_job::{RunJobError, StateFile, run_job};
use crate::worker::slice::Answer;
use crate::worker::{WorkerDeps, report};

/// Arguments of `bakeline run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The job document, as `aws codepipeline poll-for-jobs` or `get-job-details` prints it
    #[arg(value_name = "JOB")]
    job: PathBuf,
    /// Use a file instead of an input artifact in S3; may be given several times
    #[arg(long, value_name = "NAME=FILE", value_parser = name_and_file)]
    input: Vec<(String, PathBuf)>,
    /// Write output artifacts and the state of the job into a folder instead of S3
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Continue an earlier run of the same job that did not end
    #[arg(long)]
    resume: bool,
    /// Report the outcome to CodePipeline
    #[arg(long, conflicts_with = "rehearse")]
    answer: bool,
    /// Run on the embedded AWS, after the stages before the job's
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
    let file = args.job.display().to_string();
    let text = super::read_input(&args.job, Job::MAX_DOCUMENT, "job document")?;
    let job = Job::from_document(&text, &file).map_err(|error| {
        let hint = "print a job document with `aws codepipeline get-job-details --job-id ID`";
        CliError::data(Message::of(&error), hint)
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
        telemetry: Telemetry::with_observer(|now, label, event| {
            print_progress(now, label.stage.name(), event);
        }),
        stages: Stage::ALL.to_vec(),
        input_files: args.input.iter().cloned().collect::<BTreeMap<_, _>>(),
        output_folder: args.out.clone(),
    };
    let folder = args.out.clone().unwrap_or_else(|| PathBuf::from("."));
    let state_file = StateFile::in_folder(&folder, &job);
    let outcome = run_job(&deps, job.clone(), &state_file, args.resume).await.map_err(|error| {
        let message = Message::of(&error);
        match error {
            RunJobError::EarlierRun { .. } => CliError::usage(
                message,
                "add `--resume` to continue the earlier run, or remove the file to start again",
            ),
            RunJobError::StateFile { .. } => {
                CliError::unavailable(message, "give a writable folder with `--out`")
            }
            RunJobError::ActionType { .. } => CliError::data(message, ACTION_TYPES),
            RunJobError::UnknownJob { .. } => CliError::data(
                message,
                "print the document of a job in progress with `aws codepipeline get-job-details --job-id ID`; or use local \
                 artifacts, with `--input NAME=FILE` for each input and `--out DIR`",
            ),
            RunJobError::Credentials(_) => {
                CliError::unavailable(message, "allow codepipeline:GetJobDetails, and run the command again")
            }
            RunJobError::NewerToken { .. } => {
                CliError::data(message, "run it with the bakeline that began the action")
            }
        }
    })?;
    if args.answer {
        report::report(&deps, &job, &Answer::End(outcome.clone())).await.map_err(|error| {
            CliError::unavailable(
                "cannot report the outcome to CodePipeline",
                "run it again with --resume --answer",
            )
            .caused_by(&error)
        })?;
    }
    print_outcome(outcome)
}
