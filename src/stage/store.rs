//! The artifact store of a job: S3, or local files for one job run by hand.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::artifact::{
    self, Archive, ArtifactError, Caps, EntryPath, Finished, Location, RemoteArchive, Sha256, spool,
};
use crate::aws::Artifacts;
use crate::engine::StageError;
use crate::engine::error::{ErrorClass, ModuleError};
use crate::engine::job::NamedArtifact;

/// The artifact store of one job.
#[derive(Clone, Debug)]
pub struct Store {
    pub s3: Artifacts,
    /// The job's KMS key for outputs; none means the AWS-managed one.
    pub encryption_key: Option<String>,
    /// Local files that replace input artifacts, by artifact name.
    pub input_files: BTreeMap<String, PathBuf>,
    /// The local folder that replaces the output locations.
    pub output_folder: Option<PathBuf>,
}

/// An open input artifact.
#[derive(Debug)]
pub enum Input {
    Remote(RemoteArchive),
    Local(std::sync::Mutex<Archive<std::fs::File>>),
}

/// The longest file of the source that is hashed for a build, in bytes.
const SOURCE_FILE_BYTES: u64 = 64 << 20;

/// What follows the path of a symbolic link among the digests of a source.
const LINK: &str = "\0symbolic link";

/// The action has no artifact where the stage needs one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoArtifact {
    #[error("the action has no input artifact; add one to the action in the pipeline")]
    Input,
    #[error("the action has no output artifact; add one to the action in the pipeline")]
    Output,
}

impl ModuleError for NoArtifact {
    fn class(&self) -> ErrorClass {
        ErrorClass::Config
    }
}

/// Files in memory, by path.
pub type Files = BTreeMap<String, Vec<u8>>;

impl Store {
    /// Opens an input of any size; only its directory is read.
    ///
    /// # Errors
    /// As [`RemoteArchive::open`] and [`Archive::open`].
    pub async fn open(&self, artifact: &NamedArtifact, caps: &Caps) -> Result<Input, ArtifactError> {
        match self.input_files.get(&artifact.name) {
            Some(path) => Ok(Input::Local(std::sync::Mutex::new(Archive::open(path, caps)?))),
            None => Ok(Input::Remote(RemoteArchive::open(self.s3.client(), &artifact.location, caps).await?)),
        }
    }

    /// Reads a whole small input.
    ///
    /// # Errors
    /// As [`spool`], or an entry is larger than the caps.
    pub async fn read(&self, artifact: &NamedArtifact, caps: &Caps) -> Result<Files, ArtifactError> {
        let mut archive = match self.input_files.get(&artifact.name) {
            Some(path) => Archive::open(path, caps)?,
            None => spool(self.s3.client(), &artifact.location, caps).await?.archive,
        };
        let paths: Vec<EntryPath> = archive.files().cloned().collect();
        let mut files = Files::new();
        for path in paths {
            let bytes = archive.read(&path, caps.entry_bytes)?;
            files.insert(path.as_str().to_owned(), bytes);
        }
        Ok(files)
    }

    /// Writes an output and reads it back.
    ///
    /// # Errors
    /// As [`artifact::put`]; [`ArtifactError::Occupied`] if the location has another object.
    pub async fn put(&self, artifact: &NamedArtifact, archive: &Finished) -> Result<Sha256, ArtifactError> {
        if let Some(folder) = &self.output_folder {
            local::put(folder, &artifact.name, archive)
        } else {
            let kms = self.encryption_key.as_deref();
            Ok(artifact::put(self.s3.client(), &artifact.location, archive, kms).await?.digest)
        }
    }

    /// Reads the whole artifact at an output's location.
    ///
    /// # Errors
    /// As [`Store::read`].
    pub async fn read_output(&self, artifact: &NamedArtifact, caps: &Caps) -> Result<Files, ArtifactError> {
        let mut input_files = BTreeMap::new();
        if let Some(folder) = &self.output_folder {
            input_files.insert(artifact.name.clone(), local::path(folder, &artifact.name));
        }
        let here = Self { s3: self.s3.clone(), encryption_key: None, input_files, output_folder: None };
        here.read(artifact, caps).await
    }
}

impl Input {
    /// One file of at most `max` bytes.
    ///
    /// # Errors
    /// There is no such file, or it is larger or damaged.
    pub async fn read(&self, path: &EntryPath, max: u64) -> Result<Vec<u8>, ArtifactError> {
        match self {
            Self::Remote(archive) => archive.read(path, max).await,
            Self::Local(archive) => lock(archive).read(path, max),
        }
    }

    /// The paths of all files.
    pub fn files(&self) -> Vec<EntryPath> {
        match self {
            Self::Remote(archive) => archive.files().cloned().collect(),
            Self::Local(archive) => lock(archive).files().cloned().collect(),
        }
    }

    /// SHA-256 of the content of every file whose path `wanted` accepts, by path; and of the target of every such symbolic
    /// link. A link is never followed. Its name here ends in [`LINK`], which no path contains: it differs from a file
    /// with the target as its content.
    ///
    /// # Errors
    /// A file is too long, damaged, or cannot be read.
    pub async fn digests(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, Sha256>, ArtifactError> {
        let links: Vec<EntryPath> = match self {
            Self::Remote(archive) => archive.links().cloned().collect(),
            Self::Local(archive) => lock(archive).links().cloned().collect(),
        };
        let mut digests = BTreeMap::new();
        for path in links.into_iter().filter(|path| wanted(path.as_str())) {
            let target = match self {
                Self::Remote(archive) => archive.target(&path).await?,
                Self::Local(archive) => lock(archive).target(&path)?,
            };
            digests.insert(format!("{path}{LINK}"), Sha256::of(&target));
        }
        for path in self.files().into_iter().filter(|path| wanted(path.as_str())) {
            let bytes = self.read(&path, SOURCE_FILE_BYTES).await?;
            digests.insert(path.as_str().to_owned(), Sha256::of(&bytes));
        }
        Ok(digests)
    }

    /// SHA-256 of the whole artifact, in one streaming pass.
    ///
    /// # Errors
    /// The artifact changed while it was read, or cannot be read.
    pub async fn digest(&self) -> Result<Sha256, ArtifactError> {
        match self {
            Self::Remote(archive) => archive.digest().await,
            Self::Local(archive) => lock(archive).digest(),
        }
    }
}

/// Ignores a poisoned lock: a reader panicked, but readers change nothing.
fn lock(
    archive: &std::sync::Mutex<Archive<std::fs::File>>,
) -> std::sync::MutexGuard<'_, Archive<std::fs::File>> {
    archive.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The job's input artifact.
///
/// # Errors
/// The action has none.
pub fn input(inputs: &[NamedArtifact]) -> Result<&NamedArtifact, StageError> {
    Ok(inputs.first().ok_or(NoArtifact::Input)?)
}

/// The job's output artifact.
///
/// # Errors
/// The action has none.
pub fn output(outputs: &[NamedArtifact]) -> Result<&NamedArtifact, StageError> {
    Ok(outputs.first().ok_or(NoArtifact::Output)?)
}

/// A local folder in place of S3.
mod local {
    use std::path::{Path, PathBuf};

    use super::{Archive, ArtifactError, Caps, Finished, Location, Sha256};

    pub fn path(folder: &Path, name: &str) -> PathBuf {
        // Artifact names are `[a-zA-Z0-9_\-]+` in CodePipeline; a job document may say anything.
        let safe: String = name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' })
            .collect();
        folder.join(format!("{safe}.zip"))
    }

    pub fn put(folder: &Path, name: &str, archive: &Finished) -> Result<Sha256, ArtifactError> {
        let scratch = |doing| move |source| ArtifactError::Scratch { doing, source };
        std::fs::create_dir_all(folder).map_err(scratch("create the output folder"))?;
        let to = path(folder, name);
        if !to.exists() {
            let part = to.with_extension("zip.part");
            std::fs::copy(archive.path(), &part).map_err(scratch("write the output"))?;
            std::fs::rename(&part, &to).map_err(scratch("rename the output"))?;
        }
        let digest = Archive::open(&to, &Caps::default())?.digest()?;
        if digest == archive.digest() {
            return Ok(digest);
        }
        let at = Location { bucket: folder.display().to_string(), key: name.to_owned() };
        Err(ArtifactError::Occupied { at, digest })
    }
}
