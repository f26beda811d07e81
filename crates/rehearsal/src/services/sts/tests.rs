use serde_json::{Value, json};

use super::super::super::call::{ApiError, Call};
use super::*;

fn world() -> World {
    World::new(Time(1_700_000_000_000), 7)
}

fn ask(world: &mut World, access_key: &str, operation: &str, input: Value) -> Result<Value, ApiError> {
    let Value::Object(input) = input else { unreachable!("inputs are objects") };
    let call = Call {
        service: "sts",
        operation: operation.into(),
        input,
        account: "111122223333".into(),
        region: "eu-west-1".into(),
        access_key: access_key.into(),
        now: world.now,
    };
    world.call(&call)
}

#[test]
fn an_assumed_role_is_the_principal_of_its_key() {
    let mut w = world();
    let role = "arn:aws:iam::444455556666:role/path/Deployer";
    let answer =
        ask(&mut w, "any", "AssumeRole", json!({ "RoleArn": role, "RoleSessionName": "me" })).unwrap();
    let key = answer["Credentials"]["AccessKeyId"].as_str().unwrap().to_owned();
    assert!(key.starts_with("ASIA") && key.len() == 20);
    let who = ask(&mut w, &key, "GetCallerIdentity", json!({})).unwrap();
    assert_eq!(who["Account"], "444455556666");
    assert_eq!(who["Arn"], "arn:aws:sts::444455556666:assumed-role/Deployer/me");
    assert_eq!(who["UserId"], answer["AssumedRoleUser"]["AssumedRoleId"]);
}

#[test]
fn temporary_keys_expire_and_long_term_keys_do_not() {
    let mut w = world();
    let short = issue(&mut w, "1", "arn:aws:sts::1:assumed-role/a/b", Duration::from_mins(15));
    let long = issue_long_term(&mut w, "1", "arn:aws:iam::1:user/c");
    w.advance(w.now + Duration::from_secs(899));
    assert!(ask(&mut w, &short.access_key_id, "GetCallerIdentity", json!({})).is_ok());
    w.advance(w.now + Duration::from_secs(1));
    let refused = ask(&mut w, &short.access_key_id, "GetCallerIdentity", json!({})).unwrap_err();
    assert_eq!((refused.code.as_str(), refused.status), ("ExpiredToken", Some(403)));
    assert!(ask(&mut w, &long.access_key_id, "GetCallerIdentity", json!({})).is_ok());
    assert_eq!(
        ask(&mut w, "AKIANOBODY", "GetCallerIdentity", json!({})).unwrap_err().code,
        "InvalidClientTokenId"
    );
}

#[test]
fn a_secret_is_not_printed() {
    let mut w = world();
    let keys = issue(&mut w, "1", "arn:aws:sts::1:assumed-role/a/b", Duration::from_mins(15));
    assert!(!format!("{w:?}").contains(&keys.secret_access_key));
    assert!(!format!("{w:?}").contains(keys.session_token.as_deref().unwrap()));
}

#[test]
fn a_seeded_role_can_be_assumed_only_by_the_principal_of_its_trust_policy() {
    let mut w = world();
    let role = "arn:aws:iam::444455556666:role/target";
    let worker = "arn:aws:iam::111122223333:role/worker";
    place_role(&mut w, role, Trust { principal: worker.into(), external_id: Some("seven".into()) });
    let good = issue_long_term(&mut w, "111122223333", worker).access_key_id;
    let other = issue_long_term(&mut w, "111122223333", "arn:aws:iam::111122223333:role/other").access_key_id;
    let session =
        issue(&mut w, "111122223333", "arn:aws:sts::111122223333:assumed-role/a/b", Duration::from_mins(15));
    let mut assume = |key: &str, role: &str, id: Option<&str>, seconds: u64| {
        let mut input = json!({"RoleArn": role, "RoleSessionName": "me", "DurationSeconds": seconds});
        if let Some(id) = id {
            input["ExternalId"] = id.into();
        }
        ask(&mut w, key, "AssumeRole", input).map(drop).map_err(|refused| refused.code)
    };
    assert_eq!(assume(&good, role, Some("seven"), 3600), Ok(()));
    let denied = Err("AccessDenied".to_owned());
    assert_eq!(assume(&good, role, None, 3600), denied);
    assert_eq!(assume(&good, role, Some("eight"), 3600), denied);
    assert_eq!(assume(&other, role, Some("seven"), 3600), denied);
    assert_eq!(assume(&good, "arn:aws:iam::444455556666:role/missing", Some("seven"), 3600), denied);
    // An account without seeded roles accepts any role, but a chained session lasts at most an hour.
    let elsewhere = "arn:aws:iam::777788889999:role/any";
    assert_eq!(assume(&session.access_key_id, elsewhere, None, 3600), Ok(()));
    assert_eq!(assume(&session.access_key_id, elsewhere, None, 7200), Err("ValidationError".to_owned()));
}
