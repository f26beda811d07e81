//! An archive with random access: a local file or a spooled object.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::caps::Caps;
use super::content::EntryReader;
use super::digest::digest_of;
use super::directory::Directory;
use super::end::{self, WINDOW};
use super::entry::{Entry, EntryKind};
use super::error::{ArtifactError, Origin};
use super::fault::ArchiveFault;
use super::path::EntryPath;
use super::record::{self, LOCAL_LEN, MAX_DESCRIPTOR};
use crate::digest::Sha256;

/// The length of extra fields that most local headers do not exceed, in bytes.
const USUAL_EXTRA: u64 = 64;

/// A zip archive whose structure was checked: every byte belongs to exactly one part, and the parts agree.
///
/// Reading an entry checks its content; [`Archive::check_contents`] checks all of them.
#[derive(Debug)]
pub struct Archive<R> {
    source: R,
    size: u64,
    origin: Origin,
    directory: Directory,
}

impl Archive<File> {
    /// Opens a local file.
    ///
    /// # Errors
    /// [`ArtifactError::Local`] if the file cannot be read, [`ArtifactError::Refused`] if it is not a valid
    /// archive.
    pub fn open(path: &Path, caps: &Caps) -> Result<Self, ArtifactError> {
        let file =
            File::open(path).map_err(|source| ArtifactError::Local { path: path.to_owned(), source })?;
        Self::from_source(file, Origin::File(path.to_owned()), caps)
    }
}

impl<R: Read + Seek> Archive<R> {
    /// Reads the structure of an archive from any source; `origin` names it in errors.
    ///
    /// # Errors
    /// [`ArtifactError::Refused`] if it is not a valid archive.
    pub fn from_source(mut source: R, origin: Origin, caps: &Caps) -> Result<Self, ArtifactError> {
        match read_structure(&mut source, caps) {
            Ok((size, directory)) => Ok(Self { source, size, origin, directory }),
            Err(fault) => Err(ArtifactError::Refused { origin, fault }),
        }
    }

    /// The entries in the order of their paths.
    pub fn entries(&self) -> &[Entry] {
        self.directory.entries()
    }

    /// The entry with this path, if there is one.
    pub fn find(&self, path: &EntryPath) -> Option<&Entry> {
        self.directory.find(path)
    }

    /// The size of the archive in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The origin of the archive, for messages.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The whole content of a file of at most `max` bytes.
    ///
    /// # Errors
    /// [`ArtifactError::Refused`] if there is no such file, it is larger than `max`, or its data are damaged.
    pub fn read(&mut self, path: &EntryPath, max: u64) -> Result<Vec<u8>, ArtifactError> {
        let declared = self.directory.file(path).map(Entry::size);
        let bytes = declared.and_then(|size| {
            check_max(path, size, max)?;
            self.content(path)?.into_bytes()
        });
        bytes.map_err(|fault| self.refused(fault))
    }

    /// A reader of the content of a file. Its errors carry an [`ArchiveFault`].
    ///
    /// # Errors
    /// [`ArtifactError::Refused`] if there is no such file.
    pub fn reader(&mut self, path: &EntryPath) -> Result<EntryReader<&mut R>, ArtifactError> {
        let origin = self.origin.clone();
        self.content(path).map_err(|fault| ArtifactError::Refused { origin, fault })
    }

    /// Checks the size and the CRC-32 of every file.
    ///
    /// # Errors
    /// [`ArtifactError::Refused`] at the first content that differs from its declaration.
    pub fn check_contents(&mut self) -> Result<(), ArtifactError> {
        let entries: Vec<Entry> = self.directory.in_order().cloned().collect();
        for entry in entries {
            let copied = content(&mut self.source, &entry)
                .and_then(|mut reader| io::copy(&mut reader, &mut io::sink()).map_err(ArchiveFault::from_io));
            copied.map_err(|fault| self.refused(fault))?;
        }
        Ok(())
    }

    /// The SHA-256 of the whole archive, in bounded memory.
    ///
    /// # Errors
    /// [`ArtifactError::Refused`] if it cannot be read.
    pub fn digest(&mut self) -> Result<Sha256, ArtifactError> {
        let digest = self.source.rewind().and_then(|()| digest_of(&mut self.source));
        digest.map_err(|error| self.refused(ArchiveFault::Io(error)))
    }

    /// The paths of all files.
    pub fn files(&self) -> impl Iterator<Item = &EntryPath> {
        self.entries().iter().filter(|entry| entry.kind() == EntryKind::File).map(Entry::path)
    }

    /// The target of a symbolic link, as bytes; the link is not followed.
    ///
    /// # Errors
    /// [`ArtifactError::Refused`] if there is no such entry, or its data are damaged.
    pub fn target(&mut self, path: &EntryPath) -> Result<Vec<u8>, ArtifactError> {
        let entry = self.directory.file_or_link(path);
        let bytes = entry.and_then(|entry| content(&mut self.source, entry)?.into_bytes());
        bytes.map_err(|fault| self.refused(fault))
    }

    /// The paths of all symbolic links.
    pub fn links(&self) -> impl Iterator<Item = &EntryPath> {
        self.entries().iter().filter(|entry| entry.kind() == EntryKind::Link).map(Entry::path)
    }

    pub(super) fn refused(&self, fault: ArchiveFault) -> ArtifactError {
        ArtifactError::Refused { origin: self.origin.clone(), fault }
    }

    fn content(&mut self, path: &EntryPath) -> Result<EntryReader<&mut R>, ArchiveFault> {
        let entry = self.directory.file(path)?;
        content(&mut self.source, entry)
    }
}

/// Refuses an entry that declares more bytes than the caller accepts.
pub(super) fn check_max(path: &EntryPath, size: u64, max: u64) -> Result<(), ArchiveFault> {
    if size <= max {
        return Ok(());
    }
    Err(ArchiveFault::TooLarge { what: format!("`{path}`"), found: size, limit: max })
}

fn content<'r, R: Read + Seek>(
    source: &'r mut R,
    entry: &Entry,
) -> Result<EntryReader<&'r mut R>, ArchiveFault> {
    let data_at = local_header(source, entry)?;
    source.seek(SeekFrom::Start(data_at)).map_err(ArchiveFault::Io)?;
    Ok(EntryReader::new(source, entry, data_at))
}

fn read_structure<R: Read + Seek>(source: &mut R, caps: &Caps) -> Result<(u64, Directory), ArchiveFault> {
    let size = source.seek(SeekFrom::End(0)).map_err(ArchiveFault::Io)?;
    if size > caps.archive_bytes {
        let what = "the archive".to_owned();
        return Err(ArchiveFault::TooLarge { what, found: size, limit: caps.archive_bytes });
    }
    let window = size.min(WINDOW);
    let tail = read_at(source, size - window, window, "its end")?;
    let end = end::find_end(&tail, size, caps)?;
    let bytes = read_at(source, end.directory_at, end.directory_len, "the directory")?;
    let directory = Directory::parse(&bytes, &end, caps)?;
    drop(bytes);
    for entry in directory.in_order() {
        let data_at = local_header(source, entry)?;
        let data_end = data_at + entry.packed;
        let between = entry.limit.saturating_sub(data_end);
        if between > MAX_DESCRIPTOR {
            return Err(record::hidden(data_end, between));
        }
        let between = read_at(source, data_end, between, "a data descriptor")?;
        record::check_descriptor(&between, entry)?;
    }
    Ok((size, directory))
}

/// Reads and checks the local header of an entry. Returns the offset of its data.
fn local_header<R: Read + Seek>(source: &mut R, entry: &Entry) -> Result<u64, ArchiveFault> {
    // Extra fields have an unknown length but are mostly short: then one read is enough.
    let guess = LOCAL_LEN + entry.name_len() as u64 + USUAL_EXTRA;
    let mut header = read_at(source, entry.at, guess.min(entry.limit - entry.at), "a local header")?;
    let len = record::local_header_len(&header, entry)?;
    if len > header.len() as u64 {
        header = read_at(source, entry.at, len, "a local header")?;
    }
    record::check_local(&header, entry)
}

/// Reads `len` bytes at `at`. The caller has limited `len` to the size of the archive or of a header.
fn read_at<R: Read + Seek>(
    source: &mut R,
    at: u64,
    len: u64,
    what: &'static str,
) -> Result<Vec<u8>, ArchiveFault> {
    let truncated = || ArchiveFault::Truncated { offset: at, what };
    let mut out = vec![0; usize::try_from(len).map_err(|_| truncated())?];
    if !out.is_empty() {
        source.seek(SeekFrom::Start(at)).map_err(ArchiveFault::Io)?;
        source.read_exact(&mut out).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => truncated(),
            _ => ArchiveFault::Io(error),
        })?;
    }
    Ok(out)
}
