use futures::executor::block_on;
use time::macros::datetime;

use super::super::testing::{Case, image, new_signer, statement};
use super::*;
use crate::evidence::layout;
use crate::evidence::link::Stage;
use crate::evidence::signer::seal;

const PEM: &str = "-----BEGIN PUBLIC KEY-----\\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEc8OPV42M5SfOmx9BGzKEwFgqDL6w\\nXw==\\n-----END PUBLIC KEY-----\\n";

fn pem() -> String {
    include_str!("../../../tests/golden/evidence/keys/p256-public.pem").replace('\n', "\\n")
}

#[test]
fn the_trust_root_in_the_documentation_is_read() {
    let docs = include_str!("../../../docs/predicates.md");
    let example = docs.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let trust = TrustRoot::parse(example).unwrap();
    assert_eq!(trust.keys()[0].may_sign, [Purpose::Bake]);
    for path in [layout::SPEC, layout::BAKE_SCAN, layout::BAKE_VULNERABILITIES, layout::PROMOTE_JUDGE] {
        assert!(docs.contains(path), "docs/predicates.md lists {path}");
    }
}

#[test]
fn yaml_and_json_give_the_same_trust_root() {
    let yaml = "version: 1\nkeys:\n  - name: release\n    public_key: \"PEM\"\n    may_sign: [bake, cleanup_plan]\n    services: [web]\n    not_before: 2026-01-01T00:00:00Z\n";
    let json = r#"{"version": 1, "keys": [{"name": "release", "public_key": "PEM", "may_sign": ["bake", "cleanup_plan"], "services": ["web"], "not_before": "2026-01-01T00:00:00Z"}]}"#;
    let [yaml, json] = [yaml, json].map(|text| TrustRoot::parse(&text.replace("PEM", &pem())).unwrap());
    assert_eq!(yaml, json);
    let [key] = yaml.keys() else { panic!("one key") };
    assert_eq!(key.may_sign, [Purpose::Bake, Purpose::CleanupPlan]);
    assert!(key.may_sign(Stage::Bake) && !key.may_sign(Stage::Cleanup), "a plan is not the stage");
    assert!(key.may_sign_for("web") && !key.may_sign_for("shop"));
    assert_eq!((key.not_before, key.not_after), (Some(datetime!(2026-01-01 0:00 UTC)), None));
}

#[test]
fn a_key_is_valid_from_not_before_until_before_not_after() {
    let mut case = Case::good();
    case.trusted[0].rest =
        "may_sign: [bake]\n    not_before: 2026-01-01T00:00:00Z\n    not_after: 2026-01-02T01:00:00+01:00"
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
fn every_mistake_is_refused_with_line_and_column() {
    let key =
        |name: &str, rest: &str| format!("  - name: {name}\n    public_key: \"{}\"\n    {rest}\n", pem());
    let other = new_signer().public_key().to_pem().replace('\n', "\\n");
    let second = |name: &str, pem: &str| {
        format!("  - name: {name}\n    public_key: \"{pem}\"\n    may_sign: [bake]\n")
    };
    let first = format!("version: 1\nkeys:\n{}", key("a", "may_sign: [bake]"));
    for (text, why) in [
        (String::new(), "trust root"),
        ("version: 1\nkeys: []".into(), "line 2, column 7: 0 keys, expected 1 to 64"),
        ("version: 1\nkeys: {}".into(), "line 2"),
        ("version: 1\nkeys:\n  - name: a".into(), "missing field"),
        (first.replace("version: 1\n", ""), "missing field `version`"),
        (first.replace("version: 1", "version: 2"), "line 1, column 10: version is 2, expected 1"),
        (first.clone() + "more: 1\n", "line 6, column 1: unknown field"),
        (first.clone() + "    comment: x\n", "line 6, column 5: unknown field"),
        (first.clone() + "keys: []\n", "line 6, column 1: duplicate"),
        (first.replace("[bake]", "[]"), "line 5, column 15: `may_sign` of \"a\""),
        (first.replace("[bake]", "[bake, bake]"), "line 5, column 15: `may_sign` of \"a\""),
        (first.replace("[bake]", "[deploy]"), "line 5"),
        (first.clone() + "    services: []\n", "line 6, column 15: `services` of \"a\""),
        (first.clone() + "    services: [web, web]\n", "line 6, column 15: `services` of \"a\""),
        (first.replace("name: a", "name: ''"), "line 3, column 11: a key's name"),
        (
            first.clone() + "    not_after: tomorrow\n",
            "line 6, column 16: `not_after` of \"a\" is not an RFC 3339 time",
        ),
        (
            first.clone() + "    not_before: 2026-01-01\n",
            "line 6, column 17: `not_before` of \"a\" is not an RFC 3339 time",
        ),
        (
            first.clone() + "    not_before: 2026-01-02T00:00:00Z\n    not_after: 2026-01-02T00:00:00Z\n",
            "line 7, column 16: `not_after` of \"a\" is not later",
        ),
        (first.clone() + &second("a", &other), "line 6, column 11: the key \"a\" repeats the name of \"a\""),
        (
            first.clone() + &second("b", &pem()),
            "line 7, column 17: the key \"b\" repeats the public key of \"a\"",
        ),
        (first + &second("b", PEM), "line 7, column 17: the public key of \"b\" cannot be used"),
        (" ".repeat(MAX_TRUST_ROOT_BYTES + 1), "more than the 262144 that are read"),
    ] {
        let error = TrustRoot::parse(&text).unwrap_err().to_string();
        assert!(error.contains(why), "{text}\n{error}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

#[test]
fn an_error_about_a_key_does_not_quote_it() {
    let private = include_str!("../../../tests/golden/evidence/keys/p256-pkcs8.pem").replace('\n', "\\n");
    let text =
        format!("version: 1\nkeys:\n  - name: a\n    public_key: \"{private}\"\n    may_sign: [bake]\n");
    let error = TrustRoot::parse(&text).unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(text.contains("PRIVATE KEY") && !text.contains("MIGH"), "{text}");
}

#[test]
fn an_untrusted_key_and_a_wrong_signature_are_different_errors() {
    let case = Case::good();
    let trust = TrustRoot::parse(&case.trust_yaml()).unwrap();
    let made = statement(vec![image("eu-west-1").subject()], &case.drafts[0].link).unwrap();
    let by = |signer: usize| block_on(seal(&made, &case.signers[signer])).unwrap();
    assert_eq!(trust.open(&by(1)).unwrap().key.name, "tester");
    assert!(matches!(trust.open(&by(3)), Err(VerifyError::UntrustedKey { .. })));
    let mut other = case.drafts[0].link.clone();
    other.run.run_id = "other".into();
    let other = statement(vec![image("eu-west-1").subject()], &other).unwrap();
    let forged = Envelope::sealed(other.to_bytes().unwrap(), by(1).signatures()[0].clone());
    let error = trust.open(&forged).unwrap_err();
    assert!(matches!(&error, VerifyError::BadSignature { key } if key == "tester"), "{error}");
}

#[test]
fn the_error_about_a_missing_file_names_it() {
    let error = TrustRoot::from_file("no/such/trust.yaml".as_ref()).unwrap_err().to_string();
    assert_eq!(error, "the trust root no/such/trust.yaml cannot be read");
}
