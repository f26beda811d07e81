//! Streaming SHA-256: a hasher, a hashing reader and a hashing writer.

use std::fmt;
use std::io::{self, Read, Write};

use sha2::Digest as _;

use crate::digest::Sha256;

/// An incremental SHA-256. `sha2` detects the CPU's SHA instructions at run time.
#[derive(Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// A hasher without input.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all bytes.
    #[must_use]
    pub fn finish(self) -> Sha256 {
        Sha256::from_bytes(self.0.finalize().into())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

/// A reader that hashes and counts the bytes it reads.
#[derive(Debug)]
pub struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
    count: u64,
}

impl<R> HashingReader<R> {
    /// A reader of `inner`.
    pub fn new(inner: R) -> Self {
        Self { inner, hasher: Hasher::new(), count: 0 }
    }

    /// Bytes read so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The inner reader, and the digest of the bytes read.
    pub fn finish(self) -> (R, Sha256) {
        (self.inner, self.hasher.finish())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        self.hasher.update(buf.get(..n).unwrap_or_default());
        self.count += n as u64;
        Ok(n)
    }
}

/// A writer that hashes and counts the bytes it writes.
#[derive(Debug)]
pub struct HashingWriter<W> {
    inner: W,
    hasher: Hasher,
    count: u64,
}

impl<W> HashingWriter<W> {
    /// A writer to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, hasher: Hasher::new(), count: 0 }
    }

    /// Bytes written so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The inner writer, and the digest of the bytes written.
    pub fn finish(self) -> (W, Sha256) {
        (self.inner, self.hasher.finish())
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(buf)?;
        self.hasher.update(buf.get(..n).unwrap_or_default());
        self.count += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The SHA-256 of everything that a reader returns, in bounded memory.
///
/// # Errors
/// The errors of the reader.
pub fn digest_of(mut from: impl Read) -> io::Result<Sha256> {
    let mut hasher = HashingWriter::new(io::sink());
    io::copy(&mut from, &mut hasher)?;
    Ok(hasher.finish().1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's one-block example.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn every_hasher_gives_the_published_digest() {
        assert_eq!(Sha256::of(b"abc").to_string(), ABC);
        assert_eq!(digest_of(&b"abc"[..]).unwrap().to_string(), ABC);
        let mut reader = HashingReader::new(&b"abc"[..]);
        io::copy(&mut reader, &mut io::sink()).unwrap();
        assert_eq!(reader.count(), 3);
        assert_eq!(reader.finish().1.to_string(), ABC);
    }

    #[test]
    fn a_digest_has_exactly_one_text_form() {
        let digest: Sha256 = ABC.parse().unwrap();
        assert_eq!(digest, Sha256::of(b"abc"));
        assert_eq!(serde_json::to_string(&digest).unwrap(), format!("\"{ABC}\""));
        assert_eq!(serde_json::from_str::<Sha256>(&format!("\"{ABC}\"")).unwrap(), digest);
        let upper = ABC.to_uppercase();
        let off = ABC.replace('b', "g");
        for bad in ["", "abc", &upper, &off, &ABC[1..], &format!("{ABC}0"), &"é".repeat(32)] {
            assert!(bad.parse::<Sha256>().is_err(), "{bad}");
        }
    }
}
