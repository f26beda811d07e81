//! A journal on the disk of this host.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{JournalError, checked};

/// One file a job.
#[derive(Debug)]
pub struct FolderJournal {
    path: PathBuf,
    /// Held for as long as the process lives; the system lets go of it however the process ends.
    _lock: File,
}

/// No job id has a dot.
const LOCK: &str = ".lock";

impl FolderJournal {
    pub(super) fn open(path: PathBuf) -> Result<Self, JournalError> {
        let made = |source| JournalError::Io { path: path.clone(), doing: "made", source };
        fs::create_dir_all(&path).map_err(made)?;
        let lock = File::create(path.join(LOCK)).map_err(made)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(JournalError::InUse { path }),
            // A file system without locks: the folder is trusted to be this worker's own.
            Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Self { path, _lock: lock })
            }
            Err(fs::TryLockError::Error(error)) => Err(made(error)),
        }
    }

    pub(super) async fn remember(&self, id: &str) -> Result<(), JournalError> {
        let (folder, path, id) = (self.path.clone(), self.path.join(id), id.to_owned());
        let write = move || -> io::Result<()> {
            let mut file = File::create(folder.join(&id))?;
            file.write_all(id.as_bytes())?;
            file.sync_all()?;
            File::open(&folder)?.sync_all()
        };
        on_disk(path, write).await
    }

    pub(super) async fn forget(&self, id: &str) -> Result<(), JournalError> {
        let path = self.path.join(id);
        let gone = path.clone();
        let remove = move || match fs::remove_file(&gone) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        on_disk(path, remove).await
    }

    pub(super) fn jobs(&self) -> Result<Vec<String>, JournalError> {
        list(&self.path).map_err(|source| JournalError::Io { path: self.path.clone(), doing: "read", source })
    }
}

fn list(folder: &Path) -> io::Result<Vec<String>> {
    let mut jobs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if let Some(id) = name.to_str().filter(|id| checked(id).is_ok()) {
            jobs.push(id.to_owned());
        }
    }
    jobs.sort();
    Ok(jobs)
}

/// A flush takes milliseconds: it must not hold up the other jobs of the runtime's thread.
async fn on_disk(
    path: PathBuf,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), JournalError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|source| JournalError::Io { path, doing: "written", source })
}
