//! The golden statements of 0.2.0: every later version must verify them.

use super::*;
use crate::evidence::predicate::{
    CLEANUP_PLAN, CleanupPlan, PlannedAction, PlannedImage, ScanMetadata, Scanner, Severity,
    VERIFICATION_SUMMARY, VULNERABILITIES, VerificationResult, VerificationSummary, Verifier,
    Vulnerabilities, Vulnerability,
};

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

#[test]
fn the_golden_statements_outside_the_chain_are_those_of_today() {
    write();
    let trust = TrustRoot::from_file(format!("{FOLDER}/trust.yaml").as_ref()).unwrap();
    for (path, today) in standalone() {
        let envelope = Envelope::decode(&read(path)).unwrap();
        let opened = trust.open(&envelope).unwrap();
        assert_eq!(opened.statement.to_bytes().unwrap(), today.to_bytes().unwrap(), "{path}");
    }
}

/// A statement of each type outside the chain.
fn standalone() -> [(&'static str, Statement); 3] {
    let subject = || vec![image("eu-west-1").subject()];
    let vulnerabilities = Vulnerabilities {
        scanner: Scanner {
            uri: "https://aws.amazon.com/inspector/".into(),
            result: vec![Vulnerability {
                id: "CVE-2026-1001".into(),
                severity: vec![Severity { method: "inspector".into(), score: "HIGH".into() }],
                annotations: vec![
                    serde_json::json!({ "packages": ["openssl 3.0.1"], "fixAvailable": "YES" }),
                ],
            }],
        },
        metadata: ScanMetadata { scan_started_on: START, scan_finished_on: START + Duration::hours(1) },
    };
    let plan = CleanupPlan {
        service: "web".into(),
        account: "111122223333".into(),
        region: "eu-west-1".into(),
        policy: serde_json::json!({ "machine_images": { "keep": { "last": 3 } } }),
        targets: vec![],
        planned_on: START,
        expires_on: START + Duration::days(1),
        price_per_gib_month: Some(0.05),
        images: vec![PlannedImage {
            image: image("eu-west-1"),
            action: PlannedAction::Quarantine,
            reasons: vec!["nothing keeps it".into()],
            snapshots: vec!["snap-0123456789abcdef0".into()],
            gib: 8,
        }],
        containers: vec![],
    };
    let summary = VerificationSummary {
        verifier: Verifier { id: "https://bakeline.dev/verifier/v1".into() },
        time_verified: START + Duration::hours(5),
        resource_uri: image("eu-west-1").arn(),
        policy: ResourceDescriptor {
            uri: Some("https://bakeline.dev/policy/trust-root/v1".into()),
            ..ResourceDescriptor::named("trust root", &Sha256::of(b"trust"))
        },
        input_attestations: vec![ResourceDescriptor::named(
            layout::statement(1, Stage::Bake),
            &Sha256::of(b"statement"),
        )],
        verification_result: VerificationResult::Passed,
        verified_levels: vec!["BAKELINE_BAKED".into()],
        slsa_version: "1.0".into(),
    };
    [
        (
            "standalone/vulnerabilities.dsse.json",
            Statement::standalone(subject(), VULNERABILITIES, &vulnerabilities).unwrap(),
        ),
        ("standalone/cleanup-plan.dsse.json", Statement::standalone(subject(), CLEANUP_PLAN, &plan).unwrap()),
        (
            "standalone/verification-summary.dsse.json",
            Statement::standalone(subject(), VERIFICATION_SUMMARY, &summary).unwrap(),
        ),
    ]
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
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(write_files);
}

fn write_files() {
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
    std::fs::create_dir_all(format!("{FOLDER}/standalone")).unwrap();
    for (path, statement) in standalone() {
        let envelope = futures::executor::block_on(seal(&statement, &golden_signer())).unwrap();
        std::fs::write(format!("{FOLDER}/{path}"), envelope.encode()).unwrap();
    }
}
