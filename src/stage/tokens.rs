//! Helpers for the token tests of every stage.

use std::collections::BTreeSet;
use std::path::Path;

use crate::engine::{Failure, FailureKind, Machine, Timestamp, Token};

/// The action execution of every golden token.
const EXECUTION: &str = "1f0c2d3e-0000-4000-8000-000000000001";

/// Compares the golden tokens of a stage (`tests/golden/tokens/VERSION/STAGE`) with one state of every kind.
///
/// Each file must decode to the state of the same name and encode to the same bytes. With
/// `BAKELINE_TEST_GOLDEN=write` the files are written instead; review the difference before you commit it.
pub fn golden<M: Machine>(stage: &str, states: &[(&str, M)]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/golden/tokens/{}/{stage}", crate::engine::token::VERSION));
    let expected: BTreeSet<String> = states.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(expected.len(), states.len(), "two states of one name");
    if std::env::var("BAKELINE_TEST_GOLDEN").as_deref() == Ok("write") {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        for (name, state) in states {
            let text = format!("{}\n", token(state.clone()).encode().unwrap());
            std::fs::write(folder.join(format!("{name}.json")), text).unwrap();
        }
    }
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let encoded = text.trim_end();
        let token = Token::<M>::decode(encoded, EXECUTION);
        let token = token.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let expected_state = states.iter().find(|(known, _)| *known == name).map(|(_, state)| state);
        assert_eq!(Some(&token.state), expected_state, "{name}");
        assert_eq!(token.encode().unwrap(), encoded, "{name}");
        found.insert(name);
    }
    assert_eq!(found, expected);
}

fn token<M>(state: M) -> Token<M> {
    let started = Timestamp(1_767_225_600);
    Token {
        not_before: Timestamp(1_767_225_660),
        slices: 1,
        environment: Some("production".into()),
        ..Token::new(state, EXECUTION, started, Timestamp(1_767_232_800))
    }
}

/// A token whose own members are as long as possible.
pub fn worst<M>(state: M) -> Token<M> {
    let end = Timestamp(i64::MIN);
    Token {
        v: u8::MAX,
        execution: EXECUTION.into(),
        started: end,
        not_before: end,
        deadline: end,
        slices: u32::MAX,
        faults: u16::MAX,
        environment: Some("e".repeat(32)),
        state,
    }
}

/// The longest failure that a token carries.
pub fn longest_failure() -> Failure {
    Failure::new(FailureKind::RevisionUnavailable, "\"\u{1}".repeat(5000)).for_token()
}
