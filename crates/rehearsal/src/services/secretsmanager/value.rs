//! Secret values: read by version or stage, written as new versions.

use serde::Deserialize;
use serde_json::json;

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::secret::{content, live};
use super::{CURRENT, Value, Version, invalid_parameter, invalid_request, not_found, stage};

pub(super) fn get(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        secret_id: String,
        version_id: Option<String>,
        version_stage: Option<String>,
    }
    let input: Input = call.parse()?;
    let secret = live(world, call, &input.secret_id)?;
    let version = match (&input.version_id, &input.version_stage) {
        (Some(id), stage) => {
            let version = secret.versions.iter().find(|version| version.id == *id);
            if let (Some(version), Some(stage)) = (version, stage)
                && !version.stages.contains(stage)
            {
                return Err(invalid_request(
                    "You provided a VersionStage that is not associated to the provided VersionId.",
                ));
            }
            version.ok_or_else(|| format!("VersionId: {id}"))
        }
        (None, stage) => {
            let stage = stage.as_deref().unwrap_or(CURRENT);
            let version = secret.versions.iter().find(|version| version.stages.contains(stage));
            version.ok_or_else(|| format!("staging label: {stage}"))
        }
    };
    let version = version.map_err(|missing| {
        not_found(format!("Secrets Manager can't find the specified secret value for {missing}"))
    })?;
    let mut answer = json!({
        "ARN": secret.arn,
        "Name": secret.name,
        "VersionId": version.id,
        "VersionStages": version.stages,
        "CreatedDate": version.created.epoch_seconds(),
    });
    match &version.value {
        Value::Text(text) => answer["SecretString"] = text.as_str().into(),
        Value::Binary(binary) => answer["SecretBinary"] = binary.as_str().into(),
    }
    secret.accessed = Some(call.now);
    Ok(answer)
}

pub(super) fn put(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        secret_id: String,
        client_request_token: Option<String>,
        secret_string: Option<String>,
        secret_binary: Option<String>,
        version_stages: Option<Vec<String>>,
    }
    let input: Input = call.parse()?;
    let Some(value) = content(input.secret_string, input.secret_binary)? else {
        return Err(invalid_parameter("You must provide either SecretString or SecretBinary."));
    };
    let stages = input.version_stages.unwrap_or_else(|| vec![CURRENT.to_owned()]);
    if stages.is_empty() || stages.len() > 20 {
        return Err(invalid_parameter("VersionStages has 1 to 20 members."));
    }
    live(world, call, &input.secret_id)?;
    let id = input.client_request_token.unwrap_or_else(|| world.ids.uuid());
    let secret = live(world, call, &input.secret_id)?;
    if let Some(version) = secret.versions.iter().find(|version| version.id == id) {
        // The same token is the same version, whose value cannot change.
        if version.value != value {
            let message = format!("A resource with the ID {id} already exists with another value.");
            return Err(ApiError::new("ResourceExistsException", message));
        }
    } else {
        secret.changed = call.now;
        secret.versions.push(Version {
            id: id.clone(),
            value,
            created: call.now,
            stages: std::collections::BTreeSet::new(),
        });
        // The first version is always AWSCURRENT.
        if secret.versions.len() == 1 {
            stage::attach(secret, CURRENT, &id);
        }
        for stage in &stages {
            stage::attach(secret, stage, &id);
        }
    }
    let stages =
        secret.versions.iter().find(|version| version.id == id).map(|version| version.stages.clone());
    Ok(json!({ "ARN": secret.arn, "Name": secret.name, "VersionId": id, "VersionStages": stages }))
}
