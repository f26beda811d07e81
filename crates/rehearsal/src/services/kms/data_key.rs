//! Data keys. The ciphertext is bound to its KMS key; no operation here decrypts it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::json;

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::ids::Ids;
use super::super::super::world::World;
use super::{key, validation};

/// How many bytes longer than the data key its ciphertext is.
const OVERHEAD: usize = 152;

pub(super) fn generate(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_id: String,
        number_of_bytes: Option<usize>,
        key_spec: Option<String>,
        #[serde(default)]
        dry_run: bool,
    }
    let input: Input = call.parse()?;
    let size = match (input.number_of_bytes, input.key_spec.as_deref()) {
        (Some(bytes), None) => bytes,
        (None, Some("AES_128")) => 16,
        (None, Some(_)) => 32,
        _ => return Err(validation("Please specify either number of bytes or key spec.")),
    };
    let key = key::usable(world, call, &input.key_id)?;
    if key.signing.is_some() {
        let message = format!("{} key usage is SIGN_VERIFY which is not valid for GenerateDataKey.", key.arn);
        return Err(ApiError::new("InvalidKeyUsageException", message));
    }
    if input.dry_run {
        return Err(ApiError::new(
            "DryRunOperationException",
            "The request would have succeeded, but the DryRun option is set.",
        ));
    }
    let arn = key.arn.clone();
    let (plain, sealed) = (draw(&mut world.ids, size), draw(&mut world.ids, size + OVERHEAD));
    Ok(
        json!({ "KeyId": arn, "Plaintext": STANDARD.encode(plain), "CiphertextBlob": STANDARD.encode(sealed) }),
    )
}

fn draw(ids: &mut Ids, size: usize) -> Vec<u8> {
    std::iter::repeat_with(|| ids.next().to_be_bytes()).flatten().take(size).collect()
}
