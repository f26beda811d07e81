//! Valid inputs with random changes: each is read or refused, without a panic.

use bakeline::artifact::{Archive, Caps, Origin};
use bakeline::engine::{Job, Machine, Token};
use bakeline::evidence::{Envelope, TrustRoot};
use bakeline::spec::ReleaseSpec;
use bakeline::stage::bake::Bake;
use bakeline::stage::cleanup::Cleanup;
use bakeline::stage::promote::Promote;
use bakeline::stage::test::Test;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::repository;

/// One random change.
#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Set(Index, u8),
    Cut(Index),
    Remove(Index, Index),
    /// Copies a part to another position.
    Splice(Index, Index, Index),
    Insert(Index, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let index = any::<Index>;
    // Text with a meaning in JSON, YAML or zip.
    let meaningful = prop::sample::select(
        [
            "null",
            "-1",
            "1e999",
            "\"",
            "{",
            "[",
            "}",
            "]",
            ":",
            ",",
            "\\u0000",
            "&a",
            "*a",
            "!!str",
            "---",
            "\t",
            "PK\x05\x06",
            "\u{feff}",
            "é",
            "\u{202e}",
        ]
        .to_vec(),
    );
    let one = prop_oneof![
        (index(), 0u8..8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        (index(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        index().prop_map(Damage::Cut),
        (index(), index()).prop_map(|(from, to)| Damage::Remove(from, to)),
        (index(), index(), index()).prop_map(|(from, to, at)| Damage::Splice(from, to, at)),
        (index(), meaningful).prop_map(|(at, text)| Damage::Insert(at, text.as_bytes().to_vec())),
    ];
    prop::collection::vec(one, 1..6)
}

fn damaged(good: &[u8], damage: &[Damage]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for one in damage {
        let len = bytes.len();
        if len == 0 {
            break;
        }
        let range = |from: &Index, to: &Index| {
            let (from, to) = (from.index(len), to.index(len));
            from.min(to)..from.max(to)
        };
        match one {
            Damage::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Damage::Set(at, byte) => bytes[at.index(len)] = *byte,
            Damage::Cut(at) => bytes.truncate(at.index(len)),
            Damage::Remove(from, to) => drop(bytes.drain(range(from, to))),
            Damage::Splice(from, to, at) => {
                let piece = bytes[range(from, to)].to_vec();
                let at = at.index(len);
                bytes.splice(at..at, piece);
            }
            Damage::Insert(at, piece) => {
                let at = at.index(len);
                bytes.splice(at..at, piece.iter().copied());
            }
        }
    }
    bytes
}

fn read(path: &str) -> Vec<u8> {
    std::fs::read(repository(path)).unwrap()
}

const JOBS: [&str; 4] = ["bake", "test", "promote", "cleanup"];

/// Checks that a token that can be decoded can be decoded again after encoding.
fn roundtrip<M: Machine>(raw: &str, execution: &str) -> Result<(), TestCaseError> {
    if let Ok(token) = Token::<M>::decode(raw, execution) {
        for moment in [token.started, token.not_before, token.deadline] {
            // Every date must be printable.
            let _ = moment.to_string();
        }
        if let Ok(text) = token.encode() {
            prop_assert!(Token::<M>::decode(&text, execution).is_ok(), "{text}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_job_document_is_read_or_refused(which in 0usize..4, damage in damage()) {
        let bytes = damaged(&read(&format!("examples/web/jobs/{}.json", JOBS[which])), &damage);
        match Job::from_document(&bytes, "job.json") {
            Ok(job) => prop_assert!(!job.id.is_empty() && !job.key.attempt_id.is_empty()),
            Err(error) => prop_assert!(error.to_string().starts_with("job.json:"), "{error}"),
        }
    }

    #[test]
    fn a_damaged_spec_is_read_or_refused(damage in damage()) {
        let bytes = damaged(&read("examples/web/bakeline.yaml"), &damage);
        if let Err(mistakes) = ReleaseSpec::parse(&bytes, "bakeline.yaml") {
            prop_assert!(!mistakes.problems().is_empty());
            prop_assert!(mistakes.to_string().starts_with("bakeline.yaml:"), "{mistakes}");
            let lines = bytes.iter().filter(|byte| **byte == b'\n' || **byte == b'\r').count() + 1;
            for problem in mistakes.problems() {
                prop_assert!(problem.at.line >= 1 && problem.at.column >= 1 && problem.at.line <= lines + 1, "{problem:?}");
            }
        }
    }

    #[test]
    fn a_damaged_trust_root_is_read_or_refused(damage in damage()) {
        let bytes = damaged(&read("tests/golden/evidence/trust.yaml"), &damage);
        if let Ok(trust) = TrustRoot::parse(&String::from_utf8_lossy(&bytes)) {
            prop_assert!(!trust.keys().is_empty());
        }
    }

    #[test]
    fn a_damaged_envelope_is_read_or_refused(damage in damage()) {
        let bytes = damaged(&read("tests/golden/evidence/statements/01-bake.dsse.json"), &damage);
        let trust = TrustRoot::parse(&String::from_utf8(read("tests/golden/evidence/trust.yaml")).unwrap()).unwrap();
        if let Ok(envelope) = Envelope::decode(&bytes) && let Ok(opened) = trust.open(&envelope) {
            // An envelope that still verifies has the signed statement.
            let good = Envelope::decode(&read("tests/golden/evidence/statements/01-bake.dsse.json")).unwrap();
            prop_assert_eq!(opened.statement, trust.open(&good).unwrap().statement);
        }
    }

    #[test]
    fn a_damaged_archive_is_read_or_refused(damage in damage()) {
        let files = JOBS.map(|job| (format!("jobs/{job}.json"), read(&format!("examples/web/jobs/{job}.json"))));
        let bytes = damaged(&super::draft::pack(&files.into_iter().collect()), &damage);
        let caps = Caps { total_bytes: 1 << 20, ..Caps::default() };
        if let Ok(mut archive) = Archive::from_source(std::io::Cursor::new(bytes), Origin::Memory, &caps) {
            let _ = archive.check_contents();
        }
    }

    #[test]
    fn a_damaged_token_is_read_or_refused(stage in 0usize..4, which in any::<Index>(), damage in damage()) {
        let folder = repository(&format!("tests/golden/tokens/2/{}", JOBS[stage]));
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        files.sort();
        let good = std::fs::read(which.get(&files)).unwrap();
        let raw = String::from_utf8_lossy(&damaged(good.trim_ascii_end(), &damage)).into_owned();
        let execution = "1f0c2d3e-0000-4000-8000-000000000001";
        roundtrip::<Bake>(&raw, execution)?;
        roundtrip::<Test>(&raw, execution)?;
        roundtrip::<Promote>(&raw, execution)?;
        roundtrip::<Cleanup>(&raw, execution)?;
    }
}
