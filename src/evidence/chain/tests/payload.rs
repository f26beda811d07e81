//! What must be refused of a payload that is rightly signed: one change each to a good statement.

use super::*;
use crate::evidence::dsse::{IN_TOTO, Signature, pae};

type Row = (&'static str, fn(&mut serde_json::Value), &'static str);

const ROWS: &[Row] = &[
    ("another _type", |s| s["_type"] = "https://in-toto.io/Statement/v0.1".into(), "not a statement"),
    ("no subject", |s| s["subject"] = serde_json::json!([]), "not a statement"),
    ("a subject without digest", |s| s["subject"][0]["digest"] = serde_json::json!({}), "not a statement"),
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

#[test]
fn a_rightly_signed_payload_that_is_no_statement_is_refused() {
    let mut case = Case::good();
    case.last = Some(Stage::Bake);
    let link = Link { previous: None, ..case.drafts[0].link.clone() };
    let subject = case.drafts[0].subject.clone();
    let good = serde_json::to_value(statement(subject, &link).unwrap()).unwrap();
    for (what, change, message) in ROWS {
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
