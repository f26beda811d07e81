//! The journal: the jobs that a worker has claimed and whose result is not reported yet.
//!
//! CodePipeline does not document when it offers a claimed job of a dead worker again, but `GetJobDetails` returns a job
//! to anyone who knows its id. So a worker writes the id before it acknowledges the job.

mod bucket;
mod folder;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::aws::AwsError;
use crate::engine::Timestamp;

pub use bucket::{BucketJournal, LEASE};
pub use folder::FolderJournal;

/// Where a worker keeps the ids of its claimed jobs.
#[derive(Debug)]
pub enum Journal {
    /// In memory, for rehearsals and `bakeline run`: it ends with the process.
    Memory(Mutex<BTreeSet<String>>),
    /// One file for each job in a local folder, flushed to disk before the job is acknowledged.
    Folder(FolderJournal),
    /// One S3 object for each job, under a lease: for hosts without durable disks.
    Bucket(BucketJournal),
}

/// Jobs taken over from dead workers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TakenOver {
    /// The job ids, for `GetJobDetails`.
    pub jobs: Vec<String>,
    /// The number of leases taken over from other workers.
    pub leases: u32,
}

/// The journal cannot be read or written. Without it the worker claims no job.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal {} cannot be {operation}", path.display())]
    Io { path: PathBuf, operation: &'static str, source: std::io::Error },
    #[error("the journal {} is in use by another worker", path.display())]
    InUse { path: PathBuf },
    #[error("`{id}` is not a job id")]
    Id { id: String },
    #[error("the journal in S3 cannot be used: {0}")]
    Aws(#[from] AwsError),
}

impl Journal {
    #[must_use]
    pub fn in_memory() -> Self {
        Self::Memory(Mutex::new(BTreeSet::new()))
    }

    /// Opens a journal in a folder and creates the folder if needed. Only one process can use it at a time.
    ///
    /// # Errors
    /// The folder cannot be created, or another process uses it.
    pub fn in_folder(path: PathBuf) -> Result<Self, JournalError> {
        Ok(Self::Folder(FolderJournal::open(path)?))
    }

    /// Whether the journal survives this process.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        !matches!(self, Self::Memory(_))
    }

    /// Adds a job.
    ///
    /// # Errors
    /// The id is not a job id, or the write failed.
    pub async fn add(&self, id: &str) -> Result<(), JournalError> {
        let id = check_id(id)?;
        match self {
            Self::Memory(jobs) => {
                jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
                Ok(())
            }
            Self::Folder(folder) => folder.add(id).await,
            Self::Bucket(bucket) => bucket.add(id).await,
        }
    }

    /// Removes a job; it may be absent.
    ///
    /// # Errors
    /// The removal failed.
    pub async fn remove(&self, id: &str) -> Result<(), JournalError> {
        let id = check_id(id)?;
        match self {
            Self::Memory(jobs) => {
                jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
                Ok(())
            }
            Self::Folder(folder) => folder.remove(id).await,
            Self::Bucket(bucket) => bucket.remove(id).await,
        }
    }

    /// The jobs of this worker, ordered by id.
    ///
    /// # Errors
    /// The read failed.
    pub async fn jobs(&self) -> Result<Vec<String>, JournalError> {
        match self {
            Self::Memory(jobs) => {
                Ok(jobs.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect())
            }
            Self::Folder(folder) => folder.jobs(),
            Self::Bucket(bucket) => bucket.jobs().await,
        }
    }

    /// Starts using the journal and returns the jobs of earlier processes.
    ///
    /// # Errors
    /// The journal cannot be read or written.
    pub async fn open(&self, now: Timestamp) -> Result<TakenOver, JournalError> {
        match self {
            Self::Memory(_) | Self::Folder(_) => Ok(TakenOver { jobs: self.jobs().await?, leases: 0 }),
            Self::Bucket(bucket) => bucket.renew_lease(now).await,
        }
    }

    /// Renews the lease of this worker and takes over expired leases. Call it at intervals of a third of [`LEASE`].
    ///
    /// # Errors
    /// S3 refused or did not answer; the next call may succeed.
    pub async fn renew_lease(&self, now: Timestamp) -> Result<TakenOver, JournalError> {
        match self {
            Self::Memory(_) | Self::Folder(_) => Ok(TakenOver::default()),
            Self::Bucket(bucket) => bucket.renew_lease(now).await,
        }
    }

    /// Releases the lease. If jobs are left under it, the lease expires at once, so that another worker takes them over.
    ///
    /// # Errors
    /// S3 refused or did not answer; the lease expires by itself.
    pub async fn close(&self) -> Result<(), JournalError> {
        match self {
            Self::Memory(_) | Self::Folder(_) => Ok(()),
            Self::Bucket(bucket) => bucket.close().await,
        }
    }
}

/// The document of a job in the journal.
#[derive(Serialize)]
struct JobDocument<'a> {
    version: u8,
    system: &'static str,
    job: &'a str,
}

/// The content of a job's file or object. The journal is read by its names only; the content is for people and other
/// systems.
fn document(id: &str) -> Vec<u8> {
    let document = JobDocument { version: 1, system: "aws.codepipeline", job: id };
    // Two strings and a number can always be encoded.
    serde_json::to_vec(&document).unwrap_or_default()
}

/// Checks a job id, which becomes a file name.
fn check_id(id: &str) -> Result<&str, JournalError> {
    let is_valid =
        !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if is_valid { Ok(id) } else { Err(JournalError::Id { id: id.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_journal_survives_a_restart_and_has_one_user() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("journal");
        let journal = Journal::in_folder(path.clone()).unwrap();
        for id in ["b-2", "a-1"] {
            journal.add(id).await.unwrap();
        }
        journal.remove("b-2").await.unwrap();
        journal.remove("never").await.unwrap();
        assert!(matches!(Journal::in_folder(path.clone()), Err(JournalError::InUse { .. })));
        drop(journal);
        let reopened = Journal::in_folder(path).unwrap();
        let taken_over = reopened.open(Timestamp(0)).await.unwrap();
        assert_eq!(taken_over.jobs, ["a-1"]);
    }

    #[tokio::test]
    async fn an_invalid_id_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let journal = Journal::in_folder(temporary.path().to_owned()).unwrap();
        for id in ["", "..", "a/b", "a.b", &"x".repeat(65)] {
            assert!(matches!(journal.add(id).await, Err(JournalError::Id { .. })), "{id}");
        }
    }
}
