//! The documented rules of Sign, Verify and their keys.

use super::*;

fn ask(world: &mut World, operation: &str, input: Value) -> Answer {
    let Value::Object(input) = input else { panic!("an input is an object") };
    let call = Call {
        service: "kms",
        operation: operation.into(),
        input,
        account: "111122223333".into(),
        region: "eu-west-1".into(),
        access_key: String::new(),
        now: world.now,
    };
    world.call(&call)
}

fn world() -> (World, String) {
    let mut world = World::new(Time(0), 1);
    let made =
        ask(&mut world, "CreateKey", json!({"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"})).unwrap();
    let arn = made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    ask(&mut world, "CreateAlias", json!({"AliasName": "alias/sign", "TargetKeyId": arn})).unwrap();
    (world, arn)
}

#[test]
fn a_signature_over_a_digest_is_that_over_its_message() {
    let (mut world, arn) = world();
    let digest = STANDARD.encode(Sha256::digest(b"hello"));
    let over = |kind: &str, message: String, key: &str| {
        json!({"KeyId": key, "Message": message, "MessageType": kind, "SigningAlgorithm": ALGORITHM})
    };
    let of_digest = ask(&mut world, "Sign", over("DIGEST", digest, "alias/sign")).unwrap();
    let of_message = ask(&mut world, "Sign", over("RAW", STANDARD.encode("hello"), &arn)).unwrap();
    // RFC 6979: equal digests have equal signatures.
    assert_eq!(of_digest, of_message);
    let mut check = over("RAW", STANDARD.encode("hello"), &arn);
    check["Signature"] = of_digest["Signature"].clone();
    assert_eq!(ask(&mut world, "Verify", check.clone()).unwrap()["SignatureValid"], true);
    check["Message"] = json!(STANDARD.encode("hellO"));
    assert_eq!(ask(&mut world, "Verify", check).unwrap_err().code, "KMSInvalidSignatureException");
}

#[test]
fn what_kms_refuses() {
    let (mut world, arn) = world();
    let good = json!({"KeyId": arn, "Message": STANDARD.encode([7; 32]), "MessageType": "DIGEST",
                      "SigningAlgorithm": ALGORITHM});
    for (member, value, code) in [
        ("KeyId", json!("alias/other"), "NotFoundException"),
        ("KeyId", json!("1234abcd-12ab-34cd-56ef-1234567890ab"), "NotFoundException"),
        ("Message", json!(STANDARD.encode([7; 31])), "ValidationException"),
        ("SigningAlgorithm", json!("RSASSA_PSS_SHA_256"), "InvalidKeyUsageException"),
        ("DryRun", json!(true), "DryRunOperationException"),
    ] {
        let mut input = good.clone();
        input[member] = value;
        assert_eq!(ask(&mut world, "Sign", input).unwrap_err().code, code, "{member}");
    }
    let again = json!({"AliasName": "alias/sign", "TargetKeyId": arn});
    assert_eq!(ask(&mut world, "CreateAlias", again).unwrap_err().code, "AlreadyExistsException");
    let unprefixed = json!({"AliasName": "sign", "TargetKeyId": arn});
    assert_eq!(ask(&mut world, "CreateAlias", unprefixed).unwrap_err().code, "InvalidAliasNameException");
}

#[test]
fn another_region_has_other_keys() {
    let (mut world, arn) = world();
    let mut call = Call {
        service: "kms",
        operation: "DescribeKey".into(),
        input: serde_json::Map::from_iter([("KeyId".to_owned(), json!(arn))]),
        account: "111122223333".into(),
        region: "us-east-1".into(),
        access_key: String::new(),
        now: Time(0),
    };
    assert_eq!(world.call(&call).unwrap_err().code, "NotFoundException");
    call.region = "eu-west-1".into();
    assert!(world.call(&call).is_ok());
}
