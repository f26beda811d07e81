//! The records of one entry: its central record, its local header, its data descriptor (APPNOTE 4.3.7, 4.3.9,
//! 4.3.12).

use super::bytes::Fields;
use super::caps::Caps;
use super::entry::{Entry, EntryKind, Method, entry_name};
use super::fault::ArchiveFault;
use super::path::{EntryPath, MAX_PATH};

const CENTRAL: u32 = 0x0201_4b50;
const LOCAL: u32 = 0x0403_4b50;
const DESCRIPTOR: u32 = 0x0807_4b50;

/// Length of a local header without name and extra fields, in bytes.
pub(super) const LOCAL_LEN: u64 = 30;

/// General purpose flags, APPNOTE 4.4.4.
mod flag {
    pub const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;
    /// The effort of the compressor; ignored.
    pub const EFFORT: u16 = 1 << 1 | 1 << 2;
    pub const DESCRIPTOR: u16 = 1 << 3;
    pub const UTF8: u16 = 1 << 11;
    pub const KNOWN: u16 = EFFORT | DESCRIPTOR | UTF8;
}

const ZIP64_EXTRA: u16 = 0x0001;
const UNICODE_PATH_EXTRA: u16 = 0x7075;

/// Reads one record of the central directory.
pub(super) fn entry(fields: &mut Fields<'_>, caps: &Caps) -> Result<Entry, ArchiveFault> {
    let offset = fields.at();
    fields.signature(CENTRAL, "no central directory record")?;
    fields.take(4)?; // versions made by and needed
    let (flags, method) = (fields.u16()?, fields.u16()?);
    fields.take(4)?; // time and date
    let crc32 = fields.u32()?;
    let (packed, size) = (fields.u32()?, fields.u32()?);
    let (name_len, extra_len, comment_len) = (fields.u16()?, fields.u16()?, fields.u16()?);
    let disk = fields.u16()?;
    fields.take(2)?; // internal attributes
    let attributes = fields.u32()?;
    let at = fields.u32()?;
    let name = fields.take(name_len.into())?;
    let extra = Fields::new(fields.take(extra_len.into())?, offset, "an extra field");
    fields.take(comment_len.into())?;

    let (path, kind) = entry_name(name, offset)?;
    check_flags(&path, flags, offset)?;
    let kind = kind_of(&path, kind, attributes, caps)?;
    let method = match method {
        0 => Method::Stored,
        8 => Method::Deflated,
        method => return Err(ArchiveFault::Method { entry: path, method }),
    };
    let extra = Extra::parse(extra)?;
    extra.check_name(name, offset)?;
    let mut wide = extra.zip64.map(|bytes| Fields::new(bytes, offset, "the zip64 field"));
    // In the order of APPNOTE 4.5.3.
    let size = widen(size, wide.as_mut(), offset)?;
    let packed = widen(packed, wide.as_mut(), offset)?;
    let at = widen(at, wide.as_mut(), offset)?;
    if disk != 0 && disk != u16::MAX {
        return Err(ArchiveFault::Malformed { offset, what: "the archive is split over several files" });
    }
    let name = name.into();
    let entry = Entry { name, path, kind, method, flags, crc32, packed, size, at, limit: 0 };
    check_sizes(&entry, offset, caps)?;
    Ok(entry)
}

fn check_flags(path: &EntryPath, flags: u16, offset: u64) -> Result<(), ArchiveFault> {
    if flags & flag::ENCRYPTED != 0 {
        return Err(ArchiveFault::Encrypted { entry: path.clone() });
    }
    if flags & !flag::KNOWN != 0 {
        return Err(ArchiveFault::Malformed { offset, what: "an unknown flag is set" });
    }
    Ok(())
}

/// The kind of an entry by its name and its attributes. Refuses entries that are neither a plain file, a folder nor a
/// symbolic link. The upper half of the attributes is a Unix mode, the lower half DOS attributes. The check ignores the
/// system that the entry names: a tool that unpacks it may ignore it, too.
fn kind_of(
    path: &EntryPath,
    kind: EntryKind,
    attributes: u32,
    caps: &Caps,
) -> Result<EntryKind, ArchiveFault> {
    const REPARSE_POINT: u32 = 0x400;
    let special = |kind| Err(ArchiveFault::Special { entry: path.clone(), kind });
    let kind = match (attributes >> 16) & 0o170_000 {
        0 => kind,
        0o100_000 if kind == EntryKind::File => kind,
        0o040_000 if kind == EntryKind::Folder => kind,
        0o120_000 if kind == EntryKind::File && caps.links => EntryKind::Link,
        0o100_000 => return special("a file with the name of a folder"),
        0o040_000 => return special("a folder with the name of a file"),
        0o120_000 => return special("a symbolic link"),
        0o060_000 => return special("a block device"),
        0o020_000 => return special("a character device"),
        0o010_000 => return special("a named pipe"),
        0o140_000 => return special("a socket"),
        _ => return special("an entry of an unknown type"),
    };
    if attributes & REPARSE_POINT != 0 {
        return special("a reparse point");
    }
    Ok(kind)
}

fn check_sizes(entry: &Entry, offset: u64, caps: &Caps) -> Result<(), ArchiveFault> {
    if entry.method == Method::Stored && entry.packed != entry.size {
        return Err(ArchiveFault::Malformed { offset, what: "a stored entry has two different sizes" });
    }
    if entry.kind == EntryKind::Folder && entry.size != 0 {
        return Err(ArchiveFault::Malformed { offset, what: "a folder has content" });
    }
    if entry.size > caps.entry_bytes {
        let what = format!("`{}`", entry.path);
        return Err(ArchiveFault::TooLarge { what, found: entry.size, limit: caps.entry_bytes });
    }
    if entry.kind == EntryKind::Link && entry.size > MAX_PATH as u64 {
        let what = format!("the target of the symbolic link `{}`", entry.path);
        return Err(ArchiveFault::TooLarge { what, found: entry.size, limit: MAX_PATH as u64 });
    }
    Ok(())
}

/// The value of a 32-bit field, or the next value of the zip64 field if the 32-bit field is 0xffffffff.
fn widen(narrow: u32, wide: Option<&mut Fields<'_>>, offset: u64) -> Result<u64, ArchiveFault> {
    match (narrow, wide) {
        (u32::MAX, Some(wide)) => wide.u64(),
        (u32::MAX, None) => Err(ArchiveFault::Malformed { offset, what: "a zip64 field is missing" }),
        (narrow, _) => Ok(narrow.into()),
    }
}

/// The extra fields that change the meaning of an entry.
#[derive(Default)]
struct Extra<'a> {
    zip64: Option<&'a [u8]>,
    unicode_path: Option<&'a [u8]>,
}

impl<'a> Extra<'a> {
    fn parse(mut fields: Fields<'a>) -> Result<Self, ArchiveFault> {
        let mut extra = Self::default();
        while !fields.is_empty() {
            let offset = fields.at();
            let (id, len) = (fields.u16()?, fields.u16()?);
            let value = fields.take(len.into())?;
            let slot = match id {
                ZIP64_EXTRA => &mut extra.zip64,
                UNICODE_PATH_EXTRA => &mut extra.unicode_path,
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(ArchiveFault::Malformed { offset, what: "an extra field occurs twice" });
            }
        }
        Ok(extra)
    }

    /// Refuses a Unicode path (APPNOTE 4.6.9) that differs from the name: some readers use it instead.
    fn check_name(&self, name: &[u8], offset: u64) -> Result<(), ArchiveFault> {
        match self.unicode_path {
            Some(field) if field.get(5..) != Some(name) => {
                Err(ArchiveFault::Malformed { offset, what: "the entry has two different names" })
            }
            _ => Ok(()),
        }
    }
}

/// The length of a whole local header, from its first [`LOCAL_LEN`] bytes.
pub(super) fn local_header_len(fixed: &[u8], entry: &Entry) -> Result<u64, ArchiveFault> {
    let mut fields = Fields::new(fixed, entry.at, "a local header");
    fields.signature(LOCAL, "no local header at the offset in the directory")?;
    fields.take(22)?;
    Ok(LOCAL_LEN + u64::from(fields.u16()?) + u64::from(fields.u16()?))
}

/// Compares a local header with the directory. Returns the offset of the entry's data in the archive.
pub(super) fn check_local(header: &[u8], entry: &Entry) -> Result<u64, ArchiveFault> {
    let differs = |field| ArchiveFault::Differs { entry: entry.path.clone(), offset: entry.at, field };
    let mut fields = Fields::new(header, entry.at, "a local header");
    fields.signature(LOCAL, "no local header at the offset in the directory")?;
    fields.take(2)?; // version needed
    let (flags, method) = (fields.u16()?, fields.u16()?);
    fields.take(4)?; // time and date
    let (crc32, packed, size) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let (name_len, extra_len) = (fields.u16()?, fields.u16()?);
    let name = fields.take(name_len.into())?;
    let extra = Fields::new(fields.take(extra_len.into())?, entry.at, "an extra field");

    if !entry.is_named(name) {
        return Err(differs("name"));
    }
    if (flags ^ entry.flags) & !flag::EFFORT != 0 {
        return Err(differs("flags"));
    }
    let declared = match entry.method {
        Method::Stored => 0,
        Method::Deflated => 8,
    };
    if method != declared {
        return Err(differs("compression method"));
    }
    let extra = Extra::parse(extra)?;
    extra.check_name(name, entry.at)?;
    let mut wide = extra.zip64.map(|bytes| Fields::new(bytes, entry.at, "the zip64 field"));
    let size = widen(size, wide.as_mut(), entry.at)?;
    let packed = widen(packed, wide.as_mut(), entry.at)?;
    // A writer of a stream does not know the numbers yet: they may be zero here, and follow the data.
    let streamed = flags & flag::DESCRIPTOR != 0;
    let agrees = |local: u64, central: u64| local == central || (streamed && local == 0);
    if !agrees(crc32.into(), entry.crc32.into()) {
        return Err(differs("CRC-32"));
    }
    if !agrees(packed, entry.packed) {
        return Err(differs("compressed size"));
    }
    if !agrees(size, entry.size) {
        return Err(differs("size"));
    }
    let data_at = fields.at();
    if data_at.checked_add(entry.packed).is_none_or(|end| end > entry.limit) {
        let (entry, offset, limit) = (entry.path.clone(), entry.at, entry.limit);
        return Err(ArchiveFault::Overlap { entry, offset, limit });
    }
    Ok(data_at)
}

/// The longest data descriptor, in bytes.
pub(super) const MAX_DESCRIPTOR: u64 = 24;

/// Checks the bytes between an entry's data and the next part: none, or a data descriptor that agrees with the
/// directory. The length tells the four forms of a descriptor apart (with or without signature, 32 or 64 bits).
pub(super) fn check_descriptor(between: &[u8], entry: &Entry) -> Result<(), ArchiveFault> {
    let at = entry.limit.saturating_sub(between.len() as u64);
    if entry.flags & flag::DESCRIPTOR == 0 {
        return if between.is_empty() { Ok(()) } else { Err(hidden(at, between.len() as u64)) };
    }
    let mut fields = Fields::new(between, at, "a data descriptor");
    if matches!(between.len(), 16 | 24) {
        fields.signature(DESCRIPTOR, "no data descriptor after the data")?;
    }
    let crc32 = fields.u32()?;
    let (packed, size) = match between.len() {
        12 | 16 => (fields.u32()?.into(), fields.u32()?.into()),
        20 | 24 => (fields.u64()?, fields.u64()?),
        len => return Err(hidden(at, len as u64)),
    };
    if (crc32, packed, size) != (entry.crc32, entry.packed, entry.size) {
        let (path, field) = (entry.path.clone(), "data descriptor");
        return Err(ArchiveFault::Differs { entry: path, offset: entry.at, field });
    }
    Ok(())
}

/// The fault for bytes between an entry's data and the next part that are not a data descriptor.
pub(super) fn hidden(offset: u64, len: u64) -> ArchiveFault {
    ArchiveFault::Hidden { offset, len }
}
