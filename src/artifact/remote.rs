//! An archive in S3, read by ranges: a few small reads for one file, whatever the size of the archive.

use aws_sdk_s3::Client;

use super::archive::check_max;
use super::caps::Caps;
use super::content::EntryReader;
use super::directory::Directory;
use super::end::{self, WINDOW};
use super::entry::{Entry, EntryKind};
use super::error::{ArtifactError, Location, Origin};
use super::fault::ArchiveFault;
use super::fetch::{self, ObjectStream, Pinned};
use super::path::{EntryPath, MAX_PATH};
use super::record::{self, LOCAL_LEN, MAX_DESCRIPTOR};
use crate::digest::Sha256;

/// A zip archive in S3 whose directory was read and checked. `If-Match` pins all reads to the version that was opened.
///
/// It checks the local headers of the entries that are read; [`super::spool`] checks all.
#[derive(Debug)]
pub struct RemoteArchive {
    s3: Client,
    pinned: Pinned,
    directory: Directory,
    /// The last bytes of the object, read by [`RemoteArchive::open`].
    tail: Vec<u8>,
}

impl RemoteArchive {
    /// Opens an archive with one read of its last 64 KiB, and a second if its directory is longer than that.
    ///
    /// # Errors
    /// [`ArtifactError::Refused`] if it is not a valid archive; otherwise the error of S3.
    pub async fn open(s3: &Client, at: &Location, caps: &Caps) -> Result<Self, ArtifactError> {
        let (pinned, tail) = fetch::tail(s3, at, WINDOW, caps).await?;
        let refused = |fault| ArtifactError::Refused { origin: Origin::S3(at.clone()), fault };
        let end = end::find_end(&tail, pinned.size, caps).map_err(refused)?;
        let tail_at = pinned.size - tail.len() as u64;
        let mut bytes = Vec::new();
        if end.directory_at < tail_at {
            let directory_end = end.directory_at + end.directory_len;
            bytes = fetch::range(s3, &pinned, end.directory_at..tail_at.min(directory_end)).await?;
        }
        let rest_at = end.directory_at.saturating_sub(tail_at);
        let rest_len = end.directory_len - bytes.len() as u64;
        bytes.extend_from_slice(part(&tail, rest_at, rest_len).unwrap_or_default());
        let directory = Directory::parse(&bytes, &end, caps).map_err(refused)?;
        Ok(Self { s3: s3.clone(), pinned, directory, tail })
    }

    /// The entries in the order of their paths.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        self.directory.entries()
    }

    /// The paths of all files.
    pub fn files(&self) -> impl Iterator<Item = &EntryPath> {
        self.entries().iter().filter(|entry| entry.kind() == EntryKind::File).map(Entry::path)
    }

    /// The paths of all symbolic links.
    pub fn links(&self) -> impl Iterator<Item = &EntryPath> {
        self.entries().iter().filter(|entry| entry.kind() == EntryKind::Link).map(Entry::path)
    }

    /// The entry with this path, if there is one.
    #[must_use]
    pub fn find(&self, path: &EntryPath) -> Option<&Entry> {
        self.directory.find(path)
    }

    /// The size of the object in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.pinned.size
    }

    /// The `ETag` that all reads are pinned to.
    #[must_use]
    pub fn etag(&self) -> &str {
        &self.pinned.etag
    }

    /// The location of the object.
    #[must_use]
    pub fn location(&self) -> &Location {
        &self.pinned.at
    }

    /// The whole content of a file of at most `max` bytes, with at most one read.
    ///
    /// # Errors
    /// [`ArtifactError::Refused`] if there is no such file, it is larger than `max`, or damaged;
    /// [`ArtifactError::Changed`] if the object is no longer the one that was opened.
    pub async fn read(&self, path: &EntryPath, max: u64) -> Result<Vec<u8>, ArtifactError> {
        let entry = self.directory.file(path).map_err(|fault| self.refused(fault))?;
        self.content(entry, max).await
    }

    /// The target of a symbolic link, as bytes; the link is not followed.
    ///
    /// # Errors
    /// As [`RemoteArchive::read`].
    pub async fn target(&self, path: &EntryPath) -> Result<Vec<u8>, ArtifactError> {
        let entry = self.directory.file_or_link(path).map_err(|fault| self.refused(fault))?;
        self.content(entry, MAX_PATH as u64).await
    }

    async fn content(&self, entry: &Entry, max: u64) -> Result<Vec<u8>, ArtifactError> {
        let path = entry.path();
        let len = reach(entry, path, max).map_err(|fault| self.refused(fault))?;
        let bytes = self.bytes(entry.at, len).await?;
        extract(&bytes, entry).map_err(|fault| self.refused(fault))
    }

    /// The SHA-256 of the whole object, in bounded memory.
    ///
    /// # Errors
    /// [`ArtifactError::Changed`] if the object is no longer the one that was opened; otherwise the error of
    /// S3.
    pub async fn digest(&self) -> Result<Sha256, ArtifactError> {
        ObjectStream::of(&self.s3, self.pinned.clone()).digest().await
    }

    async fn bytes(&self, at: u64, len: u64) -> Result<Vec<u8>, ArtifactError> {
        let tail_at = self.pinned.size - self.tail.len() as u64;
        match at.checked_sub(tail_at).and_then(|at| part(&self.tail, at, len)) {
            Some(bytes) => Ok(bytes.to_vec()),
            None => fetch::range(&self.s3, &self.pinned, at..at + len).await,
        }
    }

    fn refused(&self, fault: ArchiveFault) -> ArtifactError {
        ArtifactError::Refused { origin: Origin::S3(self.pinned.at.clone()), fault }
    }
}

/// The number of bytes from an entry's local header to the next part, checked to be plausible.
fn reach(entry: &Entry, path: &EntryPath, max: u64) -> Result<u64, ArchiveFault> {
    check_max(path, entry.size(), max)?;
    // Deflate output is at most 5 bytes longer for each block of 16 KiB or more.
    let most = entry.size().saturating_add(entry.size() / 1024).saturating_add(1024);
    if entry.packed > most {
        let what = "their compressed size is larger than deflate can give";
        return Err(ArchiveFault::Data { entry: path.clone(), offset: entry.at, what });
    }
    // Between header and data there may be extra fields of up to 64 KiB.
    let least = LOCAL_LEN + entry.name_len() as u64 + entry.packed;
    let len = entry.limit.saturating_sub(entry.at);
    let spare = u64::from(u16::MAX) + MAX_DESCRIPTOR;
    if len > least + spare {
        return Err(record::hidden(entry.at + least + spare, len - least - spare));
    }
    Ok(len)
}

/// The content of an entry, from all bytes between its local header and the next part.
fn extract(bytes: &[u8], entry: &Entry) -> Result<Vec<u8>, ArchiveFault> {
    let data_at = record::check_local(bytes, entry)?;
    let header = data_at - entry.at;
    let truncated = || ArchiveFault::Truncated { offset: data_at, what: "the data of an entry" };
    let data = part(bytes, header, entry.packed).ok_or_else(truncated)?;
    let between_at = header + entry.packed;
    let between = part(bytes, between_at, bytes.len() as u64 - between_at).ok_or_else(truncated)?;
    record::check_descriptor(between, entry)?;
    EntryReader::new(data, entry, data_at).into_bytes()
}

fn part(bytes: &[u8], at: u64, len: u64) -> Option<&[u8]> {
    let start = usize::try_from(at).ok()?;
    bytes.get(start..start.checked_add(usize::try_from(len).ok()?)?)
}
