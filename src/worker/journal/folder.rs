//! A journal in a local folder: one file for each job.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::{JournalError, check_id};

/// A folder with one file for each job.
#[derive(Debug)]
pub struct FolderJournal {
    path: PathBuf,
    /// The lock of this process. If the process is killed, the operating system releases it.
    lock: File,
}

/// The lock file. No job id contains a dot.
const LOCK: &str = ".lock";

/// Closing the file would not release the lock while a copy of its descriptor is open, as in a child process between
/// fork and exec (flock(2)).
impl Drop for FolderJournal {
    fn drop(&mut self) {
        // If this fails, the lock is released with the last descriptor.
        let _ = self.lock.unlock();
    }
}

impl FolderJournal {
    pub(super) fn open(path: PathBuf) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { path: path.clone(), operation: "created", source };
        fs::create_dir_all(&path).map_err(failed)?;
        let lock = File::create(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, lock }),
            Err(fs::TryLockError::WouldBlock) => Err(JournalError::InUse { path }),
            // A file system without locks: the operator must not share the folder.
            Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                Ok(Self { path, lock })
            }
            Err(fs::TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    pub(super) async fn add(&self, id: &str) -> Result<(), JournalError> {
        let (folder, path) = (self.path.clone(), self.path.join(file_name(id)));
        let (file, text) = (path.clone(), super::document(id));
        let write = move || -> io::Result<()> {
            let mut file = File::create(file)?;
            file.write_all(&text)?;
            file.sync_all()?;
            File::open(&folder)?.sync_all()
        };
        run_blocking(path, write).await
    }

    pub(super) async fn remove(&self, id: &str) -> Result<(), JournalError> {
        let path = self.path.join(file_name(id));
        let removed = path.clone();
        let remove = move || match fs::remove_file(&removed) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
        run_blocking(path, remove).await
    }

    pub(super) fn jobs(&self) -> Result<Vec<String>, JournalError> {
        list(&self.path).map_err(|source| JournalError::Io {
            path: self.path.clone(),
            operation: "read",
            source,
        })
    }
}

fn file_name(id: &str) -> String {
    format!("{id}.json")
}

fn list(folder: &Path) -> io::Result<Vec<String>> {
    let mut jobs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".json"));
        if let Some(id) = id.filter(|id| check_id(id).is_ok()) {
            jobs.push(id.to_owned());
        }
    }
    jobs.sort();
    Ok(jobs)
}

/// Runs a file operation on a blocking thread: a flush takes milliseconds.
async fn run_blocking(
    path: PathBuf,
    work: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<(), JournalError> {
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)));
    done.map_err(|source| JournalError::Io { path, operation: "written", source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_is_released_while_a_copy_of_its_descriptor_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let journal = FolderJournal::open(folder.path().to_owned()).unwrap();
        let copy = journal.lock.try_clone().unwrap();
        drop(journal);
        FolderJournal::open(folder.path().to_owned()).unwrap();
        drop(copy);
    }
}
