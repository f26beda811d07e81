//! What must be refused of what was said: one change each before a good chain is signed.

use time::macros::datetime;

use super::*;

type Row = (&'static str, fn(&mut Case), Stage, &'static str);

/// Each row changes one thing before the statements are signed: what, how, in which file it is refused, and
/// what the message must say.
const ROWS: &[Row] = &[
    ("signed by a stranger", |c| c.drafts[0].signer = 3, Stage::Bake, "which the trust root does not have"),
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
    ("from another execution than expected", |c| c.execution = Some("other"), Stage::Bake, "expected other"),
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
        |c| c.drafts[2].previous = Previous::Said(Some(Sha256::of(b"other"))),
        Stage::Promote,
        "follows a statement with the digest",
    ),
    (
        "following none",
        |c| c.drafts[1].previous = Previous::Said(None),
        Stage::Test,
        "follows a statement with the digest none",
    ),
    (
        "the first following something",
        |c| c.drafts[0].previous = Previous::Said(Some(Sha256::of(b"x"))),
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

#[test]
fn what_must_be_refused_of_what_was_said() {
    for (what, change, stage, message) in ROWS {
        let mut case = Case::good();
        change(&mut case);
        let Err(error) = case.judge(&case.seal()) else { panic!("{what}: the chain stands") };
        assert_eq!(error.file, stage.path(), "{what}: {error}");
        assert!(told(&error).contains(message), "{what}: {}", told(&error));
    }
}
