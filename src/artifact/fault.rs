//! Faults of an archive.

use std::io;

use thiserror::Error;

use super::path::{EntryPath, PathFault};

/// Why an archive is refused. Offsets are in bytes from the start of the archive.
#[derive(Debug, Error)]
pub enum ArchiveFault {
    /// The archive, its directory or an entry is larger than a cap allows.
    #[error("{what} is {found} bytes, more than the {limit} allowed")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size in bytes, as declared or as read so far.
        found: u64,
        /// The cap in bytes.
        limit: u64,
    },
    /// More entries than the cap allows.
    #[error("it declares {found} entries, more than the {limit} allowed")]
    TooManyEntries {
        /// The number of entries declared.
        found: u64,
        /// The cap.
        limit: u64,
    },
    /// An entry's name is not a valid path.
    #[error("the name {name:?} in the directory at byte {offset} cannot be used")]
    BadPath {
        /// The name; bytes that are not UTF-8 are replaced.
        name: String,
        /// The offset of its directory record.
        offset: u64,
        /// What is wrong with it.
        #[source]
        why: PathFault,
    },
    /// Two entries have the same path.
    #[error("`{entry}` is in the archive twice")]
    Duplicate {
        /// The path.
        entry: EntryPath,
    },
    /// A path is used as a file and as a folder.
    #[error("`{folder}` is a file, and `{entry}` uses it as a folder")]
    FileAsFolder {
        /// The file.
        folder: String,
        /// The entry within.
        entry: EntryPath,
    },
    /// Two entries overlap, or an entry overlaps the directory.
    #[error("`{entry}` at byte {offset} reaches past byte {limit}, where the next part begins")]
    Overlap {
        /// The entry that is too long.
        entry: EntryPath,
        /// The offset of its local header.
        offset: u64,
        /// The offset of the next part.
        limit: u64,
    },
    /// Bytes that belong to no part of the archive.
    #[error("{len} bytes at {offset} belong to no entry")]
    Hidden {
        /// The offset of the first.
        offset: u64,
        /// Their number.
        len: u64,
    },
    /// A device, pipe or socket; or a symbolic link where none is allowed.
    #[error("`{entry}` is {kind}; only plain files and folders are allowed")]
    Special {
        /// The entry.
        entry: EntryPath,
        /// Its kind.
        kind: &'static str,
    },
    /// The entry is encrypted.
    #[error("`{entry}` is encrypted")]
    Encrypted {
        /// The entry.
        entry: EntryPath,
    },
    /// The entry is compressed by a method other than stored (0) and deflate (8).
    #[error("`{entry}` uses compression method {method}; only stored (0) and deflate (8) are allowed")]
    Method {
        /// The entry.
        entry: EntryPath,
        /// The method, APPNOTE 4.4.5.
        method: u16,
    },
    /// The archive ends before the end of a part.
    #[error("it ends at byte {offset}, within {what}")]
    Truncated {
        /// The offset of the first missing byte.
        offset: u64,
        /// The part.
        what: &'static str,
    },
    /// A part does not have the format of the specification.
    #[error("at byte {offset}: {what}")]
    Malformed {
        /// The offset.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The local header of an entry differs from the directory.
    #[error("the local header of `{entry}` at byte {offset} differs from the directory in its {field}")]
    Differs {
        /// The entry.
        entry: EntryPath,
        /// The offset of the local header.
        offset: u64,
        /// The field that differs.
        field: &'static str,
    },
    /// The data of an entry cannot be decompressed.
    #[error("the data of `{entry}` at byte {offset}: {what}")]
    Data {
        /// The entry.
        entry: EntryPath,
        /// The offset of its data.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The content of an entry has another CRC-32 than declared.
    #[error("the content of `{entry}` has the CRC-32 {found:08x}, declared is {declared:08x}")]
    Crc {
        /// The entry.
        entry: EntryPath,
        /// The CRC-32 of the content.
        found: u32,
        /// The CRC-32 in the directory.
        declared: u32,
    },
    /// A file that can only be reached by following a symbolic link.
    #[error(
        "`{entry}` cannot be read: `{link}` is a symbolic link, and links are not followed; name the file itself"
    )]
    ThroughLink {
        /// The path.
        entry: EntryPath,
        /// The symbolic link: the path itself, or one of its folders.
        link: String,
    },
    /// The archive has no such file.
    #[error("it has no file `{entry}`")]
    NoEntry {
        /// The path.
        entry: EntryPath,
    },
    /// Reading or writing the local copy failed.
    #[error("reading or writing its local copy failed")]
    Io(#[source] io::Error),
}

impl ArchiveFault {
    /// The fault inside an I/O error of [`super::EntryReader`]; any other error is [`ArchiveFault::Io`].
    #[must_use]
    pub fn from_io(error: io::Error) -> Self {
        match error.downcast::<ArchiveFault>() {
            Ok(fault) => fault,
            Err(error) => Self::Io(error),
        }
    }

    /// Whether the archive is the cause and not this machine: reading it again gives the same fault.
    #[must_use]
    pub fn is_of_the_data(&self) -> bool {
        !matches!(self, Self::Io(_))
    }
}

impl From<ArchiveFault> for io::Error {
    fn from(fault: ArchiveFault) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, fault)
    }
}
