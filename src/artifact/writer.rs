//! Reproducible archives: the same entries always give the same bytes.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};

use tempfile::NamedTempFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, System, ZipWriter};

use super::archive::Archive;
use super::digest::digest_of;
use super::entry::EntryKind;
use super::error::{ArtifactError, Origin};
use super::fault::ArchiveFault;
use super::path::EntryPath;
use crate::digest::Sha256;

/// Collects entries in any order and writes them as a canonical archive.
///
/// Canonical means: files only, sorted by the bytes of their paths, stored, dated 1980-01-01, mode 0644, no
/// comments and no extra fields but zip64's where a size needs it. Entries are stored and not deflated
/// because versions of a compressor may give different bytes: a later release must still recognize an archive of
/// today as canonical.
///
/// The content is in a scratch file until [`ArchiveWriter::finish`], so it takes no memory.
#[derive(Debug)]
pub struct ArchiveWriter {
    scratch: File,
    /// The content of every entry in the scratch file.
    entries: BTreeMap<EntryPath, Content>,
    /// Every path and folder in lower case: two that differ in case only collide on some systems.
    folded: BTreeMap<String, (String, EntryKind)>,
    /// Whether names may differ in case only, as in a source.
    is_source: bool,
    end: u64,
}

/// Offset and length of a content in the scratch file.
#[derive(Debug, Clone, Copy)]
struct Content {
    at: u64,
    len: u64,
    is_link: bool,
}

/// A finished archive in a scratch file; dropping it removes the file.
#[derive(Debug)]
pub struct Finished {
    file: NamedTempFile,
    size: u64,
    digest: Sha256,
}

impl Finished {
    /// The scratch file. Only its owner may read it.
    #[must_use]
    pub fn path(&self) -> &std::path::Path {
        self.file.path()
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// SHA-256 of the archive.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        self.digest
    }
}

impl ArchiveWriter {
    /// An empty writer.
    ///
    /// # Errors
    /// [`ArtifactError::Scratch`] if no scratch file can be made.
    pub fn new() -> Result<Self, ArtifactError> {
        let scratch = tempfile::tempfile().map_err(scratch("make"))?;
        Ok(Self { scratch, entries: BTreeMap::new(), folded: BTreeMap::new(), is_source: false, end: 0 })
    }

    /// An empty writer of a source: version control holds symbolic links, and names that differ in case only.
    ///
    /// # Errors
    /// As [`ArchiveWriter::new`].
    pub fn of_source() -> Result<Self, ArtifactError> {
        Ok(Self { is_source: true, ..Self::new()? })
    }

    /// Adds a file from memory.
    ///
    /// # Errors
    /// As [`ArchiveWriter::add_reader`].
    pub fn add(&mut self, path: &EntryPath, bytes: &[u8]) -> Result<(), ArtifactError> {
        self.add_reader(path, bytes)
    }

    /// Adds a file from a reader, and reads it to its end.
    ///
    /// # Errors
    /// [`ArtifactError::Unwritable`] if the path collides with an earlier one: the same path, in another
    /// case, or as a file within a file; [`ArtifactError::Refused`] if the content comes from an invalid
    /// archive; [`ArtifactError::Scratch`] if the content cannot be read or written.
    pub fn add_reader(&mut self, path: &EntryPath, content: impl Read) -> Result<(), ArtifactError> {
        if !self.is_source {
            reserve(&mut self.folded, path)?;
        }
        self.append(path, content, false)
    }

    /// Adds a symbolic link. The archive is then no canonical one.
    ///
    /// # Errors
    /// As [`ArchiveWriter::add_reader`].
    pub fn add_link(&mut self, path: &EntryPath, target: &[u8]) -> Result<(), ArtifactError> {
        if !self.is_source {
            reserve(&mut self.folded, path)?;
        }
        self.append(path, target, true)
    }

    fn append(
        &mut self,
        path: &EntryPath,
        mut content: impl Read,
        is_link: bool,
    ) -> Result<(), ArtifactError> {
        let len = self
            .scratch
            .seek(SeekFrom::Start(self.end))
            .and_then(|_| io::copy(&mut content, &mut self.scratch))
            .map_err(scratch("fill"))?;
        self.entries.insert(path.clone(), Content { at: self.end, len, is_link });
        self.end += len;
        Ok(())
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// [`ArtifactError::Scratch`] if a scratch file cannot be read or written.
    pub fn finish(self) -> Result<Finished, ArtifactError> {
        let Self { mut scratch, entries, .. } = self;
        let mut pack = Pack::new()?;
        for (path, content) in &entries {
            scratch.seek(SeekFrom::Start(content.at)).map_err(self::scratch("read"))?;
            let mut bytes = (&mut scratch).take(content.len);
            let added = if content.is_link {
                pack.add_link(path, &mut bytes)
            } else {
                pack.add(path, content.len, &mut bytes)
            };
            added.map_err(self::scratch("write"))?;
        }
        pack.finish()
    }
}

/// Whether an archive is, byte for byte, what [`ArchiveWriter`] writes for its entries. Then any change of a byte makes
/// the archive non-canonical or changes the content of an entry.
///
/// # Errors
/// [`ArtifactError::Refused`] if an entry's content is not as declared, [`ArtifactError::Scratch`] if a
/// scratch file cannot be used.
pub fn is_canonical<R: Read + Seek>(archive: &mut Archive<R>) -> Result<bool, ArtifactError> {
    if archive.entries().iter().any(|entry| entry.kind() != EntryKind::File) {
        return Ok(false);
    }
    let files: Vec<(EntryPath, u64)> =
        archive.entries().iter().map(|entry| (entry.path().clone(), entry.size())).collect();
    let mut folded = BTreeMap::new();
    let mut pack = Pack::new()?;
    for (path, size) in files {
        if reserve(&mut folded, &path).is_err() {
            return Ok(false);
        }
        let packed = pack.add(&path, size, &mut archive.reader(&path)?);
        packed.map_err(|error| archive.refused(ArchiveFault::from_io(error)))?;
    }
    let again = pack.finish()?;
    Ok(again.size == archive.size() && again.digest == archive.digest()?)
}

/// Records a path and its folders, unless the path collides with an earlier one.
fn reserve(
    folded: &mut BTreeMap<String, (String, EntryKind)>,
    path: &EntryPath,
) -> Result<(), ArtifactError> {
    let parts = path.folders().map(|folder| (folder, EntryKind::Folder));
    for (part, kind) in parts.chain([(path.as_str(), EntryKind::File)]) {
        let taken = folded.get(&part.to_lowercase());
        let why = match taken {
            Some((_, EntryKind::Folder)) if kind == EntryKind::File => {
                format!("`{part}` is already a folder")
            }
            Some((_, EntryKind::File | EntryKind::Link)) if kind == EntryKind::Folder => {
                format!("`{part}` is already a file")
            }
            Some((other, _)) if other != part => format!("`{part}` and `{other}` differ in case only"),
            Some(_) if kind == EntryKind::File => "it was already added".to_owned(),
            _ => continue,
        };
        return Err(ArtifactError::Unwritable { path: path.to_string(), why });
    }
    for folder in path.folders() {
        folded.entry(folder.to_lowercase()).or_insert_with(|| (folder.to_owned(), EntryKind::Folder));
    }
    folded.insert(path.as_str().to_lowercase(), (path.to_string(), EntryKind::File));
    Ok(())
}

/// A writer of the canonical archive; entries must come in the order of their paths.
struct Pack {
    zip: ZipWriter<BufWriter<NamedTempFile>>,
}

impl Pack {
    fn new() -> Result<Self, ArtifactError> {
        let file = NamedTempFile::with_prefix("bakeline-artifact-").map_err(scratch("make"))?;
        Ok(Self { zip: ZipWriter::new(BufWriter::with_capacity(1 << 20, file)) })
    }

    fn add(&mut self, path: &EntryPath, size: u64, content: &mut impl Read) -> io::Result<()> {
        let options = options().unix_permissions(0o644).large_file(size >= u64::from(u32::MAX));
        self.zip.start_file(path.as_str(), options)?;
        io::copy(content, &mut self.zip)?;
        Ok(())
    }

    fn add_link(&mut self, path: &EntryPath, content: &mut impl Read) -> io::Result<()> {
        let target = io::read_to_string(content)?;
        self.zip.add_symlink(path.as_str(), target, options())?;
        Ok(())
    }

    fn finish(self) -> Result<Finished, ArtifactError> {
        let write = || -> io::Result<Finished> {
            let mut file = self.zip.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
            file.flush()?;
            file.rewind()?;
            let mut reader = BufReader::with_capacity(1 << 20, file.as_file_mut());
            let digest = digest_of(&mut reader)?;
            let size = file.as_file_mut().stream_position()?;
            Ok(Finished { file, size, digest })
        };
        write().map_err(scratch("write"))
    }
}

fn options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::DEFAULT)
        .system(System::Unix)
}

/// Maps an I/O error to an error of the scratch file, or of the archive that the content comes from.
fn scratch(doing: &'static str) -> impl Fn(io::Error) -> ArtifactError {
    move |source| match ArchiveFault::from_io(source) {
        ArchiveFault::Io(source) => ArtifactError::Scratch { doing, source },
        fault => ArtifactError::Refused { origin: Origin::Memory, fault },
    }
}
