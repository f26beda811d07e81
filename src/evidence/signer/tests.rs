use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::testing::{Case, golden_signer, image, new_signer, statement};
use super::*;

const KEYS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/evidence/keys");
const PKCS8: &str = include_str!("../../../tests/golden/evidence/keys/p256-pkcs8.pem");
const KEY_ID: &str = "9567cfa2e69acfad1d4e041789a58fcd64c17dc578ab6f9919bc1d927b94adbf";
const KEY_ARN: &str = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

type Answer = Arc<dyn Fn(&str, Value) -> (u16, Value) + Send + Sync>;

/// AWS, as a function from operation and input to status and output.
#[derive(Clone)]
struct Scripted(Answer);

impl std::fmt::Debug for Scripted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scripted")
    }
}

impl HttpConnector for Scripted {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let operation = request.headers().get("x-amz-target").unwrap().split('.').next_back().unwrap();
        let input = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let (status, output) = (self.0)(operation, input);
        HttpConnectorFuture::ready(Ok(HttpResponse::new(
            status.try_into().unwrap(),
            SdkBody::from(output.to_string()),
        )))
    }
}

fn scripted(answer: impl Fn(&str, Value) -> (u16, Value) + Send + Sync + 'static) -> SharedHttpClient {
    let connector = SharedHttpConnector::new(Scripted(Arc::new(answer)));
    http_client_fn(move |_, _| connector.clone())
}

fn kms(answer: impl Fn(&str, Value) -> (u16, Value) + Send + Sync + 'static) -> aws_sdk_kms::Client {
    aws_sdk_kms::Client::from_conf(
        aws_sdk_kms::Config::builder()
            .behavior_version(aws_sdk_kms::config::BehaviorVersion::latest())
            .region(aws_sdk_kms::config::Region::new("eu-west-1"))
            .credentials_provider(aws_sdk_kms::config::Credentials::new("a", "b", None, None, "test"))
            .retry_config(aws_sdk_kms::config::retry::RetryConfig::disabled())
            .http_client(scripted(answer))
            .build(),
    )
}

fn secrets(
    answer: impl Fn(&str, Value) -> (u16, Value) + Send + Sync + 'static,
) -> aws_sdk_secretsmanager::Client {
    use aws_sdk_secretsmanager::config::{BehaviorVersion, Credentials, Region};
    aws_sdk_secretsmanager::Client::from_conf(
        aws_sdk_secretsmanager::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .retry_config(aws_sdk_secretsmanager::config::retry::RetryConfig::disabled())
            .http_client(scripted(answer))
            .build(),
    )
}

/// `GetPublicKey`'s answer for a local key.
fn public_key(of: &Signer) -> Value {
    let pem = of.public_key().to_pem();
    let (_, der) = pem_rfc7468::decode_vec(pem.as_bytes()).unwrap();
    json!({
        "KeyId": KEY_ARN, "KeyUsage": "SIGN_VERIFY", "KeySpec": "ECC_NIST_P256",
        "PublicKey": STANDARD.encode(der), "SigningAlgorithms": ["ECDSA_SHA_256"],
    })
}

#[tokio::test]
async fn every_pem_form_of_a_key_gives_the_same_signer() {
    let sec1 = std::fs::read_to_string(format!("{KEYS}/p256-sec1.pem")).unwrap();
    let bare = sec1.split_once("-----END EC PARAMETERS-----\n").unwrap().1.to_owned();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Signer::from_file(&path).unwrap()
    };
    let signers = [
        Signer::from_pem(&PKCS8.into()).unwrap(),
        Signer::from_pem(&bare.clone().into()).unwrap(),
        file("pkcs8", PKCS8),
        file("sec1", &sec1),
        file("crlf", &bare.replace('\n', "\r\n")),
        file("blank", &format!("\n{bare}\n\n")),
    ];
    for signer in signers {
        assert_eq!(signer.public_key().id(), KEY_ID);
        let signature = signer.sign(b"message").await.unwrap();
        assert!(golden_signer().public_key().verifies(b"message", &signature));
        assert!(!golden_signer().public_key().verifies(b"Message", &signature));
    }
}

#[test]
fn an_unusable_private_key_is_refused_and_never_quoted() {
    let read = |name: &str| std::fs::read_to_string(format!("{KEYS}/{name}.pem")).unwrap();
    for (pem, why) in [
        (read("ed25519"), "another algorithm or curve"),
        (read("p384"), "another algorithm or curve"),
        (read("secp256k1"), "another algorithm or curve"),
        (read("p256-encrypted"), "it is encrypted"),
        (read("p256-public"), "expected a block `PRIVATE KEY`"),
        (PKCS8.replace("MIGH", "MIGI"), "another algorithm or curve, or is damaged"),
        (PKCS8.replace("MIGH", "M*GH"), "the PEM is malformed"),
        (PKCS8.replace("-----END", "-----ENT"), "the PEM is malformed"),
        ("MIGHplanted".into(), "expected a block `PRIVATE KEY`"),
        (String::new(), "expected a block `PRIVATE KEY`"),
    ] {
        let error = Signer::from_pem(&pem.clone().into()).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains(why), "{told}");
        for line in pem.lines().filter(|line| line.len() > 10 && !line.starts_with("-----")) {
            assert!(!told.contains(line), "{told}");
        }
    }
}

#[test]
fn the_error_about_a_key_file_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("long.pem");
    std::fs::write(&long, " ".repeat(16 * 1024 + 1)).unwrap();
    for (path, why) in
        [(folder.path().join("none.pem"), "none.pem cannot be read"), (long, "long.pem is longer")]
    {
        let error = Signer::from_file(&path).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn a_secret_signs_and_an_unusable_one_is_named_but_not_quoted() {
    let client = |secret: Value| {
        secrets(move |operation, input| {
            assert_eq!((operation, input), ("GetSecretValue", json!({ "SecretId": "release-key" })));
            (200, secret.clone())
        })
    };
    let signer = Signer::from_secret(&client(json!({ "SecretString": PKCS8 })), "release-key").await.unwrap();
    assert_eq!(signer.public_key().id(), KEY_ID);
    assert_eq!(signer.name(), "the secret release-key");
    for (secret, why) in [
        (json!({ "SecretString": "planted" }), "expected a block"),
        (json!({ "SecretBinary": STANDARD.encode("planted") }), "it has no string"),
    ] {
        let error = Signer::from_secret(&client(secret), "release-key").await.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains("the secret release-key") && told.contains(why), "{told}");
        assert!(!told.contains("planted"), "{told}");
    }
    let denied = secrets(|_, _| (400, json!({ "__type": "AccessDeniedException", "message": "no" })));
    let error = Signer::from_secret(&denied, "release-key").await.unwrap_err();
    assert_eq!(error.to_string(), "the secret release-key cannot be read");
}

#[tokio::test]
async fn kms_signs_the_digest_and_the_signature_verifies() {
    let behind = Arc::new(new_signer());
    let calls = Arc::new(Mutex::new(Vec::new()));
    let client = {
        let (behind, calls) = (Arc::clone(&behind), Arc::clone(&calls));
        kms(move |operation, input| {
            calls.lock().unwrap().push(operation.to_owned());
            if operation == "GetPublicKey" {
                assert_eq!(input["KeyId"], "alias/release");
                return (200, public_key(&behind));
            }
            assert_eq!(operation, "Sign");
            assert_eq!(input["KeyId"], KEY_ARN, "the key behind the alias when it was looked up");
            assert_eq!(input["MessageType"], "DIGEST");
            assert_eq!(input["SigningAlgorithm"], "ECDSA_SHA_256");
            let message = STANDARD.decode(input["Message"].as_str().unwrap()).unwrap();
            assert_eq!(message.len(), 32);
            let Signer::Local(local) = &*behind else { unreachable!("made as a local signer") };
            (200, json!({ "KeyId": KEY_ARN, "Signature": STANDARD.encode(local.sign_digest(&message)) }))
        })
    };
    let signer = Signer::kms(&client, "alias/release").await.unwrap();
    assert_eq!(signer.public_key(), behind.public_key());
    assert_eq!(signer.name(), KEY_ARN);
    // A statement longer than the 4096 bytes KMS takes as a raw message.
    let mut link = Case::good().drafts.remove(0).link;
    link.files.extend((0..100).map(|n| (format!("file-{n}"), crate::evidence::Sha256::of(b""))));
    let said = statement(vec![image("eu-west-1").subject()], &link).unwrap();
    let envelope = seal(&said, &signer).await.unwrap();
    assert!(envelope.encode().len() > 4096);
    assert!(envelope.verified_by(behind.public_key()).is_some());
    assert_eq!(*calls.lock().unwrap(), ["GetPublicKey", "Sign"]);
}

#[tokio::test]
async fn a_kms_key_with_another_usage_or_spec_is_refused() {
    let good = public_key(&golden_signer());
    for (member, value, why) in [
        ("KeyUsage", json!("ENCRYPT_DECRYPT"), "has KeyUsage ENCRYPT_DECRYPT, expected SIGN_VERIFY"),
        ("KeyUsage", Value::Null, "has KeyUsage none"),
        ("KeySpec", json!("RSA_2048"), "has KeySpec RSA_2048, expected ECC_NIST_P256"),
        ("KeySpec", json!("ECC_SECG_P256K1"), "has KeySpec ECC_SECG_P256K1"),
        ("PublicKey", json!("AQ=="), "KMS returned no usable public key for alias/release"),
        ("PublicKey", Value::Null, "KMS returned no usable public key for alias/release"),
    ] {
        let mut answer = good.clone();
        answer[member] = value;
        let error = Signer::kms(&kms(move |_, _| (200, answer.clone())), "alias/release").await.unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let missing = kms(|_, _| (400, json!({ "__type": "NotFoundException" })));
    let error = Signer::kms(&missing, "alias/release").await.unwrap_err();
    assert!(matches!(error, SignError::GetPublicKey { .. }), "{error}");
}

#[tokio::test]
async fn a_signature_that_does_not_verify_is_an_error() {
    for signature in [json!(""), json!("AQ=="), Value::Null] {
        let client = kms(move |operation, _| match operation {
            "GetPublicKey" => (200, public_key(&golden_signer())),
            _ => (200, json!({ "Signature": signature })),
        });
        let signer = Signer::kms(&client, "alias/release").await.unwrap();
        let error = signer.sign(b"message").await.unwrap_err();
        assert!(matches!(error, SignError::DoesNotVerify { .. }), "{error}");
    }
    let denied = kms(|operation, _| match operation {
        "GetPublicKey" => (200, public_key(&golden_signer())),
        _ => (400, json!({ "__type": "AccessDeniedException" })),
    });
    let error = Signer::kms(&denied, "alias/release").await.unwrap().sign(b"message").await.unwrap_err();
    assert_eq!(error.to_string(), format!("KMS did not sign with {KEY_ARN}"));
}

#[tokio::test]
async fn the_debug_output_of_a_signer_has_no_private_key() {
    let Signer::Local(local) = golden_signer() else { unreachable!("made as a local signer") };
    let kms_signer = Signer::kms(&kms(|_, _| (200, public_key(&golden_signer()))), KEY_ARN).await.unwrap();
    // The first bytes of the private scalar, as the ways of printing bytes would show them.
    let scalar = ["854dbed3", "hU2+09wY", "133, 77, 190"];
    for printed in [format!("{local:?}"), format!("{local:#?}"), format!("{kms_signer:?}")] {
        assert!(printed.contains(KEY_ID), "{printed}");
        assert!(!scalar.iter().any(|form| printed.contains(form)), "{printed}");
    }
}
