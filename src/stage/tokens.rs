//! What the tests of every stage ask of its tokens.

use std::collections::BTreeSet;
use std::path::Path;

use crate::engine::{Failure, FailureKind, Machine, Timestamp, Token};

/// Holds the golden tokens of a stage against one state of every kind: each file of every released version decodes,
/// those of the current version to the state of the same name, which is written as the file has it.
pub fn golden<M: Machine>(stage: &str, states: &[(&str, M)]) {
    let released = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tokens");
    let mut found = BTreeSet::new();
    for version in std::fs::read_dir(&released).unwrap() {
        let version = version.unwrap();
        let Ok(files) = std::fs::read_dir(version.path().join(stage)) else { continue };
        for file in files {
            let path = file.unwrap().path();
            let raw = std::fs::read_to_string(&path).unwrap();
            let raw = raw.trim_end();
            let read = Token::<M>::decode(raw, "1f0c2d3e-0000-4000-8000-000000000001");
            let token = read.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            if version.file_name().to_str() != Some(&crate::engine::token::VERSION.to_string()) {
                continue;
            }
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let expected = states.iter().find(|(known, _)| *known == name).map(|(_, state)| state);
            assert_eq!(Some(&token.state), expected, "{name}");
            assert_eq!(token.encode().unwrap(), raw, "{name}");
            found.insert(name);
        }
    }
    let expected: BTreeSet<String> = states.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, expected);
}

/// A token all of whose own members are as long as they get.
pub fn worst<M>(state: M) -> Token<M> {
    let end = Timestamp(i64::MIN);
    Token {
        v: u8::MAX,
        execution: "1f0c2d3e-0000-4000-8000-000000000001".into(),
        started: end,
        not_before: end,
        deadline: end,
        slices: u32::MAX,
        faults: u16::MAX,
        environment: Some("e".repeat(32)),
        state,
    }
}

/// The longest reason that a token carries.
pub fn longest_failure() -> Failure {
    Failure::new(FailureKind::RevisionUnavailable, "\"\u{1}".repeat(5000)).for_token()
}
