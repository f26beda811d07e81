//! Lambda: functions, their code, and published versions, whose code does not change.
//!
//! Rules come from the service model 2015-03-31 and the developer guide. Functions are never invoked here.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::call::{Answer, ApiError, Call};
use super::super::time::Time;
use super::super::world::World;
use super::support::{Place, Tags};

mod code;
mod function;
mod list;

/// Operations this service offers.
pub const OPERATIONS: &[&str] = &[
    "CreateFunction",
    "DeleteFunction",
    "GetFunction",
    "ListFunctions",
    "PublishVersion",
    "UpdateFunctionCode",
];

/// The version that changes with the function.
const LATEST: &str = "$LATEST";
/// How long a function is pending, and an update of its code under way.
const SETTLES: Duration = Duration::from_secs(20);

/// Every function, by place and name.
#[derive(Clone, Debug, Default)]
pub struct State {
    functions: BTreeMap<(Place, String), Function>,
}

#[derive(Clone, Debug)]
struct Function {
    /// As the request that made it had them: members of its configuration that do not change here.
    settings: serde_json::Map<String, serde_json::Value>,
    tags: Tags,
    created: Time,
    latest: Version,
    /// The oldest first; numbers are never used twice.
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

/// Answers one call.
///
/// # Errors
/// The service's own refusal.
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
