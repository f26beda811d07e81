//! Zip archives built field by field, so that a test can set any field to a wrong value.

use std::io::Write as _;

/// The fields that a local header and a directory record share.
#[derive(Clone)]
pub struct Header {
    pub name: Vec<u8>,
    pub flags: u16,
    pub method: u16,
    pub crc32: u32,
    pub packed: u32,
    pub size: u32,
    pub extra: Vec<u8>,
}

/// One entry.
#[derive(Clone)]
pub struct Part {
    pub local: Header,
    pub central: Header,
    pub attributes: u32,
    pub data: Vec<u8>,
    /// Bytes between the data and the next part.
    pub after: Vec<u8>,
    /// The local header's offset, if the directory shall lie about it.
    pub at: Option<u32>,
}

/// What comes after the entries.
#[derive(Clone, Default)]
pub struct Tail {
    pub comment: Vec<u8>,
    /// Bytes behind the end of the comment.
    pub garbage: Vec<u8>,
    /// The number of entries, if the end record shall lie about it.
    pub entries: Option<u16>,
    /// Whether to write zip64 end records and saturate the end record.
    pub zip64: bool,
    /// Bytes between the last entry and the directory.
    pub before_directory: Vec<u8>,
    /// What to add to the directory's length.
    pub length_lie: u32,
}

pub fn deflate(content: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
    out.write_all(content).unwrap();
    out.finish().unwrap()
}

impl Part {
    pub fn stored(name: &str, content: &[u8]) -> Self {
        Self::new(name, content, 0, content.to_vec())
    }

    pub fn deflated(name: &str, content: &[u8]) -> Self {
        Self::new(name, content, 8, deflate(content))
    }

    fn new(name: &str, content: &[u8], method: u16, data: Vec<u8>) -> Self {
        let header = Header {
            name: name.as_bytes().to_vec(),
            flags: 0,
            method,
            crc32: crc32fast::hash(content),
            packed: u32::try_from(data.len()).unwrap(),
            size: u32::try_from(content.len()).unwrap(),
            extra: Vec::new(),
        };
        Self {
            local: header.clone(),
            central: header,
            attributes: 0o100_644 << 16,
            data,
            after: Vec::new(),
            at: None,
        }
    }

    /// Changes both headers alike.
    pub fn both(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        change(&mut self.central);
        self
    }

    pub fn local(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.local);
        self
    }

    pub fn central(mut self, change: impl Fn(&mut Header)) -> Self {
        change(&mut self.central);
        self
    }

    pub fn attributes(self, attributes: u32) -> Self {
        Self { attributes, ..self }
    }

    pub fn after(self, after: &[u8]) -> Self {
        Self { after: after.to_vec(), ..self }
    }

    pub fn at(self, at: u32) -> Self {
        Self { at: Some(at), ..self }
    }
}

impl Header {
    fn write(&self, out: &mut Vec<u8>) {
        for field in [self.flags, self.method, 0, 0x21] {
            out.extend(field.to_le_bytes());
        }
        for field in [self.crc32, self.packed, self.size] {
            out.extend(field.to_le_bytes());
        }
        for len in [self.name.len(), self.extra.len()] {
            out.extend(u16::try_from(len).unwrap().to_le_bytes());
        }
    }
}

/// An extra field.
pub fn extra(id: u16, value: &[u8]) -> Vec<u8> {
    [&id.to_le_bytes()[..], &u16::try_from(value.len()).unwrap().to_le_bytes(), value].concat()
}

/// A zip64 extra field.
pub fn zip64(values: &[u64]) -> Vec<u8> {
    extra(1, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
}

pub fn zip(parts: &[Part]) -> Vec<u8> {
    zip_with(parts, &Tail::default())
}

pub fn zip_with(parts: &[Part], tail: &Tail) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for part in parts {
        let at = u32::try_from(out.len()).unwrap();
        out.extend(*b"PK\x03\x04\x14\0");
        part.local.write(&mut out);
        for bytes in [&part.local.name, &part.local.extra, &part.data, &part.after] {
            out.extend(bytes);
        }
        directory.extend(*b"PK\x01\x02\x14\x03\x14\0");
        part.central.write(&mut directory);
        directory.extend([0; 6]); // comment length, disk, internal attributes
        directory.extend(part.attributes.to_le_bytes());
        directory.extend(part.at.unwrap_or(at).to_le_bytes());
        directory.extend(&part.central.name);
        directory.extend(&part.central.extra);
    }
    out.extend(&tail.before_directory);
    let at = u32::try_from(out.len()).unwrap();
    let len = u32::try_from(directory.len()).unwrap() + tail.length_lie;
    out.extend(directory);
    out.extend(end(at, len, u16::try_from(parts.len()).unwrap(), tail, out.len() as u64));
    out
}

fn end(at: u32, len: u32, entries: u16, tail: &Tail, end_at: u64) -> Vec<u8> {
    let entries = tail.entries.unwrap_or(entries);
    let mut out = Vec::new();
    if tail.zip64 {
        out.extend(*b"PK\x06\x06");
        out.extend(44_u64.to_le_bytes());
        out.extend([45, 3, 45, 0]);
        out.extend([0; 8]);
        for value in [entries.into(), entries.into(), u64::from(len), u64::from(at)] {
            out.extend(value.to_le_bytes());
        }
        out.extend(*b"PK\x06\x07\0\0\0\0");
        out.extend(end_at.to_le_bytes());
        out.extend(1_u32.to_le_bytes());
    }
    out.extend(*b"PK\x05\x06\0\0\0\0");
    let (entries, len, at) = if tail.zip64 { (u16::MAX, u32::MAX, u32::MAX) } else { (entries, len, at) };
    for _ in 0..2 {
        out.extend(entries.to_le_bytes());
    }
    out.extend(len.to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend(u16::try_from(tail.comment.len()).unwrap().to_le_bytes());
    out.extend(&tail.comment);
    out.extend(&tail.garbage);
    out
}
