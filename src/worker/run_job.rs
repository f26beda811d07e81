//! Runs one job outside CodePipeline: a file keeps its continuation token between slices.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use tracing::Instrument as _;

use super::action::stage_of;
use super::deps::WorkerDeps;
use super::slice::{self, Answer};
use crate::engine::{Job, Outcome, Token};
use crate::evidence::Stage;
use crate::telemetry::event::ActionFacts;
use crate::telemetry::{Event, JobLabel};

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
/// The state file cannot be used, it exists but `resume` is not set, or no stage runs the job's action type.
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
    let label = JobLabel::of(&job, stage);
    let span = label.span();
    run_slices(deps, job, state_file, stage, &label).instrument(span).await
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
    loop {
        let due = slice::not_before(&job);
        deps.clock.sleep(due.since(deps.clock.now())).await;
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
