//! The golden statements of 0.2.0: every later version must verify them.

use super::*;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/evidence");

fn read(path: &str) -> Vec<u8> {
    std::fs::read(format!("{FOLDER}/{path}")).unwrap()
}

#[test]
fn the_golden_chain_and_the_golden_schemas_are_those_of_today() {
    write();
    schemas_are_golden();
    let case = Case::golden();
    let trust = TrustRoot::from_file(format!("{FOLDER}/trust.yaml").as_ref()).unwrap();
    let paths = Stage::ALL.map(|stage| layout::statement(stage.ordinal(), stage));
    let sealed: Files = paths.map(|path| (path.clone(), read(&path))).into();
    let chain = case.verify_with(&sealed, &trust).unwrap();
    assert_eq!(chain.first().link, case.drafts[0].link);
    // The same release gives the same payload today, byte for byte.
    for (verified, draft) in chain.links().zip(&case.drafts) {
        let link = Link { previous: verified.link.previous, ..draft.link.clone() };
        let today = statement(draft.subject.clone(), &link).unwrap();
        assert_eq!(today.to_bytes().unwrap(), verified.statement.to_bytes().unwrap(), "{}", link.stage);
    }
}

fn schemas_are_golden() {
    for (path, schema) in schemas() {
        let golden: serde_json::Value = serde_json::from_slice(&read(path)).unwrap();
        assert_eq!(schema, golden, "{path}");
    }
}

fn schemas() -> [(&'static str, serde_json::Value); 1] {
    [("trust.schema.json", crate::evidence::trust::schema())]
}

/// Writes the golden files again, after an intended change of the format, if `BAKELINE_TEST_GOLDEN` is `write`.
fn write() {
    if std::env::var("BAKELINE_TEST_GOLDEN").as_deref() != Ok("write") {
        return;
    }
    let case = Case::golden();
    std::fs::write(format!("{FOLDER}/trust.yaml"), case.trust_yaml()).unwrap();
    std::fs::create_dir_all(format!("{FOLDER}/statements")).unwrap();
    for (path, schema) in schemas() {
        std::fs::write(format!("{FOLDER}/{path}"), serde_json::to_vec_pretty(&schema).unwrap()).unwrap();
    }
    for (path, bytes) in case.seal() {
        std::fs::write(format!("{FOLDER}/{path}"), bytes).unwrap();
    }
}
