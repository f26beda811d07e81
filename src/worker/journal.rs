//! Which jobs this worker has acknowledged and not yet answered.
//!
//! CodePipeline does not say when it offers an acknowledged job again whose worker died; `GetJobDetails` gives it
//! back to anyone who knows its id. So the id is written before the acknowledgement is sent.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The jobs on this worker's hands.
#[derive(Debug)]
pub enum Journal {
    /// Forgotten with the process, for rehearsals and jobs run by hand.
    Memory(Mutex<BTreeSet<String>>),
    /// One file a job in a folder of this host, each flushed to the disk before the job is acknowledged.
    Folder(PathBuf),
}

/// The journal could not be read or written; nothing is acknowledged without it.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    #[error("the journal {} cannot be {doing}: {source}", path.display())]
    Io { path: PathBuf, doing: &'static str, source: std::io::Error },
    #[error("`{id}` cannot be a job id")]
    Id { id: String },
}

impl Journal {
    #[must_use]
    pub fn in_memory() -> Self {
        Self::Memory(Mutex::new(BTreeSet::new()))
    }

    /// A journal in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn in_folder(path: PathBuf) -> Result<Self, JournalError> {
        fs::create_dir_all(&path).map_err(|source| JournalError::Io {
            path: path.clone(),
            doing: "made",
            source,
        })?;
        Ok(Self::Folder(path))
    }

    /// Writes a job down.
    ///
    /// # Errors
    /// The id is not one CodePipeline gives, or the disk refused.
    pub fn remember(&self, id: &str) -> Result<(), JournalError> {
        let id = checked(id)?;
        match self {
            Self::Memory(jobs) => {
                jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned());
                Ok(())
            }
            Self::Folder(folder) => {
                let path = folder.join(id);
                let failed = |source| JournalError::Io { path: path.clone(), doing: "written", source };
                let mut file = File::create(&path).map_err(failed)?;
                file.write_all(id.as_bytes()).map_err(failed)?;
                file.sync_all().map_err(failed)?;
                File::open(folder).and_then(|f| f.sync_all()).map_err(failed)
            }
        }
    }

    /// Strikes a job out. One that is not there is no error.
    ///
    /// # Errors
    /// The disk refused.
    pub fn forget(&self, id: &str) -> Result<(), JournalError> {
        let id = checked(id)?;
        match self {
            Self::Memory(jobs) => {
                jobs.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
                Ok(())
            }
            Self::Folder(folder) => {
                let path = folder.join(id);
                match fs::remove_file(&path) {
                    Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                        Err(JournalError::Io { path, doing: "written", source })
                    }
                    _ => Ok(()),
                }
            }
        }
    }

    /// The jobs written down, in the order of their ids.
    ///
    /// # Errors
    /// The disk refused.
    pub fn jobs(&self) -> Result<Vec<String>, JournalError> {
        match self {
            Self::Memory(jobs) => {
                Ok(jobs.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect())
            }
            Self::Folder(folder) => {
                let failed = |source| JournalError::Io { path: folder.clone(), doing: "read", source };
                let mut jobs = Vec::new();
                for entry in fs::read_dir(folder).map_err(failed)? {
                    let name = entry.map_err(failed)?.file_name();
                    if let Some(id) = name.to_str().filter(|id| checked(id).is_ok()) {
                        jobs.push(id.to_owned());
                    }
                }
                jobs.sort();
                Ok(jobs)
            }
        }
    }
}

/// Job ids are UUIDs; anything else must not become a file name.
fn checked(id: &str) -> Result<&str, JournalError> {
    let plain =
        !id.is_empty() && id.len() <= 64 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if plain { Ok(id) } else { Err(JournalError::Id { id: id.to_owned() }) }
}
