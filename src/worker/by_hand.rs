//! One job run to its end outside CodePipeline: the token rests in a file instead of a queue.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use super::action::stage_of;
use super::deps::WorkerDeps;
use super::slice::{self, Answer};
use crate::engine::{Job, Outcome, Token};
use crate::telemetry::{Event, JobLabel};

/// Where the token of a job run by hand rests between slices.
#[derive(Clone, Debug)]
pub struct StateFile {
    path: PathBuf,
}

/// Why a job could not be run by hand.
#[derive(Debug, thiserror::Error)]
pub enum ByHandError {
    #[error("{}: the state of the job cannot be {doing}: {source}", path.display())]
    State { path: PathBuf, doing: &'static str, source: std::io::Error },
    #[error("{} holds the state of an earlier run of this job", path.display())]
    Begun { path: PathBuf },
    #[error("the job is of {category} {provider} {version}: no stage runs it")]
    NoStage { category: String, provider: String, version: String },
}

impl StateFile {
    /// The state file of a job in a folder: one for every action execution.
    #[must_use]
    pub fn in_folder(folder: &Path, job: &Job) -> Self {
        let execution = &job.key.attempt_id;
        let safe: String =
            execution.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        Self { path: folder.join(format!("{safe}.token.json")) }
    }

    fn failed(&self, doing: &'static str) -> impl FnOnce(std::io::Error) -> ByHandError {
        let path = self.path.clone();
        move |source| ByHandError::State { path, doing, source }
    }

    fn load(&self) -> Result<Option<String>, ByHandError> {
        // One byte more than a token has is enough to see that this is none.
        let most = Token::<()>::MAX as u64 + 1;
        let read = File::open(&self.path).and_then(|file| {
            let mut bytes = Vec::new();
            file.take(most).read_to_end(&mut bytes)?;
            Ok(bytes)
        });
        match read {
            // What is not UTF-8 is no token either, and is refused as such.
            Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("read")(error)),
        }
    }

    /// Replaces the token in one move, flushed: a kill leaves the old one or the new one.
    fn store(&self, token: &str) -> Result<(), ByHandError> {
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

    fn remove(&self) -> Result<(), ByHandError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.failed("removed")(error)),
            _ => Ok(()),
        }
    }
}

/// Runs a job slice by slice to its outcome. With `resume` it goes on from where an earlier run was cut off.
///
/// # Errors
/// The state file cannot be used, an earlier run's state is there and `resume` was not asked for, or no stage runs
/// such a job.
pub async fn run_to_end(
    deps: &WorkerDeps,
    mut job: Job,
    rest: &StateFile,
    resume: bool,
) -> Result<Outcome, ByHandError> {
    let Some(stage) = stage_of(&job.action_type) else {
        let action = job.action_type;
        return Err(ByHandError::NoStage {
            category: action.category,
            provider: action.provider,
            version: action.version,
        });
    };
    match rest.load()? {
        Some(token) if resume => job.continuation_token = Some(token),
        Some(_) => return Err(ByHandError::Begun { path: rest.path.clone() }),
        None => {}
    }
    let label = JobLabel::of(&job, stage);
    let first = job.continuation_token.is_none();
    deps.telemetry.emit(deps.clock.now(), &label, &Event::Claimed { first });
    loop {
        let due = slice::not_before(&job);
        deps.clock.sleep(due.since(deps.clock.now())).await;
        match slice::run(stage, &deps.context(job.clone())).await {
            Answer::Continue { token, not_before, progress } => {
                rest.store(&token)?;
                deps.telemetry.emit(
                    deps.clock.now(),
                    &label,
                    &Event::SliceYielded { until: not_before, progress: &progress },
                );
                job.continuation_token = Some(token);
            }
            Answer::End(outcome) => {
                rest.remove()?;
                deps.telemetry.emit(deps.clock.now(), &label, &Event::Ended { outcome: &outcome });
                return Ok(outcome);
            }
        }
    }
}
