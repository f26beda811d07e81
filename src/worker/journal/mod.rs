//! Which jobs this worker has acknowledged and not yet answered.
//!
//! CodePipeline does not say when it offers an acknowledged job again whose worker died; `GetJobDetails` gives it
//! back to anyone who knows its id. So the id is written before the acknowledgement is sent.

mod bucket;
mod folder;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::aws::AwsError;
use crate::engine::Timestamp;

pub use bucket::{BucketJournal, LEASE};
pub use folder::FolderJournal;

/// The jobs on this worker's hands.
#[derive(Debug)]
pub enum Journal {
    /// Forgotten with the process, for rehearsals and jobs run by hand.
    Memory(Mutex<BTreeSet<String>>),
    /// One file a job in a folder of this host, each flushed to the disk before the job is acknowledged.
    Folder(FolderJournal),
    /// One object a job, under a lease, for hosts that vanish with their disks.
    Bucket(BucketJournal),
}

/// Jobs of a worker that is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inherited {
    /// Ids to be looked up by `GetJobDetails`.
    pub jobs: Vec<String>,
    /// Leases that were taken over from other workers to get at them.
    pub leases: u32,
}

/// The journal could not be read or written; nothing is acknowledged without it.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal {} cannot be {doing}: {source}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: std::io::Error },
    #[error("the journal {} is used by another worker that is running; give each its own folder", path.display())]
    InUse { path: PathBuf },
    #[error("`{id}` cannot be a job id")]
    Id { id: String },
    #[error("the journal cannot be reached: {0}")]
    Aws(#[from] AwsError),
}

impl Journal {
    #[must_use]
    pub fn in_memory() -> Self {
        Self::Memory(Mutex::new(BTreeSet::new()))
    }

    /// A journal in a folder, which is made if it is not there, and used by one process at a time.
    ///
    /// # Errors
    /// The folder cannot be made, or another process uses it.
    pub fn in_folder(path: PathBuf) -> Result<Self, JournalError> {
        Ok(Self::Folder(FolderJournal::open(path)?))
    }

    /// Whether the journal outlives this process.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        !matches!(self, Self::Memory(_))
    }

    /// Writes a job down.
    ///
    /// # Errors
    /// The id is not one CodePipeline gives, or the disk or S3 refused.
    pub async fn remember(&self, id: &str) -> Result<(), JournalError> {
        let id = checked(id)?;
        match self {
            Self::Memory(jobs) => {
                jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
                Ok(())
            }
            Self::Folder(folder) => folder.remember(id).await,
            Self::Bucket(bucket) => bucket.remember(id).await,
        }
    }

    /// Strikes a job out. One that is not there is no error.
    ///
    /// # Errors
    /// The disk or S3 refused.
    pub async fn forget(&self, id: &str) -> Result<(), JournalError> {
        let id = checked(id)?;
        match self {
            Self::Memory(jobs) => {
                jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
                Ok(())
            }
            Self::Folder(folder) => folder.forget(id).await,
            Self::Bucket(bucket) => bucket.forget(id).await,
        }
    }

    /// The jobs this worker has written down, in the order of their ids.
    ///
    /// # Errors
    /// The disk or S3 refused.
    pub async fn jobs(&self) -> Result<Vec<String>, JournalError> {
        match self {
            Self::Memory(jobs) => {
                Ok(jobs.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect())
            }
            Self::Folder(folder) => folder.jobs(),
            Self::Bucket(bucket) => bucket.jobs().await,
        }
    }

    /// Begins: gives what an earlier process left behind in the same place.
    ///
    /// # Errors
    /// The disk or S3 refused.
    pub async fn open(&self, now: Timestamp) -> Result<Inherited, JournalError> {
        match self {
            Self::Memory(_) | Self::Folder(_) => Ok(Inherited { jobs: self.jobs().await?, leases: 0 }),
            Self::Bucket(bucket) => bucket.tend(now).await,
        }
    }

    /// Holds on to this worker's lease and takes over those that have run out. To be called every third of
    /// [`LEASE`].
    ///
    /// # Errors
    /// S3 refused or did not answer; the next call may succeed.
    pub async fn tend(&self, now: Timestamp) -> Result<Inherited, JournalError> {
        match self {
            Self::Memory(_) | Self::Folder(_) => Ok(Inherited::default()),
            Self::Bucket(bucket) => bucket.tend(now).await,
        }
    }

    /// Ends: a lease under which nothing is left is given back, one under which jobs are left runs out at once.
    ///
    /// # Errors
    /// S3 refused or did not answer; the lease then runs out by itself.
    pub async fn close(&self) -> Result<(), JournalError> {
        match self {
            Self::Memory(_) | Self::Folder(_) => Ok(()),
            Self::Bucket(bucket) => bucket.close().await,
        }
    }
}

/// Job ids are UUIDs; anything else must not become a file name.
fn checked(id: &str) -> Result<&str, JournalError> {
    let plain =
        !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain { Ok(id) } else { Err(JournalError::Id { id: id.to_owned() }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_folder_remembers_over_a_restart_and_is_used_by_one() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("journal");
        let journal = Journal::in_folder(path.clone()).unwrap();
        for id in ["b-2", "a-1"] {
            journal.remember(id).await.unwrap();
        }
        journal.forget("b-2").await.unwrap();
        journal.forget("never").await.unwrap();
        assert!(matches!(Journal::in_folder(path.clone()), Err(JournalError::InUse { .. })));
        drop(journal);
        let again = Journal::in_folder(path).unwrap();
        let inherited = again.open(Timestamp(0)).await.unwrap();
        assert_eq!(inherited.jobs, ["a-1"]);
    }

    #[tokio::test]
    async fn an_id_never_leaves_the_folder() {
        let place = tempfile::tempdir().unwrap();
        let journal = Journal::in_folder(place.path().to_owned()).unwrap();
        for id in ["", "..", "a/b", "a.b", &"x".repeat(65)] {
            assert!(matches!(journal.remember(id).await, Err(JournalError::Id { .. })), "{id}");
        }
    }
}
