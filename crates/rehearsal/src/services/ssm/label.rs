//! Parameter labels. Each is on at most one version of its parameter.

use serde::Deserialize;
use serde_json::json;

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::parameter::{Version, find, key};

/// The maximum number of labels of a version.
const LIMIT: usize = 10;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    name: String,
    parameter_version: Option<u64>,
    labels: Vec<String>,
}

fn is_valid(label: &str) -> bool {
    let lower = label.to_ascii_lowercase();
    !label.is_empty()
        && label.len() <= 100
        && label.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        && !label.starts_with(|c: char| c.is_ascii_digit())
        && !lower.starts_with("aws")
        && !lower.starts_with("ssm")
}

fn version_missing(name: &str, number: u64) -> ApiError {
    ApiError::new(
        "ParameterVersionNotFound",
        format!("Systems Manager could not find version {number} of {name}"),
    )
}

/// `LabelParameterVersion`: moves labels to a version. Invalid labels are listed in the response, not an error.
pub(super) fn attach(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let key = key(call, &input.name);
    let latest = find(world, &key)?.latest().map_or(0, |version| version.number);
    let number = input.parameter_version.unwrap_or(latest);
    let (valid, invalid): (Vec<String>, Vec<String>) =
        input.labels.into_iter().partition(|label| is_valid(label));
    let Some(parameter) = world.ssm.parameters.get_mut(&key) else {
        return Err(version_missing(&key.2, number));
    };
    let Some(version) = parameter.versions.iter().find(|version| version.number == number) else {
        return Err(version_missing(&key.2, number));
    };
    let mut labels = version.labels.clone();
    labels.extend(valid.iter().cloned());
    if labels.len() > LIMIT {
        return Err(ApiError::new(
            "ParameterVersionLabelLimitExceeded",
            format!("A parameter version can have at most {LIMIT} labels"),
        ));
    }
    for version in &mut parameter.versions {
        if version.number == number {
            version.labels.clone_from(&labels);
        } else {
            version.labels.retain(|label| !valid.contains(label));
        }
    }
    Ok(json!({ "InvalidLabels": invalid, "ParameterVersion": number }))
}

pub(super) fn detach(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let key = key(call, &input.name);
    let number = input.parameter_version.unwrap_or_default();
    find(world, &key)?;
    let versions = world.ssm.parameters.get_mut(&key).map(|parameter| parameter.versions.iter_mut());
    let version: Option<&mut Version> =
        versions.and_then(|mut versions| versions.find(|version| version.number == number));
    let Some(version) = version else { return Err(version_missing(&key.2, number)) };
    let (removed, invalid): (Vec<String>, Vec<String>) =
        input.labels.into_iter().partition(|label| version.labels.remove(label));
    Ok(json!({ "RemovedLabels": removed, "InvalidLabels": invalid }))
}
