//! The central directory: every entry checked for itself and against all others, before any is read.

use super::bytes::Fields;
use super::caps::Caps;
use super::end::End;
use super::fault::ArchiveFault;
use super::path::{EntryPath, PathFault};
use super::record::{self, LOCAL_LEN};

/// Whether an entry is a file or a folder; nothing else is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A plain file.
    File,
    /// A folder. It has no content.
    Folder,
}

/// How the content of an entry is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// As it is (0).
    Stored,
    /// Deflate, RFC 1951 (8).
    Deflated,
}

/// One entry, as the central directory declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
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
    /// The path, without the `/` a folder's name ends in.
    #[must_use]
    pub fn path(&self) -> &EntryPath {
        &self.path
    }

    /// File or folder.
    #[must_use]
    pub fn kind(&self) -> EntryKind {
        self.kind
    }

    /// Declared uncompressed size in bytes; a reader of the entry refuses content of any other size.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Declared compressed size in bytes.
    #[must_use]
    pub fn packed_size(&self) -> u64 {
        self.packed
    }

    /// Length of the name as stored, which for a folder ends in `/`.
    pub(super) fn name_len(&self) -> usize {
        self.path.as_str().len() + usize::from(self.kind == EntryKind::Folder)
    }

    /// Whether `name` is the stored name of this entry.
    pub(super) fn is_named(&self, name: &[u8]) -> bool {
        let path = self.path.as_str().as_bytes();
        match self.kind {
            EntryKind::File => name == path,
            EntryKind::Folder => name.strip_suffix(b"/") == Some(path),
        }
    }
}

/// All entries of an archive, none of which contradicts another.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    /// In the order of their paths.
    entries: Vec<Entry>,
    /// Indices into `entries` in the order in which they lie in the archive.
    order: Vec<usize>,
}

impl Directory {
    /// Reads the directory from its bytes.
    pub(super) fn parse(bytes: &[u8], end: &End, caps: &Caps) -> Result<Self, ArchiveFault> {
        let mut fields = Fields::new(bytes, end.directory_at, "the directory");
        let mut entries = Vec::new();
        for _ in 0..end.entries {
            entries.push(record::entry(&mut fields, caps)?);
        }
        if !fields.is_empty() {
            return Err(ArchiveFault::Malformed {
                offset: fields.at(),
                what: "the directory goes on after its last entry",
            });
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        check_paths(&entries)?;
        check_totals(&entries, end, caps)?;
        let order = lay_out(&mut entries, end.directory_at)?;
        Ok(Self { entries, order })
    }

    /// The entries in the order of their paths.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries in the order in which they lie in the archive.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().filter_map(|index| self.entries.get(*index))
    }

    /// The entry of that path.
    pub(super) fn find(&self, path: &EntryPath) -> Option<&Entry> {
        let index = self.entries.binary_search_by(|entry| entry.path.cmp(path)).ok()?;
        self.entries.get(index)
    }

    /// The file of that path.
    pub(super) fn file(&self, path: &EntryPath) -> Result<&Entry, ArchiveFault> {
        self.find(path)
            .filter(|entry| entry.kind == EntryKind::File)
            .ok_or_else(|| ArchiveFault::NoEntry { entry: path.clone() })
    }
}

/// Refuses a path that occurs twice, or as a file that others lie in.
fn check_paths(sorted: &[Entry]) -> Result<(), ArchiveFault> {
    for pair in sorted.windows(2) {
        if let [a, b] = pair
            && a.path == b.path
        {
            return Err(ArchiveFault::Duplicate { entry: b.path.clone() });
        }
    }
    for file in sorted.iter().filter(|entry| entry.kind == EntryKind::File) {
        let prefix = format!("{}/", file.path);
        let first = sorted.partition_point(|entry| entry.path.as_str() < prefix.as_str());
        if let Some(entry) = sorted.get(first).filter(|entry| entry.path.as_str().starts_with(&prefix)) {
            let (folder, entry) = (file.path.to_string(), entry.path.clone());
            return Err(ArchiveFault::FileAsFolder { folder, entry });
        }
    }
    Ok(())
}

fn check_totals(entries: &[Entry], end: &End, caps: &Caps) -> Result<(), ArchiveFault> {
    let total = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.size));
    if total > caps.total_bytes {
        let what = "the content of all entries".to_owned();
        return Err(ArchiveFault::TooLarge { what, found: total, limit: caps.total_bytes });
    }
    let archive = end.directory_at.saturating_add(end.directory_len);
    record::check_ratio("the archive", archive, total, caps)
}

/// Finds for every entry where it must end, and refuses entries that cannot fit or bytes in front of the
/// first.
fn lay_out(entries: &mut [Entry], directory_at: u64) -> Result<Vec<usize>, ArchiveFault> {
    let mut order: Vec<(u64, usize)> = entries.iter().enumerate().map(|(i, entry)| (entry.at, i)).collect();
    order.sort_unstable();
    let first = order.first().map_or(directory_at, |(at, _)| *at);
    if first != 0 {
        return Err(ArchiveFault::Hidden { offset: 0, len: first });
    }
    let limits = order.iter().skip(1).map(|(at, _)| *at).chain([directory_at]);
    for ((_, index), limit) in order.iter().zip(limits) {
        let Some(entry) = entries.get_mut(*index) else { continue };
        entry.limit = limit;
        let least = entry.at.checked_add(LOCAL_LEN + entry.name_len() as u64 + entry.packed);
        if entry.packed > directory_at || least.is_none_or(|least| least > limit) {
            return Err(ArchiveFault::Overlap { entry: entry.path.clone(), offset: entry.at, limit });
        }
    }
    Ok(order.into_iter().map(|(_, index)| index).collect())
}

/// Decodes a stored name. Without the UTF-8 flag (APPNOTE 4.4.4, bit 11) a name would be in code page 437 or
/// in whatever the writer's machine used; names that are UTF-8 all the same are taken as that, others are
/// refused.
pub(super) fn entry_name(name: &[u8], offset: u64) -> Result<(EntryPath, EntryKind), ArchiveFault> {
    let bad = |why| {
        let name = String::from_utf8_lossy(name).chars().take(200).collect();
        ArchiveFault::BadPath { name, offset, why }
    };
    let text = std::str::from_utf8(name).map_err(|_| bad(PathFault::NotUtf8))?;
    let (path, kind) = match text.strip_suffix('/') {
        Some(folder) if !folder.is_empty() => (folder, EntryKind::Folder),
        _ => (text, EntryKind::File),
    };
    Ok((EntryPath::new(path).map_err(bad)?, kind))
}
