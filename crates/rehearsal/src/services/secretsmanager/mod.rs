//! Secrets Manager: secrets, versions and staging labels.
//!
//! The rules come from the service model 2017-10-17 and the user guide. Rotation and replication are not implemented.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::super::call::{Answer, ApiError, Call};
use super::super::time::Time;
use super::super::world::World;

mod list;
mod secret;
mod stage;
mod value;

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &[
    "CreateSecret",
    "DeleteSecret",
    "DescribeSecret",
    "GetSecretValue",
    "ListSecretVersionIds",
    "ListSecrets",
    "PutSecretValue",
    "RestoreSecret",
    "UpdateSecretVersionStage",
];

/// The staging label of the current version, the default of reads.
const CURRENT: &str = "AWSCURRENT";
/// The staging label of the previous version.
const PREVIOUS: &str = "AWSPREVIOUS";

/// All secrets, by ARN.
#[derive(Clone, Debug, Default)]
pub struct State {
    secrets: BTreeMap<String, Secret>,
}

#[derive(Clone, Debug)]
struct Secret {
    arn: String,
    account: String,
    region: String,
    name: String,
    description: Option<String>,
    kms_key: Option<String>,
    tags: Vec<serde_json::Value>,
    created: Time,
    changed: Time,
    accessed: Option<Time>,
    /// When it was marked for deletion, and when it will be deleted.
    deleted: Option<(Time, Time)>,
    /// Oldest first.
    versions: Vec<Version>,
}

#[derive(Clone, Debug)]
struct Version {
    id: String,
    value: Value,
    created: Time,
    stages: BTreeSet<String>,
}

/// A secret's content. Its `Debug` form does not show it.
#[derive(Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    /// Base64, as in the protocol.
    Binary(String),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text(…)",
            Self::Binary(_) => "Binary(…)",
        })
    }
}

/// Handles one API call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &mut World, call: &Call) -> Answer {
    // Delete the secrets whose recovery window has ended.
    world.secretsmanager.secrets.retain(|_, secret| secret.deleted.is_none_or(|(_, goes)| call.now < goes));
    match call.operation.as_str() {
        "CreateSecret" => secret::create(world, call),
        "DeleteSecret" => secret::delete(world, call),
        "DescribeSecret" => list::describe(world, call),
        "GetSecretValue" => value::get(world, call),
        "ListSecretVersionIds" => list::versions(world, call),
        "ListSecrets" => list::secrets(world, call),
        "PutSecretValue" => value::put(world, call),
        "RestoreSecret" => secret::restore(world, call),
        "UpdateSecretVersionStage" => stage::update(world, call),
        other => Err(ApiError::new("UnknownOperationException", other)),
    }
}

fn invalid_request(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidRequestException", message)
}

fn invalid_parameter(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterException", message)
}

fn not_found(message: impl Into<String>) -> ApiError {
    ApiError::new("ResourceNotFoundException", message)
}

#[cfg(test)]
mod tests;
