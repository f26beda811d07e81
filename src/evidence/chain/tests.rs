mod bytes;
mod golden;
mod payload;
mod said;
mod there;

use super::super::testing::{Case, Previous, START, golden_signer, image, new_signer, statement};
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
fn a_stage_that_is_absent_is_not_missed_and_not_believed() {
    let mut case = Case::good();
    let promoted = case.seal();
    case.absent = &[Stage::Promote];
    // With its statement there, the chain is not the release's.
    let error = case.judge(&promoted).unwrap_err();
    assert!(matches!(error.refusal, Refusal::UnexpectedFile { .. }), "{error}");
    // Without, the cleanup follows the test.
    let promotion = case.drafts.remove(2);
    assert_eq!(promotion.link.stage, Stage::Promote);
    let sealed = case.seal_as(&[Stage::Bake, Stage::Test, Stage::Cleanup]);
    let chain = case.judge(&sealed).unwrap();
    assert_eq!(chain.last().link.previous, Some(Sha256::of(&sealed[1].1)));
    assert!(chain.stage(Stage::Promote).is_none());
    case.absent = &[];
    let error = case.judge(&sealed).unwrap_err();
    assert!(matches!(error.refusal, Refusal::UnexpectedFile { .. }), "{error}");
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

type Edge = (&'static str, fn(&mut Case));

#[test]
fn edges_that_still_stand() {
    let edges: &[Edge] = &[
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

/// The whole message, with what lies behind it.
fn told(error: &ChainError) -> String {
    let behind = std::iter::successors(std::error::Error::source(error), |error| error.source());
    let behind = behind.map(|error| format!(": {error}"));
    std::iter::once(error.to_string()).chain(behind).collect()
}
