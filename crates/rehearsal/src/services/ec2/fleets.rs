//! EC2 fleets and Spot fleet requests: fixtures that keep images in use.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{Place, page, present, refuse};
use super::place;

/// The seeded fleets and requests, in the shape of the describe responses.
#[derive(Clone, Debug, Default)]
pub(super) struct Seeded {
    fleets: Vec<(Place, Value)>,
    spot_requests: Vec<(Place, Value)>,
    spot_instances: Vec<(Place, Value)>,
}

/// Seeds a fleet, given as the model's `FleetData`.
pub fn seed_fleet(world: &mut World, account: &str, region: &str, fleet_data: Value) {
    world.ec2.fleets.fleets.push((Place::new(account, region), fleet_data));
}

/// Seeds a Spot fleet request, given as the model's `SpotFleetRequestConfig`.
pub fn seed_spot_fleet_request(world: &mut World, account: &str, region: &str, request: Value) {
    world.ec2.fleets.spot_requests.push((Place::new(account, region), request));
}

/// Seeds a Spot request, given as the model's `SpotInstanceRequest`.
pub fn seed_spot_request(world: &mut World, account: &str, region: &str, request: Value) {
    world.ec2.fleets.spot_instances.push((Place::new(account, region), request));
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    spot_instance_request_ids: Vec<String>,
    fleet_ids: Vec<String>,
    spot_fleet_request_ids: Vec<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

pub(super) fn describe_fleets(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let found =
        select(&world.ec2.fleets.fleets, call, "FleetId", &input.fleet_ids, "InvalidFleetId.NotFound")?;
    let (found, next) = paged(found, &input)?;
    Ok(present(json!({ "Fleets": found, "NextToken": next })))
}

pub(super) fn describe_spot(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let ids = &input.spot_fleet_request_ids;
    let code = "InvalidSpotFleetRequestId.NotFound";
    let found = select(&world.ec2.fleets.spot_requests, call, "SpotFleetRequestId", ids, code)?;
    let (found, next) = paged(found, &input)?;
    Ok(present(json!({ "SpotFleetRequestConfigs": found, "NextToken": next })))
}

pub(super) fn describe_spot_requests(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let (ids, code) = (&input.spot_instance_request_ids, "InvalidSpotInstanceRequestID.NotFound");
    let found = select(&world.ec2.fleets.spot_instances, call, "SpotInstanceRequestId", ids, code)?;
    let (found, next) = paged(found, &input)?;
    Ok(present(json!({ "SpotInstanceRequests": found, "NextToken": next })))
}

fn paged(found: Vec<Value>, input: &Describe) -> Result<(Vec<Value>, Option<String>), ApiError> {
    page(found, input.next_token.as_deref(), input.max_results.unwrap_or(1000), "InvalidParameterValue")
}

fn select(
    seeded: &[(Place, Value)],
    call: &Call,
    id_member: &str,
    ids: &[String],
    unknown: &str,
) -> Result<Vec<Value>, ApiError> {
    let here = place(call);
    let id = |value: &Value| value.get(id_member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mine: Vec<&Value> = seeded.iter().filter(|(p, _)| *p == here).map(|(_, v)| v).collect();
    if let Some(missing) = ids.iter().find(|wanted| !mine.iter().any(|v| id(v) == **wanted)) {
        return Err(refuse(unknown, format!("The ID '{missing}' does not exist")));
    }
    Ok(mine.into_iter().filter(|v| ids.is_empty() || ids.contains(&id(v))).cloned().collect())
}
