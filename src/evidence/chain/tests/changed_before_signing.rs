//! Statements that must be refused: each row changes a valid chain before it is signed.

use time::macros::datetime;

use super::*;

type Row = (&'static str, fn(&mut Case), Stage, &'static str);

/// Each row: the name of the change, the change, the stage whose statement is at fault, and a part of the message.
const ROWS: &[Row] = &[
    (
        "signed by an untrusted key",
        |c| c.drafts[0].signer = 3,
        Stage::Bake,
        "which the trust root does not have",
    ),
    (
        "signed by a key for another stage",
        |c| c.drafts[1].signer = 0,
        Stage::Test,
        r#"signed by "baker", which may sign bake, not test"#,
    ),
    (
        "signed before the key was valid",
        |c| c.trusted[0].rest = "may_sign: [bake]\n    not_before: 2026-11-02T11:00:01Z".into(),
        Stage::Bake,
        "when the key was not valid",
    ),
    (
        "signed the moment the key ceased to be valid",
        |c| c.trusted[0].rest = "may_sign: [bake]\n    not_after: 2026-11-02T11:00:00Z".into(),
        Stage::Bake,
        "when the key was not valid",
    ),
    (
        "signed by a key for another service",
        |c| c.trusted[1].rest += "\n    services: [shop]",
        Stage::Test,
        r#"signed by "tester", which may not sign for the service "web""#,
    ),
    (
        "about another service than the first",
        |c| c.link(Stage::Promote).service = "shop".into(),
        Stage::Promote,
        r#"is about the service "shop", expected "web""#,
    ),
    (
        "at another position",
        |c| c.link(Stage::Test).position = 3,
        Stage::Test,
        "says it is at position 3 of the chain, expected 2",
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
            c.link(Stage::Promote).run.pipeline = "arn:other".into();
        },
        Stage::Promote,
        "is from the pipeline arn:other",
    ),
    ("from another execution than expected", |c| c.execution = Some("other"), Stage::Bake, "expected other"),
    (
        "from another execution than the one before",
        |c| {
            c.execution = None;
            c.link(Stage::Test).run.run_id = "other".into();
        },
        Stage::Test,
        "is from the run other",
    ),
    (
        "another pipeline where another execution is allowed",
        |c| {
            c.allow_other_run = true;
            c.link(Stage::Test).run.pipeline = "arn:other".into();
        },
        Stage::Test,
        "is from the pipeline arn:other",
    ),
    (
        "not following the statement before it",
        |c| c.drafts[2].previous = Previous::Other(Some(Sha256::of(b"other"))),
        Stage::Promote,
        "follows a statement with the digest",
    ),
    (
        "following none",
        |c| c.drafts[1].previous = Previous::Other(None),
        Stage::Test,
        "follows a statement with the digest none",
    ),
    (
        "the first following something",
        |c| c.drafts[0].previous = Previous::Other(Some(Sha256::of(b"x"))),
        Stage::Bake,
        "expected none",
    ),
    (
        "expired this moment",
        |c| c.now = START + Duration::days(7),
        Stage::Bake,
        "expired at 2026-11-09T10:00:00Z",
    ),
    (
        "one in the middle expired",
        |c| c.link(Stage::Test).hand_over_expires_on = START + Duration::hours(5),
        Stage::Test,
        "expired at 2026-11-02T15:00:00Z",
    ),
    (
        "expired before it was issued",
        |c| {
            c.link(Stage::Cleanup).hand_over_expires_on = START + Duration::hours(4);
            c.now = START + Duration::hours(4) - Duration::SECOND;
        },
        Stage::Cleanup,
        "expired",
    ),
    (
        "issued in the future",
        |c| c.now = START + Duration::hours(4) - CLOCK_TOLERANCE - Duration::SECOND,
        Stage::Cleanup,
        "was issued at 2026-11-02T14:00:00Z",
    ),
    (
        "issued at the end of the calendar",
        |c| {
            c.link(Stage::Bake).issued_on = datetime!(9999-12-31 23:59:59 UTC);
            c.trusted[0].rest = "may_sign: [bake]".into();
        },
        Stage::Bake,
        "and it is only",
    ),
    (
        "issued before its predecessor",
        |c| c.link(Stage::Test).issued_on = START + Duration::hours(1) - CLOCK_TOLERANCE - Duration::SECOND,
        Stage::Test,
        "before the statement it follows",
    ),
    (
        "made by an attempt that made another",
        |c| c.link(Stage::Promote).run.attempt_id = "action-bake".into(),
        Stage::Promote,
        "replays bake",
    ),
    (
        "made by the attempt that is about to run",
        |c| c.acting = Some("action-promote"),
        Stage::Promote,
        "which has not run yet",
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
            let digest = c.drafts[1].subject[0].digest.remove("bakeline_imageIdentityV1").unwrap();
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
            c.files.insert(layout::SPEC.into(), spec);
            c.link(Stage::Cleanup).files.insert(layout::SPEC.into(), spec);
        },
        Stage::Bake,
        "the file source/bakeline.yaml has the digest",
    ),
    (
        "a file that the last statement no longer lists",
        |c| {
            c.link(Stage::Cleanup).files.remove(layout::TEST_JUNIT);
            c.files.remove(layout::TEST_JUNIT);
        },
        Stage::Test,
        "the file reports/test/junit.xml is missing",
    ),
    (
        "a file that only an earlier statement lists",
        |c| {
            c.link(Stage::Cleanup).files.remove(layout::TEST_JUNIT);
        },
        Stage::Cleanup,
        "the file reports/test/junit.xml is in the artifact but no statement lists it",
    ),
    (
        "a file that no statement lists",
        |c| {
            c.files.insert("extra.sh".into(), Sha256::of(b""));
        },
        Stage::Cleanup,
        "the file extra.sh is in the artifact but no statement lists it",
    ),
    (
        "a statement among the other files, though signed",
        |c| {
            let path = "statements/05-more.dsse.json";
            c.files.insert(path.into(), Sha256::of(b""));
            c.link(Stage::Cleanup).files.insert(path.into(), Sha256::of(b""));
        },
        Stage::Cleanup,
        "the file statements/05-more.dsse.json is in the artifact but no statement lists it",
    ),
    (
        "a chain that goes on too far",
        |c| c.last = Some(Stage::Test),
        Stage::Cleanup,
        "expected it to end with test",
    ),
];

#[test]
fn a_chain_changed_before_signing_is_refused() {
    for (what, change, stage, expected) in ROWS {
        let mut case = Case::good();
        change(&mut case);
        let Err(error) = case.verify(&case.seal()) else { panic!("{what}: the chain is accepted") };
        assert_eq!(error.file, layout::statement(stage.ordinal(), *stage), "{what}: {error}");
        assert!(message(&error).contains(expected), "{what}: {}", message(&error));
    }
}
