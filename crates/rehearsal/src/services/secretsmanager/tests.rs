//! Tests of the documented rules of Secrets Manager.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::super::call::{ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;

const FIRST: &str = "11111111-1111-4111-8111-111111111111";
const SECOND: &str = "22222222-2222-4222-8222-222222222222";
const THIRD: &str = "33333333-3333-4333-8333-333333333333";

fn ask(world: &mut World, operation: &str, input: Value) -> Result<Value, ApiError> {
    let Value::Object(input) = input else { panic!("inputs are objects") };
    let call = Call {
        service: "secretsmanager",
        operation: operation.into(),
        input,
        account: "111122223333".into(),
        region: "eu-west-1".into(),
        access_key: "AKIATEST".into(),
        now: world.now,
    };
    world.call(&call)
}

fn put(w: &mut World, token: &str, text: &str) -> Result<Value, ApiError> {
    let input = json!({ "SecretId": "app/key", "ClientRequestToken": token, "SecretString": text });
    ask(w, "PutSecretValue", input)
}

/// A world with the secret `app/key`: FIRST is previous, SECOND is current.
fn world() -> World {
    let mut w = World::new(Time(1_700_000_000_000), 2);
    let input = json!({ "Name": "app/key", "ClientRequestToken": FIRST, "SecretString": "one" });
    ask(&mut w, "CreateSecret", input).unwrap();
    put(&mut w, SECOND, "two").unwrap();
    w
}

fn value(w: &mut World, more: &Value) -> Result<String, String> {
    let mut input = json!({ "SecretId": "app/key" });
    input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    match ask(w, "GetSecretValue", input) {
        Ok(answer) => Ok(answer["SecretString"].as_str().unwrap().to_owned()),
        Err(refused) => Err(refused.code),
    }
}

fn stages(w: &mut World) -> Value {
    ask(w, "DescribeSecret", json!({ "SecretId": "app/key" })).unwrap()["VersionIdsToStages"].clone()
}

#[test]
fn a_version_and_a_stage_must_agree() {
    for (more, expected) in [
        (json!({}), Ok("two")),
        (json!({ "VersionStage": "AWSPREVIOUS" }), Ok("one")),
        (json!({ "VersionId": FIRST }), Ok("one")),
        (json!({ "VersionId": FIRST, "VersionStage": "AWSPREVIOUS" }), Ok("one")),
        (json!({ "VersionId": FIRST, "VersionStage": "AWSCURRENT" }), Err("InvalidRequestException")),
        (json!({ "VersionId": THIRD }), Err("ResourceNotFoundException")),
        (json!({ "VersionStage": "NONE" }), Err("ResourceNotFoundException")),
    ] {
        let found = value(&mut world(), &more);
        assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{more}");
    }
}

#[test]
fn a_client_token_is_bound_to_one_value() {
    let mut w = world();
    put(&mut w, THIRD, "three").unwrap();
    put(&mut w, SECOND, "two").unwrap();
    assert_eq!(value(&mut w, &json!({})), Ok("three".into()), "an old token moves no label");
    assert_eq!(put(&mut w, SECOND, "other").unwrap_err().code, "ResourceExistsException");
    assert_eq!(stages(&mut w), json!({ SECOND: ["AWSPREVIOUS"], THIRD: ["AWSCURRENT"] }));
}

#[test]
fn moving_a_label_requires_its_current_version() {
    let go = |w: &mut World, label: &str, from: Option<&str>, to: Option<&str>| {
        let mut input = json!({ "SecretId": "app/key", "VersionStage": label });
        if let Some(from) = from {
            input["RemoveFromVersionId"] = from.into();
        }
        if let Some(to) = to {
            input["MoveToVersionId"] = to.into();
        }
        ask(w, "UpdateSecretVersionStage", input).map_err(|refused| refused.code)
    };
    let mut w = world();
    let invalid = Err("InvalidParameterException".to_owned());
    assert_eq!(go(&mut w, "AWSCURRENT", None, Some(FIRST)), invalid, "it is elsewhere");
    assert_eq!(go(&mut w, "AWSCURRENT", Some(FIRST), Some(FIRST)), invalid, "it is not there");
    assert_eq!(go(&mut w, "AWSCURRENT", Some(SECOND), None), invalid, "one version is always current");
    assert_eq!(go(&mut w, "LIVE", None, Some(THIRD)), Err("ResourceNotFoundException".to_owned()));
    go(&mut w, "AWSCURRENT", Some(SECOND), Some(FIRST)).unwrap();
    assert_eq!(stages(&mut w), json!({ FIRST: ["AWSCURRENT"], SECOND: ["AWSPREVIOUS"] }));
    go(&mut w, "LIVE", None, Some(SECOND)).unwrap();
    assert_eq!(value(&mut w, &json!({ "VersionStage": "LIVE" })), Ok("two".into()));
    go(&mut w, "LIVE", Some(SECOND), None).unwrap();
    assert_eq!(value(&mut w, &json!({ "VersionStage": "LIVE" })), Err("ResourceNotFoundException".into()));
}

#[test]
fn secrets_are_found_by_name_arn_and_partial_arn() {
    let mut w = world();
    let arn = ask(&mut w, "DescribeSecret", json!({ "SecretId": "app/key" })).unwrap()["ARN"].clone();
    let arn = arn.as_str().unwrap();
    let (partial, suffix) = arn.rsplit_once('-').unwrap();
    assert_eq!(suffix.len(), 6);
    for id in ["app/key", arn, partial] {
        let shown = ask(&mut w, "GetSecretValue", json!({ "SecretId": id })).unwrap();
        assert_eq!(shown["VersionId"], SECOND);
    }
    let none = ask(&mut w, "GetSecretValue", json!({ "SecretId": "app/none" })).unwrap_err();
    assert_eq!(none.code, "ResourceNotFoundException");
}

#[test]
fn a_deleted_secret_can_be_restored_in_its_recovery_window() {
    let mut w = world();
    let by_name = json!({ "SecretId": "app/key" });
    ask(&mut w, "DeleteSecret", json!({ "SecretId": "app/key", "RecoveryWindowInDays": 7 })).unwrap();
    assert_eq!(value(&mut w, &json!({})), Err("InvalidRequestException".into()));
    let again = ask(&mut w, "CreateSecret", json!({ "Name": "app/key", "SecretString": "x" })).unwrap_err();
    assert_eq!(again.code, "InvalidRequestException");
    assert!(ask(&mut w, "ListSecrets", json!({})).unwrap()["SecretList"].as_array().unwrap().is_empty());
    ask(&mut w, "RestoreSecret", by_name.clone()).unwrap();
    assert_eq!(value(&mut w, &json!({})), Ok("two".into()));
    ask(&mut w, "DeleteSecret", json!({ "SecretId": "app/key", "RecoveryWindowInDays": 7 })).unwrap();
    w.advance(w.now + Duration::from_hours(7 * 24));
    assert_eq!(ask(&mut w, "DescribeSecret", by_name).unwrap_err().code, "ResourceNotFoundException");
}

#[test]
fn invalid_requests_are_rejected() {
    for (operation, input, code) in [
        ("CreateSecret", json!({ "Name": "app/key", "SecretString": "x" }), "ResourceExistsException"),
        (
            "CreateSecret",
            json!({ "Name": "new", "SecretString": "x", "SecretBinary": "eA==" }),
            "InvalidParameterException",
        ),
        ("PutSecretValue", json!({ "SecretId": "app/key" }), "InvalidParameterException"),
        ("PutSecretValue", json!({ "SecretId": "none", "SecretString": "x" }), "ResourceNotFoundException"),
        (
            "DeleteSecret",
            json!({ "SecretId": "app/key", "RecoveryWindowInDays": 6 }),
            "InvalidParameterException",
        ),
        (
            "DeleteSecret",
            json!({ "SecretId": "app/key", "RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": true }),
            "InvalidParameterException",
        ),
    ] {
        assert_eq!(ask(&mut world(), operation, input.clone()).unwrap_err().code, code, "{input}");
    }
}

#[test]
fn lists_have_no_values_and_omit_unlabeled_versions() {
    let mut w = world();
    put(&mut w, THIRD, "three").unwrap();
    let names = |answer: &Value| answer["Versions"].as_array().unwrap().len();
    let by_name = json!({ "SecretId": "app/key" });
    assert_eq!(names(&ask(&mut w, "ListSecretVersionIds", by_name).unwrap()), 2);
    let all = json!({ "SecretId": "app/key", "IncludeDeprecated": true });
    assert_eq!(names(&ask(&mut w, "ListSecretVersionIds", all).unwrap()), 3);
    let listed =
        ask(&mut w, "ListSecrets", json!({ "Filters": [{ "Key": "name", "Values": ["app/"] }] })).unwrap();
    assert_eq!(listed["SecretList"].as_array().unwrap().len(), 1);
    assert!(!listed.to_string().contains("three"));
    assert!(!format!("{w:?}").contains("three"), "the debug output of a world has no secrets");
    let none =
        ask(&mut w, "ListSecrets", json!({ "Filters": [{ "Key": "name", "Values": ["web"] }] })).unwrap();
    assert!(none["SecretList"].as_array().unwrap().is_empty());
}
