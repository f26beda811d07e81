//! KMS keys, derived from the world's ids: the same seed gives the same keys and, by RFC 6979, the same signatures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::SigningKey;
use p256::pkcs8::EncodePublicKey as _;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::ids::Ids;
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::page::page;
use super::{bad_marker, not_found, validation};

/// The only supported key spec for signing.
pub(super) const P256: &str = "ECC_NIST_P256";

/// A KMS key.
#[derive(Clone, Debug)]
pub struct Key {
    pub arn: String,
    pub(super) id: String,
    account: String,
    region: String,
    description: String,
    created: Time,
    enabled: bool,
    /// `None` for symmetric keys.
    pub(super) signing: Option<SigningKey>,
}

impl Key {
    fn metadata(&self) -> Value {
        let signs = self.signing.is_some();
        let spec = if signs { P256 } else { "SYMMETRIC_DEFAULT" };
        let mut view = json!({
            "AWSAccountId": self.account,
            "KeyId": self.id,
            "Arn": self.arn,
            "CreationDate": self.created.epoch_seconds(),
            "Enabled": self.enabled,
            "Description": self.description,
            "KeyUsage": if signs { "SIGN_VERIFY" } else { "ENCRYPT_DECRYPT" },
            "KeyState": if self.enabled { "Enabled" } else { "Disabled" },
            "Origin": "AWS_KMS",
            "KeyManager": "CUSTOMER",
            "CustomerMasterKeySpec": spec,
            "KeySpec": spec,
            "MultiRegion": false,
        });
        if signs {
            view["SigningAlgorithms"] = json!(["ECDSA_SHA_256"]);
        } else {
            view["EncryptionAlgorithms"] = json!(["SYMMETRIC_DEFAULT"]);
        }
        view
    }
}

/// The key with this key id, key ARN, alias name or alias ARN. Permissions are not evaluated: an ARN may be of
/// another account, but not of another Region.
pub(super) fn find<'w>(world: &'w World, call: &Call, text: &str) -> Result<&'w Key, ApiError> {
    let (account, resource) = match crate::partition::after(text).and_then(|rest| rest.strip_prefix("kms:")) {
        None => (call.account.as_str(), text),
        Some(rest) => {
            let mut parts = rest.splitn(3, ':');
            let (Some(region), Some(account), Some(resource)) = (parts.next(), parts.next(), parts.next())
            else {
                return Err(ApiError::new("InvalidArnException", format!("Invalid arn {text}")));
            };
            if region != call.region {
                return Err(not_found(&format!("Key '{text}'")));
            }
            (account, resource.strip_prefix("key/").unwrap_or(resource))
        }
    };
    let id = if resource.starts_with("alias/") {
        let key = (account.to_owned(), call.region.clone(), resource.to_owned());
        let alias = world.kms.aliases.get(&key).ok_or_else(|| {
            not_found(&format!(
                "Alias arn:{}:kms:{}:{account}:{resource}",
                crate::partition::id(&call.region),
                call.region
            ))
        })?;
        alias.target.as_str()
    } else {
        resource
    };
    world.kms.keys.get(id).filter(|key| key.account == account && key.region == call.region).ok_or_else(
        || {
            not_found(&format!(
                "Key 'arn:{}:kms:{}:{account}:key/{id}'",
                crate::partition::id(&call.region),
                call.region
            ))
        },
    )
}

/// The key with this id, which must be enabled.
pub(super) fn usable<'w>(world: &'w World, call: &Call, text: &str) -> Result<&'w Key, ApiError> {
    let key = find(world, call, text)?;
    if key.enabled {
        return Ok(key);
    }
    Err(ApiError::new("DisabledException", format!("{} is disabled.", key.arn)))
}

/// Generates a private key from the world's ids. Almost every 256-bit number is valid.
fn draw(ids: &mut Ids) -> SigningKey {
    loop {
        let mut bytes = [0_u8; 32];
        for word in bytes.chunks_exact_mut(8) {
            word.copy_from_slice(&ids.next().to_be_bytes());
        }
        if let Ok(key) = SigningKey::from_slice(&bytes) {
            return key;
        }
    }
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_spec: Option<String>,
        customer_master_key_spec: Option<String>,
        key_usage: Option<String>,
        #[serde(default)]
        description: String,
    }
    let input: Input = call.parse()?;
    let spec =
        input.key_spec.or(input.customer_master_key_spec).unwrap_or_else(|| "SYMMETRIC_DEFAULT".into());
    let usage = input.key_usage.unwrap_or_else(|| "ENCRYPT_DECRYPT".into());
    let signing = match (spec.as_str(), usage.as_str()) {
        (P256, "SIGN_VERIFY") => Some(draw(&mut world.ids)),
        ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT") => None,
        (P256 | "SYMMETRIC_DEFAULT", _) => {
            return Err(validation(format!("KeyUsage {usage} is not compatible with KeySpec {spec}")));
        }
        _ => {
            return Err(ApiError::new(
                "UnsupportedOperationException",
                format!("KeySpec {spec} is not supported"),
            ));
        }
    };
    let id = world.ids.uuid();
    let key = Key {
        arn: format!(
            "arn:{}:kms:{}:{}:key/{id}",
            crate::partition::id(&call.region),
            call.region,
            call.account
        ),
        id: id.clone(),
        account: call.account.clone(),
        region: call.region.clone(),
        description: input.description,
        created: call.now,
        enabled: true,
        signing,
    };
    let answer = json!({ "KeyMetadata": key.metadata() });
    world.kms.keys.insert(id, key);
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ById {
    key_id: String,
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: ById = call.parse()?;
    Ok(json!({ "KeyMetadata": find(world, call, &input.key_id)?.metadata() }))
}

/// Enables or disables a key. Aliases are not accepted.
pub(super) fn enable(world: &mut World, call: &Call, enabled: bool) -> Answer {
    let input: ById = call.parse()?;
    if input.key_id.contains("alias/") {
        return Err(ApiError::new("InvalidArnException", "An alias cannot be used for this operation"));
    }
    let id = find(world, call, &input.key_id)?.id.clone();
    if let Some(key) = world.kms.keys.get_mut(&id) {
        key.enabled = enabled;
    }
    Ok(json!({}))
}

pub(super) fn public_key(world: &World, call: &Call) -> Answer {
    let input: ById = call.parse()?;
    let key = usable(world, call, &input.key_id)?;
    let Some(signing) = &key.signing else {
        let message = format!("{} has no public key", key.arn);
        return Err(ApiError::new("UnsupportedOperationException", message));
    };
    let der = signing
        .verifying_key()
        .to_public_key_der()
        .map_err(|e| ApiError::new("KMSInternalException", e.to_string()))?;
    Ok(json!({
        "KeyId": key.arn,
        "PublicKey": STANDARD.encode(der.as_bytes()),
        "CustomerMasterKeySpec": P256,
        "KeySpec": P256,
        "KeyUsage": "SIGN_VERIFY",
        "SigningAlgorithms": ["ECDSA_SHA_256"],
    }))
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        limit: Option<usize>,
        marker: Option<String>,
    }
    let input: Input = call.parse()?;
    let all: Vec<Value> = world
        .kms
        .keys
        .values()
        .filter(|key| key.account == call.account && key.region == call.region)
        .map(|key| json!({ "KeyId": key.id, "KeyArn": key.arn }))
        .collect();
    let (keys, next) =
        page(all, input.marker.as_deref(), input.limit.unwrap_or(100)).ok_or_else(bad_marker)?;
    let mut answer = json!({ "Keys": keys, "Truncated": next.is_some() });
    if let Some(next) = next {
        answer["NextMarker"] = next.into();
    }
    Ok(answer)
}
