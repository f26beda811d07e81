//! One entry of an archive, as the central directory declares it.

use super::fault::ArchiveFault;
use super::path::{EntryPath, PathFault};

/// The kind of an entry; any other kind, such as a device, is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A plain file.
    File,
    /// A folder, without content.
    Folder,
    /// A symbolic link: its content is its target. It is never followed.
    Link,
}

/// The compression method of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Not compressed (0).
    Stored,
    /// Deflate, RFC 1951 (8).
    Deflated,
}

/// An entry, as the central directory declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The stored name.
    pub(super) name: Box<[u8]>,
    pub(super) path: EntryPath,
    pub(super) kind: EntryKind,
    pub(super) method: Method,
    pub(super) flags: u16,
    pub(super) crc32: u32,
    pub(super) packed: u64,
    pub(super) size: u64,
    /// Offset of the local header.
    pub(super) at: u64,
    /// Offset at which the next entry, or the directory, begins.
    pub(super) limit: u64,
}

impl Entry {
    /// The path, without `./` at its begin and without the `/` at the end of a folder's name.
    #[must_use]
    pub fn path(&self) -> &EntryPath {
        &self.path
    }

    /// File, folder or symbolic link.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// The declared uncompressed size in bytes; [`super::EntryReader`] refuses content of another size.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The declared compressed size in bytes.
    #[must_use]
    pub fn packed_size(&self) -> u64 {
        self.packed
    }

    /// The length of the stored name; that of a folder ends in `/`.
    pub(super) fn name_len(&self) -> usize {
        self.name.len()
    }

    /// Whether `name` is the stored name of this entry.
    pub(super) fn is_named(&self, name: &[u8]) -> bool {
        *self.name == *name
    }
}

/// Decodes a stored name as UTF-8, with or without the UTF-8 flag (APPNOTE 4.4.4, bit 11).
///
/// Without the flag, the name is in code page 437 or in the code page of the machine that wrote it. A name that is not
/// UTF-8 is refused.
///
/// A leading `./` is left out: `tar` of Windows and macOS and `zip -r x.zip ./a` write it. The folder `./` is the root.
pub(super) fn entry_name(name: &[u8], offset: u64) -> Result<(EntryPath, EntryKind), ArchiveFault> {
    let bad = |why| {
        let name = String::from_utf8_lossy(name).chars().take(200).collect();
        ArchiveFault::BadPath { name, offset, why }
    };
    let text = std::str::from_utf8(name).map_err(|_| bad(PathFault::NotUtf8))?;
    if text == "./" {
        return Ok((EntryPath::root(), EntryKind::Folder));
    }
    let text = text.strip_prefix("./").unwrap_or(text);
    let (path, kind) = match text.strip_suffix('/') {
        Some(folder) if !folder.is_empty() => (folder, EntryKind::Folder),
        _ => (text, EntryKind::File),
    };
    Ok((EntryPath::new(path).map_err(bad)?, kind))
}
