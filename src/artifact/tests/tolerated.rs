//! Archives of common tools, which must be accepted.

use std::io::Write as _;

use super::forge::{Part, Tail, zip, zip_with, zip64};
use super::*;

fn contents(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = read_all(bytes, &Caps::default()).unwrap();
    let files: Vec<EntryPath> = archive.files().cloned().collect();
    files.into_iter().map(|path| (path.to_string(), archive.read(&path, 1 << 20).unwrap())).collect()
}

/// Writers that cannot seek put sizes behind the data: Java's, Go's, and `zip` into a pipe.
#[test]
fn all_forms_of_a_data_descriptor_are_accepted() {
    let crc = crc32fast::hash(b"content").to_le_bytes();
    let (narrow, wide) =
        ([7_u32; 2].map(u32::to_le_bytes).concat(), [7_u64; 2].map(u64::to_le_bytes).concat());
    for sizes in [&narrow, &wide] {
        for signature in [&b""[..], b"PK\x07\x08"] {
            let part = Part::stored("x", b"content")
                .both(|header| header.flags = 1 << 3)
                .local(|header| (header.crc32, header.packed, header.size) = (0, 0, 0))
                .after(&[signature, &crc, sizes].concat());
            let bytes = zip(&[part.clone(), Part::stored("y", b"next")]);
            assert_eq!(contents(&bytes).len(), 2);
            assert_eq!(contents(&zip(&[part])), [("x".to_owned(), b"content".to_vec())]);
        }
    }
}

#[test]
fn unneeded_zip64_fields_are_accepted() {
    let part = Part::stored("x", b"content").both(|header| {
        (header.packed, header.size, header.extra) = (u32::MAX, u32::MAX, zip64(&[7, 7]));
    });
    let bytes = zip_with(&[part], &Tail { zip64: true, ..Tail::default() });
    assert_eq!(contents(&bytes), [("x".to_owned(), b"content".to_vec())]);
}

#[test]
fn folders_comments_modes_and_empty_files_are_accepted() {
    let comment = Tail { comment: b"da39a3ee5e6b4b0d3255bfef95601890afd80709".to_vec(), ..Tail::default() };
    let parts = [
        Part::stored("dir/", b"").attributes(0o040_755 << 16 | 0x10),
        Part::stored("dir/run.sh", b"#!/bin/sh\n").attributes(0o100_755 << 16),
        Part::stored("no-mode", b"").attributes(0),
        Part::deflated("empty", b""),
        Part::stored("\u{fc}.txt", b"u").both(|header| header.flags = 1 << 11),
    ];
    let bytes = zip_with(&parts, &comment);
    let names: Vec<String> = contents(&bytes).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["dir/run.sh", "empty", "no-mode", "\u{fc}.txt"]);
    assert_eq!(contents(&zip(&[])), []);
}

/// `bsdtar -a -cf x.zip .`, the `tar` of Windows and macOS.
#[test]
fn names_that_begin_with_a_dot_are_the_same_names() {
    let parts = [
        Part::stored("./", b"").attributes(0o040_755 << 16),
        Part::stored("./dir/", b"").attributes(0o040_755 << 16),
        Part::stored("./dir/run.sh", b"#!/bin/sh\n"),
        Part::stored("./.hidden", b"h"),
        Part::stored("plain", b"p"),
    ];
    let names: Vec<String> = contents(&zip(&parts)).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, [".hidden", "dir/run.sh", "plain"]);
}

/// `zip -y`, and what version control has.
#[test]
fn a_symbolic_link_is_an_entry_that_is_not_followed() {
    let parts = [
        Part::stored("a", b"content"),
        Part::stored("b", b"a").attributes(0o120_777 << 16),
        Part::stored("dir", b"../elsewhere").attributes(0o120_777 << 16),
    ];
    let mut archive = read_all(&zip(&parts), &Caps::default()).unwrap();
    assert_eq!(archive.files().map(EntryPath::as_str).collect::<Vec<_>>(), ["a"]);
    assert_eq!(archive.links().map(EntryPath::as_str).collect::<Vec<_>>(), ["b", "dir"]);
    assert_eq!(archive.target(&path("b")).unwrap(), b"a");
    for (name, at) in [("b", "b"), ("dir", "dir"), ("dir/x", "dir")] {
        let error = archive.read(&path(name), 100).unwrap_err();
        let ArtifactError::Refused { fault: ArchiveFault::ThroughLink { link, .. }, .. } = error else {
            panic!("{name}: {error:?}")
        };
        assert_eq!(link, at);
    }
    assert!(!is_canonical(&mut archive).unwrap());
}

/// A fixture in JSON that compresses 340:1. The sizes of the entries are limited, not their ratio.
#[test]
fn a_file_that_compresses_well_is_accepted() {
    let fixture = br#"{"id":0,"name":"","tags":[],"active":false}"#.repeat(200_000);
    let part = Part::deflated("fixture.json", &fixture);
    assert!(fixture.len() / part.data.len() > 200, "{} bytes", part.data.len());
    let mut archive = read_all(&zip(&[part]), &Caps::default()).unwrap();
    assert_eq!(archive.read(&path("fixture.json"), 10 << 20).unwrap(), fixture);
}

#[test]
fn a_packed_source_keeps_links_and_names_that_differ_in_case_only() {
    let mut writer = ArchiveWriter::of_source().unwrap();
    writer.add(&path("Readme"), b"1").unwrap();
    writer.add(&path("README"), b"2").unwrap();
    writer.add_link(&path("docs"), b"elsewhere/docs").unwrap();
    let finished = writer.finish().unwrap();
    let mut archive = Archive::open(finished.path(), &Caps::default()).unwrap();
    archive.check_contents().unwrap();
    assert_eq!(archive.files().count(), 2);
    assert_eq!(archive.target(&path("docs")).unwrap(), b"elsewhere/docs");
}

#[test]
fn an_archive_within_an_archive_is_plain_content() {
    let inner = zip_with(&[Part::stored("x", b"x")], &Tail { comment: vec![b'c'; 40], ..Tail::default() });
    assert_eq!(contents(&zip(&[Part::stored("inner.zip", &inner)])), [("inner.zip".to_owned(), inner)]);
}

#[test]
fn archives_of_the_zip_crate_are_accepted() {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    let long = b"line\n".repeat(100_000);
    zip.add_directory("d", options).unwrap();
    zip.start_file("d/deflated", options.compression_method(zip::CompressionMethod::Deflated)).unwrap();
    zip.write_all(&long).unwrap();
    zip.start_file("d/large", options.large_file(true)).unwrap();
    zip.write_all(b"x").unwrap();
    let bytes = zip.finish().unwrap().into_inner();
    assert_eq!(contents(&bytes), [("d/deflated".to_owned(), long), ("d/large".to_owned(), b"x".to_vec())]);
}

#[test]
fn a_file_above_the_limit_of_the_caller_is_refused() {
    let mut archive = read_all(&zip(&[Part::stored("x", b"12345")]), &Caps::default()).unwrap();
    assert_eq!(archive.read(&path("x"), 5).unwrap(), b"12345");
    let error = archive.read(&path("x"), 4).unwrap_err();
    assert!(matches!(
        error,
        ArtifactError::Refused { fault: ArchiveFault::TooLarge { found: 5, limit: 4, .. }, .. }
    ));
    let error = archive.read(&path("y"), 4).unwrap_err();
    assert!(matches!(error, ArtifactError::Refused { fault: ArchiveFault::NoEntry { .. }, .. }));
    assert!(error.is_bad_data() && !error.is_transient());
}
