//! Limits on the size of an archive.

/// Limits on one archive. A limit is checked against the declared number before the bytes are read, and again while they
/// are read, because an archive may declare a wrong number.
///
/// There is no limit on the compression ratio: fixtures in JSON compress 300:1 and more. The limits on the entries and on
/// their sum bound what a bomb expands to, and content is decompressed in a stream, up to its declared size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// The most entries (files and folders). `CodePipeline` allows 100,000 files in an S3 source object.
    pub entries: u64,
    /// Largest uncompressed size of one entry, in bytes.
    pub entry_bytes: u64,
    /// Largest sum of the uncompressed sizes of all entries, in bytes.
    pub total_bytes: u64,
    /// Largest archive, in bytes. `CodePipeline` limits artifacts of an S3 source to 5 GB.
    pub archive_bytes: u64,
    /// Largest central directory, in bytes: the whole directory is in memory.
    pub directory_bytes: u64,
    /// Whether symbolic links are accepted. Version control holds them, so a source may; bakeline writes none.
    pub links: bool,
}

impl Default for Caps {
    fn default() -> Self {
        Self {
            entries: 100_000,
            entry_bytes: 5 << 30,
            total_bytes: 20 << 30,
            archive_bytes: 5 << 30,
            directory_bytes: 16 << 20,
            links: true,
        }
    }
}
