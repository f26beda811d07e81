use futures::executor::block_on;
use time::macros::datetime;

use super::super::testing::{Case, image, new_signer, statement};
use super::*;
use crate::evidence::signer::seal;

const PEM: &str = "-----BEGIN PUBLIC KEY-----\\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEc8OPV42M5SfOmx9BGzKEwFgqDL6w\\nXw==\\n-----END PUBLIC KEY-----\\n";

fn pem() -> String {
    include_str!("../../../tests/golden/evidence/keys/p256-public.pem").replace('\n', "\\n")
}

#[test]
fn yaml_and_json_say_the_same() {
    let yaml = "keys:\n  - name: release\n    public_key: \"PEM\"\n    stages: [bake, test]\n    not_before: 2026-01-01T00:00:00Z\n";
    let json = r#"{"keys": [{"name": "release", "public_key": "PEM", "stages": ["bake", "test"], "not_before": "2026-01-01T00:00:00Z"}]}"#;
    let [yaml, json] = [yaml, json].map(|text| TrustRoot::parse(&text.replace("PEM", &pem())).unwrap());
    assert_eq!(yaml, json);
    let [key] = yaml.keys() else { panic!("one key") };
    assert_eq!(key.stages, [Stage::Bake, Stage::Test]);
    assert_eq!((key.not_before, key.not_after), (Some(datetime!(2026-01-01 0:00 UTC)), None));
}

#[test]
fn a_key_counts_from_its_beginning_until_before_its_end() {
    let mut case = Case::good();
    case.trusted[0].rest =
        "stages: [bake]\n    not_before: 2026-01-01T00:00:00Z\n    not_after: 2026-01-02T01:00:00+01:00"
            .into();
    let trust = TrustRoot::parse(&case.trust_yaml()).unwrap();
    for (moment, counts) in [
        (datetime!(2025-12-31 23:59:59 UTC), false),
        (datetime!(2026-01-01 0:00 UTC), true),
        (datetime!(2026-01-01 23:59:59 UTC), true),
        (datetime!(2026-01-02 0:00 UTC), false),
    ] {
        assert_eq!(trust.keys()[0].valid_at(moment), counts, "{moment}");
    }
}

#[test]
fn every_mistake_is_refused_with_its_place() {
    let key =
        |name: &str, rest: &str| format!("  - name: {name}\n    public_key: \"{}\"\n    {rest}\n", pem());
    let other = new_signer().public_key().to_pem().replace('\n', "\\n");
    let second =
        |name: &str, pem: &str| format!("  - name: {name}\n    public_key: \"{pem}\"\n    stages: [bake]\n");
    let first = format!("keys:\n{}", key("a", "stages: [bake]"));
    for (text, why) in [
        (String::new(), "trust root"),
        ("keys: []".into(), "line 1, column 7: 0 keys, expected 1 to 64"),
        ("keys: {}".into(), "line 1"),
        ("keys:\n  - name: a".into(), "missing field"),
        (first.clone() + "more: 1\n", "line 5, column 1: unknown field"),
        (first.clone() + "    comment: x\n", "line 5, column 5: unknown field"),
        (first.clone() + "keys: []\n", "line 5, column 1: duplicate"),
        (format!("keys:\n{}", key("a", "stages: []")), "line 4, column 13: the stages of \"a\""),
        (format!("keys:\n{}", key("a", "stages: [bake, bake]")), "line 4, column 13: the stages of \"a\""),
        (format!("keys:\n{}", key("a", "stages: [deploy]")), "line 4"),
        (format!("keys:\n{}", key("''", "stages: [bake]")), "line 2, column 11: a key's name"),
        (
            format!("keys:\n{}", key("a", "stages: [bake]\n    not_after: tomorrow")),
            "line 5, column 16: `not_after` of \"a\" is not a time",
        ),
        (
            format!("keys:\n{}", key("a", "stages: [bake]\n    not_before: 2026-01-01")),
            "line 5, column 17: `not_before` of \"a\" is not a time",
        ),
        (
            format!(
                "keys:\n{}",
                key(
                    "a",
                    "stages: [bake]\n    not_before: 2026-01-02T00:00:00Z\n    not_after: 2026-01-02T00:00:00Z"
                )
            ),
            "line 6, column 16: `not_after` of \"a\" is not later",
        ),
        (first.clone() + &second("a", &other), "line 5, column 11: the key \"a\" repeats the name of \"a\""),
        (
            first.clone() + &second("b", &pem()),
            "line 6, column 17: the key \"b\" repeats the public key of \"a\"",
        ),
        (first + &second("b", PEM), "line 6, column 17: the public key of \"b\" cannot be used"),
        (" ".repeat(MAX_TRUST_ROOT_BYTES + 1), "more than the 262144 that are read"),
    ] {
        let error = TrustRoot::parse(&text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}\n{error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

#[test]
fn a_message_about_a_wrong_key_does_not_quote_it() {
    let private = include_str!("../../../tests/golden/evidence/keys/p256-pkcs8.pem").replace('\n', "\\n");
    let text = format!("keys:\n  - name: a\n    public_key: \"{private}\"\n    stages: [bake]\n");
    let error = TrustRoot::parse(&text).unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(told.contains("PRIVATE KEY") && !told.contains("MIGH"), "{told}");
}

#[test]
fn opening_tells_a_stranger_from_a_broken_signature() {
    let case = Case::good();
    let trust = TrustRoot::parse(&case.trust_yaml()).unwrap();
    let said = statement(vec![image("eu-west-1").subject()], &case.drafts[0].link).unwrap();
    let by = |signer: usize| block_on(seal(&said, &case.signers[signer])).unwrap();
    assert_eq!(trust.open(&by(1)).unwrap().key.name, "tester");
    assert!(matches!(trust.open(&by(3)), Err(VerifyError::UntrustedKey { .. })));
    let mut other = case.drafts[0].link.clone();
    other.execution_id = "other".into();
    let other = statement(vec![image("eu-west-1").subject()], &other).unwrap();
    let forged = Envelope::sealed(other.to_bytes().unwrap(), by(1).signatures()[0].clone());
    let error = trust.open(&forged).unwrap_err();
    assert!(matches!(&error, VerifyError::BadSignature { key } if key == "tester"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error = TrustRoot::from_file("no/such/trust.yaml".as_ref()).unwrap_err().to_string();
    assert_eq!(error, "the trust root no/such/trust.yaml cannot be read");
}
