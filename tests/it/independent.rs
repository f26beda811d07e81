//! Verifies every statement of a release with independent implementations of DSSE and in-toto.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::support::repository;

/// The Python interpreter with the other implementations.
fn python() -> String {
    std::env::var("BAKELINE_PYTHON").expect(
        "BAKELINE_PYTHON does not name a Python with securesystemslib and in-toto-attestation; \
         run scripts/test, which installs them and sets it",
    )
}

fn verify(envelope: &Path, key: &Path) -> Output {
    let script = repository("tests/python/verify_envelope.py");
    Command::new(python()).arg(script).arg(envelope).arg(key).output().unwrap()
}

/// The public key of a trust root, without a YAML parser.
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
    let statements: Vec<String> =
        statements.into_iter().filter(|name| name.starts_with("statements/")).collect();
    assert_eq!(statements.len(), 4, "{statements:?}");
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
}

/// The envelope with one character in the middle of a member changed.
fn tampered(envelope: &str, member: &str) -> String {
    let start = envelope.find(&format!("\"{member}\":\"")).unwrap() + member.len() + 4;
    let at = start + 40;
    let other = if &envelope[at..=at] == "A" { "B" } else { "A" };
    format!("{}{other}{}", &envelope[..at], &envelope[at + 1..])
}
