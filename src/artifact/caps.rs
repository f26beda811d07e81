//! The limits within which an archive is believed.

/// Limits on one artifact. A limit is checked before the bytes are read where the archive declares a number,
/// and again in the stream, because what an archive declares may be a lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Most entries (files and folders). `CodePipeline` allows 100,000 files in an S3 source object.
    pub entries: u64,
    /// Largest uncompressed size of one entry, in bytes.
    pub entry_bytes: u64,
    /// Largest sum of the uncompressed sizes of all entries, in bytes.
    pub total_bytes: u64,
    /// Largest uncompressed size per compressed byte, of an entry and of the whole. Entries smaller than
    /// [`Caps::RATIO_FLOOR`] are exempt: a short file of zeros is no attack.
    pub ratio: u64,
    /// Largest archive, in bytes. `CodePipeline` limits artifacts of an S3 source to 5 GB.
    pub archive_bytes: u64,
    /// Largest central directory, in bytes: it is the one part that is held in memory as a whole.
    pub directory_bytes: u64,
}

impl Caps {
    /// Uncompressed size up to which no compression ratio is suspicious, in bytes.
    pub const RATIO_FLOOR: u64 = 4 << 20;
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            entries: 100_000,
            entry_bytes: 5 << 30,
            total_bytes: 20 << 30,
            ratio: 200,
            archive_bytes: 5 << 30,
            directory_bytes: 16 << 20,
        }
    }
}
