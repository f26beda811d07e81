//! Payloads with a valid signature that must be refused: each row changes a valid statement.

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
            let digest = &mut s["subject"][0]["digest"]["bakeline_imageIdentityV1"];
            *digest = digest.as_str().unwrap().to_uppercase().into();
        },
        "not a statement",
    ),
    ("the same subject twice", |s| s["subject"][1] = s["subject"][0].clone(), "not a statement"),
    ("no predicate", |s| s["predicate"] = serde_json::Value::Null, "not a statement"),
    ("not an object", |s| *s = 1.into(), "not a statement"),
    ("no link", |s| s["predicate"]["bakeline_chain"] = serde_json::Value::Null, "not a link of a chain"),
    (
        "a link of another CI system",
        |s| s["predicate"]["bakeline_chain"]["run"]["system"] = "other".into(),
        "not a link of a chain",
    ),
    (
        "a link without a service",
        |s| s["predicate"]["bakeline_chain"]["service"] = serde_json::Value::Null,
        "not a link of a chain",
    ),
    (
        "another stage's predicate",
        |s| s["predicateType"] = "https://bakeline.dev/attestation/cleanup/v1".into(),
        "has the predicate type",
    ),
    (
        "another position",
        |s| s["predicate"]["bakeline_chain"]["position"] = 2.into(),
        "says it is at position 2 of the chain, expected 1",
    ),
];

#[test]
fn a_signed_payload_that_is_not_a_statement_is_refused() {
    let mut case = Case::good();
    case.last = Some(Stage::Bake);
    let link = Link { previous: None, ..case.drafts[0].link.clone() };
    let subject = case.drafts[0].subject.clone();
    let good = serde_json::to_value(statement(subject, &link).unwrap()).unwrap();
    for (what, change, expected) in ROWS {
        let mut value = good.clone();
        change(&mut value);
        let payload = serde_json::to_vec(&value).unwrap();
        let signer = &case.signers[0];
        let sig = futures::executor::block_on(signer.sign(&pae(IN_TOTO, &payload))).unwrap();
        let envelope = Envelope::sealed(payload, Signature { keyid: signer.public_key().id(), sig });
        let sealed = vec![(layout::statement(1, Stage::Bake), envelope.encode())];
        let Err(error) = case.verify(&sealed) else { panic!("{what}: the chain is accepted") };
        assert!(message(&error).contains(expected), "{what}: {}", message(&error));
    }
}
