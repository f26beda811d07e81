//! Secrets: create, find, delete, restore.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::{CURRENT, Secret, Value, Version, invalid_parameter, invalid_request, not_found};

const DAY: Duration = Duration::from_hours(24);

/// The ARN of the secret with this name, ARN, or ARN without its random suffix.
pub(super) fn arn_of(world: &World, call: &Call, id: &str) -> Result<String, ApiError> {
    let secrets = &world.secretsmanager.secrets;
    if secrets.contains_key(id) {
        return Ok(id.to_owned());
    }
    secrets
        .values()
        .filter(|secret| secret.account == call.account && secret.region == call.region)
        .find(|secret| secret.name == id || secret.arn.rsplit_once('-').is_some_and(|(start, _)| start == id))
        .map(|secret| secret.arn.clone())
        .ok_or_else(|| not_found("Secrets Manager can't find the specified secret."))
}

/// The secret, which must not be marked for deletion.
pub(super) fn live<'w>(world: &'w mut World, call: &Call, id: &str) -> Result<&'w mut Secret, ApiError> {
    let arn = arn_of(world, call, id)?;
    match world.secretsmanager.secrets.get_mut(&arn) {
        Some(secret) if secret.deleted.is_none() => Ok(secret),
        Some(_) => Err(invalid_request(
            "You can't perform this operation on the secret because it was marked for deletion.",
        )),
        None => Err(not_found("Secrets Manager can't find the specified secret.")),
    }
}

/// The secret's content from whichever of the two members is given.
pub(super) fn content(text: Option<String>, binary: Option<String>) -> Result<Option<Value>, ApiError> {
    match (text, binary) {
        (Some(_), Some(_)) => Err(invalid_parameter("You can't specify both a binary and a text value")),
        (Some(text), None) => Ok(Some(Value::Text(text))),
        (None, Some(binary)) => Ok(Some(Value::Binary(binary))),
        (None, None) => Ok(None),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    name: String,
    client_request_token: Option<String>,
    description: Option<String>,
    kms_key_id: Option<String>,
    secret_string: Option<String>,
    secret_binary: Option<String>,
    #[serde(default)]
    tags: Vec<Json>,
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    let value = content(input.secret_string, input.secret_binary)?;
    let existing = world
        .secretsmanager
        .secrets
        .values()
        .find(|s| s.account == call.account && s.region == call.region && s.name == input.name);
    if let Some(existing) = existing {
        if existing.deleted.is_some() {
            return Err(invalid_request(
                "You can't create this secret because a secret with this name is already scheduled for deletion.",
            ));
        }
        let same = existing
            .versions
            .iter()
            .find(|v| Some(&v.id) == input.client_request_token.as_ref() && Some(&v.value) == value.as_ref());
        if let Some(version) = same {
            return Ok(json!({ "ARN": existing.arn, "Name": existing.name, "VersionId": version.id }));
        }
        let message = format!("The operation failed because the secret {} already exists.", input.name);
        return Err(ApiError::new("ResourceExistsException", message));
    }
    let suffix: String = format!("{:016x}", world.ids.next()).chars().take(6).collect();
    let arn = format!(
        "arn:{}:secretsmanager:{}:{}:secret:{}-{suffix}",
        crate::partition::id(&call.region),
        call.region,
        call.account,
        input.name
    );
    let version = value.map(|value| Version {
        id: input.client_request_token.unwrap_or_else(|| world.ids.uuid()),
        value,
        created: call.now,
        stages: BTreeSet::from([CURRENT.to_owned()]),
    });
    let mut answer = json!({ "ARN": arn, "Name": input.name });
    if let Some(version) = &version {
        answer["VersionId"] = version.id.as_str().into();
    }
    let secret = Secret {
        arn: arn.clone(),
        account: call.account.clone(),
        region: call.region.clone(),
        name: input.name,
        description: input.description,
        kms_key: input.kms_key_id,
        tags: input.tags,
        created: call.now,
        changed: call.now,
        accessed: None,
        deleted: None,
        versions: version.into_iter().collect(),
    };
    world.secretsmanager.secrets.insert(arn, secret);
    Ok(answer)
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        secret_id: String,
        recovery_window_in_days: Option<u32>,
        #[serde(default)]
        force_delete_without_recovery: bool,
    }
    let input: Input = call.parse()?;
    if input.force_delete_without_recovery && input.recovery_window_in_days.is_some() {
        return Err(invalid_parameter(
            "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.",
        ));
    }
    // Thirty days is the default.
    let days = input.recovery_window_in_days.unwrap_or(30);
    if !(7..=30).contains(&days) {
        return Err(invalid_parameter("RecoveryWindowInDays is 7 to 30."));
    }
    let window = if input.force_delete_without_recovery { Duration::ZERO } else { DAY * days };
    let goes = call.now + window;
    let secret = live(world, call, &input.secret_id)?;
    secret.deleted = Some((call.now, goes));
    Ok(json!({ "ARN": secret.arn, "Name": secret.name, "DeletionDate": goes.epoch_seconds() }))
}

pub(super) fn restore(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        secret_id: String,
    }
    let input: Input = call.parse()?;
    let arn = arn_of(world, call, &input.secret_id)?;
    let Some(secret) = world.secretsmanager.secrets.get_mut(&arn) else {
        return Err(not_found("Secrets Manager can't find the specified secret."));
    };
    secret.deleted = None;
    Ok(json!({ "ARN": secret.arn, "Name": secret.name }))
}
