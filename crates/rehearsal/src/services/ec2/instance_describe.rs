//! `DescribeInstances` and `DescribeInstanceStatus`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{Filter, page, present, refuse, tag_list};
use super::instance_types;
use super::instances::{Instance, InstanceState, not_found};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", default)]
#[derive(Default)]
struct Describe {
    instance_ids: Vec<String>,
    filters: Vec<Filter>,
    next_token: Option<String>,
    max_results: Option<usize>,
    include_all_instances: bool,
}

pub(super) fn instances(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let found = select(world, call, &input)?;
    let size = input.max_results.unwrap_or(1000);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidParameterValue")?;
    // Instances of one launch belong to one reservation.
    let mut reservations: Vec<(&str, Vec<Value>)> = Vec::new();
    for instance in found {
        match reservations.last_mut() {
            Some((id, views)) if *id == instance.reservation => views.push(view(instance)),
            _ => reservations.push((&instance.reservation, vec![view(instance)])),
        }
    }
    let reservations: Vec<Value> = reservations
        .into_iter()
        .map(|(id, views)| {
            json!({ "ReservationId": id, "OwnerId": call.account, "Groups": [], "Instances": views })
        })
        .collect();
    Ok(present(json!({ "Reservations": reservations, "NextToken": next })))
}

pub(super) fn statuses(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let mut found = select(world, call, &input)?;
    found.retain(|i| input.include_all_instances || i.state == InstanceState::Running);
    let size = input.max_results.unwrap_or(100);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidParameterValue")?;
    let views: Vec<Value> = found.into_iter().map(status_view).collect();
    Ok(present(json!({ "InstanceStatuses": views, "NextToken": next })))
}

fn select<'a>(world: &'a World, call: &Call, input: &Describe) -> Result<Vec<&'a Instance>, ApiError> {
    if !input.instance_ids.is_empty() && input.max_results.is_some() {
        return Err(refuse(
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        ));
    }
    if let Some(size) = input.max_results
        && !(5..=1000).contains(&size)
    {
        return Err(refuse(
            "InvalidParameterValue",
            format!(
                "Value ( {size} ) for parameter maxResults is invalid. Expecting a value between 5 and 1000."
            ),
        ));
    }
    let mine = |i: &Instance| {
        i.account == call.account && i.region == call.region && world.ec2.visible(i.launched, call.now)
    };
    for id in &input.instance_ids {
        if !id.starts_with("i-") {
            return Err(refuse(
                "InvalidInstanceID.Malformed",
                format!("Invalid id: \"{id}\" (expecting \"i-...\")"),
            ));
        }
        if !world.ec2.instances.get(id).is_some_and(mine) {
            return Err(not_found(id));
        }
    }
    let mut found = Vec::new();
    for instance in world.ec2.instances.values().filter(|i| mine(i)) {
        let named = input.instance_ids.is_empty() || input.instance_ids.contains(&instance.id);
        if named && fits(instance, &input.filters)? {
            found.push(instance);
        }
    }
    found.sort_by(|a, b| {
        (a.launched, &a.reservation, a.launch_index).cmp(&(b.launched, &b.reservation, b.launch_index))
    });
    Ok(found)
}

fn fits(instance: &Instance, filters: &[Filter]) -> Result<bool, ApiError> {
    for filter in filters {
        let fits = match filter.name.as_str() {
            "instance-id" => filter.fits(&instance.id),
            "image-id" => filter.fits(&instance.image_id),
            "instance-state-name" => filter.fits(instance.state.name()),
            "instance-state-code" => filter.fits(&instance.state.code().to_string()),
            "instance-type" => filter.fits(&instance.instance_type),
            "availability-zone" => filter.fits(&instance.zone),
            "subnet-id" => filter.fits(&instance.subnet_id),
            "vpc-id" | "network-interface.vpc-id" => filter.fits(&instance.vpc_id),
            "client-token" => instance.client_token.as_ref().is_some_and(|t| filter.fits(t)),
            "reservation-id" => filter.fits(&instance.reservation),
            "owner-id" => filter.fits(&instance.account),
            "instance-status.status" | "system-status.status" => filter.fits(status(instance)),
            other => match filter.fits_tags(&instance.tags) {
                Some(fits) => fits,
                None => {
                    return Err(refuse("InvalidParameterValue", format!("The filter '{other}' is invalid")));
                }
            },
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The status check summary; `not-applicable` for an instance that is not running.
fn status(instance: &Instance) -> &'static str {
    match instance.state {
        InstanceState::Running if instance.status_ok => "ok",
        InstanceState::Running if instance.impaired => "impaired",
        InstanceState::Running | InstanceState::Pending => "initializing",
        _ => "not-applicable",
    }
}

fn status_view(instance: &Instance) -> Value {
    let (status, reachability) = match status(instance) {
        "ok" => ("ok", Some("passed")),
        "impaired" => ("impaired", Some("failed")),
        "initializing" => ("initializing", Some("initializing")),
        other => (other, None),
    };
    let details = reachability.map(|r| json!([{ "Name": "reachability", "Status": r }]));
    // The system status check always passes; only the instance status check can fail.
    let system = if status == "impaired" { "ok" } else { status };
    let system_details = reachability
        .map(|r| json!([{ "Name": "reachability", "Status": if r == "failed" { "passed" } else { r } }]));
    present(json!({
        "AvailabilityZone": instance.zone,
        "InstanceId": instance.id,
        "InstanceState": instance.state.view(),
        "InstanceStatus": { "Status": status, "Details": details },
        "SystemStatus": { "Status": system, "Details": system_details },
    }))
}

/// An instance as `DescribeInstances` and `RunInstances` return it.
pub(super) fn view(instance: &Instance) -> Value {
    let groups: Vec<Value> =
        instance.security_groups.iter().map(|id| json!({ "GroupId": id, "GroupName": id })).collect();
    let ended = matches!(instance.state, InstanceState::ShuttingDown | InstanceState::Terminated);
    let reason = ended.then(|| {
        json!({ "Code": "Client.UserInitiatedShutdown", "Message": "Client.UserInitiatedShutdown: User initiated shutdown" })
    });
    let address = (!ended).then(|| instance.private_ip.clone());
    let host = address
        .as_ref()
        .map(|ip| format!("ip-{}.{}.compute.internal", ip.replace('.', "-"), instance.region));
    present(json!({
        "InstanceId": instance.id,
        "ImageId": instance.image_id,
        "State": instance.state.view(),
        "StateTransitionReason": instance.transition_reason,
        "StateReason": reason,
        "InstanceType": instance.instance_type,
        "InstanceLifecycle": instance.spot.then_some("spot"),
        "LaunchTime": instance.launched.epoch_seconds(),
        "AmiLaunchIndex": instance.launch_index,
        "ClientToken": instance.client_token.clone().unwrap_or_default(),
        "Placement": { "AvailabilityZone": instance.zone, "GroupName": "", "Tenancy": "default" },
        "Monitoring": { "State": "disabled" },
        "SubnetId": (!ended).then_some(&instance.subnet_id),
        "VpcId": (!ended).then_some(&instance.vpc_id),
        "PrivateIpAddress": address,
        "PrivateDnsName": host,
        "PublicDnsName": "",
        "Architecture": instance_types::architecture(&instance.instance_type),
        "RootDeviceName": "/dev/xvda",
        "RootDeviceType": "ebs",
        "Hypervisor": "xen",
        "VirtualizationType": "hvm",
        "EbsOptimized": false,
        "EnaSupport": true,
        "SourceDestCheck": true,
        "KeyName": instance.key_name,
        "IamInstanceProfile": instance.profile_arn.as_ref().map(|arn| json!({ "Arn": arn })),
        "SecurityGroups": groups,
        "MetadataOptions": instance.metadata_options,
        "Tags": tag_list(&instance.tags),
    }))
}
