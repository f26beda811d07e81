use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn token(state: Value) -> Token<Value> {
    Token {
        v: VERSION,
        execution: "a-1".into(),
        started: Timestamp(1_000),
        not_before: Timestamp(1_030),
        deadline: Timestamp(8_200),
        slices: 3,
        faults: 1,
        environment: None,
        state,
    }
}

#[test]
fn a_token_is_plain_json() {
    assert_eq!(
        token(json!({"at": "building", "image": "x"})).encode().unwrap(),
        r#"{"v":2,"execution":"a-1","started":1000,"not_before":1030,"deadline":8200,"slices":3,"faults":1,"state":{"at":"building","image":"x"}}"#
    );
}

#[test]
fn a_token_above_the_limit_is_an_error_and_never_truncated() {
    let overhead = token(json!("")).encode().unwrap().len();
    let longest = token(json!("x".repeat(2048 - overhead)));
    assert_eq!(longest.encode().unwrap().len(), 2048);
    assert_eq!(Token::<Value>::decode(&longest.encode().unwrap(), "a-1").unwrap(), longest);
    let longer = token(json!("x".repeat(2049 - overhead)));
    assert!(matches!(longer.encode(), Err(TokenError::TooLong { length: 2049 })));
}

#[test]
fn a_foreign_token_is_refused_with_the_reason() {
    let good = token(json!(null)).encode().unwrap();
    for (raw, of, message) in [
        (good.clone(), "a-2", "the continuation token belongs to action execution a-1, the job to a-2"),
        (
            good.replace("\"v\":2", "\"v\":1"),
            "a-1",
            "the continuation token has version 1; this build reads version 2",
        ),
        (
            good.replace("\"v\":2", "\"v\":3"),
            "a-1",
            "the continuation token has version 3; this build reads version 2",
        ),
        (" ".repeat(2049), "a-1", "the continuation token has 2049 bytes; CodePipeline accepts at most 2048"),
    ] {
        assert_eq!(Token::<Value>::decode(&raw, of).unwrap_err().to_string(), message);
    }
    for raw in [
        "",
        "{",
        "[]",
        "null",
        "arn:aws:states:::execution",
        &good[..good.len() - 1],
        &good.replace("slices", "slides"),
    ] {
        let error = Token::<Value>::decode(raw, "a-1").unwrap_err().to_string();
        assert!(
            error.starts_with("the continuation token is not a token of bakeline (byte "),
            "{raw}: {error}"
        );
    }
}

proptest! {
    #[test]
    fn decoding_never_panics(raw in ".{0,200}") {
        let _ = Token::<Value>::decode(&raw, "a-1");
    }

    #[test]
    fn decoding_restores_the_encoded_token(execution in "[a-z0-9-]{1,40}", started in 0i64..4_000_000_000, faults: u16, state in "[ -~]{0,400}") {
        let token = Token { execution: execution.clone(), started: Timestamp(started), faults, ..token(json!(state)) };
        prop_assert_eq!(Token::decode(&token.encode().unwrap(), &execution).unwrap(), token);
    }
}

#[test]
fn a_token_of_a_newer_version_is_told_from_one_that_is_none() {
    let good = token(json!(null)).encode().unwrap();
    for (raw, version) in [
        (good.replace("\"v\":2", "\"v\":3"), Some(3)),
        (r#"{"v":7,"execution":"a-1","anything":[]}"#.to_owned(), Some(7)),
        (good.clone(), None),
        (good.replace("\"v\":2", "\"v\":1"), None),
        (good.replace("\"v\":2", "\"v\":18446744073709551615"), None),
        (good.replace("\"v\":2", "\"v\":\"3\""), None),
        (format!("{}{}", good.replace("\"v\":2", "\"v\":3"), " ".repeat(2048)), None),
        (String::new(), None),
    ] {
        assert_eq!(newer_version(&raw), version, "{raw}");
    }
}
