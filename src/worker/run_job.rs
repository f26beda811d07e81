//! Runs one job outside CodePipeline: a file keeps its continuation token between slices.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::Instrument as _;

use super::action::stage_of;
use super::claim::{self, Claim};
use super::deps::WorkerDeps;
use super::error::WorkerError;
use super::slice::{self, Answer};
use crate::engine::error::with_causes;
use crate::engine::{Job, Outcome, Token, token};
use crate::evidence::Stage;
use crate::telemetry::event::ActionFacts;
use crate::telemetry::{Event, JobLabel};

/// The age above which artifact credentials are renewed before a slice, as in the service.
const CREDENTIALS_MAX_AGE: Duration = Duration::from_mins(5);

/// The file that keeps the continuation token of a job between slices.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

/// Why [`run_job`] failed before the job had an outcome.
#[derive(Debug, thiserror::Error)]
pub enum RunJobError {
    #[error("the state file {} cannot be {operation}", path.display())]
    StateFile { path: PathBuf, operation: &'static str, source: std::io::Error },
    #[error("the state file {} exists: an earlier run of this job did not end", path.display())]
    EarlierRun { path: PathBuf },
    /// Only a job that CodePipeline knows gets new artifact credentials, and a bake outlives the first ones.
    #[error(
        "CodePipeline does not give the job {id}, so its artifact credentials cannot be renewed: {reason}"
    )]
    UnknownJob { id: String, reason: String },
    #[error("the artifact credentials of the job cannot be renewed")]
    Credentials(#[source] Box<WorkerError>),
    #[error("the continuation token has version {version}: a newer bakeline wrote it")]
    NewerToken { version: u64 },
    #[error("no stage runs an action of type {category} {provider} {version}")]
    ActionType { category: String, provider: String, version: String },
}

impl StateFile {
    /// The state file of a job in a folder; its name has the action execution id.
    #[must_use]
    pub fn in_folder(folder: &Path, job: &Job) -> Self {
        let id = &job.key.attempt_id;
        let safe: String =
            id.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        Self { path: folder.join(format!("{safe}.token.json")) }
    }

    fn failed(&self, operation: &'static str) -> impl FnOnce(std::io::Error) -> RunJobError {
        let path = self.path.clone();
        move |source| RunJobError::StateFile { path, operation, source }
    }

    fn load(&self) -> Result<Option<String>, RunJobError> {
        // One byte more than the longest token: decoding then reports that the file is too long.
        let limit = Token::<()>::MAX as u64 + 1;
        let read = File::open(&self.path).and_then(|file| {
            let mut bytes = Vec::new();
            file.take(limit).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        match read {
            // Decoding refuses a token with replacement characters.
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read")(error)),
        }
    }

    /// Replaces the file atomically: after a crash it has the old token or the new one.
    fn store(&self, token: &str) -> Result<(), RunJobError> {
        let next = self.path.with_extension("next");
        let write = || -> std::io::Result<()> {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut file = File::create(&next)?;
            file.write_all(token.as_bytes())?;
            file.sync_all()?;
            fs::rename(&next, &self.path)
        };
        write().map_err(self.failed("written"))
    }

    fn remove(&self) -> Result<(), RunJobError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.failed("removed")(error)),
            _ => Ok(()),
        }
    }
}

/// Runs all slices of a job and returns the outcome of its action. With `resume` it continues from the state file of
/// an earlier run.
///
/// # Errors
/// The state file cannot be used, it exists but `resume` is not set, CodePipeline does not know the job, or no stage runs
/// the job's action type.
pub async fn run_job(
    deps: &WorkerDeps,
    mut job: Job,
    state_file: &StateFile,
    resume: bool,
) -> Result<Outcome, RunJobError> {
    let Some(stage) = stage_of(&job.action_type) else {
        let action = job.action_type;
        return Err(RunJobError::ActionType {
            category: action.category,
            provider: action.provider,
            version: action.version,
        });
    };
    match state_file.load()? {
        Some(token) if resume => job.continuation_token = Some(token),
        Some(_) => return Err(RunJobError::EarlierRun { path: state_file.path.clone() }),
        None => {}
    }
    if let Some(version) = job.continuation_token.as_deref().and_then(token::newer_version) {
        return Err(RunJobError::NewerToken { version });
    }
    if has_own_token(&job) && needs_credentials(deps, &job) {
        // Before the first slice: an action that loses its credentials later undoes what it has made.
        match claim::read(deps, &job.id).await.map_err(|error| RunJobError::Credentials(Box::new(error)))? {
            Claim::Ours(fresh) => job.credentials = fresh.credentials.or(job.credentials),
            Claim::Refused { job_id, reason } => {
                return Err(RunJobError::UnknownJob { id: job_id, reason });
            }
        }
    }
    let label = JobLabel::of(&job, stage);
    let span = label.span();
    run_slices(deps, job, state_file, stage, &label).instrument(span).await
}

/// Whether the job has no token or a valid one. The first slice refuses any other before it reads an artifact.
fn has_own_token(job: &Job) -> bool {
    let token = job.continuation_token.as_deref();
    token.is_none_or(|raw| Token::<serde_json::Value>::decode(raw, &job.key.attempt_id).is_ok())
}

/// Whether a job uses artifact credentials: it has some, and an artifact is in S3.
fn needs_credentials(deps: &WorkerDeps, job: &Job) -> bool {
    let reads = job.inputs.iter().any(|input| !deps.input_files.contains_key(&input.name));
    let writes = deps.output_folder.is_none() && !job.outputs.is_empty();
    job.credentials.is_some() && (reads || writes)
}

/// Gives a job new artifact credentials. If CodePipeline gives none now, the slice runs with the old ones.
async fn renew_credentials(deps: &WorkerDeps, job: &mut Job) {
    match claim::read(deps, &job.id).await {
        Ok(Claim::Ours(fresh)) => job.credentials = fresh.credentials.or(job.credentials.take()),
        Ok(Claim::Refused { reason, .. }) => {
            tracing::warn!(reason, "CodePipeline gives no new artifact credentials for the job");
        }
        Err(error) => tracing::warn!(error = %with_causes(&error), "cannot renew the credentials of the job"),
    }
}

async fn run_slices(
    deps: &WorkerDeps,
    mut job: Job,
    state_file: &StateFile,
    stage: Stage,
    label: &JobLabel,
) -> Result<Outcome, RunJobError> {
    let first = job.continuation_token.is_none();
    deps.telemetry.emit(deps.clock.now(), label, &Event::Claimed { first });
    let started = slice::started(&job).unwrap_or_else(|| deps.clock.now());
    let mut issued = deps.clock.now();
    loop {
        let due = slice::not_before(&job);
        deps.clock.sleep(due.since(deps.clock.now())).await;
        if needs_credentials(deps, &job) && deps.clock.now().since(issued) > CREDENTIALS_MAX_AGE {
            renew_credentials(deps, &mut job).await;
            issued = deps.clock.now();
        }
        let context = deps.context(job.clone());
        match slice::run(stage, &context).await {
            Answer::Continue { token, not_before, progress } => {
                state_file.store(&token)?;
                deps.telemetry.emit(
                    deps.clock.now(),
                    label,
                    &Event::SliceYielded { until: not_before, progress: &progress },
                );
                job.continuation_token = Some(token);
            }
            Answer::End(outcome) => {
                state_file.remove()?;
                let now = deps.clock.now();
                let service = context.service.get().map(String::as_str);
                let action = ActionFacts { duration: now.since(started), service };
                deps.telemetry.emit(now, label, &Event::Ended { outcome: &outcome, action });
                return Ok(outcome);
            }
        }
    }
}
