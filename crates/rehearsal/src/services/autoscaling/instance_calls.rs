//! Operations on single instances of a group: protection, standby, termination.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::ec2::InstanceState;
use super::super::elbv2;
use super::activities::{self, Activity};
use super::config::invalid;
use super::groups::{Group, owned};
use super::keeping::{enter_service, leave};
use super::members::Lifecycle;
use super::{Key, place, wake};

const MOST_PROTECTED: usize = 50;
const MOST_STANDBY: usize = 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Instances {
    #[serde(default)]
    auto_scaling_group_name: String,
    #[serde(default)]
    instance_ids: Vec<String>,
    #[serde(default)]
    instance_id: Option<String>,
    #[serde(default)]
    protected_from_scale_in: bool,
    #[serde(default)]
    should_decrement_desired_capacity: bool,
}

/// Checks that every instance belongs to the group and is in the required state.
fn check(group: &Group, ids: &[String], most: usize, state: Option<Lifecycle>) -> Result<(), ApiError> {
    if ids.len() > most {
        return Err(invalid(format!("At most {most} instances can be given.")));
    }
    for id in ids {
        match group.members.get(id) {
            None => {
                return Err(invalid(format!(
                    "The instance {id} is not part of Auto Scaling group {}.",
                    group.name
                )));
            }
            Some(member) if state.is_some_and(|wanted| wanted != member.lifecycle) => {
                let (is, wanted) = (member.lifecycle.name(), state.map_or("", Lifecycle::name));
                return Err(invalid(format!("The instance {id} is not in {wanted}; it is in {is}.")));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

pub(super) fn set_protection(world: &mut World, call: &Call) -> Answer {
    let input: Instances = call.parse()?;
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    check(group, &input.instance_ids, MOST_PROTECTED, None)?;
    for id in &input.instance_ids {
        if let Some(member) = group.members.get_mut(id) {
            member.protected = input.protected_from_scale_in;
        }
    }
    let key = group.key();
    wake(world, &key, call.now);
    Ok(json!({}))
}

/// Removes a group from the world, changes it, and puts it back.
fn with_group<T>(
    world: &mut World,
    key: &Key,
    act: impl FnOnce(&mut World, &mut Group) -> T,
) -> Result<T, ApiError> {
    let mut group = world
        .autoscaling
        .groups
        .remove(key)
        .ok_or_else(|| invalid(format!("AutoScalingGroup {} not found", key.1)))?;
    let done = act(world, &mut group);
    world.autoscaling.groups.insert(key.clone(), group);
    let now = world.now;
    wake(world, key, now);
    Ok(done)
}

fn decrement(group: &mut Group, by: usize) -> Result<(), ApiError> {
    let desired = group.desired.checked_sub(by).filter(|d| *d >= group.min_size).ok_or_else(|| {
        invalid(format!(
            "AutoScalingGroup {} has min-size={}, so its desired capacity cannot be decremented by {by}.",
            group.name, group.min_size
        ))
    })?;
    group.desired = desired;
    Ok(())
}

pub(super) fn enter_standby(world: &mut World, call: &Call) -> Answer {
    let input: Instances = call.parse()?;
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    check(group, &input.instance_ids, MOST_STANDBY, Some(Lifecycle::InService))?;
    if input.should_decrement_desired_capacity {
        decrement(group, input.instance_ids.len())?;
    }
    let key = group.key();
    let views = with_group(world, &key, |world, group| {
        let mut views = Vec::new();
        for id in &input.instance_ids {
            for target_group in &group.target_groups {
                elbv2::deregister(world, target_group, id, None);
            }
            if let Some(member) = group.members.get_mut(id) {
                member.lifecycle = Lifecycle::Standby;
            }
            views.extend(done(world, group, format!("Moving EC2 instance to Standby: {id}")));
        }
        views
    })?;
    Ok(json!({ "Activities": views }))
}

pub(super) fn exit_standby(world: &mut World, call: &Call) -> Answer {
    let input: Instances = call.parse()?;
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    check(group, &input.instance_ids, MOST_STANDBY, Some(Lifecycle::Standby))?;
    let desired = group.desired + input.instance_ids.len();
    if desired > group.max_size {
        return Err(invalid(format!(
            "AutoScalingGroup {} has max-size={}, so its desired capacity cannot become {desired}.",
            group.name, group.max_size
        )));
    }
    group.desired = desired;
    let key = group.key();
    let views = with_group(world, &key, |world, group| {
        let mut views = Vec::new();
        for id in &input.instance_ids {
            let now = world.now;
            let runs = world.ec2.instances.get(id).is_some_and(|i| i.state == InstanceState::Running);
            if runs {
                enter_service(world, group, id, now);
            } else if let Some(member) = group.members.get_mut(id) {
                member.lifecycle = Lifecycle::Pending;
            }
            views.extend(done(world, group, format!("Moving EC2 instance out of Standby: {id}")));
        }
        views
    })?;
    Ok(json!({ "Activities": views }))
}

/// Records an activity that is complete at once.
fn done(world: &mut World, group: &mut Group, description: String) -> Option<Value> {
    let now = world.now;
    let id = activities::begin(world, group, description, "a user request");
    activities::end(group, &id, now, "Successful", None);
    group.activities.last().map(Activity::view)
}

pub(super) fn terminate(world: &mut World, call: &Call) -> Answer {
    let input: Instances = call.parse()?;
    let mut ids = input.instance_ids;
    ids.extend(input.instance_id);
    let Some(first) = ids.first() else { return Err(invalid("An instance must be given.")) };
    let key =
        world.autoscaling.owners.get(first).filter(|key| key.0 == place(call)).cloned().ok_or_else(|| {
            invalid(format!("Instance Id not found - No managed instance found for instance ID: {first}"))
        })?;
    let group = owned(world, call, &key.1)?;
    check(group, &ids, MOST_PROTECTED, None)?;
    if input.should_decrement_desired_capacity {
        decrement(group, ids.len())?;
    }
    let views: Vec<Value> = with_group(world, &key, |world, group| {
        let begun: Vec<String> =
            ids.iter().filter_map(|id| leave(world, group, id, "a user request")).collect();
        group.activities.iter().filter(|a| begun.contains(&a.id)).map(Activity::view).collect()
    })?;
    Ok(super::super::support::present(json!({ "Activity": views.first(), "Activities": views })))
}
