//! Artifacts: zip archives in and out of S3, bounded, streamed, hashed, reproducible.
//!
//! An archive is hostile until it has been read. It is read here, not by the `zip` crate, because that crate
//! does what most users want, which is to find an archive in almost anything; here an archive must have one
//! meaning only: every byte belongs to exactly one part, the directory and the local headers agree, no path
//! leaves its folder, and caps on counts, sizes and ratios hold both for what is declared and for what is
//! read. Archives are written by `zip`.
//!
//! - [`Archive`] reads a local file, [`RemoteArchive`] an object by ranges, [`spool`] fetches an object
//!   whole.
//! - [`ArchiveWriter`] makes archives whose bytes follow from their entries alone, [`is_canonical`]
//!   recognises them.
//! - [`put`] stores one, and believes it only after reading it back.

mod archive;
mod bytes;
mod caps;
mod content;
mod digest;
mod directory;
mod end;
mod error;
mod fault;
mod fetch;
mod path;
mod record;
mod remote;
mod spool;
mod upload;
mod writer;

#[cfg(test)]
mod tests;

pub use crate::digest::Sha256;
pub use archive::Archive;
pub use caps::Caps;
pub use content::EntryReader;
pub use digest::{Hasher, HashingReader, HashingWriter};
pub use directory::{Entry, EntryKind, Method};
pub use error::{ArtifactError, CallError, Location, Origin};
pub use fault::ArchiveFault;
pub use path::{EntryPath, PathFault};
pub use remote::RemoteArchive;
pub use spool::{Spooled, spool};
pub use upload::{Stored, put};
pub use writer::{ArchiveWriter, Finished, is_canonical};
