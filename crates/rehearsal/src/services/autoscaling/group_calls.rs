//! Creating, changing and deleting groups.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{Place, refuse};
use super::config::{RawConfig, invalid};
use super::groups::{Group, Maintenance, owned};
use super::members::Lifecycle;
use super::seed::arn;
use super::tags::{self, GroupTag};
use super::{place, wake};

/// The default of `DefaultCooldown`, in seconds.
const DEFAULT_COOLDOWN: u64 = 300;

/// The maximum size of a group.
const LARGEST: usize = 5000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    auto_scaling_group_name: String,
    #[serde(flatten)]
    config: RawConfig,
    #[serde(default)]
    min_size: Option<usize>,
    #[serde(default)]
    max_size: Option<usize>,
    #[serde(default)]
    desired_capacity: Option<usize>,
    #[serde(default)]
    availability_zones: Option<Vec<String>>,
    #[serde(default, rename = "VPCZoneIdentifier")]
    vpc_zone_identifier: Option<String>,
    #[serde(default, rename = "TargetGroupARNs")]
    target_group_arns: Vec<String>,
    #[serde(default)]
    health_check_type: Option<String>,
    #[serde(default)]
    health_check_grace_period: Option<u64>,
    #[serde(default)]
    default_instance_warmup: Option<i64>,
    #[serde(default)]
    default_cooldown: Option<u64>,
    #[serde(default)]
    new_instances_protected_from_scale_in: Option<bool>,
    #[serde(default)]
    termination_policies: Option<Vec<String>>,
    #[serde(default)]
    instance_maintenance_policy: Option<RawMaintenance>,
    #[serde(default)]
    tags: Vec<GroupTag>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RawMaintenance {
    min_healthy_percentage: i64,
    max_healthy_percentage: i64,
}

impl RawMaintenance {
    fn accept(&self) -> Result<Option<Maintenance>, ApiError> {
        if (self.min_healthy_percentage, self.max_healthy_percentage) == (-1, -1) {
            return Ok(None);
        }
        let (min, max) = (self.min_healthy_percentage, self.max_healthy_percentage);
        match (usize::try_from(min), usize::try_from(max)) {
            (Ok(min_healthy), Ok(max_healthy))
                if min <= 100 && (100..=200).contains(&max) && max - min <= 100 =>
            {
                Ok(Some(Maintenance { min_healthy, max_healthy }))
            }
            _ => Err(invalid("The instance maintenance policy's percentages are out of range.")),
        }
    }
}

/// Parses a comma-separated list of subnets, all of which must exist. Returns the subnets and their zones.
fn subnets(world: &World, here: &Place, list: &str) -> Result<(Vec<String>, Vec<String>), ApiError> {
    let ids: Vec<String> =
        list.split(',').map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()).collect();
    let mut zones = BTreeSet::new();
    for id in &ids {
        let zone = super::super::ec2::subnet_zone(world, here, id)
            .ok_or_else(|| invalid(format!("The subnet ID '{id}' does not exist")))?;
        zones.insert(zone.to_owned());
    }
    Ok((ids, zones.into_iter().collect()))
}

fn check_target_groups(world: &World, here: &Place, arns: &[String]) -> Result<(), ApiError> {
    match arns.iter().find(|arn| world.elbv2.target_groups.get(*arn).is_none_or(|g| g.place != *here)) {
        Some(unknown) => Err(invalid(format!("Target group '{unknown}' not found"))),
        None => Ok(()),
    }
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Settings = call.parse()?;
    let here = place(call);
    let key = (here.clone(), input.auto_scaling_group_name.clone());
    if world.autoscaling.groups.contains_key(&key) {
        return Err(refuse(
            "AlreadyExists",
            format!(
                "AutoScalingGroup by this name already exists - A group with the name {} already exists",
                key.1
            ),
        ));
    }
    let config = input.config.accept(world, &here)?;
    check_target_groups(world, &here, &input.target_group_arns)?;
    if input.vpc_zone_identifier.is_none() && input.availability_zones.is_none() {
        return Err(invalid("At least one Availability Zone or VPC Subnet is required."));
    }
    let min_size = input.min_size.unwrap_or(0);
    let uuid = world.ids.uuid();
    let mut group = Group {
        arn: arn(&here, &uuid, &key.1),
        name: key.1.clone(),
        place: here,
        config,
        min_size,
        max_size: input.max_size.unwrap_or(min_size),
        desired: input.desired_capacity.unwrap_or(min_size),
        created: call.now,
        zones: Vec::new(),
        subnets: Vec::new(),
        target_groups: input.target_group_arns.clone(),
        health_check_type: "EC2".into(),
        grace_seconds: 0,
        default_warmup: None,
        protect_new: false,
        suspended: BTreeSet::new(),
        members: BTreeMap::new(),
        refreshes: Vec::new(),
        maintenance: None,
        tags: Vec::new(),
        activities: Vec::new(),
        other: Map::new(),
        warm_pool: None,
        launch_not_before: None,
        deleting: false,
    };
    group.other.insert("DefaultCooldown".into(), json!(DEFAULT_COOLDOWN));
    group.other.insert("TerminationPolicies".into(), json!(["Default"]));
    apply(world, &mut group, &input)?;
    tags::put(&mut group.tags, input.tags);
    world.autoscaling.groups.insert(key.clone(), group);
    wake(world, &key, call.now);
    Ok(json!({}))
}

/// Applies the settings that Create and Update share.
fn apply(world: &World, group: &mut Group, input: &Settings) -> Result<(), ApiError> {
    group.min_size = input.min_size.unwrap_or(group.min_size);
    group.max_size = input.max_size.unwrap_or(group.max_size);
    if group.max_size > LARGEST {
        return Err(invalid(format!("A group cannot be larger than {LARGEST}.")));
    }
    if group.min_size > group.max_size {
        return Err(invalid("Min bound must not be greater than max bound."));
    }
    match input.desired_capacity {
        Some(desired) => set_capacity(group, desired)?,
        // Keep the desired capacity within the changed bounds.
        None => group.desired = group.desired.clamp(group.min_size, group.max_size),
    }
    if let Some(list) = &input.vpc_zone_identifier {
        (group.subnets, group.zones) = subnets(world, &group.place, list)?;
    } else if let Some(zones) = &input.availability_zones {
        group.zones.clone_from(zones);
    }
    if let Some(kind) = &input.health_check_type {
        if kind.split(',').any(|k| !["EC2", "ELB", "EBS", "VPC_LATTICE"].contains(&k.trim())) {
            return Err(invalid(format!("Invalid HealthCheckType: {kind}")));
        }
        group.health_check_type.clone_from(kind);
    }
    group.grace_seconds = input.health_check_grace_period.unwrap_or(group.grace_seconds);
    if let Some(warmup) = input.default_instance_warmup {
        // -1 clears the value.
        group.default_warmup = u64::try_from(warmup).ok();
    }
    group.protect_new = input.new_instances_protected_from_scale_in.unwrap_or(group.protect_new);
    if let Some(policy) = &input.instance_maintenance_policy {
        group.maintenance = policy.accept()?;
    }
    if let Some(cooldown) = input.default_cooldown {
        group.other.insert("DefaultCooldown".into(), json!(cooldown));
    }
    if let Some(policies) = &input.termination_policies {
        group.other.insert("TerminationPolicies".into(), json!(policies));
    }
    Ok(())
}

fn set_capacity(group: &mut Group, desired: usize) -> Result<(), ApiError> {
    if !(group.min_size..=group.max_size).contains(&desired) {
        return Err(invalid(format!(
            "New SetDesiredCapacity value {desired} is not between the min value {} and the max value {}.",
            group.min_size, group.max_size
        )));
    }
    group.desired = desired;
    Ok(())
}

/// `UpdateAutoScalingGroup`. An active refresh with a desired configuration blocks changes to the launch
/// configuration.
pub(super) fn update(world: &mut World, call: &Call) -> Answer {
    let input: Settings = call.parse()?;
    let here = place(call);
    let mut group = owned(world, call, &input.auto_scaling_group_name)?.clone();
    if input.config.is_given() {
        if group.active_refresh().is_some_and(|r| r.desired.is_some()) {
            return Err(invalid(
                "An active instance refresh with a desired configuration exists. All configuration options derived from the desired configuration are not available for update while the instance refresh is active.",
            ));
        }
        group.config = input.config.accept(world, &here)?;
    }
    apply(world, &mut group, &input)?;
    let key = group.key();
    world.autoscaling.groups.insert(key.clone(), group);
    wake(world, &key, call.now);
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfGroup {
    auto_scaling_group_name: String,
    #[serde(default)]
    desired_capacity: usize,
    #[serde(default)]
    force_delete: bool,
    #[serde(default, rename = "TargetGroupARNs")]
    target_group_arns: Vec<String>,
}

pub(super) fn set_desired(world: &mut World, call: &Call) -> Answer {
    let input: OfGroup = call.parse()?;
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    set_capacity(group, input.desired_capacity)?;
    let key = group.key();
    wake(world, &key, call.now);
    Ok(json!({}))
}

/// `DeleteAutoScalingGroup`. With `ForceDelete`, a group with instances is deleted and its instances are terminated.
pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: OfGroup = call.parse()?;
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    let key = group.key();
    if group.members.is_empty() {
        if let Some(gone) = world.autoscaling.groups.remove(&key) {
            world.autoscaling.past.entry(key).or_default().extend(gone.activities);
        }
        return Ok(json!({}));
    }
    if !input.force_delete {
        return Err(refuse(
            "ResourceInUse",
            "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.",
        ));
    }
    group.deleting = true;
    group.desired = 0;
    group.min_size = 0;
    group.suspended.clear();
    group.refreshes.clear();
    for member in group.members.values_mut() {
        member.protected = false;
        if member.lifecycle == Lifecycle::Standby {
            member.lifecycle = Lifecycle::InService;
        }
    }
    wake(world, &key, call.now);
    Ok(json!({}))
}

pub(super) fn attach_target_groups(world: &mut World, call: &Call) -> Answer {
    let input: OfGroup = call.parse()?;
    check_target_groups(world, &place(call), &input.target_group_arns)?;
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    if group.active_refresh().is_some() {
        return Err(refuse(
            "InstanceRefreshInProgress",
            "An instance refresh is in progress for this group.",
        ));
    }
    let new: Vec<String> =
        input.target_group_arns.into_iter().filter(|arn| !group.target_groups.contains(arn)).collect();
    group.target_groups.extend(new.iter().cloned());
    let in_service: Vec<String> = group
        .members
        .values()
        .filter(|m| m.lifecycle == Lifecycle::InService)
        .map(|m| m.id.clone())
        .collect();
    for arn in &new {
        for id in &in_service {
            super::super::elbv2::register(world, arn, id, None);
        }
    }
    Ok(json!({}))
}
