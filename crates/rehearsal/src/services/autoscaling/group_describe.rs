//! Describing groups, their instances, launch configurations and warm pools.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::world::World;
use super::super::support::{Filter, page, present};
use super::config::invalid;
use super::groups::{Group, owned};
use super::members::Member;
use super::place;

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    auto_scaling_group_names: Vec<String>,
    auto_scaling_group_name: String,
    instance_ids: Vec<String>,
    launch_configuration_names: Vec<String>,
    filters: Vec<Filter>,
    include_instances: Option<bool>,
    max_records: Option<usize>,
    next_token: Option<String>,
}

/// `DescribeAutoScalingGroups`. Unknown names are silently omitted.
pub(super) fn groups(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let here = place(call);
    let mut found = Vec::new();
    for group in world.autoscaling.groups.values().filter(|g| g.place == here) {
        let names = &input.auto_scaling_group_names;
        let mut fits = names.is_empty() || names.contains(&group.name);
        for filter in &input.filters {
            let value = |tag: &super::tags::GroupTag| tag.value.clone().unwrap_or_default();
            fits &= match filter.name.as_str() {
                "tag-key" | "key" => group.tags.iter().any(|t| filter.fits(&t.key)),
                "tag-value" | "value" => group.tags.iter().any(|t| filter.fits(&value(t))),
                other => match other.strip_prefix("tag:") {
                    Some(key) => group.tags.iter().any(|t| t.key == key && filter.fits(&value(t))),
                    None => return Err(invalid(format!("Filter '{other}' is invalid."))),
                },
            };
        }
        if fits {
            found.push(group);
        }
    }
    let size = input.max_records.unwrap_or(50).min(100);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidNextToken")?;
    let with_instances = input.include_instances.unwrap_or(true);
    let views: Vec<Value> = found.into_iter().map(|g| view(g, with_instances)).collect();
    Ok(present(json!({ "AutoScalingGroups": views, "NextToken": next })))
}

fn view(group: &Group, with_instances: bool) -> Value {
    let instances: Vec<Value> =
        group.members.values().filter(|_| with_instances).map(|m| member_view(m, None)).collect();
    let suspended: Vec<Value> = group
        .suspended
        .iter()
        .map(|p| json!({ "ProcessName": p, "SuspensionReason": "User suspended" }))
        .collect();
    let maintenance = group
        .maintenance
        .map(|m| json!({ "MinHealthyPercentage": m.min_healthy, "MaxHealthyPercentage": m.max_healthy }));
    let pool = group.warm_pool.as_ref().and_then(|p| p.get("WarmPoolConfiguration")).cloned();
    let pool_size =
        group.warm_pool.as_ref().map(|p| p.get("Instances").and_then(Value::as_array).map_or(0, Vec::len));
    let mut view = json!({
        "AutoScalingGroupName": group.name,
        "AutoScalingGroupARN": group.arn,
        "MinSize": group.min_size,
        "MaxSize": group.max_size,
        "DesiredCapacity": group.desired,
        "DefaultCooldown": 300,
        "AvailabilityZones": group.zones,
        "LoadBalancerNames": [],
        "TargetGroupARNs": group.target_groups,
        "HealthCheckType": group.health_check_type,
        "HealthCheckGracePeriod": group.grace_seconds,
        "Instances": instances,
        "CreatedTime": group.created.epoch_seconds(),
        "SuspendedProcesses": suspended,
        "VPCZoneIdentifier": (!group.subnets.is_empty()).then(|| group.subnets.join(",")),
        "EnabledMetrics": [],
        "Status": group.deleting.then_some("Delete in progress"),
        "Tags": group.tags.iter().map(|t| t.view(&group.name)).collect::<Vec<_>>(),
        "TerminationPolicies": ["Default"],
        "NewInstancesProtectedFromScaleIn": group.protect_new,
        "DefaultInstanceWarmup": group.default_warmup,
        "InstanceMaintenancePolicy": maintenance,
        "WarmPoolConfiguration": pool,
        "WarmPoolSize": pool_size,
    });
    if let Some(members) = view.as_object_mut() {
        for (name, value) in group.config.members().as_object().into_iter().flatten().chain(&group.other) {
            members.insert(name.clone(), value.clone());
        }
    }
    view
}

/// An instance as its group lists it or, with the group's name, as `DescribeAutoScalingInstances` lists it.
fn member_view(member: &Member, group: Option<&str>) -> Value {
    let healthy = match (group, member.healthy) {
        (None, true) => "Healthy",
        (None, false) => "Unhealthy",
        // The two operations spell the health status differently.
        (Some(_), true) => "HEALTHY",
        (Some(_), false) => "UNHEALTHY",
    };
    present(json!({
        "InstanceId": member.id,
        "AutoScalingGroupName": group,
        "InstanceType": member.instance_type,
        "AvailabilityZone": member.zone,
        "LifecycleState": member.lifecycle.name(),
        "HealthStatus": healthy,
        "LaunchTemplate": member.template.as_ref().map(super::config::Template::view),
        "LaunchConfigurationName": member.launch_configuration,
        "ProtectedFromScaleIn": member.protected,
    }))
}

pub(super) fn instances(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let here = place(call);
    let found: Vec<Value> = world
        .autoscaling
        .groups
        .values()
        .filter(|g| g.place == here)
        .flat_map(|g| g.members.values().map(move |m| (g, m)))
        .filter(|(_, m)| input.instance_ids.is_empty() || input.instance_ids.contains(&m.id))
        .map(|(g, m)| member_view(m, Some(&g.name)))
        .collect();
    let size = input.max_records.unwrap_or(50).min(50);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidNextToken")?;
    Ok(present(json!({ "AutoScalingInstances": found, "NextToken": next })))
}

pub(super) fn launch_configurations(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let here = place(call);
    let wanted = |c: &Value| {
        let name = c.get("LaunchConfigurationName").and_then(Value::as_str).unwrap_or_default();
        input.launch_configuration_names.is_empty()
            || input.launch_configuration_names.iter().any(|n| n == name)
    };
    let found: Vec<Value> = world
        .autoscaling
        .launch_configurations
        .iter()
        .filter(|(place, c)| *place == here && wanted(c))
        .map(|(_, c)| c.clone())
        .collect();
    let size = input.max_records.unwrap_or(50).min(100);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidNextToken")?;
    Ok(present(json!({ "LaunchConfigurations": found, "NextToken": next })))
}

pub(super) fn warm_pool(world: &mut World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    let instances =
        group.warm_pool.as_ref().and_then(|p| p.get("Instances")).and_then(Value::as_array).cloned();
    let size = input.max_records.unwrap_or(50).min(50);
    let (instances, next) =
        page(instances.unwrap_or_default(), input.next_token.as_deref(), size, "InvalidNextToken")?;
    let configuration = group.warm_pool.as_ref().and_then(|p| p.get("WarmPoolConfiguration"));
    Ok(present(json!({ "WarmPoolConfiguration": configuration, "Instances": instances, "NextToken": next })))
}

/// `DescribeLifecycleHooks`: always empty, because no operation here creates hooks.
pub(super) fn lifecycle_hooks(world: &mut World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    owned(world, call, &input.auto_scaling_group_name)?;
    Ok(json!({ "LifecycleHooks": [] }))
}
