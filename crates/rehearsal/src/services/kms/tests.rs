//! Tests of the documented rules of KMS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::ecdsa::{DerSignature, VerifyingKey};
use p256::pkcs8::DecodePublicKey as _;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::super::call::{ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;

fn ask(world: &mut World, operation: &str, input: Value) -> Result<Value, ApiError> {
    let Value::Object(input) = input else { panic!("inputs are objects") };
    let call = Call {
        service: "kms",
        operation: operation.into(),
        input,
        account: "111122223333".into(),
        region: "eu-west-1".into(),
        access_key: "AKIATEST".into(),
        now: world.now,
    };
    world.call(&call)
}

/// A world with one signing key, and the key's ARN.
fn world() -> (World, String) {
    let mut w = World::new(Time(1_700_000_000_000), 9);
    let input = json!({ "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY" });
    let made = ask(&mut w, "CreateKey", input).unwrap();
    let arn = made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    (w, arn)
}

fn request(key: &str, message: &[u8], kind: &str) -> Value {
    json!({ "KeyId": key, "Message": STANDARD.encode(message), "MessageType": kind,
        "SigningAlgorithm": "ECDSA_SHA_256" })
}

fn sign(w: &mut World, key: &str, message: &[u8], kind: &str) -> Result<Vec<u8>, ApiError> {
    let answer = ask(w, "Sign", request(key, message, kind))?;
    assert_eq!(answer["KeyId"], key);
    Ok(STANDARD.decode(answer["Signature"].as_str().unwrap()).unwrap())
}

fn public_key(w: &mut World, key: &str) -> VerifyingKey {
    let answer = ask(w, "GetPublicKey", json!({ "KeyId": key })).unwrap();
    let der = STANDARD.decode(answer["PublicKey"].as_str().unwrap()).unwrap();
    VerifyingKey::from_public_key_der(&der).unwrap()
}

#[test]
fn signatures_are_der_and_match_the_public_key() {
    let (mut w, key) = world();
    let public = public_key(&mut w, &key);
    let digest = Sha256::digest(b"message");
    let raw = sign(&mut w, &key, b"message", "RAW").unwrap();
    public.verify(b"message", &DerSignature::from_bytes(&raw).unwrap()).unwrap();
    let over_digest = sign(&mut w, &key, &digest, "DIGEST").unwrap();
    public.verify_prehash(&digest, &DerSignature::from_bytes(&over_digest).unwrap()).unwrap();
    assert_eq!(raw, over_digest, "RFC 6979: one key and digest have one signature");
    assert!(public.verify(b"other", &DerSignature::from_bytes(&raw).unwrap()).is_err());
}

#[test]
fn the_same_seed_gives_the_same_keys() {
    let ((mut a, key), (mut b, again)) = (world(), world());
    assert_eq!(key, again);
    assert_eq!(public_key(&mut a, &key), public_key(&mut b, &key));
    let mut other = World::new(Time(0), 10);
    let input = json!({ "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY" });
    let made = ask(&mut other, "CreateKey", input).unwrap();
    let other_key = made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned();
    assert_ne!(public_key(&mut a, &key), public_key(&mut other, &other_key));
}

#[test]
fn messages_and_digests_of_invalid_length_are_rejected() {
    let (mut w, key) = world();
    for (length, kind, fits) in [
        (1, "RAW", true),
        (4096, "RAW", true),
        (4097, "RAW", false),
        (0, "RAW", false),
        (32, "DIGEST", true),
        (31, "DIGEST", false),
        (48, "DIGEST", false),
        (64, "EXTERNAL_MU", false),
    ] {
        let answer = sign(&mut w, &key, &vec![7; length], kind).map_err(|refused| refused.code);
        assert_eq!(answer.is_ok(), fits, "{length} {kind}");
        if let Err(code) = answer {
            assert_eq!(code, "ValidationException");
        }
    }
}

#[test]
fn an_invalid_signature_is_an_error() {
    let (mut w, key) = world();
    let good = sign(&mut w, &key, b"message", "RAW").unwrap();
    let mut bent = good.clone();
    *bent.last_mut().unwrap() ^= 1;
    for (message, signature, valid) in [
        (b"message".as_slice(), good.as_slice(), true),
        (b"other", &good, false),
        (b"message", &bent, false),
        (b"message", b"not a signature", false),
    ] {
        let mut input = request(&key, message, "RAW");
        input["Signature"] = STANDARD.encode(signature).into();
        match ask(&mut w, "Verify", input) {
            Ok(answer) => assert!(valid && answer["SignatureValid"] == true),
            Err(refused) => {
                assert_eq!((refused.code.as_str(), valid), ("KMSInvalidSignatureException", false));
            }
        }
    }
}

#[test]
fn keys_are_found_by_id_arn_and_alias() {
    let (mut w, arn) = world();
    let id = arn.rsplit('/').next().unwrap().to_owned();
    ask(&mut w, "CreateAlias", json!({ "AliasName": "alias/release", "TargetKeyId": id })).unwrap();
    for name in
        [id.as_str(), arn.as_str(), "alias/release", "arn:aws:kms:eu-west-1:111122223333:alias/release"]
    {
        let shown = ask(&mut w, "DescribeKey", json!({ "KeyId": name })).unwrap();
        assert_eq!(shown["KeyMetadata"]["Arn"], arn.as_str(), "{name}");
    }
    for name in ["alias/none", "none", "arn:aws:kms:us-east-1:111122223333:alias/release"] {
        let refused = ask(&mut w, "DescribeKey", json!({ "KeyId": name })).unwrap_err();
        assert_eq!(refused.code, "NotFoundException", "{name}");
    }
}

#[test]
fn aliases_are_created_updated_and_deleted() {
    let (mut w, first) = world();
    let input = json!({ "KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY" });
    let second = ask(&mut w, "CreateKey", input).unwrap()["KeyMetadata"]["Arn"].clone();
    let alias = |key: &Value| json!({ "AliasName": "alias/a", "TargetKeyId": key });
    ask(&mut w, "CreateAlias", alias(&json!(first))).unwrap();
    let twice = ask(&mut w, "CreateAlias", alias(&json!(first))).unwrap_err();
    assert_eq!(twice.code, "AlreadyExistsException");
    ask(&mut w, "UpdateAlias", alias(&second)).unwrap();
    let listed = ask(&mut w, "ListAliases", json!({ "KeyId": second })).unwrap();
    assert_eq!(listed["Aliases"][0]["AliasName"], "alias/a");
    ask(&mut w, "DeleteAlias", json!({ "AliasName": "alias/a" })).unwrap();
    let gone = ask(&mut w, "DeleteAlias", json!({ "AliasName": "alias/a" })).unwrap_err();
    assert_eq!(gone.code, "NotFoundException");
    for name in ["release", "alias/", "alias/aws/s3", "alias/no space"] {
        let input = json!({ "AliasName": name, "TargetKeyId": first });
        let refused = ask(&mut w, "CreateAlias", input).unwrap_err();
        assert_eq!(refused.code, "InvalidAliasNameException", "{name}");
    }
}

#[test]
fn the_key_usage_limits_the_operations() {
    let (mut w, key) = world();
    let symmetric = ask(&mut w, "CreateKey", json!({})).unwrap()["KeyMetadata"]["KeyId"].clone();
    let refused = sign(&mut w, symmetric.as_str().unwrap(), b"m", "RAW").unwrap_err();
    assert_eq!(refused.code, "InvalidKeyUsageException");
    let mut other = request(&key, b"m", "RAW");
    other["SigningAlgorithm"] = json!("ECDSA_SHA_384");
    assert_eq!(ask(&mut w, "Sign", other).unwrap_err().code, "InvalidKeyUsageException");
    let mut dry = request(&key, b"m", "RAW");
    dry["DryRun"] = json!(true);
    assert_eq!(ask(&mut w, "Sign", dry).unwrap_err().code, "DryRunOperationException");
    ask(&mut w, "DisableKey", json!({ "KeyId": key })).unwrap();
    assert_eq!(sign(&mut w, &key, b"m", "RAW").unwrap_err().code, "DisabledException");
    ask(&mut w, "EnableKey", json!({ "KeyId": key })).unwrap();
    assert!(sign(&mut w, &key, b"m", "RAW").is_ok());
    let odd = json!({ "KeySpec": "ECC_NIST_P256", "KeyUsage": "ENCRYPT_DECRYPT" });
    assert_eq!(ask(&mut w, "CreateKey", odd).unwrap_err().code, "ValidationException");
}
