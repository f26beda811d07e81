//! Staging labels. Each is on at most one version of a secret.

use serde::Deserialize;
use serde_json::json;

use super::super::super::call::{Answer, Call};
use super::super::super::world::World;
use super::secret::live;
use super::{CURRENT, PREVIOUS, Secret, invalid_parameter, not_found};

/// The version that carries a label.
fn holder(secret: &Secret, label: &str) -> Option<String> {
    secret.versions.iter().find(|version| version.stages.contains(label)).map(|version| version.id.clone())
}

/// Moves a label to a version. Moving AWSCURRENT also moves AWSPREVIOUS to the version that was current.
pub(super) fn attach(secret: &mut Secret, label: &str, to: &str) {
    let from = holder(secret, label);
    if from.as_deref() == Some(to) {
        return;
    }
    for version in &mut secret.versions {
        version.stages.remove(label);
        if version.id == to {
            version.stages.insert(label.to_owned());
        }
    }
    if label == CURRENT
        && let Some(from) = from
    {
        attach(secret, PREVIOUS, &from);
    }
}

pub(super) fn update(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        secret_id: String,
        version_stage: String,
        remove_from_version_id: Option<String>,
        move_to_version_id: Option<String>,
    }
    let input: Input = call.parse()?;
    let secret = live(world, call, &input.secret_id)?;
    for id in input.remove_from_version_id.iter().chain(&input.move_to_version_id) {
        if !secret.versions.iter().any(|version| version.id == *id) {
            return Err(not_found(format!("Secrets Manager can't find the specified secret version {id}.")));
        }
    }
    let label = input.version_stage.as_str();
    let held = holder(secret, label);
    if let Some(from) = &input.remove_from_version_id
        && held.as_ref() != Some(from)
    {
        return Err(invalid_parameter(format!("The staging label {label} is not on version {from}.")));
    }
    match &input.move_to_version_id {
        Some(to) => {
            let elsewhere = held.as_ref().is_some_and(|held| held != to);
            if elsewhere && input.remove_from_version_id.is_none() {
                return Err(invalid_parameter(format!(
                    "The parameter RemoveFromVersionId can't be empty. Staging label {label} is currently \
                     attached to version {}, so you must explicitly reference that version in \
                     RemoveFromVersionId.",
                    held.unwrap_or_default()
                )));
            }
            attach(secret, label, to);
        }
        None if label == CURRENT => {
            return Err(invalid_parameter(
                "You can only move staging label AWSCURRENT to a different secret version.",
            ));
        }
        None => {
            for version in &mut secret.versions {
                version.stages.remove(label);
            }
        }
    }
    secret.changed = call.now;
    Ok(json!({ "ARN": secret.arn, "Name": secret.name }))
}
