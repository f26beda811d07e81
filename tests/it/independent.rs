//! Verifies every statement of a release with other implementations: securesystemslib and in-toto-attestation.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::repository;

/// The Python interpreter that has the other implementations installed.
fn python() -> String {
    std::env::var("BAKELINE_TEST_PYTHON").expect(
        "BAKELINE_TEST_PYTHON does not name a Python with securesystemslib and in-toto-attestation; \
         run scripts/test, which installs them and sets it",
    )
}

fn verify(envelope: &Path, key: &Path) -> Output {
    let script = repository("tests/python/verify_envelope.py");
    Command::new(python()).arg(script).arg(envelope).arg(key).output().unwrap()
}

/// The public key of a trust root, by its indentation.
fn public_key(trust: &str) -> String {
    let key = trust.lines().map(str::trim).skip_while(|line| !line.starts_with("-----BEGIN"));
    let mut pem = String::new();
    for line in key {
        pem.push_str(line);
        pem.push('\n');
        if line.starts_with("-----END") {
            break;
        }
    }
    pem
}

#[test]
fn independent_implementations_verify_every_statement_and_refuse_changed_ones() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let rehearsed = Command::new(env!("CARGO_BIN_EXE_bakeline"))
        .arg("rehearse")
        .arg(repository("examples/web/bakeline.yaml"))
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    assert!(rehearsed.status.success(), "{}", String::from_utf8_lossy(&rehearsed.stderr));
    let key = folder.path().join("key.pem");
    fs::write(&key, public_key(&fs::read_to_string(out.join("trust.yaml")).unwrap())).unwrap();

    // The last artifact has the statements of all four stages.
    let mut archive = zip::ZipArchive::new(fs::File::open(out.join("4-cleanup.zip")).unwrap()).unwrap();
    let statements: Vec<String> = archive.file_names().map(|name| name.unwrap().into_owned()).collect();
    let mut statements: Vec<String> =
        statements.into_iter().filter(|name| name.ends_with(".dsse.json")).collect();
    statements.sort();
    assert_eq!(
        statements,
        [
            "reports/bake/vulnerabilities.dsse.json",
            "statements/01-bake.dsse.json",
            "statements/02-test.dsse.json",
            "statements/03-promote.dsse.json",
            "statements/04-cleanup.dsse.json",
        ]
    );
    let file = folder.path().join("statement.dsse.json");
    for name in &statements {
        let mut envelope = String::new();
        std::io::Read::read_to_string(&mut archive.by_name(name).unwrap(), &mut envelope).unwrap();
        fs::write(&file, &envelope).unwrap();
        let accepted = verify(&file, &key);
        assert!(accepted.status.success(), "{name}: {}", String::from_utf8_lossy(&accepted.stderr));
        assert!(String::from_utf8_lossy(&accepted.stdout).contains("verified https://"), "{name}");

        let stranger = verify(&file, &repository("tests/golden/evidence/keys/p256-public.pem"));
        assert_eq!(stranger.status.code(), Some(1), "{name}: accepted with another key");

        for tampered in [tampered(&envelope, "payload"), tampered(&envelope, "sig")] {
            fs::write(&file, tampered).unwrap();
            let refused = verify(&file, &key);
            assert_eq!(refused.status.code(), Some(1), "{name}: accepted after a change");
            assert!(String::from_utf8_lossy(&refused.stderr).contains("refused"), "{name}");
        }
    }
    a_signed_verification_summary_is_accepted(&out, folder.path());
}

fn a_signed_verification_summary_is_accepted(out: &Path, folder: &Path) {
    let summary = folder.join("summary.dsse.json");
    let signing_key = repository("tests/golden/evidence/keys/p256-pkcs8.pem");
    let verified = Command::new(env!("CARGO_BIN_EXE_bakeline"))
        .args(["verify", "--output", "json", "--at", "2026-01-02T00:00:00Z"])
        .arg(out)
        .arg("--trust")
        .arg(format!("file:{}", out.join("trust.yaml").display()))
        .arg("--summary")
        .arg(&summary)
        .arg("--signing-key")
        .arg(format!("file:{}", signing_key.display()))
        .output()
        .unwrap();
    assert!(verified.status.success(), "{}", String::from_utf8_lossy(&verified.stderr));
    let report: serde_json::Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(report["schema"], "https://bakeline.dev/schema/verify-report/v1");
    let results: Vec<&str> = report["artifacts"][3]["statements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|statement| statement["result"].as_str().unwrap())
        .collect();
    assert_eq!(results, ["baked", "passed", "promoted", "complete"]);
    let accepted = verify(&summary, &repository("tests/golden/evidence/keys/p256-public.pem"));
    assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
}

/// The envelope with one character in the middle of a member changed.
fn tampered(envelope: &str, member: &str) -> String {
    let start = envelope.find(&format!("\"{member}\":\"")).unwrap() + member.len() + 4;
    let at = start + 40;
    let other = if &envelope[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &envelope[..at], &envelope[at + 1..])
}
