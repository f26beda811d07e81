//! Archives of our writer: the same entries give the same bytes, and every changed byte is refused.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn open(bytes: &[u8]) -> Result<InMemory, ArtifactError> {
    Archive::from_source(Cursor::new(bytes.to_vec()), Origin::Memory, &Caps::default())
}

fn unchanged(bytes: &[u8]) -> bool {
    open(bytes).and_then(|mut archive| is_canonical(&mut archive)).unwrap_or(false)
}

/// The bytes of release 0.1. They must never change: what was signed then must be canonical for ever.
#[test]
fn the_bytes_never_change_between_versions() {
    let (finished, bytes) = written(&[("b/report.xml", b"<x/>"), ("a.json", b"{}")]);
    let expected = [
        &b"PK\x03\x04\x0a\0\0\0\0\0\0\0\x21\0\x43\xbf\xa6\xa3\x02\0\0\0\x02\0\0\0\x06\0\0\0a.json{}"[..],
        b"PK\x03\x04\x0a\0\0\0\0\0\0\0\x21\0\x2b\x84\x26\x12\x04\0\0\0\x04\0\0\0\x0c\0\0\0b/report.xml<x/>",
        b"PK\x01\x02\x0a\x03\x0a\0\0\0\0\0\0\0\x21\0\x43\xbf\xa6\xa3\x02\0\0\0\x02\0\0\0\x06\0\0\0\0\0\0\0\0\0",
        b"\0\0\xa4\x81\0\0\0\0a.json",
        b"PK\x01\x02\x0a\x03\x0a\0\0\0\0\0\0\0\x21\0\x2b\x84\x26\x12\x04\0\0\0\x04\0\0\0\x0c\0\0\0\0\0\0\0\0\0",
        b"\0\0\xa4\x81\x26\0\0\0b/report.xml",
        b"PK\x05\x06\0\0\0\0\x02\0\x02\0\x6e\0\0\0\x54\0\0\0\0\0",
    ]
    .concat();
    assert_eq!(bytes.escape_ascii().to_string(), expected.escape_ascii().to_string());
    assert_eq!(finished.digest(), Sha256::of(&bytes));
    assert_eq!(finished.size(), bytes.len() as u64);
}

#[test]
fn an_empty_archive_is_valid() {
    let (_, bytes) = written(&[]);
    assert!(open(&bytes).unwrap().entries().is_empty());
    assert!(unchanged(&bytes));
}

#[test]
fn any_changed_bit_is_refused() {
    let (_, bytes) = written(&[("a/statement.json", b"{\"a\":1}"), ("b", b""), ("\u{e9}", b"x")]);
    assert!(unchanged(&bytes));
    let before = contents(&mut open(&bytes).unwrap());
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            // A change of a name, its copy in the directory included, would take two.
            assert!(!unchanged(&changed), "bit {bit} of byte {at} of {}", bytes.len());
        }
    }
    assert_eq!(before.len(), 3);
}

#[test]
fn archives_of_other_tools_are_not_canonical() {
    let stored = super::forge::Part::stored("x", b"x");
    assert!(!unchanged(&super::forge::zip(std::slice::from_ref(&stored))));
    assert!(!unchanged(&super::forge::zip(&[super::forge::Part::deflated("x", b"xxxxx")])));
}

#[test]
fn content_of_a_damaged_archive_is_not_a_scratch_file_error() {
    let damaged = super::forge::Part::stored("x", b"x").both(|header| header.crc32 ^= 1);
    let mut archive = open(&super::forge::zip(&[damaged])).unwrap();
    let mut writer = ArchiveWriter::new().unwrap();
    let error = writer.add_reader(&path("copy"), archive.reader(&path("x")).unwrap()).unwrap_err();
    assert!(error.is_bad_data() && !error.is_transient(), "{error:?}");
}

#[test]
fn paths_that_collide_on_some_systems_are_refused() {
    let table: &[&[&str]] = &[
        &["a", "a"],
        &["a", "A"],
        &["a", "a/b"],
        &["a/b", "a"],
        &["Dir/a", "dir/b"],
        &["a/b/c", "a/b"],
        &["\u{dc}", "\u{fc}"],
    ];
    for paths in table {
        let mut writer = ArchiveWriter::new().unwrap();
        let (last, first) = paths.split_last().unwrap();
        for text in first {
            writer.add(&path(text), b"").unwrap();
        }
        let error = writer.add(&path(last), b"").unwrap_err();
        assert!(matches!(error, ArtifactError::Unwritable { .. }), "{paths:?}: {error:?}");
    }
}

fn contents(archive: &mut InMemory) -> BTreeMap<String, Vec<u8>> {
    let files: Vec<EntryPath> = archive.files().cloned().collect();
    files.into_iter().map(|path| (path.to_string(), archive.read(&path, 1 << 20).unwrap())).collect()
}

/// Paths whose components cannot collide as file and folder, nor in case.
fn entries() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    let path = "([d-f][0-9\u{e0}-\u{ef}]{0,2}/){0,2}[a-c][0-9 ._-]{0,5}[0-9]";
    proptest::collection::btree_map(path, proptest::collection::vec(any::<u8>(), 0..200), 0..12)
}

proptest! {
    #[test]
    fn what_is_written_is_read(entries in entries(), order in any::<u64>()) {
        let mut shuffled: Vec<(&str, &[u8])> = entries.iter().map(|(p, c)| (p.as_str(), c.as_slice())).collect();
        let (_, bytes) = written(&shuffled);
        shuffled.sort_by_key(|(path, _)| Sha256::of(format!("{order}{path}").as_bytes()));
        prop_assert_eq!(&written(&shuffled).1, &bytes);
        let mut archive = open(&bytes).unwrap();
        prop_assert_eq!(contents(&mut archive), entries.clone());
        prop_assert!(is_canonical(&mut archive).unwrap());
        // An independent reader agrees.
        let mut other = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        prop_assert_eq!(other.len(), entries.len());
        for (path, content) in &entries {
            let mut read = Vec::new();
            std::io::Read::read_to_end(&mut other.by_name(path).unwrap(), &mut read).unwrap();
            prop_assert_eq!(&read, content);
        }
    }

    #[test]
    fn any_changed_byte_is_noticed(entries in entries(), at in any::<prop::sample::Index>(), to in 1..=255_u8) {
        let list: Vec<(&str, &[u8])> = entries.iter().map(|(p, c)| (p.as_str(), c.as_slice())).collect();
        let (_, mut bytes) = written(&list);
        let at = at.index(bytes.len());
        bytes[at] ^= to;
        prop_assert!(!unchanged(&bytes));
    }
}
