//! Malicious archives in place of each stage's input artifact.

use std::time::Duration;

use super::draft::{Files, pack, unpack};
use super::forge::{Part, Tail, zip, zip_with};
use super::refusal::PendingJob;
use bakeline::evidence::Stage;

/// The file that every stage reads.
const SPEC: &str = "bakeline.yaml";

/// A malicious change of an artifact, and the words of the failure besides the artifact's URI.
struct Attack {
    name: &'static str,
    make: fn(&[u8]) -> Vec<u8>,
    says: &'static [&'static str],
}

const fn attack(name: &'static str, make: fn(&[u8]) -> Vec<u8>, says: &'static [&'static str]) -> Attack {
    Attack { name, make, says }
}

/// The entries of the valid artifact, stored.
fn parts(artifact: &[u8]) -> Vec<Part> {
    unpack(artifact).iter().map(|(path, bytes)| Part::stored(path, bytes)).collect()
}

/// The valid artifact with one more entry.
fn and(artifact: &[u8], part: Part) -> Vec<u8> {
    let mut parts = parts(artifact);
    parts.push(part);
    zip(&parts)
}

/// The path of the spec: in the source artifact at its top, in a stage's artifact below `source/`.
fn spec_path(artifact: &[u8]) -> String {
    let stored = format!("source/{SPEC}");
    if unpack(artifact).contains_key(&stored) { stored } else { SPEC.to_owned() }
}

/// The valid artifact with another spec entry.
fn spec(artifact: &[u8], change: impl Fn(&str, &[u8]) -> Part) -> Vec<u8> {
    let files = unpack(artifact);
    let spec = spec_path(artifact);
    let part = |(path, bytes): (&String, &Vec<u8>)| {
        if *path == spec { change(path, bytes) } else { Part::stored(path, bytes) }
    };
    zip(&files.iter().map(part).collect::<Vec<_>>())
}

fn and_files(artifact: &[u8], more: impl IntoIterator<Item = (String, Vec<u8>)>) -> Vec<u8> {
    let mut files: Files = unpack(artifact);
    files.extend(more);
    pack(&files)
}

/// Attacks that every stage refuses.
const ATTACKS: &[Attack] = &[
    attack("empty", |_| Vec::new(), &["within the end record"]),
    attack("no archive", |_| b"#!/bin/sh\nrm -rf /\n".repeat(20), &["within the end record"]),
    attack("cut in half", |good| good[..good.len() / 2].to_vec(), &["within the end record"]),
    attack("cut by a byte", |good| good[..good.len() - 1].to_vec(), &["byte"]),
    attack("without its first half", |good| good[good.len() / 2..].to_vec(), &["byte"]),
    attack(
        "a path out of its folder",
        |good| and(good, Part::stored("../../etc/cron.d/own", b"* * * * * root sh")),
        &["../../etc/cron.d/own", "`..`", "at byte"],
    ),
    attack(
        "absolute path",
        |good| and(good, Part::stored("/etc/passwd", b"x")),
        &["/etc/passwd", "absolute"],
    ),
    attack("backslashes", |good| and(good, Part::stored("..\\..\\x", b"x")), &["backslash"]),
    attack("NUL in a name", |good| and(good, Part::stored("x\0.sh", b"x")), &["NUL"]),
    attack(
        "zip bombs by declared size",
        |good| {
            let bombs = (0..6).map(|i| {
                Part::stored(&format!("bomb-{i}"), b"x").both(|h| (h.method, h.size) = (8, u32::MAX - 1))
            });
            zip(&parts(good).into_iter().chain(bombs).collect::<Vec<_>>())
        },
        &["more than"],
    ),
    attack(
        "zip bomb with a false size",
        |good| spec(good, |path, _| Part::deflated(path, &vec![b' '; 5 << 20]).both(|h| h.size = 100)),
        &[SPEC, "the data of"],
    ),
    attack(
        "an entry twice",
        |good| and(good, Part::stored(&spec_path(good), b"version: 1")),
        &[SPEC, "twice"],
    ),
    attack(
        "a file used as a folder",
        |good| and(good, Part::stored(&format!("{}/x", spec_path(good)), b"x")),
        &["bakeline.yaml` is a file"],
    ),
    attack(
        "the spec is a symbolic link",
        |good| spec(good, |path, _| Part::stored(path, b"/etc/shadow").attributes(0o120_777 << 16)),
        &[SPEC, "is a symbolic link"],
    ),
    attack("device", |good| and(good, Part::stored("sda", b"").attributes(0o060_666 << 16)), &["`sda` is"]),
    attack(
        "encrypted",
        |good| spec(good, |path, b| Part::stored(path, b).both(|h| h.flags = 1)),
        &[SPEC, "encrypted"],
    ),
    attack(
        "unknown compression method",
        |good| spec(good, |path, b| Part::stored(path, b).both(|h| h.method = 12)),
        &[SPEC, "method 12"],
    ),
    attack(
        "overlapping entries",
        |good| and(good, Part::stored("again", b"x").at(0)),
        &["at byte 0", "reaches past"],
    ),
    attack(
        "two names for one entry",
        |good| spec(good, |path, b| Part::stored(path, b).local(|h| h.name[0] ^= 1)),
        &[SPEC, "name"],
    ),
    attack(
        "wrong checksum",
        |good| spec(good, |path, b| Part::stored(path, b).both(|h| h.crc32 ^= 1)),
        &[SPEC, "CRC-32"],
    ),
    attack(
        "data that cannot be decompressed",
        |good| spec(good, |path, b| Part::stored(path, b).both(|h| h.method = 8)),
        &[SPEC, "data"],
    ),
    attack(
        "bytes before the directory",
        |good| {
            zip_with(&parts(good), &Tail { before_directory: b"signing block".to_vec(), ..Tail::default() })
        },
        &["13 bytes at", "belong to no entry"],
    ),
    attack("bytes after the end", |good| [good, b"MZ"].concat(), &["byte"]),
    attack(
        "a directory with a false length",
        |good| zip_with(&parts(good), &Tail { length_lie: 1 << 30, ..Tail::default() }),
        &["byte"],
    ),
    attack(
        "a false number of entries",
        |good| zip_with(&parts(good), &Tail { entries: Some(60), ..Tail::default() }),
        &["byte"],
    ),
];

/// Attacks that the stages after bake refuse: they read the whole artifact, which is small.
const HAND_OVERS: &[Attack] = &[
    // The bake stage reads only the directory and the files that the spec names; the digest covers the rest.
    attack(
        "bytes between the entries",
        |good| and(good, Part::stored("x", b"x").after(b"hidden payload")),
        &["14 bytes at", "belong to no entry"],
    ),
    attack(
        "symbolic link",
        |good| and(good, Part::stored("link", b"/etc/shadow").attributes(0o120_777 << 16)),
        &["`link` is a symbolic link"],
    ),
    attack(
        "a small archive with a large content",
        |good| and(good, Part::deflated("zeros", &vec![0; 5 << 20])),
        &["zeros", "more than"],
    ),
    attack(
        "too many entries",
        |good| and_files(good, (0..1001).map(|i| (format!("more/{i}"), Vec::new()))),
        &["1000"],
    ),
    attack(
        "too large in total",
        |good| and_files(good, (0..5).map(|i| (format!("more/{i}"), vec![7; (4 << 20) - 1]))),
        &["more than"],
    ),
    attack(
        "an archive that is too large",
        |good| and(good, Part::stored("x", &vec![7; 17 << 20])),
        &["16777216"],
    ),
    attack(
        "an entry that was not signed",
        |good| and(good, Part::stored("x", b"x")),
        &["file x is in the artifact"],
    ),
];

#[test]
fn every_stage_refuses_a_malicious_archive() {
    let (mut cases, mut wrong) = (0, Vec::new());
    for pending in PendingJob::of_each_stage() {
        let of_stage = if pending.stage == Stage::Bake { &[][..] } else { HAND_OVERS };
        for Attack { name, make, says } in ATTACKS.iter().chain(of_stage) {
            let refusal = pending.run(make(&pending.body), Duration::ZERO, None);
            let place = pending.uri();
            let unsigned = name.contains("not signed");
            let says: Vec<&str> = says.iter().copied().chain((!unsigned).then_some(place.as_str())).collect();
            wrong.extend(refusal.differences(
                &format!("{}, {name}", pending.stage),
                "RevisionOutOfSync",
                &says,
            ));
            cases += 1;
        }
    }
    println!("{cases} archives were refused");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn an_invalid_source_is_a_configuration_error() {
    let pending = &PendingJob::of_each_stage()[0];
    let place = pending.uri();
    let good = String::from_utf8(unpack(&pending.body).remove(SPEC).unwrap()).unwrap();
    let broken = good.replacen("version: 2", "version: 3", 1).replacen("service: web", "servise: web", 1);
    let huge = format!("{good}# {}\n", "x".repeat(256 << 10));
    let elsewhere = good.replacen("imagebuilder:eu-west-1", "imagebuilder:eu-west-2", 1);
    let with = |spec: &str| and_files(&pending.body, [(SPEC.to_owned(), spec.as_bytes().to_vec())]);
    let without = |path: &str| {
        let mut files = unpack(&pending.body);
        assert!(files.remove(path).is_some());
        pack(&files)
    };
    let (wrong_kind, place_says) = ("ConfigurationError", place.as_str());
    let table: &[(&str, Vec<u8>, &str, &[&str])] = &[
        ("no spec", without(SPEC), wrong_kind, &[place_says, "no file `bakeline.yaml`"]),
        (
            "a zip of the folder in place of its content",
            pack(
                &unpack(&pending.body).into_iter().map(|(path, b)| (format!("web-main/{path}"), b)).collect(),
            ),
            wrong_kind,
            &["everything in the folder `web-main`", "zip the content of that folder"],
        ),
        (
            "a check is a symbolic link",
            and(
                &without("checks/serves.sh"),
                Part::stored("checks/serves.sh", b"x").attributes(0o120_777 << 16),
            ),
            "RevisionOutOfSync",
            &[place_says, "`checks/serves.sh` is a symbolic link", "not followed"],
        ),
        ("no script", without("checks/serves.sh"), wrong_kind, &[place_says, "no file `checks/serves.sh`"]),
        (
            "two mistakes",
            with(&broken),
            wrong_kind,
            &[
                "bakeline.yaml:2:10: version is the number 3",
                "bakeline.yaml:3:1: unknown key \"servise\"",
                "did you mean",
            ],
        ),
        (
            "not text",
            and_files(&pending.body, [(SPEC.to_owned(), vec![0xff; 99])]),
            wrong_kind,
            &["bakeline.yaml:1:1"],
        ),
        ("an empty spec", with(""), wrong_kind, &["bakeline.yaml:1:1"]),
        ("no bake section", with("version: 2\nservice: web\n"), wrong_kind, &["bake"]),
        ("another region", with(&elsewhere), wrong_kind, &["eu-west-2", "this worker works in eu-west-1"]),
        (
            "a huge spec",
            with(&huge),
            "RevisionOutOfSync",
            &[place_says, "bakeline.yaml", "more than the 262144"],
        ),
        (
            "a huge script",
            and_files(&pending.body, [("checks/serves.sh".to_owned(), vec![b'#'; 49 << 10])]),
            "RevisionOutOfSync",
            &[place_says, "checks/serves.sh", "more than the 49152"],
        ),
    ];
    let mut wrong = Vec::new();
    for (name, body, kind, says) in table {
        wrong.extend(pending.run(body.clone(), Duration::ZERO, None).differences(name, kind, says));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
