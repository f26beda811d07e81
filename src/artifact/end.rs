//! The end of central directory record of an archive, which locates the directory (APPNOTE 4.3.14 to 4.3.16).

use super::bytes::Fields;
use super::caps::Caps;
use super::fault::ArchiveFault;

const END: [u8; 4] = *b"PK\x05\x06";
const END_LEN: usize = 22;
const END64: u32 = 0x0606_4b50;
const END64_LEN: u64 = 56;
const LOCATOR: u32 = 0x0706_4b50;
const LOCATOR_LEN: u64 = 20;

/// The length of the end records with the longest comment and zip64, in bytes.
pub(super) const WINDOW: u64 = END_LEN as u64 + u16::MAX as u64 + LOCATOR_LEN + END64_LEN;

/// The position of the central directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    /// The number of records in the directory.
    pub(super) entries: u64,
    /// The offset of the directory in the archive.
    pub(super) directory_at: u64,
    /// The length of the directory in bytes.
    pub(super) directory_len: u64,
}

/// The numbers of an end record, zip64 or not.
struct Numbers {
    disk: u32,
    directory_disk: u32,
    entries_here: u64,
    entries: u64,
    len: u64,
    at: u64,
}

/// Finds the end record in `tail`, the last bytes (at least [`WINDOW`], or all) of an archive of `size`
/// bytes.
///
/// If an archive has several possible end records, readers differ in which one they use, and so see different
/// contents. Therefore exactly one is accepted: the last signature in the file must be that of the record whose comment
/// ends with the file, no other record's comment may end there, and the directory must end where the end record
/// begins.
pub(super) fn find_end(tail: &[u8], size: u64, caps: &Caps) -> Result<End, ArchiveFault> {
    let base = size.saturating_sub(tail.len() as u64);
    let at = find_signature(tail, base)?;
    let end_at = base + at as u64;
    let mut fields = Fields::new(tail.get(at..).unwrap_or_default(), end_at, "the end record");
    fields.signature(u32::from_le_bytes(END), "no end record")?;
    let mut numbers = Numbers {
        disk: fields.u16()?.into(),
        directory_disk: fields.u16()?.into(),
        entries_here: fields.u16()?.into(),
        entries: fields.u16()?.into(),
        len: fields.u32()?.into(),
        at: fields.u32()?.into(),
    };
    let mut directory_end = end_at;
    if let Some((wide, wide_at)) = end64(tail, base, end_at)? {
        for (narrow, limit, wide) in [
            (u64::from(numbers.disk), u64::from(u16::MAX), u64::from(wide.disk)),
            (u64::from(numbers.directory_disk), u64::from(u16::MAX), u64::from(wide.directory_disk)),
            (numbers.entries_here, u64::from(u16::MAX), wide.entries_here),
            (numbers.entries, u64::from(u16::MAX), wide.entries),
            (numbers.len, u64::from(u32::MAX), wide.len),
            (numbers.at, u64::from(u32::MAX), wide.at),
        ] {
            if narrow != limit && narrow != wide {
                return Err(ArchiveFault::Malformed {
                    offset: end_at,
                    what: "the end record and the zip64 end record differ",
                });
            }
        }
        (numbers, directory_end) = (wide, wide_at);
    }
    if numbers.disk != 0 || numbers.directory_disk != 0 || numbers.entries_here != numbers.entries {
        return Err(ArchiveFault::Malformed {
            offset: end_at,
            what: "the archive is split over several files",
        });
    }
    if numbers.at.checked_add(numbers.len) != Some(directory_end) {
        return Err(ArchiveFault::Malformed {
            offset: end_at,
            what: "the directory does not end where the end record begins",
        });
    }
    if numbers.entries > caps.entries {
        return Err(ArchiveFault::TooManyEntries { found: numbers.entries, limit: caps.entries });
    }
    if numbers.len > caps.directory_bytes {
        let what = "the directory".to_owned();
        return Err(ArchiveFault::TooLarge { what, found: numbers.len, limit: caps.directory_bytes });
    }
    Ok(End { entries: numbers.entries, directory_at: numbers.at, directory_len: numbers.len })
}

fn find_signature(tail: &[u8], base: u64) -> Result<usize, ArchiveFault> {
    let mut last = None;
    let mut whole = None;
    for (at, record) in tail.windows(END_LEN).enumerate().rev() {
        if !record.starts_with(&END) {
            continue;
        }
        last = last.or(Some(at));
        let comment = record.last_chunk::<2>().map_or(0, |len| usize::from(u16::from_le_bytes(*len)));
        if at + END_LEN + comment == tail.len() {
            if whole.is_some() {
                return Err(ArchiveFault::Malformed {
                    offset: base + at as u64,
                    what: "there are two possible end records",
                });
            }
            whole = Some(at);
        }
    }
    match (whole, last) {
        (Some(at), last) if last == Some(at) => Ok(at),
        (_, Some(last)) => Err(ArchiveFault::Malformed {
            offset: base + last as u64,
            what: "the end record does not end with the file: the file is cut off, or has bytes after it",
        }),
        (_, None) => Err(ArchiveFault::Truncated {
            offset: base + tail.len() as u64,
            what: "the end record, which every zip archive has",
        }),
    }
}

/// The zip64 end record and its offset, if a locator before the end record points to one.
fn end64(tail: &[u8], base: u64, end_at: u64) -> Result<Option<(Numbers, u64)>, ArchiveFault> {
    let slice = |at: u64| {
        let at = usize::try_from(at.checked_sub(base)?).ok()?;
        tail.get(at..)
    };
    let Some((locator_at, locator)) = end_at.checked_sub(LOCATOR_LEN).and_then(|at| Some((at, slice(at)?)))
    else {
        return Ok(None);
    };
    if !locator.starts_with(&LOCATOR.to_le_bytes()) {
        return Ok(None);
    }
    let malformed = |what| ArchiveFault::Malformed { offset: locator_at, what };
    let mut fields = Fields::new(locator, locator_at, "the zip64 locator");
    fields.signature(LOCATOR, "no zip64 locator")?;
    let (disk, at, disks) = (fields.u32()?, fields.u64()?, fields.u32()?);
    if disk != 0 || disks > 1 {
        return Err(malformed("the archive is split over several files"));
    }
    if at.checked_add(END64_LEN) != Some(locator_at) {
        return Err(malformed("the zip64 end record is not directly before its locator"));
    }
    let record = slice(at).ok_or_else(|| malformed("the zip64 end record is missing"))?;
    let mut fields = Fields::new(record, at, "the zip64 end record");
    fields.signature(END64, "no zip64 end record")?;
    if fields.u64()? != END64_LEN - 12 {
        return Err(malformed("the zip64 end record has an unknown length"));
    }
    fields.take(4)?; // versions made by and needed
    let numbers = Numbers {
        disk: fields.u32()?,
        directory_disk: fields.u32()?,
        entries_here: fields.u64()?,
        entries: fields.u64()?,
        len: fields.u64()?,
        at: fields.u64()?,
    };
    Ok(Some((numbers, at)))
}
