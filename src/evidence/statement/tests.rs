use super::super::testing::{Case, cleanup, image, promotion, provenance, statement, test_result};
use super::*;

fn link(stage: Stage) -> Link {
    Case::good().link(stage).clone()
}

#[test]
fn a_statement_is_an_in_toto_statement_with_the_link_in_its_predicate() {
    let made = statement(vec![image("eu-west-1").subject()], &link(Stage::Test)).unwrap();
    let json: Value = serde_json::from_slice(&made.to_bytes().unwrap()).unwrap();
    assert_eq!(json["_type"], "https://in-toto.io/Statement/v1");
    assert_eq!(
        json["subject"][0]["digest"]["bakeline_imageIdentityV1"],
        image("eu-west-1").digest().to_string()
    );
    assert_eq!(json["predicateType"], "https://in-toto.io/attestation/test-result/v0.1");
    assert_eq!(json["predicate"]["result"], "PASSED");
    assert_eq!(json["predicate"]["passedTests"][0], "smoke");
    assert_eq!(json["predicate"]["bakeline_chain"]["stage"], "test");
    assert_eq!(json["predicate"]["bakeline_chain"]["issuedOn"], "2026-11-02T12:00:00Z");
}

#[test]
fn a_statement_is_read_back_as_it_was_written() {
    let subject = vec![image("eu-west-1").subject(), image("eu-central-1").subject()];
    for stage in Stage::ALL {
        let made = statement(subject.clone(), &link(stage)).unwrap();
        let read = Statement::parse(&made.to_bytes().unwrap()).unwrap();
        assert_eq!(read, made);
        assert_eq!(read.link().unwrap(), link(stage));
        assert_eq!(read.images().unwrap(), [image("eu-west-1"), image("eu-central-1")]);
        assert_eq!(read.predicate_type(), predicate::type_of(stage));
    }
}

#[test]
fn a_predicate_is_read_back_as_the_type_it_was_made_from() {
    let subject = || vec![image("eu-west-1").subject()];
    let made = |stage| statement(subject(), &link(stage)).unwrap();
    assert_eq!(made(Stage::Bake).predicate_as::<predicate::Provenance>().unwrap(), provenance());
    assert_eq!(made(Stage::Test).predicate_as::<predicate::TestResult>().unwrap(), test_result());
    assert_eq!(made(Stage::Promote).predicate_as::<predicate::Promotion>().unwrap(), promotion());
    assert_eq!(made(Stage::Cleanup).predicate_as::<predicate::Cleanup>().unwrap(), cleanup());
    let error = made(Stage::Test).predicate_as::<predicate::Promotion>().unwrap_err();
    assert!(matches!(error, StatementError::PredicateType { stage: Stage::Promote, .. }), "{error}");
}

#[test]
fn a_stage_cannot_make_another_stages_statement() {
    let subject = vec![image("eu-west-1").subject()];
    let error = Statement::new(subject, &test_result(), &link(Stage::Promote)).unwrap_err();
    assert!(matches!(error, StatementError::PredicateType { stage: Stage::Promote, .. }), "{error}");
}

#[test]
fn a_subject_needs_a_usable_digest_of_its_own() {
    let good = image("eu-west-1").subject();
    let mut short = good.clone();
    short.digest.insert("sha256".into(), "aa".into());
    let mut identity = good.clone();
    identity.digest.insert("bakeline_imageIdentityV1".into(), "aa".into());
    for (subject, why) in [
        (vec![], "no subject"),
        (vec![good.clone(), ResourceDescriptor::at("arn:x")], "subject 1 (arn:x) has no usable digest"),
        (vec![short], "`sha256` must be 64 lower-case"),
        (vec![identity], "`bakeline_imageIdentityV1` must be 64 lower-case"),
        (vec![good.clone(), good], "subject 1 (eu-west-1/ami-0123456789abcdef0) is listed twice"),
    ] {
        let error = statement(subject, &link(Stage::Bake)).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn unknown_members_of_a_statement_are_ignored() {
    let made = statement(vec![image("eu-west-1").subject()], &link(Stage::Test)).unwrap();
    let mut json: Value = serde_json::from_slice(&made.to_bytes().unwrap()).unwrap();
    json["later"] = 1.into();
    json["subject"][0]["later"] = 1.into();
    Statement::parse(json.to_string().as_bytes()).unwrap();
}

#[test]
fn a_deeply_nested_payload_is_refused() {
    let deep = format!("{{\"predicate\":{}", "[".repeat(100_000));
    assert!(matches!(Statement::parse(deep.as_bytes()), Err(StatementError::Json(_))));
}
