//! Parameters: versions, and names with selectors.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::Key;

/// A parameter. Callers do not see it before it has a version.
#[derive(Clone, Debug, Default)]
pub(super) struct Parameter {
    pub kind: String,
    pub tier: String,
    pub description: Option<String>,
    pub allowed_pattern: Option<String>,
    pub key_id: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// Versions, oldest first.
    pub versions: Vec<Version>,
    /// Versions whose image is still being validated.
    pub unchecked: Vec<Version>,
    /// The highest version number so far.
    pub last: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Version {
    pub number: u64,
    pub value: String,
    pub data_type: String,
    pub modified: Time,
    pub user: String,
    pub labels: BTreeSet<String>,
}

impl Parameter {
    pub(super) fn latest(&self) -> Option<&Version> {
        self.versions.last()
    }

    /// The version with this number or label; the latest without a selector.
    fn select(&self, selector: Option<&str>) -> Option<&Version> {
        match selector {
            None => self.latest(),
            Some(text) => match text.parse::<u64>() {
                Ok(number) => self.versions.iter().find(|version| version.number == number),
                Err(_) => self.versions.iter().find(|version| version.labels.contains(text)),
            },
        }
    }
}

/// Splits `name`, `name:3`, `name:label`, or an ARN of these into name and selector.
fn split(text: &str) -> (String, Option<String>) {
    let text = match text.strip_prefix("arn:").and_then(|rest| rest.split_once(":parameter/")) {
        Some((_, name)) if name.contains('/') => format!("/{name}"),
        Some((_, name)) => name.to_owned(),
        None => text.to_owned(),
    };
    match text.split_once(':') {
        Some((name, selector)) => (name.to_owned(), Some(selector.to_owned())),
        None => (text, None),
    }
}

pub(super) fn key(call: &Call, name: &str) -> Key {
    (call.account.clone(), call.region.clone(), split(name).0)
}

/// A parameter that is visible to callers.
pub(super) fn find<'w>(world: &'w World, key: &Key) -> Result<&'w Parameter, ApiError> {
    world
        .ssm
        .parameters
        .get(key)
        .filter(|parameter| !parameter.versions.is_empty())
        .ok_or_else(|| ApiError::new("ParameterNotFound", format!("Parameter {} not found.", key.2)))
}

/// The value of `name`, `name:version` or `name:label` in an account and Region.
#[must_use]
pub fn parameter_value(world: &World, account: &str, region: &str, name: &str) -> Option<String> {
    let (name, selector) = split(name);
    let parameter = world.ssm.parameters.get(&(account.to_owned(), region.to_owned(), name))?;
    parameter.select(selector.as_deref()).map(|version| version.value.clone())
}

/// The names of the parameters in an account and Region whose latest value is `value`.
#[must_use]
pub fn parameters_naming(world: &World, account: &str, region: &str, value: &str) -> Vec<String> {
    world
        .ssm
        .parameters
        .iter()
        .filter(|((a, r, _), p)| a == account && r == region && p.latest().is_some_and(|v| v.value == value))
        .map(|((_, _, name), _)| name.clone())
        .collect()
}

/// Writes a value on a service's behalf or as a fixture, at once and without validation.
pub fn write_parameter(
    world: &mut World,
    at: Time,
    account: &str,
    region: &str,
    name: &str,
    data_type: &str,
    value: &str,
) {
    let key = (account.to_owned(), region.to_owned(), name.to_owned());
    let parameter = world.ssm.parameters.entry(key).or_default();
    if parameter.versions.is_empty() {
        "String".clone_into(&mut parameter.kind);
        "Standard".clone_into(&mut parameter.tier);
    }
    parameter.last += 1;
    parameter.versions.push(Version {
        number: parameter.last,
        value: value.to_owned(),
        data_type: data_type.to_owned(),
        modified: at,
        user: format!("arn:{}:iam::{account}:root", crate::partition::id(region)),
        labels: BTreeSet::new(),
    });
}

/// The parameter's ARN. A name's leading slash is not doubled.
pub(super) fn arn(key: &Key) -> String {
    format!(
        "arn:{}:ssm:{}:{}:parameter/{}",
        crate::partition::id(&key.1),
        key.1,
        key.0,
        key.2.trim_start_matches('/')
    )
}

/// The value in a response: without decryption, a secure string is returned as ciphertext.
pub(super) fn shown_value(parameter: &Parameter, version: &Version, decrypt: bool) -> String {
    if parameter.kind != "SecureString" || decrypt {
        return version.value.clone();
    }
    format!("AQICAHh{}", STANDARD.encode(Sha256::digest(version.value.as_bytes())))
}

/// The `Parameter` shape.
pub(super) fn view(key: &Key, parameter: &Parameter, version: &Version, decrypt: bool) -> Value {
    json!({
        "Name": key.2,
        "Type": parameter.kind,
        "Value": shown_value(parameter, version, decrypt),
        "Version": version.number,
        "LastModifiedDate": version.modified.epoch_seconds(),
        "ARN": arn(key),
        "DataType": version.data_type,
    })
}

fn look_up(world: &World, call: &Call, text: &str, decrypt: bool) -> Result<Value, ApiError> {
    let key = key(call, text);
    let (_, selector) = split(text);
    let parameter = find(world, &key)?;
    let version = parameter.select(selector.as_deref()).ok_or_else(|| {
        ApiError::new(
            "ParameterVersionNotFound",
            format!(
                "Systems Manager could not find version {} of {}",
                selector.clone().unwrap_or_default(),
                key.2
            ),
        )
    })?;
    let mut shown = view(&key, parameter, version, decrypt);
    if let Some(selector) = selector {
        shown["Selector"] = format!(":{selector}").into();
    }
    Ok(shown)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Get {
    #[serde(default)]
    name: String,
    #[serde(default)]
    names: Vec<String>,
    #[serde(default)]
    with_decryption: bool,
}

pub(super) fn get(world: &World, call: &Call) -> Answer {
    let input: Get = call.parse()?;
    Ok(json!({ "Parameter": look_up(world, call, &input.name, input.with_decryption)? }))
}

pub(super) fn get_many(world: &World, call: &Call) -> Answer {
    let input: Get = call.parse()?;
    if input.names.is_empty() || input.names.len() > 10 {
        return Err(super::validation("Names has 1 to 10 members"));
    }
    let (mut found, mut invalid) = (Vec::new(), Vec::new());
    for name in &input.names {
        match look_up(world, call, name, input.with_decryption) {
            Ok(parameter) => found.push(parameter),
            Err(_) => invalid.push(name),
        }
    }
    Ok(json!({ "Parameters": found, "InvalidParameters": invalid }))
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: Get = call.parse()?;
    let key = key(call, &input.name);
    find(world, &key)?;
    world.ssm.parameters.remove(&key);
    Ok(json!({}))
}

pub(super) fn delete_many(world: &mut World, call: &Call) -> Answer {
    let input: Get = call.parse()?;
    let (mut deleted, mut invalid) = (Vec::new(), Vec::new());
    for name in &input.names {
        let key = key(call, name);
        if find(world, &key).is_ok() {
            world.ssm.parameters.remove(&key);
            deleted.push(name);
        } else {
            invalid.push(name);
        }
    }
    Ok(json!({ "DeletedParameters": deleted, "InvalidParameters": invalid }))
}
