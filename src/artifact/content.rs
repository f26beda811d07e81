//! The content of one entry: decompressed within its declared size and checked against its CRC-32.

use std::io::{self, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::entry::{Entry, Method};
use super::fault::ArchiveFault;
use super::path::EntryPath;

const BUFFER: usize = 64 * 1024;

/// Reads an entry's content. It never returns more than the declared size, and ends without error only if size and
/// CRC-32 are as declared and every compressed byte was used. Its errors contain an [`ArchiveFault`].
pub struct EntryReader<R> {
    packed: io::Take<R>,
    buffer: Vec<u8>,
    /// The part of `buffer` that is not decoded yet.
    pending: std::ops::Range<usize>,
    /// `None` for a stored entry.
    inflate: Option<Box<Decompress>>,
    crc: crc32fast::Hasher,
    yielded: u64,
    done: bool,
    declared: Declared,
}

struct Declared {
    path: EntryPath,
    data_at: u64,
    size: u64,
    crc32: u32,
}

impl<R: Read> EntryReader<R> {
    /// Reads `entry` from `source`, which is positioned at the entry's data, at offset `data_at` of the archive.
    pub(super) fn new(source: R, entry: &Entry, data_at: u64) -> Self {
        let inflate = match entry.method {
            Method::Stored => None,
            Method::Deflated => Some(Box::new(Decompress::new(false))),
        };
        let path = entry.path().clone();
        Self {
            packed: source.take(entry.packed),
            buffer: vec![0; BUFFER],
            pending: 0..0,
            inflate,
            crc: crc32fast::Hasher::new(),
            yielded: 0,
            done: false,
            declared: Declared { path, data_at, size: entry.size, crc32: entry.crc32 },
        }
    }

    /// Reads the whole content. The caller has checked the declared size.
    pub(super) fn into_bytes(mut self) -> Result<Vec<u8>, ArchiveFault> {
        // Grows as bytes arrive: the declared size may be wrong.
        let mut out = Vec::new();
        self.read_to_end(&mut out).map_err(ArchiveFault::from_io)?;
        Ok(out)
    }

    fn fault(&self, what: &'static str) -> io::Error {
        let (entry, offset) = (self.declared.path.clone(), self.declared.data_at);
        ArchiveFault::Data { entry, offset, what }.into()
    }

    /// Fills the buffer if nothing is pending. Returns whether more compressed bytes exist.
    fn fill(&mut self) -> io::Result<bool> {
        if self.pending.is_empty() {
            let n = self.packed.read(&mut self.buffer)?;
            self.pending = 0..n;
            if n == 0 && self.packed.limit() > 0 {
                return Err(self.fault("the archive ends before their end"));
            }
        }
        Ok(!self.pending.is_empty())
    }

    fn decode(&mut self, out: &mut [u8]) -> io::Result<usize> {
        loop {
            let more = self.fill()?;
            let pending = self.buffer.get(self.pending.clone()).unwrap_or_default();
            let Some(inflate) = self.inflate.as_mut() else {
                let n = pending.len().min(out.len());
                if let (Some(to), Some(from)) = (out.get_mut(..n), pending.get(..n)) {
                    to.copy_from_slice(from);
                }
                self.pending.start += n;
                return Ok(n);
            };
            let (in_before, out_before) = (inflate.total_in(), inflate.total_out());
            let status = inflate.decompress(pending, out, FlushDecompress::None);
            let used = usize::try_from(inflate.total_in() - in_before).unwrap_or(usize::MAX);
            let made = usize::try_from(inflate.total_out() - out_before).unwrap_or(usize::MAX);
            self.pending.start = self.pending.start.saturating_add(used).min(self.pending.end);
            match status {
                Err(_) => return Err(self.fault("they are not valid deflate data")),
                Ok(Status::StreamEnd) => {
                    self.inflate = None;
                    if self.fill()? {
                        return Err(self.fault("bytes follow the end of the compressed stream"));
                    }
                    return Ok(made);
                }
                Ok(_) if made > 0 => return Ok(made),
                Ok(_) if !more => return Err(self.fault("the compressed stream has no end")),
                Ok(_) if used == 0 => return Err(self.fault("the compressed stream makes no progress")),
                Ok(_) => {}
            }
        }
    }

    fn check_end(&self) -> io::Result<()> {
        if self.yielded != self.declared.size {
            return Err(self.fault("they decompress to less than the declared size"));
        }
        let (found, declared) = (self.crc.clone().finalize(), self.declared.crc32);
        if found != declared {
            return Err(ArchiveFault::Crc { entry: self.declared.path.clone(), found, declared }.into());
        }
        Ok(())
    }
}

impl<R: Read> Read for EntryReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.done || out.is_empty() {
            return Ok(0);
        }
        // Reads one byte beyond the declared size: content that is too long is an error, not cut off.
        let left = self.declared.size.saturating_sub(self.yielded);
        let mut probe = [0];
        let room = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        let n = match out.get_mut(..room) {
            Some(out) if room > 0 => self.decode(out)?,
            _ => self.decode(&mut probe)?,
        };
        if n as u64 > left {
            return Err(self.fault("they decompress to more than the declared size"));
        }
        self.crc.update(out.get(..n).unwrap_or_default());
        self.yielded += n as u64;
        if n == 0 {
            self.check_end()?;
            self.done = true;
        }
        Ok(n)
    }
}
