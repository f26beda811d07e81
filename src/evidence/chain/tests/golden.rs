//! The golden statements, signed once: they must verify for ever.

use super::*;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/evidence");

fn read(path: &str) -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/{path}")).unwrap()
}

#[test]
fn the_golden_chain_stands() {
    let case = Case::golden();
    let trust = TrustRoot::from_file(format!("{FOLDER}/trust.yaml").as_ref()).unwrap();
    let sealed: Files = Stage::ALL.iter().map(|s| (s.path().to_owned(), read(s.path()))).collect();
    let chain = case.judge_by(&sealed, &trust).unwrap();
    assert_eq!(chain.first().link, case.drafts[0].link);
    // What is said about the same release today is what was said then, byte for byte.
    for (verified, draft) in chain.links().zip(&case.drafts) {
        let link = Link { previous: verified.link.previous, ..draft.link.clone() };
        let today = statement(draft.subject.clone(), &link).unwrap();
        assert_eq!(today.to_bytes().unwrap(), verified.statement.to_bytes().unwrap(), "{}", link.stage);
    }
}

/// Writes the golden files anew, after a change of the format that is meant:
/// `cargo test --lib golden -- --ignored`.
#[test]
#[ignore = "writes the golden files"]
fn write() {
    let case = Case::golden();
    std::fs::write(format!("{FOLDER}/trust.yaml"), case.trust_yaml()).unwrap();
    std::fs::create_dir_all(format!("{FOLDER}/statements")).unwrap();
    for (path, bytes) in case.seal() {
        std::fs::write(format!("{FOLDER}/{path}"), bytes).unwrap();
    }
}
