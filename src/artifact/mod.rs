//! Artifacts: zip archives in S3 and in files, read with limits, hashed and reproducible.
//!
//! An archive may be hostile. This module reads it without the `zip` crate, which accepts as much as it can. Here an
//! archive must have exactly one meaning: every byte belongs to exactly one part, the directory and the local headers
//! agree, no path leaves its folder, and the limits on counts, sizes and ratios hold for the declared values and for the
//! bytes read. The `zip` crate writes archives.
//!
//! - [`Archive`] reads a local file, [`RemoteArchive`] reads ranges of an object, [`spool`] downloads an object.
//! - [`ArchiveWriter`] writes reproducible archives, [`is_canonical`] recognizes them.
//! - [`put`] stores an archive and reads it back.

mod archive;
mod bytes;
mod caps;
mod content;
mod digest;
mod directory;
mod end;
mod entry;
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
pub use entry::{Entry, EntryKind, Method};
pub use error::{ArtifactError, CallError, Location, Origin};
pub use fault::ArchiveFault;
pub use path::{EntryPath, PathFault};
pub use remote::RemoteArchive;
pub use spool::{Spooled, spool};
pub use upload::{Stored, put};
pub use writer::{ArchiveWriter, Finished, is_canonical};
