use proptest::prelude::*;
use time::macros::datetime;

use super::super::testing::{Case, START, golden_signer, image, new_signer, statement};
use super::*;
use crate::evidence::signer::seal;

type Files = Vec<(String, Vec<u8>)>;

#[test]
fn a_good_chain_stands_and_gives_what_was_signed() {
    let case = Case::good();
    let sealed = case.seal();
    let chain = case.judge(&sealed).unwrap();
    let stages: Vec<_> = chain.links().map(|verified| (verified.link.stage, verified.key.as_str())).collect();
    assert_eq!(
        stages,
        [
            (Stage::Bake, "baker"),
            (Stage::Test, "tester"),
            (Stage::Promote, "promoter"),
            (Stage::Cleanup, "promoter")
        ]
    );
    assert_eq!(chain.images(), [image("eu-west-1"), image("eu-central-1")]);
    assert_eq!(chain.previous(), Sha256::of(&sealed[3].1));
    assert_eq!(chain.stage(Stage::Test).unwrap().link.previous, Some(Sha256::of(&sealed[0].1)));
    assert_eq!(chain.first().key_id, case.signers[0].public_key().id());
}

#[test]
fn the_order_in_which_the_files_are_given_does_not_matter() {
    let case = Case::good();
    let mut sealed = case.seal();
    sealed.reverse();
    assert_eq!(case.judge(&sealed).unwrap().last().link.stage, Stage::Cleanup);
}

#[test]
fn a_chain_that_has_come_as_far_as_expected_stands() {
    let mut case = Case::good();
    for (last, stage) in Stage::ALL.into_iter().enumerate() {
        case.last = Some(stage);
        case.files = super::super::testing::files(stage);
        let sealed = case.seal();
        assert_eq!(case.judge(&sealed[..=last]).unwrap().last().link.stage, stage);
        case.last = None;
        assert_eq!(case.judge(&sealed[..=last]).unwrap().last().link.stage, stage);
    }
}

#[test]
fn an_earlier_release_stands_where_the_spec_allows_it() {
    let mut case = Case::good();
    case.execution = Some("another");
    case.judge(&case.seal()).unwrap_err();
    case.allow_other_execution = true;
    case.judge(&case.seal()).unwrap();
    case.link(Stage::Promote).execution_id = "a third".into();
    case.judge(&case.seal()).unwrap();
}

#[test]
fn edges_that_still_stand() {
    let edges: [(&str, fn(&mut Case)); 6] = [
        ("no pipeline is asked for", |case| case.pipeline = None),
        ("no execution is asked for", |case| case.execution = None),
        ("issued ahead by just the tolerance", |case| {
            case.now = START + Duration::hours(4) - CLOCK_TOLERANCE;
        }),
        ("issued before its predecessor by just the tolerance", |case| {
            case.link(Stage::Test).issued = START + Duration::hours(1) - CLOCK_TOLERANCE;
        }),
        ("a second before it expires", |case| case.now = START + Duration::days(7) - Duration::SECOND),
        ("issued the moment the key becomes valid", |case| {
            case.trusted[0].rest = "stages: [bake]\n    not_before: 2026-11-02T11:00:00Z".into();
        }),
    ];
    for (what, change) in edges {
        let mut case = Case::good();
        change(&mut case);
        if let Err(error) = case.judge(&case.seal()) {
            panic!("{what}: {error}");
        }
    }
}

/// Each row changes one thing before the statements are signed: what, how, in which file it is refused, and
/// what the message must say.
#[test]
fn what_must_be_refused_of_what_was_said() {
    type Row = (&'static str, fn(&mut Case), Stage, &'static str);
    let rows: &[Row] = &[
        (
            "signed by a stranger",
            |c| c.drafts[0].signer = 3,
            Stage::Bake,
            "which the trust root does not have",
        ),
        (
            "signed by a key for another stage",
            |c| c.drafts[1].signer = 0,
            Stage::Test,
            r#"signed by "baker", which may sign for bake, not for test"#,
        ),
        (
            "signed before the key was valid",
            |c| c.trusted[0].rest = "stages: [bake]\n    not_before: 2026-11-02T11:00:01Z".into(),
            Stage::Bake,
            "when the key was not valid",
        ),
        (
            "signed the moment the key ceased to be valid",
            |c| c.trusted[0].rest = "stages: [bake]\n    not_after: 2026-11-02T11:00:00Z".into(),
            Stage::Bake,
            "when the key was not valid",
        ),
        (
            "from another pipeline than expected",
            |c| c.pipeline = Some("arn:other"),
            Stage::Bake,
            "expected arn:other",
        ),
        (
            "from another pipeline than the one before",
            |c| {
                c.pipeline = None;
                c.link(Stage::Promote).pipeline_arn = "arn:other".into();
            },
            Stage::Promote,
            "is from the pipeline arn:other",
        ),
        (
            "from another execution than expected",
            |c| c.execution = Some("other"),
            Stage::Bake,
            "expected other",
        ),
        (
            "from another execution than the one before",
            |c| {
                c.execution = None;
                c.link(Stage::Test).execution_id = "other".into();
            },
            Stage::Test,
            "is from the pipeline execution other",
        ),
        (
            "another pipeline where another execution is allowed",
            |c| {
                c.allow_other_execution = true;
                c.link(Stage::Test).pipeline_arn = "arn:other".into();
            },
            Stage::Test,
            "is from the pipeline arn:other",
        ),
        (
            "not following the statement before it",
            |c| c.drafts[2].previous = Some(Some(Sha256::of(b"other"))),
            Stage::Promote,
            "follows a statement with the digest",
        ),
        (
            "following none",
            |c| c.drafts[1].previous = Some(None),
            Stage::Test,
            "follows a statement with the digest none",
        ),
        (
            "the first following something",
            |c| c.drafts[0].previous = Some(Some(Sha256::of(b"x"))),
            Stage::Bake,
            "expected none",
        ),
        (
            "expired this moment",
            |c| c.now = START + Duration::days(7),
            Stage::Bake,
            "expired at 2026-11-09 10:00:00",
        ),
        (
            "one in the middle expired",
            |c| c.link(Stage::Test).expires = START + Duration::hours(5),
            Stage::Test,
            "expired at 2026-11-02 15:00:00",
        ),
        (
            "expired before it was issued",
            |c| {
                c.link(Stage::Cleanup).expires = START + Duration::hours(4);
                c.now = START + Duration::hours(4) - Duration::SECOND;
            },
            Stage::Cleanup,
            "expired",
        ),
        (
            "issued in the future",
            |c| c.now = START + Duration::hours(4) - CLOCK_TOLERANCE - Duration::SECOND,
            Stage::Cleanup,
            "was issued at 2026-11-02 14:00:00",
        ),
        (
            "issued at the end of the calendar",
            |c| {
                c.link(Stage::Bake).issued = datetime!(9999-12-31 23:59:59 UTC);
                c.trusted[0].rest = "stages: [bake]".into();
            },
            Stage::Bake,
            "and now is only",
        ),
        (
            "issued before its predecessor",
            |c| c.link(Stage::Test).issued = START + Duration::hours(1) - CLOCK_TOLERANCE - Duration::SECOND,
            Stage::Test,
            "before the statement it follows",
        ),
        (
            "made by an action execution that made another",
            |c| c.link(Stage::Promote).action_execution_id = "action-bake".into(),
            Stage::Promote,
            "replays bake",
        ),
        (
            "made by the action execution that is about to run",
            |c| c.acting = Some("action-promote"),
            Stage::Promote,
            "which is only about to run",
        ),
        (
            "about another image",
            |c| {
                let mut other = image("eu-west-1");
                other.image_id = "ami-other".into();
                c.drafts[1].subject = vec![other.subject()];
            },
            Stage::Test,
            "is about eu-west-1/ami-other, which the first statement is not about",
        ),
        (
            "about one more image",
            |c| c.drafts[2].subject.push(image("us-east-1").subject()),
            Stage::Promote,
            "is about us-east-1/",
        ),
        (
            "the same digest under another algorithm's name",
            |c| {
                let digest = c.drafts[1].subject[0].digest.remove("sha256").unwrap();
                c.drafts[1].subject[0].digest.insert("gitCommit".into(), digest);
                c.drafts[1].subject[0].annotations.clear();
            },
            Stage::Test,
            "is about eu-west-1/",
        ),
        (
            "one digest of two is another",
            |c| {
                c.drafts[0].subject[0].digest.insert("sha512".into(), "aa".into());
                c.drafts[1].subject[0].digest.insert("sha512".into(), "bb".into());
            },
            Stage::Test,
            "is about eu-west-1/",
        ),
        (
            "an image under the digest of another",
            |c| {
                let other = image("us-east-1").subject().annotations;
                c.drafts[1].subject[0].annotations = other;
            },
            Stage::Test,
            "subject 0",
        ),
        (
            "from another source",
            |c| c.link(Stage::Test).source = Some(Sha256::of(b"other")),
            Stage::Test,
            "is about a release from the source",
        ),
        ("from no source", |c| c.link(Stage::Promote).source = None, Stage::Promote, "from the source none"),
        (
            "a file that changed since the first statement",
            |c| {
                let spec = Sha256::of(b"other");
                c.files.insert("bakeline.yaml".into(), spec);
                c.link(Stage::Cleanup).files.insert("bakeline.yaml".into(), spec);
            },
            Stage::Bake,
            "the file bakeline.yaml has the digest",
        ),
        (
            "a file that the last statement no longer lists",
            |c| {
                c.link(Stage::Cleanup).files.remove("reports/junit.xml");
                c.files.remove("reports/junit.xml");
            },
            Stage::Test,
            "the file reports/junit.xml is missing",
        ),
        (
            "a file that only an earlier statement lists",
            |c| {
                c.link(Stage::Cleanup).files.remove("reports/junit.xml");
            },
            Stage::Cleanup,
            "the file reports/junit.xml is in the artifact but was not signed",
        ),
        (
            "a file nobody signed",
            |c| {
                c.files.insert("extra.sh".into(), Sha256::of(b""));
            },
            Stage::Cleanup,
            "the file extra.sh is in the artifact but was not signed",
        ),
        (
            "a statement among the other files, though signed",
            |c| {
                let path = "statements/5-more.dsse.json";
                c.files.insert(path.into(), Sha256::of(b""));
                c.link(Stage::Cleanup).files.insert(path.into(), Sha256::of(b""));
            },
            Stage::Cleanup,
            "the file statements/5-more.dsse.json is in the artifact but was not signed",
        ),
        (
            "a chain that goes on too far",
            |c| c.last = Some(Stage::Test),
            Stage::Cleanup,
            "expected it to end with test",
        ),
    ];
    for (what, change, stage, message) in rows {
        let mut case = Case::good();
        change(&mut case);
        let Err(error) = case.judge(&case.seal()) else { panic!("{what}: the chain stands") };
        assert_eq!(error.file, stage.path(), "{what}: {error}");
        assert!(told(&error).contains(message), "{what}: {}", told(&error));
    }
}

/// Each row changes the files after the statements were signed.
#[test]
fn what_must_be_refused_of_what_is_there() {
    type Row = (&'static str, fn(&Case, &mut Files), &'static str, &'static str);
    let rows: &[Row] = &[
        ("no statement at all", |_, f| f.clear(), "statements/1-bake.dsse.json", "the stage bake is missing"),
        (
            "the last statement is missing",
            |_, f| f.truncate(3),
            "statements/4-cleanup.dsse.json",
            "the stage cleanup is missing",
        ),
        (
            "the last two are missing",
            |_, f| f.truncate(2),
            "statements/3-promote.dsse.json",
            "the stage promote is missing",
        ),
        (
            "one in the middle is missing",
            |_, f| {
                f.remove(1);
            },
            "statements/3-promote.dsse.json",
            "expected statements/2-test.dsse.json",
        ),
        (
            "the first is missing",
            |_, f| {
                f.remove(0);
            },
            "statements/2-test.dsse.json",
            "expected statements/1-bake.dsse.json",
        ),
        (
            "one more than there are stages",
            |_, f| f.push(("statements/5-more.dsse.json".into(), f[0].1.clone())),
            "statements/5-more.dsse.json",
            "not a statement that belongs here",
        ),
        (
            "the same path twice",
            |_, f| f.push(f[3].clone()),
            "statements/4-cleanup.dsse.json",
            "not a statement that belongs here",
        ),
        (
            "another file in the folder",
            |_, f| f[1].0 = "statements/readme.txt".into(),
            "statements/3-promote.dsse.json",
            "expected statements/2-test.dsse.json",
        ),
        (
            "two statements in each other's place",
            |_, f| {
                let (a, b) = f.split_at_mut(2);
                std::mem::swap(&mut a[0].1, &mut b[0].1);
            },
            "statements/1-bake.dsse.json",
            "is a statement of the stage promote, expected bake",
        ),
        (
            "one statement in two places",
            |_, f| f[2].1 = f[0].1.clone(),
            "statements/3-promote.dsse.json",
            "replays bake",
        ),
        (
            "not an envelope",
            |_, f| f[0].1 = b"{}".to_vec(),
            "statements/1-bake.dsse.json",
            "not a DSSE envelope",
        ),
        ("empty", |_, f| f[0].1.clear(), "statements/1-bake.dsse.json", "not a DSSE envelope"),
        (
            "unsigned",
            |_, f| edit(&mut f[2].1, |e| e["signatures"] = serde_json::json!([])),
            "statements/3-promote.dsse.json",
            "carries no signature",
        ),
        (
            "signed twice",
            |_, f| {
                edit(&mut f[3].1, |e| {
                    let signature = e["signatures"][0].clone();
                    e["signatures"].as_array_mut().unwrap().push(signature);
                });
            },
            "statements/4-cleanup.dsse.json",
            "carries 2 signatures, expected 1",
        ),
        (
            "of another payload type",
            |_, f| edit(&mut f[0].1, |e| e["payloadType"] = "text/plain".into()),
            "statements/1-bake.dsse.json",
            r#"the payload type is "text/plain""#,
        ),
        (
            "another payload under the same signature",
            |_, f| edit(&mut f[3].1, |e| e["payload"] = "e30=".into()),
            "statements/4-cleanup.dsse.json",
            r#"not the one the key "promoter" makes"#,
        ),
        (
            "the key id is left out",
            |_, f| edit(&mut f[3].1, |e| e["signatures"][0]["keyid"] = "".into()),
            "statements/4-cleanup.dsse.json",
            r#"names the key "" but was signed by "promoter""#,
        ),
        (
            "the key id names another trusted key",
            |case, f| {
                let other = case.signers[0].public_key().id();
                edit(&mut f[3].1, |e| e["signatures"][0]["keyid"] = other.into());
            },
            "statements/4-cleanup.dsse.json",
            r#"but was signed by "promoter""#,
        ),
        (
            "with white space",
            |_, f| f[3].1.insert(1, b' '),
            "statements/4-cleanup.dsse.json",
            "not in the one form",
        ),
        (
            "without the newline at its end",
            |_, f| {
                f[3].1.pop();
            },
            "statements/4-cleanup.dsse.json",
            "not in the one form",
        ),
        (
            "with one more member",
            |_, f| edit(&mut f[3].1, |e| e["note"] = "x".into()),
            "statements/4-cleanup.dsse.json",
            "not in the one form",
        ),
        (
            "in the other alphabet",
            |_, f| {
                edit(&mut f[3].1, |e| {
                    let text = e["payload"].as_str().unwrap().trim_end_matches('=').to_owned();
                    e["payload"] = text.replace('+', "-").replace('/', "_").into();
                    let sig = e["signatures"][0]["sig"].as_str().unwrap().trim_end_matches('=').to_owned();
                    e["signatures"][0]["sig"] = sig.replace('+', "-").replace('/', "_").into();
                    e["note"] = "differs even where neither alphabet's own letters occur".into();
                });
            },
            "statements/4-cleanup.dsse.json",
            "not in the one form",
        ),
        (
            "the statement before it signed anew",
            |case, f| f[0].1 = case.seal().remove(0).1,
            "statements/2-test.dsse.json",
            "follows a statement with the digest",
        ),
    ];
    let case = Case::good();
    let sealed = case.seal();
    case.judge(&sealed).unwrap();
    for (what, change, file, message) in rows {
        let mut files = sealed.clone();
        change(&case, &mut files);
        let Err(error) = case.judge(&files) else { panic!("{what}: the chain stands") };
        assert_eq!(error.file, *file, "{what}: {error}");
        assert!(told(&error).contains(message), "{what}: {}", told(&error));
    }
}

#[test]
fn a_rightly_signed_payload_that_is_no_statement_is_refused() {
    use crate::evidence::dsse::{IN_TOTO, Signature, pae};
    let mut case = Case::good();
    case.last = Some(Stage::Bake);
    let link = Link { previous: None, ..case.drafts[0].link.clone() };
    let subject = case.drafts[0].subject.clone();
    let good = serde_json::to_value(statement(subject, &link).unwrap()).unwrap();
    type Row = (&'static str, fn(&mut serde_json::Value), &'static str);
    let rows: &[Row] = &[
        ("another _type", |s| s["_type"] = "https://in-toto.io/Statement/v0.1".into(), "not a statement"),
        ("no subject", |s| s["subject"] = serde_json::json!([]), "not a statement"),
        (
            "a subject without digest",
            |s| s["subject"][0]["digest"] = serde_json::json!({}),
            "not a statement",
        ),
        (
            "an upper-case digest",
            |s| {
                let upper = s["subject"][0]["digest"]["sha256"].as_str().unwrap().to_uppercase();
                s["subject"][0]["digest"]["sha256"] = upper.into();
            },
            "not a statement",
        ),
        ("the same subject twice", |s| s["subject"][1] = s["subject"][0].clone(), "not a statement"),
        ("no predicate", |s| s["predicate"] = serde_json::Value::Null, "not a statement"),
        ("not an object", |s| *s = 1.into(), "not a statement"),
        ("no link", |s| s["predicate"]["bakeline_chain"] = serde_json::Value::Null, "not a link of a chain"),
        ("a link with more", |s| s["predicate"]["bakeline_chain"]["x"] = 1.into(), "not a link of a chain"),
        (
            "another stage's predicate",
            |s| s["predicateType"] = "https://bakeline.dev/cleanup/v1".into(),
            "has the predicate type",
        ),
        ("another number", |s| s["predicate"]["bakeline_chain"]["sequence"] = 2.into(), "not 2"),
    ];
    for (what, change, message) in rows {
        let mut said = good.clone();
        change(&mut said);
        let payload = serde_json::to_vec(&said).unwrap();
        let signer = &case.signers[0];
        let sig = futures::executor::block_on(signer.sign(&pae(IN_TOTO, &payload))).unwrap();
        let envelope = Envelope::sealed(payload, Signature { keyid: signer.public_key().id(), sig });
        let sealed = vec![(Stage::Bake.path().to_owned(), envelope.encode())];
        let Err(error) = case.judge(&sealed) else { panic!("{what}: the chain stands") };
        assert!(told(&error).contains(message), "{what}: {}", told(&error));
    }
}

#[test]
fn any_one_byte_changed_in_any_statement_is_refused() {
    let case = Case::good();
    let sealed = case.seal();
    let trust = TrustRoot::parse(&case.trust_yaml()).unwrap();
    case.judge_by(&sealed, &trust).unwrap();
    let mut files = sealed.clone();
    for file in 0..files.len() {
        for at in 0..files[file].1.len() {
            // Bit 5 turns upper into lower case, so it also meets lenient readers of hexadecimal.
            files[file].1[at] ^= 0x20;
            assert!(case.judge_by(&files, &trust).is_err(), "byte {at} of {}", files[file].0);
            files[file].1[at] ^= 0x20;
        }
    }
    case.judge_by(&files, &trust).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_byte_changed_to_any_other_is_refused(
        changes in proptest::collection::vec((0_usize..4, any::<proptest::sample::Index>(), 1_u8..), 64),
    ) {
        let case = Case::good();
        let sealed = case.seal();
        let trust = TrustRoot::parse(&case.trust_yaml()).unwrap();
        for (file, at, by) in changes {
            let mut files = sealed.clone();
            let at = at.index(files[file].1.len());
            files[file].1[at] ^= by;
            prop_assert!(case.judge_by(&files, &trust).is_err(), "byte {at} of {} by {by}", files[file].0);
        }
    }
}

/// The golden statements were written by the version named in their folder's files; they must verify for ever.
mod golden {
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
}

#[test]
fn the_same_key_signs_differently_and_both_stand() {
    // ECDSA draws a number for every signature: digests of files, not of statements, tie the chain.
    let draft = &Case::golden().drafts[0];
    let said = statement(draft.subject.clone(), &draft.link).unwrap();
    let signer = golden_signer();
    let seals = [0; 2].map(|_| futures::executor::block_on(seal(&said, &signer)).unwrap());
    assert_ne!(seals[0], seals[1]);
    assert!(seals.iter().all(|envelope| envelope.verified_by(signer.public_key()).is_some()));
    assert!(seals.iter().all(|envelope| envelope.verified_by(new_signer().public_key()).is_none()));
}

fn edit(bytes: &mut Vec<u8>, change: impl FnOnce(&mut serde_json::Value)) {
    let mut envelope = serde_json::from_slice(bytes).unwrap();
    change(&mut envelope);
    *bytes = serde_json::to_vec(&envelope).unwrap();
    bytes.push(b'\n');
}

/// The whole message, with what lies behind it.
fn told(error: &ChainError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(behind) = source {
        text += &format!(": {behind}");
        source = behind.source();
    }
    text
}
