//! Invalid archives, each refused with its own fault.

use proptest::prelude::*;

use super::forge::{Part, Tail, deflate, extra, zip, zip_with, zip64};
use super::*;

type Fault = fn(&ArchiveFault) -> bool;

macro_rules! fault {
    ($pattern:pat $(if $guard:expr)?) => { (|fault| matches!(fault, $pattern $(if $guard)?)) as Fault };
}

fn small() -> Caps {
    Caps { entries: 10, entry_bytes: 100 << 20, total_bytes: 200 << 20, ..Caps::default() }
}

#[track_caller]
fn refused(table: &[(&str, Vec<u8>, Fault)]) {
    for (name, bytes, expected) in table {
        match read_all(bytes, &small()) {
            Ok(_) => panic!("{name}: accepted"),
            Err(fault) => assert!(expected(&fault), "{name}: refused for another reason: {fault:?}"),
        }
    }
}

fn with(part: Part) -> Vec<u8> {
    zip(&[Part::stored("first", b"one"), part, Part::deflated("last", b"three three three")])
}

#[test]
fn an_unchanged_forged_archive_is_accepted() {
    let mut archive = read_all(&with(Part::stored("b/c", b"two")), &small()).unwrap();
    assert_eq!(archive.read(&path("last"), 100).unwrap(), b"three three three");
    assert_eq!(archive.read(&path("b/c"), 3).unwrap(), b"two");
    assert_eq!(archive.files().map(EntryPath::as_str).collect::<Vec<_>>(), ["b/c", "first", "last"]);
}

#[test]
fn names_that_are_not_relative_paths_are_refused() {
    let table: &[(&str, PathFault)] = &[
        ("../../etc/cron.d/x", PathFault::Parent),
        ("a/../../x", PathFault::Parent),
        ("../", PathFault::Parent),
        ("/etc/passwd", PathFault::Absolute),
        ("/", PathFault::Absolute),
        ("..\\x", PathFault::Backslash),
        ("C:/windows", PathFault::DriveLetter),
        ("x\0.txt", PathFault::Nul),
        ("", PathFault::Empty),
        ("a//b", PathFault::EmptyComponent),
        ("a//", PathFault::EmptyComponent),
        ("././x", PathFault::Dot),
        (".//x", PathFault::Absolute),
        ("./../x", PathFault::Parent),
        (".", PathFault::Dot),
    ];
    for (name, expected) in table {
        match read_all(&with(Part::stored(name, b"")), &small()) {
            Err(ArchiveFault::BadPath { why, offset, .. }) => {
                assert_eq!(why, *expected, "{name:?}");
                assert!(offset > 0);
            }
            other => panic!("{name:?}: {other:?}"),
        }
    }
    let latin = Part::stored("x", b"").both(|header| header.name = b"\xe9t\xe9".to_vec());
    refused(&[("not UTF-8", with(latin), fault!(ArchiveFault::BadPath { why: PathFault::NotUtf8, .. }))]);
}

#[test]
fn contradicting_entries_are_refused() {
    let link = |name: &str| Part::stored(name, b"target").attributes(0o120_777 << 16);
    refused(&[
        (
            "one path with and without `./`",
            zip(&[Part::stored("./x", b"1"), Part::stored("x", b"2")]),
            fault!(ArchiveFault::Duplicate { .. }),
        ),
        (
            "`./` in the directory only",
            with(Part::stored("./x", b"1").local(|header| header.name = b"x".to_vec())),
            fault!(ArchiveFault::Overlap { .. }),
        ),
        (
            "a symbolic link that is used as a folder",
            zip(&[link("x"), Part::stored("x/y", b"1")]),
            fault!(ArchiveFault::FileAsFolder { .. }),
        ),
        (
            "a symbolic link with the name of a folder",
            with(link("x/")),
            fault!(ArchiveFault::Special { kind: "a symbolic link", .. }),
        ),
        (
            "a target longer than a path",
            with(Part::stored("x", &[b'a'; 4096]).attributes(0o120_777 << 16)),
            fault!(ArchiveFault::TooLarge { found: 4096, limit: 4095, .. }),
        ),
    ]);
    let caps = Caps { links: false, ..small() };
    assert!(matches!(
        read_all(&with(link("x")), &caps),
        Err(ArchiveFault::Special { kind: "a symbolic link", .. })
    ));
    let two = |a, b| zip(&[Part::stored(a, b"1"), Part::stored(b, b"2")]);
    let inner = Part::stored("inner", b"payload");
    let whole = zip(&[Part::stored("a", b"aaaa"), Part::stored("b", b"bbbb").at(0)]);
    let nested = zip(&[Part::stored("outer", &zip(std::slice::from_ref(&inner))), inner.at(35)]);
    let deep = zip(&["x", "x-y", "x/y/z"].map(|name| Part::stored(name, b"")));
    let too_long = zip(&[
        Part::stored("a", b"aaaa").both(|header| (header.packed, header.size) = (5, 5)),
        Part::stored("b", b"b"),
    ]);
    let into_directory =
        zip(&[Part::stored("a", b"aaaa").both(|header| (header.packed, header.size) = (90, 90))]);
    let far = zip(&[Part::stored("a", b"a"), Part::stored("b", b"b").at(u32::MAX - 1)]);
    refused(&[
        ("twice", two("x", "x"), fault!(ArchiveFault::Duplicate { .. })),
        ("file and folder of one name", two("x", "x/y"), fault!(ArchiveFault::FileAsFolder { .. })),
        ("the same with another between", deep, fault!(ArchiveFault::FileAsFolder { .. })),
        ("one local header for two", whole, fault!(ArchiveFault::Overlap { .. })),
        ("an entry within an entry", nested, fault!(ArchiveFault::Overlap { .. })),
        ("reaching into the next", too_long, fault!(ArchiveFault::Overlap { .. })),
        ("reaching into the directory", into_directory, fault!(ArchiveFault::Overlap { .. })),
        ("outside of the archive", far, fault!(ArchiveFault::Overlap { .. })),
    ]);
    let folder = Part::stored("x/", b"").attributes(0o040_755 << 16);
    let twice = zip(&[folder.clone(), Part::stored("x", b"1")]);
    refused(&[("folder and file of one name", twice, fault!(ArchiveFault::Duplicate { .. }))]);
    assert!(read_all(&zip(&[folder, Part::stored("x/y", b"1")]), &small()).is_ok());
}

#[test]
fn other_kinds_and_methods_are_refused() {
    let mode = |mode: u32| with(Part::stored("x", b"target").attributes(mode << 16));
    let flag = |flag: u16| with(Part::stored("x", b"x").both(|header| header.flags = flag));
    let method = |method: u16| with(Part::stored("x", b"x").both(|header| header.method = method));
    refused(&[
        ("device", mode(0o020_666), fault!(ArchiveFault::Special { .. })),
        ("block device", mode(0o060_666), fault!(ArchiveFault::Special { .. })),
        ("pipe", mode(0o010_666), fault!(ArchiveFault::Special { .. })),
        ("socket", mode(0o140_666), fault!(ArchiveFault::Special { .. })),
        ("unknown type", mode(0o150_666), fault!(ArchiveFault::Special { .. })),
        ("folder named as a file", mode(0o040_755), fault!(ArchiveFault::Special { .. })),
        ("file named as a folder", with(Part::stored("x/", b"")), fault!(ArchiveFault::Special { .. })),
        (
            "reparse point",
            with(Part::stored("x", b"x").attributes(0x400)),
            fault!(ArchiveFault::Special { kind: "a reparse point", .. }),
        ),
        ("encrypted", flag(1), fault!(ArchiveFault::Encrypted { .. })),
        ("strongly encrypted", flag(1 | 1 << 6), fault!(ArchiveFault::Encrypted { .. })),
        ("masked headers", flag(1 << 13), fault!(ArchiveFault::Encrypted { .. })),
        ("patch data", flag(1 << 5), fault!(ArchiveFault::Malformed { .. })),
        ("method 99", method(99), fault!(ArchiveFault::Method { method: 99, .. })),
        ("deflate64", method(9), fault!(ArchiveFault::Method { method: 9, .. })),
        (
            "folder with content",
            with(Part::stored("x/", b"x").attributes(0)),
            fault!(ArchiveFault::Malformed { .. }),
        ),
    ]);
}

#[test]
fn zip_bombs_are_refused() {
    let zeros = vec![0; 5 << 20];
    // Declares little and gives much: the stream is stopped at the declared size.
    let liar = Part::deflated("x", &zeros).both(|header| header.size = 100);
    let shy = Part::stored("x", b"x").both(|header| (header.method, header.size) = (8, 10));
    let huge = Part::stored("x", b"x").both(|header| (header.method, header.size) = (8, 150 << 20));
    let many: Vec<Part> = (0..11).map(|i| Part::stored(&i.to_string(), b"")).collect();
    let half = 99 << 20;
    let sum: Vec<Part> = (0..3)
        .map(|i| Part::stored(&i.to_string(), &vec![0; 1 << 19]).both(|h| (h.method, h.size) = (8, half)))
        .collect();
    refused(&[
        (
            "declared size is a lie",
            with(liar),
            fault!(ArchiveFault::Data { what, .. } if what.contains("more")),
        ),
        ("not deflate at all", with(shy), fault!(ArchiveFault::Data { .. })),
        (
            "one entry over its cap",
            with(huge),
            fault!(ArchiveFault::TooLarge { limit, .. } if *limit == 100 << 20),
        ),
        (
            "all entries over their cap",
            zip(&sum),
            fault!(ArchiveFault::TooLarge { limit, .. } if *limit == 200 << 20),
        ),
        ("too many entries", zip(&many), fault!(ArchiveFault::TooManyEntries { found: 11, limit: 10 })),
    ]);
    let caps = Caps { directory_bytes: 50, ..small() };
    assert!(matches!(read_all(&with(Part::stored("x", b"")), &caps), Err(ArchiveFault::TooLarge { .. })));
    let caps = Caps { archive_bytes: 50, ..small() };
    assert!(matches!(read_all(&with(Part::stored("x", b"")), &caps), Err(ArchiveFault::TooLarge { .. })));
}

#[test]
fn a_million_declared_entries_take_no_memory() {
    let caps = Caps { entries: u64::MAX, ..small() };
    let tail = Tail { entries: Some(65_534), ..Tail::default() };
    let bytes = zip_with(&[Part::stored("x", b"")], &tail);
    assert!(matches!(read_all(&bytes, &caps), Err(ArchiveFault::Truncated { .. })));
}

#[test]
fn local_headers_that_differ_from_the_directory_are_refused() {
    type Change = fn(&mut super::forge::Header);
    let differs: &[(&str, Change)] = &[
        ("name", |header| header.name = b"y".to_vec()),
        ("flags", |header| header.flags = 1 << 11),
        ("flags", |header| header.flags = 1),
        ("compression method", |header| header.method = 8),
        ("CRC-32", |header| header.crc32 ^= 1),
        ("compressed size", |header| header.packed -= 1),
        ("size", |header| header.size += 1),
    ];
    for (expected, change) in differs {
        let bytes = with(Part::stored("x", b"content").local(change));
        match read_all(&bytes, &small()) {
            Err(ArchiveFault::Differs { entry, field, offset: 38 }) => {
                assert_eq!((entry.as_str(), field), ("x", *expected));
            }
            other => panic!("{expected}: {other:?}"),
        }
    }
    let mut unsigned = with(Part::stored("x", b"content"));
    unsigned[38] ^= 1;
    let longer = with(Part::stored("x", b"content").local(|header| header.extra = extra(9, b"")));
    refused(&[
        ("no local header there", unsigned, fault!(ArchiveFault::Malformed { .. })),
        (
            "another extra field is no contradiction, but the CRC is",
            with_bad_crc(),
            fault!(ArchiveFault::Crc { .. }),
        ),
    ]);
    assert!(read_all(&longer, &small()).is_ok());
}

fn with_bad_crc() -> Vec<u8> {
    with(Part::deflated("x", b"content").both(|header| header.crc32 ^= 0x10))
}

#[test]
fn invalid_compressed_data_are_refused() {
    let content = b"some content, some content, some content";
    let packed = deflate(content);
    let change = |data: Vec<u8>| {
        let len = u32::try_from(data.len()).unwrap();
        let mut part = Part::deflated("x", content).both(|header| header.packed = len);
        part.data = data;
        with(part)
    };
    let cut = packed[..packed.len() - 1].to_vec();
    let longer = [&packed[..], b"hidden"].concat();
    let grown = with(Part::deflated("x", content).both(|header| header.size += 1));
    refused(&[
        ("cut", change(cut), fault!(ArchiveFault::Data { .. })),
        ("empty", change(Vec::new()), fault!(ArchiveFault::Data { .. })),
        (
            "followed by more",
            change(longer),
            fault!(ArchiveFault::Data { what, .. } if what.contains("follow")),
        ),
        ("less than declared", grown, fault!(ArchiveFault::Data { what, .. } if what.contains("less"))),
        ("a reserved block type", change(vec![0xff; 20]), fault!(ArchiveFault::Data { .. })),
    ]);
}

#[test]
fn bytes_outside_of_all_parts_are_refused() {
    let good = with(Part::stored("x", b"x"));
    let prefixed = [b"#!/bin/sh\n", &good[..]].concat();
    let gap = with(Part::stored("x", b"x").after(b"hidden"));
    let long_gap = with(Part::stored("x", b"x").after(&[0; 100]));
    let before = Tail { before_directory: b"signing block".to_vec(), ..Tail::default() };
    let garbage = Tail { garbage: b"\0".to_vec(), ..Tail::default() };
    let part = Part::stored("x", b"x");
    let parts = std::slice::from_ref(&part);
    refused(&[
        ("in front", prefixed, fault!(ArchiveFault::Malformed { .. })),
        ("between entries", gap, fault!(ArchiveFault::Hidden { len: 6, .. })),
        ("far between entries", long_gap, fault!(ArchiveFault::Hidden { len: 100, .. })),
        ("before the directory", zip_with(parts, &before), fault!(ArchiveFault::Hidden { len: 13, .. })),
        ("at the end", zip_with(parts, &garbage), fault!(ArchiveFault::Malformed { .. })),
        (
            "within the directory",
            zip_with(&[part.clone(), part.clone()], &Tail { entries: Some(1), ..Tail::default() }),
            fault!(ArchiveFault::Malformed { .. }),
        ),
        (
            "a directory that is shorter than declared",
            zip_with(parts, &Tail { length_lie: 1, ..Tail::default() }),
            fault!(ArchiveFault::Malformed { .. }),
        ),
    ]);
}

#[test]
fn two_end_records_are_refused() {
    // The comment of the first holds a second archive, or just another end record.
    let second = zip(&[Part::stored("evil", b"evil")]);
    let comment = Tail { comment: second, ..Tail::default() };
    let empty_end = zip(&[]);
    let end = Tail { comment: empty_end, ..Tail::default() };
    let inner =
        Tail { comment: b"PK\x05\x06 looks like one, and is none ......".to_vec(), ..Tail::default() };
    let parts = [Part::stored("good", b"good")];
    refused(&[
        ("an archive as the comment", zip_with(&parts, &comment), fault!(ArchiveFault::Malformed { .. })),
        ("an end record as the comment", zip_with(&parts, &end), fault!(ArchiveFault::Malformed { .. })),
        ("its signature in the comment", zip_with(&parts, &inner), fault!(ArchiveFault::Malformed { .. })),
        ("none", b"this is no zip archive at all".to_vec(), fault!(ArchiveFault::Truncated { .. })),
        ("nothing", Vec::new(), fault!(ArchiveFault::Truncated { offset: 0, .. })),
    ]);
}

#[test]
fn wrong_zip64_and_extra_fields_are_refused() {
    let part = Part::stored("x", b"content");
    let saturated = part.clone().both(|header| (header.packed, header.size) = (u32::MAX, u32::MAX));
    let cut = saturated.clone().central(|header| header.extra = zip64(&[7]));
    let wrong = saturated
        .clone()
        .central(|header| header.extra = zip64(&[7, 7]))
        .local(|header| header.extra = zip64(&[8, 8]));
    let giant = saturated.clone().both(|header| header.extra = zip64(&[u64::MAX, u64::MAX]));
    let twice = saturated.clone().both(|header| header.extra = [zip64(&[7, 7]), zip64(&[8, 8])].concat());
    let broken = part.clone().both(|header| header.extra = vec![1, 0, 200, 0, 1]);
    let renamed = part.clone().both(|header| {
        header.extra = extra(0x7075, &[&[1, 0, 0, 0, 0], &b"y"[..]].concat());
    });
    let mut locator = zip_with(&[Part::stored("x", b"")], &Tail { zip64: true, ..Tail::default() });
    let at = locator.len() - 22 - 20 + 8;
    locator[at] ^= 1;
    let mut disagreeing = zip_with(&[Part::stored("x", b"")], &Tail { zip64: true, ..Tail::default() });
    let at = disagreeing.len() - 22 + 8;
    disagreeing[at..at + 4].copy_from_slice(&[9, 0, 9, 0]);
    refused(&[
        ("saturated without a zip64 field", with(saturated), fault!(ArchiveFault::Malformed { .. })),
        ("a zip64 field that is too short", with(cut), fault!(ArchiveFault::Truncated { .. })),
        ("two different zip64 fields", with(wrong), fault!(ArchiveFault::Differs { .. })),
        ("sizes that overflow", with(giant), fault!(ArchiveFault::TooLarge { .. })),
        ("two zip64 fields", with(twice), fault!(ArchiveFault::Malformed { .. })),
        ("an extra field that is cut", with(broken), fault!(ArchiveFault::Truncated { .. })),
        ("a second name", with(renamed), fault!(ArchiveFault::Malformed { .. })),
        ("a locator that points elsewhere", locator, fault!(ArchiveFault::Malformed { .. })),
        ("end records that disagree", disagreeing, fault!(ArchiveFault::Malformed { .. })),
    ]);
}

#[test]
fn wrong_data_descriptors_are_refused() {
    let streamed =
        |after: &[u8]| with(Part::stored("x", b"x").both(|header| header.flags = 1 << 3).after(after));
    let descriptor = [crc32fast::hash(b"x"), 1, 2].map(u32::to_le_bytes).concat();
    let unsigned = [&b"PK\x08\x09"[..], &descriptor].concat();
    refused(&[
        (
            "another size",
            streamed(&descriptor),
            fault!(ArchiveFault::Differs { field: "data descriptor", .. }),
        ),
        ("another signature", streamed(&unsigned), fault!(ArchiveFault::Malformed { .. })),
        ("none", streamed(b""), fault!(ArchiveFault::Truncated { .. })),
        ("of no known length", streamed(&[0; 13]), fault!(ArchiveFault::Hidden { .. })),
    ]);
}

#[test]
fn every_truncated_archive_is_refused() {
    let comment = Tail { comment: b"a comment".to_vec(), ..Tail::default() };
    let zip64 = Tail { zip64: true, ..Tail::default() };
    for tail in [Tail::default(), comment, zip64] {
        let parts = [Part::stored("a/b", b"content"), Part::deflated("c", b"more more more")];
        let bytes = zip_with(&parts, &tail);
        assert!(read_all(&bytes, &small()).is_ok());
        for len in 0..bytes.len() {
            assert!(read_all(&bytes[..len], &small()).is_err(), "cut to {len} of {}", bytes.len());
            assert!(read_all(&bytes[len + 1..], &small()).is_err(), "without its first {}", len + 1);
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_all(&bytes, &small());
    }

    #[test]
    fn no_change_makes_the_reader_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        zip64 in any::<bool>(),
    ) {
        let parts = [Part::stored("a/b", b"content"), Part::deflated("c", b"more more more")];
        let mut bytes = zip_with(&parts, &Tail { zip64, ..Tail::default() });
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(mut archive) = read_all(&bytes, &small()) {
            let _ = is_canonical(&mut archive);
        }
    }
}
