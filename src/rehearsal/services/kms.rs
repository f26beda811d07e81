//! Key Management Service: asymmetric signing keys, with real P-256 signatures.
//!
//! Keys follow from the world's ids and signatures from RFC 6979, so that one rehearsal signs the same bytes twice.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
use p256::pkcs8::EncodePublicKey;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::call::{Answer, ApiError, Call};
use super::super::time::Time;
use super::super::world::World;

/// Operations this service offers.
pub const OPERATIONS: &[&str] =
    &["CreateAlias", "CreateKey", "DescribeKey", "GetPublicKey", "ListAliases", "ListKeys", "Sign", "Verify"];

/// The one algorithm an ECC_NIST_P256 key signs with.
const ALGORITHM: &str = "ECDSA_SHA_256";

/// Every key and alias.
#[derive(Clone, Debug, Default)]
pub struct State {
    keys: BTreeMap<String, Key>,
    /// By account, region and name: the key's ARN.
    aliases: BTreeMap<(String, String, String), String>,
}

#[derive(Clone)]
struct Key {
    id: String,
    arn: String,
    account: String,
    region: String,
    description: String,
    created: Time,
    secret: SigningKey,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("arn", &self.arn).finish_non_exhaustive()
    }
}

/// Answers one call.
///
/// # Errors
/// The service's own refusal.
pub fn call(world: &mut World, call: &Call) -> Answer {
    match call.operation.as_str() {
        "CreateAlias" => create_alias(world, call),
        "CreateKey" => create_key(world, call),
        "DescribeKey" => Ok(json!({"KeyMetadata": metadata(named(world, call)?)})),
        "GetPublicKey" => get_public_key(world, call),
        "ListAliases" => Ok(list_aliases(world, call)),
        "ListKeys" => Ok(list_keys(world, call)),
        "Sign" => sign(world, call),
        "Verify" => verify(world, call),
        other => Err(ApiError::new("UnknownOperationException", other)),
    }
}

fn create_key(world: &mut World, call: &Call) -> Answer {
    let said = |member: &str| call.input.get(member).and_then(Value::as_str);
    let spec = said("KeySpec").or_else(|| said("CustomerMasterKeySpec")).unwrap_or("SYMMETRIC_DEFAULT");
    if spec != "ECC_NIST_P256" {
        let message = format!("KeySpec {spec} is not offered by the embedded AWS; ECC_NIST_P256 is");
        return Err(ApiError::new("UnsupportedOperationException", message));
    }
    if said("KeyUsage") != Some("SIGN_VERIFY") {
        return Err(ApiError::new("ValidationException", "KeyUsage must be SIGN_VERIFY for KeySpec ECC_NIST_P256"));
    }
    let id = world.ids.uuid();
    let secret = loop {
        let seed: Vec<u8> = (0..4).flat_map(|_| world.ids.next().to_be_bytes()).collect();
        // All but one in 2^32 of the 256-bit numbers are scalars of the curve.
        if let Ok(secret) = SigningKey::from_slice(&seed) {
            break secret;
        }
    };
    let key = Key {
        arn: format!("arn:aws:kms:{}:{}:key/{id}", call.region, call.account),
        id,
        account: call.account.clone(),
        region: call.region.clone(),
        description: said("Description").unwrap_or_default().to_owned(),
        created: world.now,
        secret,
    };
    let answer = json!({"KeyMetadata": metadata(&key)});
    world.kms.keys.insert(key.arn.clone(), key);
    Ok(answer)
}

fn metadata(key: &Key) -> Value {
    json!({
        "AWSAccountId": key.account, "KeyId": key.id, "Arn": key.arn, "CreationDate": key.created.epoch_seconds(),
        "Enabled": true, "Description": key.description, "KeyUsage": "SIGN_VERIFY", "KeyState": "Enabled",
        "Origin": "AWS_KMS", "KeyManager": "CUSTOMER", "CustomerMasterKeySpec": "ECC_NIST_P256",
        "KeySpec": "ECC_NIST_P256", "SigningAlgorithms": [ALGORITHM], "MultiRegion": false,
    })
}

/// The key a call names: by id, key ARN, alias or alias ARN.
fn named<'w>(world: &'w World, call: &Call) -> Result<&'w Key, ApiError> {
    let name = call.input.get("KeyId").and_then(Value::as_str).unwrap_or_default();
    let alias = name.rsplit_once(":alias/").map_or(name.strip_prefix("alias/"), |(_, alias)| Some(alias));
    let found = match alias {
        Some(alias) => {
            let at = (call.account.clone(), call.region.clone(), format!("alias/{alias}"));
            world.kms.aliases.get(&at).and_then(|arn| world.kms.keys.get(arn))
        }
        None => world.kms.keys.values().find(|key| {
            (key.arn == name || key.id == name) && key.account == call.account && key.region == call.region
        }),
    };
    found.ok_or_else(|| match alias {
        Some(_) => ApiError::new("NotFoundException", format!("Alias {name} is not found.")),
        None => ApiError::new("NotFoundException", format!("Key '{name}' does not exist")),
    })
}

fn create_alias(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        alias_name: String,
        target_key_id: String,
    }
    let input: Input = call.parse()?;
    if !input.alias_name.starts_with("alias/") || input.alias_name.starts_with("alias/aws/") {
        return Err(ApiError::new("InvalidAliasNameException", "Alias must start with the prefix \"alias/\""));
    }
    let mut target = call.clone();
    target.input.insert("KeyId".into(), json!(input.target_key_id));
    let arn = named(world, &target)?.arn.clone();
    let at = (call.account.clone(), call.region.clone(), input.alias_name.clone());
    if world.kms.aliases.contains_key(&at) {
        let message = format!("An alias with the name {} already exists", input.alias_name);
        return Err(ApiError::new("AlreadyExistsException", message));
    }
    world.kms.aliases.insert(at, arn);
    Ok(json!({}))
}

fn list_aliases(world: &World, call: &Call) -> Value {
    let aliases: Vec<Value> = world
        .kms
        .aliases
        .iter()
        .filter(|((account, region, _), _)| *account == call.account && *region == call.region)
        .map(|((account, region, name), target)| {
            json!({"AliasName": name, "AliasArn": format!("arn:aws:kms:{region}:{account}:{name}"),
                   "TargetKeyId": target.rsplit('/').next()})
        })
        .collect();
    json!({"Aliases": aliases, "Truncated": false})
}

fn list_keys(world: &World, call: &Call) -> Value {
    let keys: Vec<Value> = world
        .kms
        .keys
        .values()
        .filter(|key| key.account == call.account && key.region == call.region)
        .map(|key| json!({"KeyId": key.id, "KeyArn": key.arn}))
        .collect();
    json!({"Keys": keys, "Truncated": false})
}

fn get_public_key(world: &World, call: &Call) -> Answer {
    let key = named(world, call)?;
    let der = VerifyingKey::from(&key.secret)
        .to_public_key_der()
        .map_err(|error| ApiError::new("KMSInternalException", error.to_string()))?;
    Ok(json!({
        "KeyId": key.arn, "PublicKey": STANDARD.encode(der.as_bytes()), "KeySpec": "ECC_NIST_P256",
        "CustomerMasterKeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY", "SigningAlgorithms": [ALGORITHM],
    }))
}

/// The digest a signature is over: of the message, or the message itself when it is one.
fn digest(call: &Call) -> Result<Vec<u8>, ApiError> {
    let invalid = |message: &str| ApiError::new("ValidationException", message);
    if call.input.get("SigningAlgorithm").and_then(Value::as_str) != Some(ALGORITHM) {
        let message = "Algorithm is incompatible with key spec ECC_NIST_P256.";
        return Err(ApiError::new("InvalidKeyUsageException", message));
    }
    let message = blob(call, "Message")?;
    match call.input.get("MessageType").and_then(Value::as_str).unwrap_or("RAW") {
        "DIGEST" if message.len() == 32 => Ok(message),
        "DIGEST" => Err(invalid("Digest is invalid length for algorithm ECDSA_SHA_256.")),
        "RAW" => Ok(Sha256::digest(&message).to_vec()),
        _ => Err(invalid("MessageType EXTERNAL_MU is for ML-DSA keys.")),
    }
}

fn blob(call: &Call, member: &str) -> Result<Vec<u8>, ApiError> {
    let text = call.input.get(member).and_then(Value::as_str).unwrap_or_default();
    STANDARD.decode(text).map_err(|error| ApiError::new("SerializationException", format!("{member}: {error}")))
}

/// `DryRun` answers with this instead of doing anything.
fn unless_dry_run(call: &Call) -> Result<(), ApiError> {
    if call.input.get("DryRun").and_then(Value::as_bool) == Some(true) {
        let message = "The request would have succeeded, but the DryRun option is set.";
        return Err(ApiError::new("DryRunOperationException", message));
    }
    Ok(())
}

fn sign(world: &World, call: &Call) -> Answer {
    let key = named(world, call)?;
    let digest = digest(call)?;
    unless_dry_run(call)?;
    let signature: Signature = key
        .secret
        .sign_prehash(&digest)
        .map_err(|error| ApiError::new("KMSInternalException", error.to_string()))?;
    Ok(json!({
        "KeyId": key.arn, "SigningAlgorithm": ALGORITHM,
        "Signature": STANDARD.encode(signature.to_der().as_bytes()),
    }))
}

fn verify(world: &World, call: &Call) -> Answer {
    let key = named(world, call)?;
    let digest = digest(call)?;
    unless_dry_run(call)?;
    let good = Signature::from_der(&blob(call, "Signature")?)
        .is_ok_and(|signature| VerifyingKey::from(&key.secret).verify_prehash(&digest, &signature).is_ok());
    if !good {
        return Err(ApiError::new("KMSInvalidSignatureException", ""));
    }
    Ok(json!({"KeyId": key.arn, "SignatureValid": true, "SigningAlgorithm": ALGORITHM}))
}

#[cfg(test)]
mod tests;
