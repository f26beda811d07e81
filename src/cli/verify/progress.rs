//! The progress of `bakeline verify --content`, in a file: an interrupted reading continues from there.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::cli::exit::Message;
use crate::digest::Sha256;
use crate::stage::content::Position;

/// The version of the file's format.
const VERSION: u32 = 1;

/// The file.
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    /// The position of each reading, by region, image and digest.
    readings: BTreeMap<String, Position>,
}

impl Default for File {
    fn default() -> Self {
        Self { version: VERSION, readings: BTreeMap::new() }
    }
}

/// The position of each reading.
#[derive(Debug, Default)]
pub struct Progress {
    /// Without a file, an interrupted reading starts again.
    file: Option<PathBuf>,
    positions: BTreeMap<String, Position>,
}

/// Why a progress file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProgressError {
    #[error("the progress file {} cannot be read", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{} is not a progress file", path.display())]
    Shape {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("{} has version {found}, expected {VERSION}", path.display())]
    Version { path: PathBuf, found: u32 },
    #[error("the progress file {} cannot be written", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl Progress {
    /// Reads the file; a missing file is an empty one.
    ///
    /// # Errors
    /// The file cannot be read, or has another format.
    pub fn open(file: Option<&Path>) -> Result<Self, ProgressError> {
        let Some(path) = file else { return Ok(Self::default()) };
        let file: File = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(crate::text::bytes_without_bom(&bytes))
                .map_err(|source| ProgressError::Shape { path: path.to_owned(), source })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => File::default(),
            Err(source) => return Err(ProgressError::Read { path: path.to_owned(), source }),
        };
        if file.version != VERSION {
            return Err(ProgressError::Version { path: path.to_owned(), found: file.version });
        }
        Ok(Self { file: Some(path.to_owned()), positions: file.readings })
    }

    /// The position from which the reading of an image continues. `signed` is the digest in the statement: each digest
    /// has a reading of its own.
    #[must_use]
    pub fn of(&self, region: &str, image: &str, signed: &Sha256) -> Position {
        self.positions.get(&key(region, image, signed)).copied().unwrap_or_default()
    }

    /// Saves the position of a reading.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(
        &mut self,
        region: &str,
        image: &str,
        signed: &Sha256,
        at: Position,
    ) -> Result<(), ProgressError> {
        self.positions.insert(key(region, image, signed), at);
        self.write()
    }

    /// Removes a finished reading.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn remove(&mut self, region: &str, image: &str, signed: &Sha256) -> Result<(), ProgressError> {
        self.positions.remove(&key(region, image, signed));
        self.write()
    }

    /// Replaces the whole file: an interruption leaves the old one.
    fn write(&self) -> Result<(), ProgressError> {
        let Some(path) = &self.file else { return Ok(()) };
        let failed = |source| ProgressError::Write { path: path.clone(), source };
        let file = File { version: VERSION, readings: self.positions.clone() };
        let text = serde_json::to_vec_pretty(&file)
            .map_err(|source| ProgressError::Shape { path: path.clone(), source })?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Only its owner may write it: nothing verifies a position.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        file.write_all(&text).map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

impl From<ProgressError> for crate::cli::exit::CliError {
    fn from(error: ProgressError) -> Self {
        Self::data(Message::of(&error), "give --progress a file of its own, in a writable folder")
    }
}

fn key(region: &str, image: &str, signed: &Sha256) -> String {
    format!("{region}/{image} {signed}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_there_for_the_next_one_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("progress.json");
        let (signed, other) = (Sha256::of(b"signed"), Sha256::of(b"other"));
        let at = Position { volume: 1, next: 4096, ..Position::default() };
        let mut first = Progress::open(Some(&file)).unwrap();
        assert_eq!(first.of("r", "ami-1", &signed), Position::default());
        first.save("r", "ami-1", &signed, at).unwrap();
        let mut second = Progress::open(Some(&file)).unwrap();
        assert_eq!(second.of("r", "ami-1", &signed), at);
        assert_eq!(second.of("r", "ami-1", &other), Position::default(), "another statement's reading");
        second.remove("r", "ami-1", &signed).unwrap();
        assert_eq!(Progress::open(Some(&file)).unwrap().of("r", "ami-1", &signed), Position::default());
    }

    #[test]
    fn without_a_file_nothing_is_saved_and_another_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut none = Progress::open(None).unwrap();
        none.save("r", "ami-1", &Sha256::of(b""), Position::default()).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let file = folder.path().join("other");
        std::fs::write(&file, "statements").unwrap();
        assert!(matches!(Progress::open(Some(&file)), Err(ProgressError::Shape { .. })));
        assert!(matches!(Progress::open(Some(folder.path())), Err(ProgressError::Read { .. })));
    }
}
