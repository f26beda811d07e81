//! Key Management Service: P-256 signing keys with real signatures, and aliases.
//!
//! The rules come from the service model 2014-11-01 and the developer guide. Symmetric keys have metadata only: S3
//! objects name them, but nothing is encrypted.

use std::collections::BTreeMap;

use super::super::call::{Answer, ApiError, Call};
use super::super::time::Time;
use super::super::world::World;

mod alias;
mod data_key;
mod key;
mod sign;

pub use key::Key;

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &[
    "CreateAlias",
    "CreateKey",
    "DeleteAlias",
    "DescribeKey",
    "DisableKey",
    "EnableKey",
    "GenerateDataKey",
    "GetPublicKey",
    "ListAliases",
    "ListKeys",
    "Sign",
    "UpdateAlias",
    "Verify",
];

/// All keys and aliases.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Keys by key id.
    keys: BTreeMap<String, Key>,
    /// Aliases by account, Region and alias name.
    aliases: BTreeMap<(String, String, String), Alias>,
}

/// An alias of a key.
#[derive(Clone, Debug)]
struct Alias {
    target: String,
    created: Time,
    updated: Time,
}

/// Handles one API call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &mut World, call: &Call) -> Answer {
    match call.operation.as_str() {
        "CreateAlias" => alias::create(world, call),
        "CreateKey" => key::create(world, call),
        "DeleteAlias" => alias::delete(world, call),
        "DescribeKey" => key::describe(world, call),
        "DisableKey" => key::enable(world, call, false),
        "EnableKey" => key::enable(world, call, true),
        "GenerateDataKey" => data_key::generate(world, call),
        "GetPublicKey" => key::public_key(world, call),
        "ListAliases" => alias::list(world, call),
        "ListKeys" => key::list(world, call),
        "Sign" => sign::sign(world, call),
        "UpdateAlias" => alias::update(world, call),
        "Verify" => sign::verify(world, call),
        other => Err(ApiError::new("UnknownOperationException", other)),
    }
}

fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

fn not_found(what: &str) -> ApiError {
    ApiError::new("NotFoundException", format!("{what} is not found."))
}

fn bad_marker() -> ApiError {
    ApiError::new("InvalidMarkerException", "The marker is not valid")
}

#[cfg(test)]
mod tests;
