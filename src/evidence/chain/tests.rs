mod bytes;
mod changed_after_signing;
mod changed_before_signing;
mod golden;
mod payload;

use super::super::testing::{Case, Previous, START, golden_signer, image, new_signer, statement};
use super::*;
use crate::evidence::signer::seal;

type Files = Vec<(String, Vec<u8>)>;

#[test]
fn a_valid_chain_is_verified_and_gives_what_was_signed() {
    let case = Case::good();
    let sealed = case.seal();
    let chain = case.verify(&sealed).unwrap();
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
fn the_order_of_the_files_does_not_matter() {
    let case = Case::good();
    let mut sealed = case.seal();
    sealed.reverse();
    assert_eq!(case.verify(&sealed).unwrap().last().link.stage, Stage::Cleanup);
}

#[test]
fn a_chain_may_end_with_the_expected_stage() {
    let mut case = Case::good();
    for (last, stage) in Stage::ALL.into_iter().enumerate() {
        case.last = Some(stage);
        case.files = super::super::testing::files(stage);
        let sealed = case.seal();
        assert_eq!(case.verify(&sealed[..=last]).unwrap().last().link.stage, stage);
        case.last = None;
        assert_eq!(case.verify(&sealed[..=last]).unwrap().last().link.stage, stage);
    }
}

#[test]
fn a_chain_has_no_statement_of_an_absent_stage() {
    let mut case = Case::good();
    let promoted = case.seal();
    case.absent = &[Stage::Promote];
    // A chain with its statement is refused.
    let error = case.verify(&promoted).unwrap_err();
    assert!(matches!(error.refusal, Refusal::UnexpectedFile { .. }), "{error}");
    // Without it, the cleanup follows the test, at the next position.
    case.link(Stage::Cleanup).position = 3;
    let promotion = case.drafts.remove(2);
    assert_eq!(promotion.link.stage, Stage::Promote);
    let sealed = case.seal_as(&[Stage::Bake, Stage::Test, Stage::Cleanup]);
    let chain = case.verify(&sealed).unwrap();
    assert_eq!(chain.last().link.previous, Some(Sha256::of(&sealed[1].1)));
    assert_eq!(sealed[2].0, "statements/03-cleanup.dsse.json");
    assert!(chain.stage(Stage::Promote).is_none());
    case.absent = &[];
    let error = case.verify(&sealed).unwrap_err();
    assert!(matches!(error.refusal, Refusal::UnexpectedFile { .. }), "{error}");
}

#[test]
fn statements_of_other_runs_are_accepted_where_the_spec_allows_it() {
    let mut case = Case::good();
    case.execution = Some("another");
    case.verify(&case.seal()).unwrap_err();
    case.allow_other_run = true;
    case.verify(&case.seal()).unwrap();
    case.link(Stage::Promote).run.run_id = "a third".into();
    case.verify(&case.seal()).unwrap();
}

type Edge = (&'static str, fn(&mut Case));

#[test]
fn edge_cases_that_are_accepted() {
    let edges: &[Edge] = &[
        ("no pipeline is expected", |case| case.pipeline = None),
        ("no run is expected", |case| case.execution = None),
        ("issued ahead by just the tolerance", |case| {
            case.now = START + Duration::hours(4) - CLOCK_TOLERANCE;
        }),
        ("issued before its predecessor by just the tolerance", |case| {
            case.link(Stage::Test).issued_on = START + Duration::hours(1) - CLOCK_TOLERANCE;
        }),
        ("a second before it expires", |case| case.now = START + Duration::days(7) - Duration::SECOND),
        ("signed by a key for this service", |case| case.trusted[0].rest += "\n    services: [shop, web]"),
        ("issued the moment the key becomes valid", |case| {
            case.trusted[0].rest = "may_sign: [bake]\n    not_before: 2026-11-02T11:00:00Z".into();
        }),
    ];
    for (what, change) in edges {
        let mut case = Case::good();
        change(&mut case);
        if let Err(error) = case.verify(&case.seal()) {
            panic!("{what}: {error}");
        }
    }
}

#[test]
fn two_signatures_of_one_statement_differ_and_both_verify() {
    // ECDSA draws a random number for every signature: the chain links digests of files, not of statements.
    let draft = &Case::golden().drafts[0];
    let made = statement(draft.subject.clone(), &draft.link).unwrap();
    let signer = golden_signer();
    let seals = [0; 2].map(|_| futures::executor::block_on(seal(&made, &signer)).unwrap());
    assert_ne!(seals[0], seals[1]);
    assert!(seals.iter().all(|envelope| envelope.verified_by(signer.public_key()).is_some()));
    assert!(seals.iter().all(|envelope| envelope.verified_by(new_signer().public_key()).is_none()));
}

/// The whole message, with its sources.
fn message(error: &ChainError) -> String {
    let sources = std::iter::successors(std::error::Error::source(error), |error| error.source());
    let sources = sources.map(|error| format!(": {error}"));
    std::iter::once(error.to_string()).chain(sources).collect()
}
