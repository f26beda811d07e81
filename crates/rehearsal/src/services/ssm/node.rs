//! Managed nodes: instances whose agent has come online.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::ec2::{self, InstanceState};
use super::super::page::page;
use super::{bad_token, validation};

/// The ping status of a managed node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ping {
    Online,
    ConnectionLost,
}

/// When the agent of an instance came online; `None` if it has not, or the instance has no instance profile.
fn registered(world: &mut World, id: &str, now: Time) -> Option<Time> {
    let instance = ec2::instance(world, id)?;
    let behavior = ec2::behavior(world, &instance.image_id);
    let boot = behavior.and_then(|behavior| behavior.boot.duration()).unwrap_or_default();
    let online = instance.launched + boot + world.ssm.options.agent_after;
    let passed = instance.status_ok || instance.state == InstanceState::Stopped;
    (passed && online <= now && has_profile(world, id, now)).then_some(online)
}

/// Whether the instance has an instance profile, according to EC2.
fn has_profile(world: &mut World, id: &str, now: Time) -> bool {
    let Some(instance) = ec2::instance(world, id) else { return false };
    let (account, region) = (instance.account.clone(), instance.region.clone());
    let shown = describe_instances(world, &account, &region, now, &json!({ "InstanceIds": [id] }));
    shown.iter().any(|instance| instance.get("IamInstanceProfile").is_some_and(Value::is_object))
}

/// The instances in EC2's response to `DescribeInstances`.
fn describe_instances(
    world: &mut World,
    account: &str,
    region: &str,
    now: Time,
    input: &Value,
) -> Vec<Value> {
    let call = Call {
        service: "ec2",
        operation: "DescribeInstances".to_owned(),
        input: input.as_object().cloned().unwrap_or_default(),
        account: account.to_owned(),
        region: region.to_owned(),
        access_key: String::new(),
        now,
    };
    let answer = ec2::call(world, &call).unwrap_or_default();
    answer
        .get("Reservations")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|reservation| reservation.get("Instances")?.as_array())
        .flatten()
        .cloned()
        .collect()
}

/// The ids of instances that match filters of `DescribeInstances`.
pub(super) fn find(world: &mut World, call: &Call, filters: &Value) -> Vec<String> {
    describe_instances(world, &call.account, &call.region, call.now, &json!({ "Filters": filters }))
        .iter()
        .filter_map(|instance| Some(instance.get("InstanceId")?.as_str()?.to_owned()))
        .collect()
}

/// The agent's ping status; `None` if the instance is not a managed node.
pub(super) fn ping(world: &mut World, id: &str, now: Time) -> Option<Ping> {
    registered(world, id, now)?;
    match ec2::instance(world, id)?.state {
        InstanceState::Running => Some(Ping::Online),
        InstanceState::Stopped | InstanceState::Stopping => Some(Ping::ConnectionLost),
        _ => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    instance_information_filter_list: Vec<OldFilter>,
    max_results: Option<usize>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Filter {
    key: String,
    values: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OldFilter {
    key: String,
    value_set: Vec<String>,
}

pub(super) fn describe(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    if !input.filters.is_empty() && !input.instance_information_filter_list.is_empty() {
        return Err(validation("Filters and InstanceInformationFilterList exclude each other"));
    }
    let mut filters = input.filters;
    filters.extend(
        input
            .instance_information_filter_list
            .into_iter()
            .map(|f| Filter { key: f.key, values: f.value_set }),
    );
    let known = ["InstanceIds", "PingStatus", "PlatformTypes", "ResourceType"];
    if let Some(unknown) =
        filters.iter().find(|f| !known.contains(&f.key.as_str()) && !f.key.starts_with("tag:"))
    {
        return Err(ApiError::new("InvalidFilterKey", format!("{} is not a filter", unknown.key)));
    }
    let by_tag: Vec<Value> = filters
        .iter()
        .filter(|f| f.key.starts_with("tag:"))
        .map(|f| json!({ "Name": f.key, "Values": f.values }))
        .collect();
    let mut nodes = Vec::new();
    for id in find(world, call, &json!(by_tag)) {
        let Some(ping) = ping(world, &id, call.now) else { continue };
        let Some(since) = registered(world, &id, call.now) else { continue };
        let status = if ping == Ping::Online { "Online" } else { "ConnectionLost" };
        let fits = filters.iter().all(|f| match f.key.as_str() {
            "InstanceIds" => f.values.contains(&id),
            "PingStatus" => f.values.iter().any(|v| v == status),
            "PlatformTypes" => f.values.iter().any(|v| v == "Linux"),
            "ResourceType" => f.values.iter().any(|v| v == "EC2Instance" || v == "AWS::EC2::Instance"),
            _ => true,
        });
        if fits {
            nodes.push(json!({
                "InstanceId": id,
                "PingStatus": status,
                "LastPingDateTime": if ping == Ping::Online { call.now } else { since }.epoch_seconds(),
                "AgentVersion": "3.3.987.0",
                "IsLatestVersion": true,
                "PlatformType": "Linux",
                "PlatformName": "Amazon Linux",
                "PlatformVersion": "2023",
                "ResourceType": "EC2Instance",
                "SourceId": id,
                "SourceType": "AWS::EC2::Instance",
            }));
        }
    }
    let size = input.max_results.unwrap_or(50);
    let (nodes, next) = page(nodes, input.next_token.as_deref(), size).ok_or_else(bad_token)?;
    let mut answer = json!({ "InstanceInformationList": nodes });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    Ok(answer)
}
