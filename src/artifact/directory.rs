//! The central directory: checks every entry, alone and against the others, before any content is read.

use super::bytes::Fields;
use super::caps::Caps;
use super::end::End;
use super::entry::{Entry, EntryKind};
use super::fault::ArchiveFault;
use super::path::EntryPath;
use super::record::{self, LOCAL_LEN};

/// All entries of an archive, without contradictions.
#[derive(Debug, Clone)]
pub(super) struct Directory {
    /// In the order of their paths.
    entries: Vec<Entry>,
    /// Indices into `entries` in the order of the offsets.
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
                what: "the directory has bytes after its last entry",
            });
        }
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        check_paths(&entries)?;
        check_totals(&entries, caps)?;
        let order = lay_out(&mut entries, end.directory_at)?;
        Ok(Self { entries, order })
    }

    /// The entries in the order of their paths.
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries in the order of their offsets.
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
        self.file_or_link(path).and_then(|entry| match entry.kind {
            EntryKind::Link => Err(link(path, path.as_str())),
            EntryKind::File | EntryKind::Folder => Ok(entry),
        })
    }

    /// The file or the symbolic link of that path. The content of a link is its target.
    pub(super) fn file_or_link(&self, path: &EntryPath) -> Result<&Entry, ArchiveFault> {
        if let Some(entry) = self.find(path).filter(|entry| entry.kind != EntryKind::Folder) {
            return Ok(entry);
        }
        let is_link = |folder: &&str| {
            let at = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(folder)).ok();
            at.and_then(|at| self.entries.get(at)).is_some_and(|entry| entry.kind == EntryKind::Link)
        };
        match path.folders().find(is_link) {
            Some(folder) => Err(link(path, folder)),
            None => Err(ArchiveFault::NoEntry { entry: path.clone() }),
        }
    }
}

/// A file that can only be reached by following a symbolic link.
fn link(path: &EntryPath, at: &str) -> ArchiveFault {
    ArchiveFault::ThroughLink { entry: path.clone(), link: at.to_owned() }
}

/// Refuses a path that occurs twice, or as a file and as a folder.
fn check_paths(sorted: &[Entry]) -> Result<(), ArchiveFault> {
    for pair in sorted.windows(2) {
        if let [a, b] = pair
            && a.path == b.path
        {
            return Err(ArchiveFault::Duplicate { entry: b.path.clone() });
        }
    }
    for file in sorted.iter().filter(|entry| entry.kind != EntryKind::Folder) {
        let prefix = format!("{}/", file.path);
        let first = sorted.partition_point(|entry| entry.path.as_str() < prefix.as_str());
        if let Some(entry) = sorted.get(first).filter(|entry| entry.path.as_str().starts_with(&prefix)) {
            let (folder, entry) = (file.path.to_string(), entry.path.clone());
            return Err(ArchiveFault::FileAsFolder { folder, entry });
        }
    }
    Ok(())
}

fn check_totals(entries: &[Entry], caps: &Caps) -> Result<(), ArchiveFault> {
    let total = entries.iter().fold(0_u64, |sum, entry| sum.saturating_add(entry.size));
    if total > caps.total_bytes {
        let what = "the content of all entries".to_owned();
        return Err(ArchiveFault::TooLarge { what, found: total, limit: caps.total_bytes });
    }
    Ok(())
}

/// Computes the limit of every entry. Refuses entries that overlap, and bytes before the first entry.
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
