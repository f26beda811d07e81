//! Tests of the artifact module.

mod forge;
mod hostile;
mod remote;
mod s3;
mod tolerated;
mod upload;
mod written;

use std::io::Cursor;

use super::*;

pub(super) type InMemory = Archive<Cursor<Vec<u8>>>;

pub(super) fn path(text: &str) -> EntryPath {
    EntryPath::new(text).unwrap()
}

/// Opens an archive in memory and reads all of its contents.
pub(super) fn read_all(bytes: &[u8], caps: &Caps) -> Result<InMemory, ArchiveFault> {
    let source = Cursor::new(bytes.to_vec());
    let checked = Archive::from_source(source, Origin::Memory, caps).and_then(|mut archive| {
        archive.check_contents()?;
        Ok(archive)
    });
    checked.map_err(|error| match error {
        ArtifactError::Refused { fault, .. } => fault,
        other => panic!("not a refusal: {other:?}"),
    })
}

/// The bytes the writer makes of some entries.
pub(super) fn written(entries: &[(&str, &[u8])]) -> (Finished, Vec<u8>) {
    let mut writer = ArchiveWriter::new().unwrap();
    for (name, content) in entries {
        writer.add(&path(name), content).unwrap();
    }
    let finished = writer.finish().unwrap();
    let bytes = std::fs::read(finished.path()).unwrap();
    (finished, bytes)
}
