//! What can be wrong with an archive itself, wherever it was read from.

use std::io;

use thiserror::Error;

use super::path::{EntryPath, PathFault};

/// The reason an archive is refused. Offsets count bytes from the start of the archive.
#[derive(Debug, Error)]
pub enum ArchiveFault {
    /// The archive, its directory or an entry is larger than a cap allows.
    #[error("{what} is {found} bytes, more than the {limit} allowed")]
    TooLarge {
        /// What is too large.
        what: String,
        /// Its size in bytes, as declared or as far as it was read.
        found: u64,
        /// The cap in bytes.
        limit: u64,
    },
    /// More entries than the cap allows.
    #[error("it declares {found} entries, more than the {limit} allowed")]
    TooManyEntries {
        /// Entries declared.
        found: u64,
        /// The cap.
        limit: u64,
    },
    /// Something expands more than the cap on the ratio allows.
    #[error("{what} expands {packed} bytes to {size}, more than {limit} to 1")]
    Ratio {
        /// The entry, or the archive as a whole.
        what: String,
        /// Compressed size in bytes.
        packed: u64,
        /// Uncompressed size in bytes.
        size: u64,
        /// The cap.
        limit: u64,
    },
    /// An entry's name is no path that may be used.
    #[error("the name {name:?} in the directory at byte {offset} cannot be used")]
    BadPath {
        /// The name, as far as it is readable.
        name: String,
        /// Where its directory record begins.
        offset: u64,
        /// What is wrong with it.
        #[source]
        why: PathFault,
    },
    /// Two entries have one path.
    #[error("`{entry}` is in the archive twice")]
    Duplicate {
        /// The path.
        entry: EntryPath,
    },
    /// A path is used as a file and as a folder.
    #[error("`{folder}` is a file, and `{entry}` lies in it")]
    FileAsFolder {
        /// The file.
        folder: String,
        /// The entry within.
        entry: EntryPath,
    },
    /// Two entries share bytes, or an entry reaches into the directory.
    #[error("`{entry}` at byte {offset} reaches past byte {limit}, where the next part begins")]
    Overlap {
        /// The entry that reaches too far.
        entry: EntryPath,
        /// Where its local header begins.
        offset: u64,
        /// Where the next part begins.
        limit: u64,
    },
    /// Bytes that belong to no part of the archive.
    #[error("{len} bytes at {offset} belong to no entry")]
    Hidden {
        /// Where they begin.
        offset: u64,
        /// How many they are.
        len: u64,
    },
    /// A symbolic link, device, pipe or socket.
    #[error("`{entry}` is {kind}; only plain files and folders are taken")]
    Special {
        /// The entry.
        entry: EntryPath,
        /// What it is.
        kind: &'static str,
    },
    /// The entry is encrypted.
    #[error("`{entry}` is encrypted")]
    Encrypted {
        /// The entry.
        entry: EntryPath,
    },
    /// The entry is compressed by a method other than stored (0) and deflate (8).
    #[error("`{entry}` uses compression method {method}; only stored (0) and deflate (8) are taken")]
    Method {
        /// The entry.
        entry: EntryPath,
        /// The method, APPNOTE 4.4.5.
        method: u16,
    },
    /// The archive ends before something it declares.
    #[error("it ends, or breaks off, at byte {offset}, within {what}")]
    Truncated {
        /// Where the missing bytes should be.
        offset: u64,
        /// What they should be part of.
        what: &'static str,
    },
    /// Something is not as the format says.
    #[error("at byte {offset}: {what}")]
    Malformed {
        /// Where.
        offset: u64,
        /// What was found, or missing.
        what: &'static str,
    },
    /// The local header of an entry says other than the directory.
    #[error("the local header of `{entry}` at byte {offset} differs from the directory in its {field}")]
    Differs {
        /// The entry.
        entry: EntryPath,
        /// Where the local header begins.
        offset: u64,
        /// The field that differs.
        field: &'static str,
    },
    /// The compressed data of an entry do not decode.
    #[error("the data of `{entry}` at byte {offset}: {what}")]
    Data {
        /// The entry.
        entry: EntryPath,
        /// Where its data begin.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The content of an entry has another CRC-32 than declared.
    #[error("the content of `{entry}` has CRC-32 {found:08x}, declared is {declared:08x}")]
    Crc {
        /// The entry.
        entry: EntryPath,
        /// Of the content.
        found: u32,
        /// By the directory.
        declared: u32,
    },
    /// The archive has no such file.
    #[error("it has no file `{entry}`")]
    NoEntry {
        /// The path looked for.
        entry: EntryPath,
    },
    /// Reading or writing the local copy failed.
    #[error("reading or writing its local copy failed")]
    Io(#[source] io::Error),
}

impl ArchiveFault {
    /// Takes the fault out of an error that one of our readers made; any other error is [`ArchiveFault::Io`].
    #[must_use]
    pub fn from_io(error: io::Error) -> Self {
        match error.downcast::<ArchiveFault>() {
            Ok(fault) => fault,
            Err(error) => Self::Io(error),
        }
    }

    /// Whether the archive is at fault (and not this machine): reading it again gives the same.
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
