//! `Sign` and `Verify`: ECDSA over P-256 with SHA-256, signatures in DER.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::hazmat::{PrehashSigner as _, PrehashVerifier as _};
use p256::ecdsa::{DerSignature, SigningKey};
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::key::usable;
use super::validation;

/// The maximum size of a message or digest in bytes.
const MESSAGE_LIMIT: usize = 4096;
const ALGORITHM: &str = "ECDSA_SHA_256";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    key_id: String,
    message: String,
    message_type: Option<String>,
    signing_algorithm: String,
    signature: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

fn blob(member: &str, text: &str) -> Result<Vec<u8>, ApiError> {
    STANDARD.decode(text).map_err(|e| ApiError::new("SerializationException", format!("{member}: {e}")))
}

/// The digest to sign: that of the message, or the message itself if it is a digest.
fn digest(input: &Input) -> Result<[u8; 32], ApiError> {
    let message = blob("Message", &input.message)?;
    if message.is_empty() || message.len() > MESSAGE_LIMIT {
        return Err(validation(format!("Message has 1 to {MESSAGE_LIMIT} bytes, not {}", message.len())));
    }
    match input.message_type.as_deref().unwrap_or("RAW") {
        "RAW" => Ok(Sha256::digest(&message).into()),
        "DIGEST" => message
            .try_into()
            .map_err(|_| validation(format!("Digest is invalid length for algorithm {ALGORITHM}."))),
        other => Err(validation(format!("MessageType {other} is not for algorithm {ALGORITHM}"))),
    }
}

/// The key that a request names, with its ARN. It must be a signing key and support the algorithm.
fn signing_key<'w>(
    world: &'w World,
    call: &Call,
    input: &Input,
) -> Result<(&'w str, &'w SigningKey), ApiError> {
    let key = usable(world, call, &input.key_id)?;
    let Some(signing) = &key.signing else {
        let message =
            format!("{} key usage is ENCRYPT_DECRYPT which is not valid for {}.", key.arn, call.operation);
        return Err(ApiError::new("InvalidKeyUsageException", message));
    };
    if input.signing_algorithm != ALGORITHM {
        let message =
            format!("Algorithm {} is incompatible with key spec ECC_NIST_P256.", input.signing_algorithm);
        return Err(ApiError::new("InvalidKeyUsageException", message));
    }
    Ok((&key.arn, signing))
}

fn dry_run() -> ApiError {
    ApiError::new(
        "DryRunOperationException",
        "The request would have succeeded, but the DryRun option is set.",
    )
}

pub(super) fn sign(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let (arn, key) = signing_key(world, call, &input)?;
    let digest = digest(&input)?;
    if input.dry_run {
        return Err(dry_run());
    }
    let signature: DerSignature =
        key.sign_prehash(&digest).map_err(|e| ApiError::new("KMSInternalException", e.to_string()))?;
    Ok(json!({
        "KeyId": arn,
        "Signature": STANDARD.encode(signature.as_bytes()),
        "SigningAlgorithm": ALGORITHM,
    }))
}

/// `Verify`: an invalid signature is an error, never a response of `false`.
pub(super) fn verify(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let (arn, key) = signing_key(world, call, &input)?;
    let digest = digest(&input)?;
    let bytes = blob("Signature", input.signature.as_deref().unwrap_or_default())?;
    let fits = DerSignature::from_bytes(&bytes)
        .is_ok_and(|signature| key.verifying_key().verify_prehash(&digest, &signature).is_ok());
    if !fits {
        return Err(ApiError::new(
            "KMSInvalidSignatureException",
            "The signature does not match the message",
        ));
    }
    if input.dry_run {
        return Err(dry_run());
    }
    Ok(json!({ "KeyId": arn, "SignatureValid": true, "SigningAlgorithm": ALGORITHM }))
}
