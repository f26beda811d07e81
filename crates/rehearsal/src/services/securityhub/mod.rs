//! Security Hub: imports and reads findings.
//!
//! The rules come from the service model 2018-10-26 and the user guide's pages on `BatchImportFindings` and the AWS
//! Security Finding Format. Products, standards, insights and automation rules are not implemented.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::super::call::{Answer, ApiError, Call};
use super::super::world::World;
use super::support::Place;

mod import;
mod query;
#[cfg(test)]
mod tests;

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &["BatchImportFindings", "EnableSecurityHub", "GetFindings"];

/// The accounts and Regions in which Security Hub is enabled, and all findings.
#[derive(Clone, Debug, Default)]
pub struct State {
    enabled: BTreeSet<Place>,
    /// Findings by place, product and id.
    findings: BTreeMap<(Place, String, String), Map<String, Value>>,
    /// Vulnerabilities whose findings are rejected, with the error message.
    pub rejected: BTreeMap<String, String>,
}

/// Handles one API call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &mut World, call: &Call) -> Answer {
    let place = Place::new(&call.account, &call.region);
    if call.operation != "EnableSecurityHub" && !world.securityhub.enabled.contains(&place) {
        let message = format!("Account {} is not subscribed to AWS Security Hub", call.account);
        return Err(ApiError::new("InvalidAccessException", message).with_status(401));
    }
    match call.operation.as_str() {
        "BatchImportFindings" => Ok(import::batch(world, call, &place)),
        "EnableSecurityHub" => subscribe(world, place),
        "GetFindings" => query::get(world, call, &place),
        other => Err(ApiError::new("UnknownOperationException", other)),
    }
}

fn subscribe(world: &mut World, place: Place) -> Answer {
    let message = format!("Account {} is already subscribed to Security Hub", place.account);
    if world.securityhub.enabled.insert(place) {
        return Ok(serde_json::json!({}));
    }
    Err(ApiError::new("ResourceConflictException", message).with_status(409))
}

/// Enables the service in an account and Region.
pub fn enable(world: &mut World, account: &str, region: &str) {
    world.securityhub.enabled.insert(Place::new(account, region));
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidInputException", message).with_status(400)
}
