//! A bounds-checked cursor over little-endian fields.

use super::fault::ArchiveFault;

/// Reads fields one after the other.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
    at: u64,
    what: &'static str,
}

impl<'a> Fields<'a> {
    /// Fields of `what`; the first byte is at offset `base` of the archive, for messages.
    pub(super) fn new(bytes: &'a [u8], base: u64, what: &'static str) -> Self {
        Self { rest: bytes, at: base, what }
    }

    /// The offset of the next field in the archive.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], ArchiveFault> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            let offset = self.at + self.rest.len() as u64;
            return Err(ArchiveFault::Truncated { offset, what: self.what });
        };
        self.rest = rest;
        self.at += len as u64;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ArchiveFault> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?); // `take` returned exactly N bytes
        Ok(out)
    }

    pub(super) fn u16(&mut self) -> Result<u16, ArchiveFault> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, ArchiveFault> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, ArchiveFault> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// Reads four bytes that must be `signature`.
    pub(super) fn signature(&mut self, signature: u32, missing: &'static str) -> Result<(), ArchiveFault> {
        let offset = self.at;
        if self.u32()? == signature { Ok(()) } else { Err(ArchiveFault::Malformed { offset, what: missing }) }
    }
}
