//! Targets and their health: initial, healthy, unhealthy, draining, unused.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::ec2::InstanceState;
use super::super::support::{present, refuse};
use super::super::{autoscaling, cloudwatch};
use super::target_groups::owned;
use super::{Event, actions, enter};

/// The health of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Initial,
    Healthy,
    Unhealthy,
    Draining,
    /// No listener forwards to its group.
    Unused,
}

/// A registered target.
#[derive(Clone, Debug)]
pub struct Target {
    pub health: Health,
    pub registered: Time,
    /// Incremented with every new pending health check, which voids the earlier ones.
    turn: u64,
}

/// Registers an instance, with the group's port if `port` is `None`.
pub fn register(world: &mut World, group: &str, instance: &str, port: Option<u16>) {
    let now = world.now;
    let in_use = actions::in_use(world, group);
    let Some(target_group) = world.elbv2.target_groups.get_mut(group) else { return };
    let key = (instance.to_owned(), port.unwrap_or(target_group.port));
    match target_group.targets.get_mut(&key) {
        Some(target) if target.health != Health::Draining => return,
        Some(target) => {
            target.turn += 1;
            target.health = Health::Initial;
        }
        None => {
            let health = if in_use { Health::Initial } else { Health::Unused };
            target_group.targets.insert(key.clone(), Target { health, registered: now, turn: 0 });
        }
    }
    world.elbv2.epoch += 1;
    expect(world, group, &key);
    cloudwatch::wake(world);
}

/// Seeds a healthy target.
pub fn seed_healthy(world: &mut World, group: &str, instance: &str) {
    let now = world.now;
    let Some(target_group) = world.elbv2.target_groups.get_mut(group) else { return };
    let key = (instance.to_owned(), target_group.port);
    target_group.targets.insert(key, Target { health: Health::Healthy, registered: now, turn: 0 });
    world.elbv2.epoch += 1;
    cloudwatch::wake(world);
}

/// Deregisters an instance: it drains for the group's deregistration delay.
pub fn deregister(world: &mut World, group: &str, instance: &str, port: Option<u16>) {
    let now = world.now;
    let Some(target_group) = world.elbv2.target_groups.get_mut(group) else { return };
    let delay = Duration::from_secs(target_group.deregistration_delay());
    let mut drained = Vec::new();
    for ((id, own_port), target) in &mut target_group.targets {
        if id != instance || port.is_some_and(|p| p != *own_port) || target.health == Health::Draining {
            continue;
        }
        target.turn += 1;
        // Only a healthy target has requests in flight to drain.
        let at = if target.health == Health::Healthy { now + delay } else { now };
        target.health = Health::Draining;
        drained.push((at, *own_port, target.turn));
    }
    for (at, port, turn) in drained {
        let event = Event::Drained { group: group.to_owned(), instance: instance.to_owned(), port, turn };
        enter(world, at, event);
    }
    world.elbv2.epoch += 1;
}

/// The health of an instance in a group; `None` if it is not registered.
#[must_use]
pub fn health(world: &World, group: &str, instance: &str) -> Option<Health> {
    let targets = &world.elbv2.target_groups.get(group)?.targets;
    targets.iter().find(|((id, _), _)| id == instance).map(|(_, target)| target.health)
}

/// Schedules health checks for the targets of an instance that started or stopped serving, or ended.
pub fn instance_changed(world: &mut World, instance: &str) {
    let places: Vec<(String, (String, u16))> = world
        .elbv2
        .target_groups
        .values()
        .flat_map(|g| {
            g.targets.keys().filter(|(id, _)| id == instance).map(|key| (g.arn.clone(), key.clone()))
        })
        .collect();
    let ended = world.ec2.instances.get(instance).is_none_or(|i| i.state == InstanceState::Terminated);
    for (group, key) in places {
        if ended {
            if let Some(group) = world.elbv2.target_groups.get_mut(&group) {
                group.targets.remove(&key);
            }
            world.elbv2.epoch += 1;
        } else {
            expect(world, &group, &key);
        }
    }
}

/// Schedules the health check that will detect the target's current condition.
fn expect(world: &mut World, group: &str, key: &(String, u16)) {
    let now = world.now;
    let serves = serves(world, &key.0);
    let Some(target_group) = world.elbv2.target_groups.get_mut(group) else { return };
    let check = target_group.health_check.clone();
    let Some(target) = target_group.targets.get_mut(key) else { return };
    // A new target is healthy after one successful check; later the thresholds apply.
    let checks = match (target.health, serves) {
        (Health::Initial, true) => 1,
        (Health::Unhealthy, true) => check.healthy_threshold,
        (Health::Initial | Health::Healthy, false) => check.unhealthy_threshold,
        _ => return,
    };
    target.turn += 1;
    let turn = target.turn;
    let at = now + Duration::from_secs(u64::from(check.interval_seconds) * u64::from(checks));
    let event = Event::Checked { group: group.to_owned(), instance: key.0.clone(), port: key.1, turn };
    enter(world, at, event);
}

fn serves(world: &World, instance: &str) -> bool {
    world.ec2.instances.get(instance).is_some_and(super::super::ec2::Instance::serves)
}

pub(super) fn on_event(world: &mut World, event: Event) {
    let drained = matches!(event, Event::Drained { .. });
    let (Event::Checked { group, instance, port, turn } | Event::Drained { group, instance, port, turn }) =
        event;
    let serves = serves(world, &instance);
    let key = (instance, port);
    let Some(target_group) = world.elbv2.target_groups.get_mut(&group) else { return };
    let Some(target) = target_group.targets.get_mut(&key).filter(|t| t.turn == turn) else { return };
    if drained {
        target_group.targets.remove(&key);
    } else {
        target.health = if serves { Health::Healthy } else { Health::Unhealthy };
    }
    world.elbv2.epoch += 1;
    autoscaling::instance_changed(world, &key.0);
}

/// Updates targets after listeners or rules changed: target groups become used or unused.
pub(super) fn routing_changed(world: &mut World) {
    world.elbv2.epoch += 1;
    let groups: Vec<String> = world.elbv2.target_groups.keys().cloned().collect();
    for arn in groups {
        let in_use = actions::in_use(world, &arn);
        let Some(group) = world.elbv2.target_groups.get_mut(&arn) else { continue };
        let mut waking = Vec::new();
        for (key, target) in &mut group.targets {
            match (in_use, target.health) {
                (true, Health::Unused) => {
                    target.health = Health::Initial;
                    waking.push(key.clone());
                }
                (false, Health::Initial | Health::Healthy | Health::Unhealthy) => {
                    target.turn += 1;
                    target.health = Health::Unused;
                }
                _ => {}
            }
        }
        for key in waking {
            expect(world, &arn, &key);
        }
    }
    cloudwatch::wake(world);
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Change {
    target_group_arn: String,
    #[serde(default)]
    targets: Vec<TargetDescription>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TargetDescription {
    id: String,
    #[serde(default)]
    port: Option<u16>,
}

pub(super) fn register_targets(world: &mut World, call: &Call) -> Answer {
    let input: Change = call.parse()?;
    owned(world, call, &input.target_group_arn)?;
    for target in &input.targets {
        let instance = world.ec2.instances.get(&target.id);
        let usable = instance.is_some_and(|i| {
            i.account == call.account && i.region == call.region && i.state == InstanceState::Running
        });
        if !usable {
            return Err(refuse(
                "InvalidTarget",
                format!(
                    "The following targets are not in a running state and cannot be registered: '{}'",
                    target.id
                ),
            ));
        }
    }
    for target in &input.targets {
        register(world, &input.target_group_arn, &target.id, target.port);
    }
    Ok(json!({}))
}

pub(super) fn deregister_targets(world: &mut World, call: &Call) -> Answer {
    let input: Change = call.parse()?;
    let group = owned(world, call, &input.target_group_arn)?;
    for target in &input.targets {
        let known = group
            .targets
            .keys()
            .any(|(id, port)| *id == target.id && target.port.is_none_or(|wanted| wanted == *port));
        if !known {
            return Err(refuse("InvalidTarget", format!("The target '{}' is not registered", target.id)));
        }
    }
    for target in &input.targets {
        deregister(world, &input.target_group_arn, &target.id, target.port);
    }
    Ok(json!({}))
}

pub(super) fn describe_health(world: &mut World, call: &Call) -> Answer {
    let input: Change = call.parse()?;
    let group = owned(world, call, &input.target_group_arn)?;
    let wanted = |id: &str, port: u16| {
        input.targets.is_empty()
            || input.targets.iter().any(|t| t.id == id && t.port.is_none_or(|wanted| wanted == port))
    };
    let mut views: Vec<Value> = group
        .targets
        .iter()
        .filter(|((id, port), _)| wanted(id, *port))
        .map(|((id, port), target)| view(id, *port, &health_view(target.health)))
        .collect();
    // A requested target that is not registered is returned as unused.
    for target in &input.targets {
        if !group.targets.keys().any(|(id, _)| *id == target.id) {
            let health = json!({
                "State": "unused",
                "Reason": "Target.NotRegistered",
                "Description": "Target is not registered to the target group",
            });
            views.push(view(&target.id, target.port.unwrap_or(group.port), &health));
        }
    }
    Ok(json!({ "TargetHealthDescriptions": views }))
}

fn view(id: &str, port: u16, health: &Value) -> Value {
    json!({
        "Target": { "Id": id, "Port": port },
        "HealthCheckPort": port.to_string(),
        "TargetHealth": health,
    })
}

fn health_view(health: Health) -> Value {
    let (state, reason, description) = match health {
        Health::Initial => {
            ("initial", Some("Elb.RegistrationInProgress"), Some("Target registration is in progress"))
        }
        Health::Healthy => ("healthy", None, None),
        Health::Unhealthy => ("unhealthy", Some("Target.Timeout"), Some("Request timed out")),
        Health::Draining => (
            "draining",
            Some("Target.DeregistrationInProgress"),
            Some("Target deregistration is in progress"),
        ),
        Health::Unused => (
            "unused",
            Some("Target.NotInUse"),
            Some("Target group is not configured to receive traffic from the load balancer"),
        ),
    };
    present(json!({ "State": state, "Reason": reason, "Description": description }))
}
