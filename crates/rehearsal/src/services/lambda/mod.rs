//! Lambda: functions, their code, and published versions, which are immutable.
//!
//! The rules come from the service model 2015-03-31 and the developer guide. Functions are never invoked.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::call::{Answer, ApiError, Call};
use super::super::time::Time;
use super::super::world::World;
use super::support::{Place, Tags};

mod code;
mod function;
mod list;

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &[
    "CreateFunction",
    "DeleteFunction",
    "GetFunction",
    "ListFunctions",
    "PublishVersion",
    "UpdateFunctionCode",
];

/// The unpublished, mutable version.
const LATEST: &str = "$LATEST";
/// How long a function is pending after its creation, and in progress after a code update.
const SETTLES: Duration = Duration::from_secs(20);

/// All functions, by place and name.
#[derive(Clone, Debug, Default)]
pub struct State {
    functions: BTreeMap<(Place, String), Function>,
}

#[derive(Clone, Debug)]
struct Function {
    /// The configuration members of the create request. They do not change.
    settings: serde_json::Map<String, serde_json::Value>,
    tags: Tags,
    created: Time,
    latest: Version,
    /// Published versions, oldest first. Numbers are not reused.
    published: Vec<Version>,
    last_number: u64,
}

#[derive(Clone, Debug)]
struct Version {
    /// `$LATEST` or a number.
    name: String,
    code: code::Code,
    modified: Time,
    revision: String,
    description: String,
}

/// Handles one API call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &mut World, call: &Call) -> Answer {
    match call.operation.as_str() {
        "CreateFunction" => function::create(world, call),
        "DeleteFunction" => function::delete(world, call),
        "GetFunction" => list::get(world, call),
        "ListFunctions" => list::functions(world, call),
        "PublishVersion" => function::publish(world, call),
        "UpdateFunctionCode" => function::update(world, call),
        other => Err(ApiError::new("UnknownOperationException", other)),
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterValueException", message)
}

#[cfg(test)]
mod tests;
