//! Artifacts with an invalid chain of statements, in place of the input artifact of each stage after bake.

use std::time::Duration;

use bakeline::cli::rehearse::fixtures;
use bakeline::evidence::{Stage, TrustRoot};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::draft::{By, Draft, Files, pack, payload, unpack};
use super::refusal::PendingJob;

const LATER: &[Stage] = &[Stage::Test, Stage::Promote, Stage::Cleanup];
/// The stages that read at least two statements.
const AFTER_TEST: &[Stage] = &[Stage::Promote, Stage::Cleanup];

/// A change of the artifact.
enum Change {
    /// Changes files of the artifact. Nothing is signed again.
    Files(fn(&mut Files)),
    /// Changes statements. All are signed again, with a trusted key unless the change chooses another.
    Signed(fn(&mut Draft)),
}
use Change::{Files as Unsigned, Signed};

struct Case {
    name: &'static str,
    stages: &'static [Stage],
    change: Change,
    kind: &'static str,
    says: &'static [&'static str],
}

const fn case(
    name: &'static str,
    stages: &'static [Stage],
    change: Change,
    says: &'static [&'static str],
) -> Case {
    Case { name, stages, change, kind: "RevisionOutOfSync", says }
}

impl Case {
    const fn is(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }
}

const BAKE: &str = "statements/01-bake.dsse.json";
const TEST: &str = "statements/02-test.dsse.json";
const OTHER: &str = "ffffffff-0000-4000-8000-00000000000f";

/// Changes the JSON of the first envelope.
fn envelope(files: &mut Files, change: impl FnOnce(&mut Value)) {
    let bytes = files.get_mut(BAKE).unwrap();
    let mut json: Value = serde_json::from_slice(bytes).unwrap();
    change(&mut json);
    *bytes = serde_json::to_vec(&json).unwrap();
    bytes.push(b'\n');
}

fn base64(bytes: &[u8]) -> Value {
    use base64::Engine as _;
    json!(base64::engine::general_purpose::STANDARD.encode(bytes))
}

#[rustfmt::skip] // a table: one case a few rows
fn cases() -> Vec<Case> {
    vec![
        // The artifact differs from what was signed.
        case("a changed statement", LATER, Unsigned(|files| {
            let mut said = payload(&files[BAKE]);
            said["predicate"]["bakeline_chain"]["run"]["runId"] = json!(OTHER);
            envelope(files, |json| json["payload"] = base64(&serde_json::to_vec(&said).unwrap()));
        }), &[BAKE, "the key \"rehearsal\" did not make the signature"]),
        case("a changed signature", LATER, Unsigned(|files| envelope(files, |json| {
            json["signatures"][0]["sig"] = base64(&[0x30; 70]);
        })), &[BAKE, "did not make the signature"]),
        case("no signature", LATER, Unsigned(|files| envelope(files, |json| json["signatures"] = json!([]))), &[BAKE, "has no signature"]),
        case("a second signature", LATER, Unsigned(|files| envelope(files, |json| {
            let first = json["signatures"][0].clone();
            json["signatures"].as_array_mut().unwrap().push(first);
        })), &[BAKE, "2 signatures"]),
        case("a thousand signatures", LATER, Unsigned(|files| envelope(files, |json| {
            json["signatures"] = json!(vec![json["signatures"][0].clone(); 1000]);
        })), &[BAKE, "signatures is longer than 16"]),
        case("another key id", LATER, Unsigned(|files| envelope(files, |json| json["signatures"][0]["keyid"] = json!("mine"))), &[BAKE, "\"mine\""]),
        case("another payload type", LATER, Unsigned(|files| envelope(files, |json| json["payloadType"] = json!("text/html"))), &[BAKE, "\"text/html\""]),
        case("no base64", LATER, Unsigned(|files| envelope(files, |json| json["payload"] = json!("%%%"))), &[BAKE, "`payload` is not base64"]),
        case("no envelope", LATER, Unsigned(|files| drop(files.insert(BAKE.into(), b"{\n 1".to_vec()))), &[BAKE, "not a DSSE envelope", "line 2"]),
        case("an empty file", LATER, Unsigned(|files| drop(files.insert(BAKE.into(), Vec::new()))), &[BAKE, "not a DSSE envelope"]),
        case("deeply nested", LATER, Unsigned(|files| drop(files.insert(BAKE.into(), b"[".repeat(1 << 20)))), &[BAKE, "not a DSSE envelope"]),
        case("written otherwise", LATER, Unsigned(|files| files.get_mut(BAKE).unwrap().push(b'\n')), &[BAKE, "the canonical form"]),
        case("a changed file", LATER, Unsigned(|files| files.get_mut("source/checks/serves.sh").unwrap().extend(b"\nexit 0\n")), &["the file source/checks/serves.sh has the digest", "the statement has"]),
        case("a changed spec", LATER, Unsigned(|files| files.get_mut("source/bakeline.yaml").unwrap().extend(b"\n")), &["the file source/bakeline.yaml has the digest"]),
        case("a missing file", LATER, Unsigned(|files| drop(files.remove("source/checks/serves.sh"))), &["the file source/checks/serves.sh is missing"]),
        case("one file more", LATER, Unsigned(|files| drop(files.insert("source/checks/more.sh".into(), Vec::new()))), &["source/checks/more.sh", "no statement lists it"]),
        case("no statement", LATER, Unsigned(|files| files.retain(|path, _| !path.starts_with("statements/"))), &[BAKE, "missing"]),
        case("the first statement is missing", AFTER_TEST, Unsigned(|files| drop(files.remove(BAKE))), &[TEST, "expected statements/01-bake"]),
        case("the last statement is missing", LATER, Unsigned(|files| {
            let last = files.keys().rfind(|path| path.starts_with("statements/")).unwrap().clone();
            files.remove(&last);
        }), &["is missing"]),
        case("a statement of no stage", LATER, Unsigned(|files| drop(files.insert("statements/0.json".into(), b"{}".to_vec()))), &["statements/0.json", "expected statements/01-bake"]),
        case("out of order", AFTER_TEST, Unsigned(|files| {
            let (one, two) = (files[BAKE].clone(), files[TEST].clone());
            files.extend([(BAKE.to_owned(), two), (TEST.to_owned(), one)]);
        }), &[BAKE, "is a statement of the stage test, expected bake"]),
        case("one statement twice", AFTER_TEST, Unsigned(|files| drop(files.insert(TEST.into(), files[BAKE].clone()))), &[TEST, "replays bake"]),
        // Signed by an untrusted key.
        case("a stranger's key", LATER, Signed(|draft| draft.by = By::Stranger), &[BAKE, "which the trust root does not have"]),
        case("a stranger under a trusted name", LATER, Signed(|draft| draft.by = By::Impostor), &[BAKE, "the key \"rehearsal\" did not make the signature"]),
        // Signed by the trusted key, but for another time, pipeline, execution or place in the chain.
        case("expired", LATER, Signed(|draft| {
            let issued = draft.last()["predicate"]["bakeline_chain"]["issuedOn"].as_str().unwrap();
            let issued = OffsetDateTime::parse(issued, &Rfc3339).unwrap();
            draft.links("handOverExpiresOn", &json!((issued + time::Duration::HOUR).format(&Rfc3339).unwrap()));
            draft.later = Duration::from_hours(2);
        }), &["statements/", "expired at 2026-01-01T"]),
        case("signed tomorrow", LATER, Signed(|draft| draft.links("issuedOn", &json!("2026-02-01T00:00:00Z"))), &[BAKE, "was issued at 2026-02-01"]),
        case("at the end of the calendar", LATER, Signed(|draft| draft.links("issuedOn", &json!("9999-12-31T23:59:59Z"))), &[BAKE, "was issued at 9999"]),
        case("replayed to the action that made it", LATER, Signed(|draft| {
            let reader = json!(draft.reader);
            draft.last()["predicate"]["bakeline_chain"]["run"]["attemptId"] = reader;
        }), &["has not run yet"]),
        case("of another pipeline", LATER, Signed(|draft| draft.runs("pipeline", &json!("arn:aws:codepipeline:eu-west-1:123456789012:shop"))), &[BAKE, "from the pipeline arn:aws:codepipeline:eu-west-1:123456789012:shop, expected", ":web"]),
        case("of another execution", LATER, Signed(|draft| draft.runs("runId", &json!(OTHER))), &[BAKE, "from the run ffffffff", "expected"]),
        case("one action for two stages", AFTER_TEST, Signed(|draft| draft.runs("attemptId", &json!(OTHER))), &[TEST, "replays bake"]),
        case("not linked to the one before", AFTER_TEST, Signed(|draft| {
            draft.linked = false;
            draft.said.get_mut(TEST).unwrap()["predicate"]["bakeline_chain"]["previous"] = json!({"sha256": "0".repeat(64)});
        }), &[TEST, "follows a statement with the digest 0000"]),
        case("linked to one before the first", LATER, Signed(|draft| {
            draft.linked = false;
            draft.first()["predicate"]["bakeline_chain"]["previous"] = json!({"sha256": "0".repeat(64)});
        }), &[BAKE, "expected none"]),
        case("a wrong position", LATER, Signed(|draft| draft.first()["predicate"]["bakeline_chain"]["position"] = json!(2)), &[BAKE, "at position 2 of the chain, expected 1"]),
        case("another stage's statement", LATER, Signed(|draft| draft.first()["predicate"]["bakeline_chain"]["stage"] = json!("cleanup")), &[BAKE, "predicate type"]),
        case("an unknown stage", LATER, Signed(|draft| draft.first()["predicate"]["bakeline_chain"]["stage"] = json!("deploy")), &[BAKE, "bakeline_chain"]),
        case("no link", LATER, Signed(|draft| draft.first()["predicate"]["bakeline_chain"] = json!(null)), &[BAKE, "`bakeline_chain` is not a link"]),
        case("no subject", LATER, Signed(|draft| draft.first()["subject"] = json!([])), &[BAKE, "no subject"]),
        case("a subject without a digest", LATER, Signed(|draft| draft.first()["subject"][0]["digest"] = json!({})), &[BAKE, "subject 0"]),
        case("another image under the digest", LATER, Signed(|draft| draft.first()["subject"][0]["annotations"]["bakeline_image"]["imageId"] = json!("ami-0000000000000bad0")), &[BAKE, "subject 0", "ami-0000000000000bad0"]),
        case("another image", AFTER_TEST, Signed(|draft| {
            let subject = &mut draft.last()["subject"][0];
            let mut image: bakeline::evidence::ImageIdentity = serde_json::from_value(subject["annotations"]["bakeline_image"].clone()).unwrap();
            image.image_id = "ami-0000000000000bad0".into();
            *subject = serde_json::to_value(image.subject()).unwrap();
        }), &["is about eu-west-1/ami-0000000000000bad0, which the first statement is not about"]),
        case("another source", AFTER_TEST, Signed(|draft| draft.last()["predicate"]["bakeline_chain"]["source"] = json!({"sha256": "1".repeat(64)})), &["from the source 1111"]),
        case("another type of statement", LATER, Signed(|draft| draft.first()["_type"] = json!("https://in-toto.io/Statement/v0.1")), &[BAKE, "not a statement", "v0.1"]),
        // A valid chain from which the next stage must not continue.
        case("a failed test", AFTER_TEST, Signed(|draft| {
            let test = draft.said.get_mut(TEST).unwrap();
            test["predicate"]["result"] = json!("FAILED");
            test["predicate"]["failedTests"] = json!(["serves"]);
        }), &["did not pass its test", "serves"]).is("JobFailed"),
        case("an unknown test result", AFTER_TEST, Signed(|draft| draft.said.get_mut(TEST).unwrap()["predicate"]["result"] = json!("MOSTLY")), &["test result cannot be read", "MOSTLY"]).is("JobFailed"),
        case("no spec", LATER, Signed(|draft| draft.rewrite("source/bakeline.yaml", None)), &["the input artifact has no source/bakeline.yaml"]).is("ConfigurationError"),
        case("a malformed spec", LATER, Signed(|draft| draft.rewrite("source/bakeline.yaml", Some(b"version: one\nservice: web\nbakery: {}\n"))), &["bakeline.yaml:1:10: version is \"one\"", "bakeline.yaml:3:1: unknown key \"bakery\""]).is("ConfigurationError"),
        case("a spec without the stage", LATER, Signed(|draft| draft.rewrite("source/bakeline.yaml", Some(b"version: 2\nservice: web\n"))), &["bakeline.yaml", "section"]).is("ConfigurationError"),
    ]
}

#[test]
fn every_stage_refuses_an_invalid_chain() {
    let (mut ran, mut wrong) = (0, Vec::new());
    let cases = cases();
    for pending in PendingJob::after_bake() {
        for Case { name, change, kind, says, .. } in
            cases.iter().filter(|case| case.stages.contains(&pending.stage))
        {
            let (body, later) = match change {
                Unsigned(change) => {
                    let mut files = unpack(&pending.body);
                    change(&mut files);
                    (pack(&files), Duration::ZERO)
                }
                Signed(change) => pending.with_chain(change),
            };
            assert_ne!(body, pending.body, "{name}");
            let refusal = pending.run(body, later, None);
            wrong.extend(refusal.differences(&format!("{}, {name}", pending.stage), kind, says));
            ran += 1;
        }
    }
    println!("{ran} chains were refused");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_chain_signed_again_without_changes_verifies() {
    // Otherwise the cases above might fail because of how they are made.
    for pending in PendingJob::after_bake() {
        let (body, _) = pending.with_chain(|_| {});
        let (again, original) = (unpack(&body), unpack(&pending.body));
        assert_eq!(again.keys().collect::<Vec<_>>(), original.keys().collect::<Vec<_>>());
        for (path, bytes) in &original {
            if path == BAKE {
                assert_eq!(payload(bytes), payload(&again[path]), "{path}");
            }
        }
        let trust = TrustRoot::parse(&fixtures::trust_root(&pending.moment.provisioned)).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), body).unwrap();
        let at = pending.moment.now.0 / 1000;
        let options = bakeline::cli::verify::Options {
            at: Some(time::OffsetDateTime::from_unix_timestamp(at).unwrap()),
            ..Default::default()
        };
        assert!(
            bakeline::cli::verify::verify(file.path(), &trust, &options).unwrap().is_some(),
            "{}",
            pending.stage
        );
    }
}

#[test]
fn a_key_may_sign_only_for_its_stages_and_its_time() {
    let all = "[bake, test, promote, cleanup, cleanup_plan]";
    for pending in PendingJob::after_bake() {
        let good = fixtures::trust_root(&pending.moment.provisioned);
        let stranger =
            std::fs::read_to_string(crate::support::repository("tests/golden/evidence/keys/p256-public.pem"))
                .unwrap();
        let stranger: String = stranger.lines().map(|line| format!("      {line}\n")).collect();
        let roots = [
            (
                "for other stages",
                good.replace(all, "[promote, cleanup]"),
                "which may sign promote, cleanup, not bake",
            ),
            (
                "from next year on",
                good.replace(all, &format!("{all}\n    not_before: 2027-01-01T00:00:00Z")),
                "the key was not valid",
            ),
            (
                "until last year",
                good.replace(all, &format!("{all}\n    not_after: 2025-01-01T00:00:00Z")),
                "the key was not valid",
            ),
            (
                "of another key",
                format!(
                    "version: 1\nkeys:\n  - name: other\n    public_key: |\n{stranger}    may_sign: {all}\n"
                ),
                "which the trust root does not have",
            ),
        ];
        for (name, root, says) in roots {
            assert_ne!(root, good, "{name}");
            let trust = TrustRoot::parse(&root).unwrap();
            let refusal = pending.run(pending.body.clone(), Duration::ZERO, Some(trust));
            let wrong = refusal.differences(name, "RevisionOutOfSync", &[BAKE, says]);
            assert!(wrong.is_empty(), "{wrong:#?}");
        }
    }
}
