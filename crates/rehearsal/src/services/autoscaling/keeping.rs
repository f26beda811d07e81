//! Reconciliation of a group: health, replacement and capacity.

use std::time::Duration;

use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::ec2::{self, InstanceState};
use super::super::elbv2::{self, Health};
use super::super::support::Tags;
use super::activities;
use super::groups::Group;
use super::members::{Lifecycle, Member};
use super::{Key, refresh, wake};

/// The delay after a failed launch before the next one.
const RETRY_AFTER: Duration = Duration::from_mins(1);

/// Reconciles a group once.
pub(super) fn look_after(world: &mut World, key: &Key, now: Time) {
    let Some(mut group) = world.autoscaling.groups.remove(key) else { return };
    let mut again: Vec<Time> = Vec::new();
    observe(world, &mut group, now, &mut again);
    replace_unhealthy(world, &mut group);
    let wish = refresh::step(world, &mut group, now);
    again.extend(wish.look_again);
    for id in wish.terminate {
        let cause = "an instance was taken out of service by an instance refresh";
        leave(world, &mut group, &id, cause);
    }
    keep_capacity(world, &mut group, wish.target, now);
    again.extend(group.launch_not_before.filter(|at| *at > now));
    if group.deleting && group.members.is_empty() {
        world.autoscaling.wakes.remove(key);
        world.autoscaling.past.entry(key.clone()).or_default().extend(group.activities);
        return;
    }
    world.autoscaling.groups.insert(key.clone(), group);
    if let Some(at) = again.into_iter().filter(|at| *at > now).min() {
        wake(world, key, at);
    }
}

/// Updates the group's members from the state of their EC2 instances.
fn observe(world: &mut World, group: &mut Group, now: Time, again: &mut Vec<Time>) {
    let ids: Vec<String> = group.members.keys().cloned().collect();
    for id in ids {
        let state = world.ec2.instances.get(&id).map(|i| i.state);
        let Some(member) = group.members.get(&id) else { continue };
        match (member.lifecycle, state) {
            (_, None | Some(InstanceState::Terminated)) => forget(world, group, &id, now),
            (Lifecycle::Terminating, _) => {
                let draining = group.target_groups.iter().any(|tg| elbv2::health(world, tg, &id).is_some());
                if !draining {
                    ec2::terminate(world, &id, "User initiated");
                }
            }
            (Lifecycle::Pending, Some(InstanceState::Running)) => enter_service(world, group, &id, now),
            (Lifecycle::InService, Some(state)) if !group.suspends("HealthCheck") => {
                let ill = is_ill(world, group, member, state);
                let settled = member.in_service.map_or(now, |since| since + group.grace());
                if ill && state == InstanceState::Running && settled > now {
                    again.push(settled);
                } else if ill && let Some(member) = group.members.get_mut(&id) {
                    member.healthy = false;
                }
            }
            _ => {}
        }
    }
}

/// Whether an instance fails one of the group's health checks now, ignoring the grace period.
fn is_ill(world: &World, group: &Group, member: &Member, state: InstanceState) -> bool {
    let impaired = world.ec2.instances.get(&member.id).is_some_and(|i| i.impaired);
    let unhealthy = || {
        group.checks_load_balancer()
            && group
                .target_groups
                .iter()
                .any(|tg| elbv2::health(world, tg, &member.id) == Some(Health::Unhealthy))
    };
    state != InstanceState::Running || impaired || unhealthy()
}

/// Whether an instance counts as healthy in a refresh: in service, warmed up, and healthy in its target groups.
pub(super) fn is_ready(world: &World, group: &Group, member: &Member, warmup: Duration, now: Time) -> bool {
    let warm = member.made_by.is_none() || member.in_service.is_some_and(|since| since + warmup <= now);
    member.lifecycle == Lifecycle::InService
        && member.healthy
        && warm
        && world.ec2.instances.get(&member.id).is_some_and(|i| i.state == InstanceState::Running)
        && (!group.checks_load_balancer()
            || group.target_groups.iter().all(|tg| {
                matches!(elbv2::health(world, tg, &member.id), None | Some(Health::Healthy | Health::Unused))
            }))
}

fn forget(world: &mut World, group: &mut Group, id: &str, now: Time) {
    world.autoscaling.owners.remove(id);
    if let Some(member) = group.members.remove(id)
        && let Some(activity) = member.activity
    {
        let status = if member.lifecycle == Lifecycle::Pending { "Failed" } else { "Successful" };
        activities::end(group, &activity, now, status, None);
    }
}

/// Puts a running instance in service and registers it with the group's target groups.
pub(super) fn enter_service(world: &mut World, group: &mut Group, id: &str, now: Time) {
    let Some(member) = group.members.get_mut(id) else { return };
    member.lifecycle = Lifecycle::InService;
    member.in_service = Some(now);
    if let Some(activity) = member.activity.take() {
        activities::end(group, &activity, now, "Successful", None);
    }
    if !group.suspends("AddToLoadBalancer") {
        for target_group in &group.target_groups {
            elbv2::register(world, target_group, id, None);
        }
    }
}

fn replace_unhealthy(world: &mut World, group: &mut Group) {
    if group.suspends("ReplaceUnhealthy") || group.suspends("Terminate") {
        return;
    }
    let ill: Vec<String> = group
        .members
        .values()
        .filter(|m| m.lifecycle == Lifecycle::InService && !m.healthy)
        .map(|m| m.id.clone())
        .collect();
    for id in ill {
        leave(world, group, &id, "an instance was taken out of service in response to a failed health check");
    }
}

/// Starts removing an instance: it is deregistered, drains, and is then terminated.
pub(super) fn leave(world: &mut World, group: &mut Group, id: &str, cause: &str) -> Option<String> {
    let known = group.members.get(id).is_some_and(|m| m.lifecycle != Lifecycle::Terminating);
    if !known {
        return None;
    }
    let activity = activities::begin(world, group, format!("Terminating EC2 instance: {id}"), cause);
    let target_groups = group.target_groups.clone();
    if let Some(member) = group.members.get_mut(id) {
        member.lifecycle = Lifecycle::Terminating;
        member.activity = Some(activity.clone());
    }
    let mut registered = false;
    for target_group in &target_groups {
        registered |= elbv2::health(world, target_group, id).is_some();
        elbv2::deregister(world, target_group, id, None);
    }
    if !registered {
        ec2::terminate(world, id, "User initiated");
    }
    Some(activity)
}

/// Launches missing instances or removes surplus ones.
fn keep_capacity(world: &mut World, group: &mut Group, target: usize, now: Time) {
    let live = group.live();
    if live < target {
        if group.suspends("Launch") || group.launch_not_before.is_some_and(|at| at > now) {
            return;
        }
        group.launch_not_before = None;
        for _ in live..target {
            if let Err(message) = launch_one(world, group) {
                let description = "Launching a new EC2 instance.".to_owned();
                let cause = "an instance was launched in response to a difference between desired and actual capacity";
                let activity = activities::begin(world, group, description, cause);
                activities::end(group, &activity, now, "Failed", Some(message));
                group.launch_not_before = Some(now + RETRY_AFTER);
                return;
            }
        }
    } else if live > target && !group.suspends("Terminate") {
        for id in surplus(world, group, live - target) {
            let cause = "an instance was taken out of service in response to a difference between desired and actual capacity";
            leave(world, group, &id, cause);
        }
    }
}

/// Selects surplus instances to terminate: first those not of the current configuration, then the oldest; never
/// protected ones.
fn surplus(world: &World, group: &Group, count: usize) -> Vec<String> {
    let present = group.launches_from().launch_spec(world, &group.place).ok().and_then(|r| r.template);
    let mut order: Vec<&Member> = group.members.values().filter(|m| m.is_live() && !m.protected).collect();
    order.sort_by_key(|m| (m.template == present, m.joined, &m.id));
    order.into_iter().take(count).map(|m| m.id.clone()).collect()
}

/// Launches one instance, in the subnet with the fewest instances among those with capacity.
pub(super) fn launch_one(world: &mut World, group: &mut Group) -> Result<String, String> {
    let now = world.now;
    let config = group.launches_from().clone();
    let resolved = config.launch_spec(world, &group.place).map_err(|e| e.message)?;
    let mut tags = Tags::from([("aws:autoscaling:groupName".to_owned(), group.name.clone())]);
    if let Some(template) = &resolved.template {
        tags.insert("aws:ec2launchtemplate:id".into(), template.id.clone());
        tags.insert("aws:ec2launchtemplate:version".into(), template.version.clone());
    }
    for tag in group.tags.iter().filter(|t| t.propagate_at_launch == Some(true)) {
        tags.insert(tag.key.clone(), tag.value.clone().unwrap_or_default());
    }
    let mut subnets: Vec<Option<String>> = group.subnets.iter().cloned().map(Some).collect();
    if subnets.is_empty() {
        subnets.push(resolved.spec.subnet_id.clone());
    }
    let held = |subnet: &Option<String>| {
        let here = group.members.keys().filter_map(|id| world.ec2.instances.get(id));
        here.filter(|i| subnet.as_ref() == Some(&i.subnet_id) && i.state.is_live()).count()
    };
    subnets.sort_by_cached_key(held);
    let mut refusal = String::new();
    for subnet in subnets {
        let mut spec = resolved.spec.clone();
        spec.subnet_id = subnet;
        match ec2::launch(world, &group.place, &spec, 1, None, &tags) {
            Ok(launched) => {
                let Some(id) = launched.instances.into_iter().next() else { continue };
                join(world, group, &id, &resolved, &config, now);
                return Ok(id);
            }
            Err(error) => {
                let other_zones_may_do = error.code == "InsufficientInstanceCapacity";
                refusal = error.message;
                if !other_zones_may_do {
                    break;
                }
            }
        }
    }
    Err(refusal)
}

fn join(
    world: &mut World,
    group: &mut Group,
    id: &str,
    resolved: &super::config::Resolved,
    config: &super::config::Config,
    now: Time,
) {
    let Some(instance) = world.ec2.instances.get(id) else { return };
    let member = Member {
        id: id.to_owned(),
        lifecycle: Lifecycle::Pending,
        healthy: true,
        protected: group.protect_new,
        zone: instance.zone.clone(),
        instance_type: instance.instance_type.clone(),
        template: resolved.template.clone(),
        launch_configuration: config.launch_configuration.clone(),
        image_id: instance.image_id.clone(),
        joined: now,
        in_service: None,
        made_by: group.active_refresh().and_then(refresh::Refresh::makes),
        activity: None,
    };
    let cause = "an instance was launched in response to a difference between desired and actual capacity";
    let activity = activities::begin(world, group, format!("Launching a new EC2 instance: {id}"), cause);
    group.members.insert(id.to_owned(), Member { activity: Some(activity), ..member });
    world.autoscaling.owners.insert(id.to_owned(), group.key());
}
