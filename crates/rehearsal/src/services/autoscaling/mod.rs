//! Auto Scaling: groups that maintain their capacity, and instance refreshes.

mod activities;
mod config;
mod group_calls;
mod group_describe;
mod groups;
mod instance_calls;
mod keeping;
mod launch_configurations;
mod members;
mod preferences;
mod processes;
mod refresh;
mod refresh_calls;
mod rolling;
mod seed;
mod tags;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::super::call::{Answer, Call};
use super::super::time::Time;
use super::super::world::{self, World};
use super::support::{Place, refuse};

pub use groups::Group;
pub use members::{Lifecycle, Member};
pub use refresh::{Refresh, Status};
pub(in super::super) use seed::in_service;
pub use seed::{NewGroup, group, seed_group, seed_launch_configuration, seed_warm_pool};

/// The place and name of a group.
type Key = (Place, String);

/// What an instance refresh does about an alarm that is in ALARM when it starts. AWS does not document it.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum AlarmAtStart {
    /// The refresh fails at once.
    #[default]
    Fail,
    /// Only a later change to ALARM counts.
    Ignore,
    /// `StartInstanceRefresh` is refused.
    Refuse,
}

#[derive(Clone, Debug, Default)]
pub struct State {
    /// Behavior that AWS does not document; the scenario sets it.
    pub alarm_at_start: AlarmAtStart,
    groups: BTreeMap<Key, Group>,
    /// The group of each instance.
    owners: BTreeMap<String, Key>,
    /// The time of the next reconciliation of each group.
    wakes: BTreeMap<Key, Time>,
    launch_configurations: Vec<(Place, Value)>,
    /// The activities of deleted groups.
    past: BTreeMap<Key, Vec<activities::Activity>>,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// Reconciles a group.
    Wake { account: String, region: String, group: String },
}

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &[
    "AttachLoadBalancerTargetGroups",
    "CancelInstanceRefresh",
    "CreateAutoScalingGroup",
    "CreateLaunchConfiguration",
    "CreateOrUpdateTags",
    "DeleteAutoScalingGroup",
    "DescribeAutoScalingGroups",
    "DescribeAutoScalingInstances",
    "DescribeInstanceRefreshes",
    "DescribeLaunchConfigurations",
    "DescribeLifecycleHooks",
    "DescribeScalingActivities",
    "DescribeTags",
    "DescribeWarmPool",
    "EnterStandby",
    "ExitStandby",
    "ResumeProcesses",
    "RollbackInstanceRefresh",
    "SetDesiredCapacity",
    "SetInstanceProtection",
    "StartInstanceRefresh",
    "SuspendProcesses",
    "TerminateInstanceInAutoScalingGroup",
    "UpdateAutoScalingGroup",
];

/// Handles one Auto Scaling call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &mut World, call: &Call) -> Answer {
    match call.operation.as_str() {
        "AttachLoadBalancerTargetGroups" => group_calls::attach_target_groups(world, call),
        "CancelInstanceRefresh" => refresh_calls::cancel(world, call),
        "CreateAutoScalingGroup" => group_calls::create(world, call),
        "CreateLaunchConfiguration" => launch_configurations::create(world, call),
        "CreateOrUpdateTags" => tags::create_or_update(world, call),
        "DeleteAutoScalingGroup" => group_calls::delete(world, call),
        "DescribeAutoScalingGroups" => group_describe::groups(world, call),
        "DescribeAutoScalingInstances" => group_describe::instances(world, call),
        "DescribeInstanceRefreshes" => refresh_calls::describe(world, call),
        "DescribeLaunchConfigurations" => group_describe::launch_configurations(world, call),
        "DescribeLifecycleHooks" => group_describe::lifecycle_hooks(world, call),
        "DescribeScalingActivities" => activities::describe(world, call),
        "DescribeTags" => tags::describe(world, call),
        "DescribeWarmPool" => group_describe::warm_pool(world, call),
        "EnterStandby" => instance_calls::enter_standby(world, call),
        "ExitStandby" => instance_calls::exit_standby(world, call),
        "ResumeProcesses" => processes::resume(world, call),
        "RollbackInstanceRefresh" => refresh_calls::rollback(world, call),
        "SetDesiredCapacity" => group_calls::set_desired(world, call),
        "SetInstanceProtection" => instance_calls::set_protection(world, call),
        "StartInstanceRefresh" => refresh_calls::start(world, call),
        "SuspendProcesses" => processes::suspend(world, call),
        "TerminateInstanceInAutoScalingGroup" => instance_calls::terminate(world, call),
        "UpdateAutoScalingGroup" => group_calls::update(world, call),
        other => {
            Err(refuse("InvalidAction", format!("The action {other} is not valid for this web service.")))
        }
    }
}

/// Applies a due event.
pub fn on_event(world: &mut World, at: Time, event: Event) {
    let Event::Wake { account, region, group } = event;
    let key = (Place { account, region }, group);
    if world.autoscaling.wakes.get(&key).is_some_and(|planned| *planned <= at) {
        world.autoscaling.wakes.remove(&key);
        keeping::look_after(world, &key, at);
    }
}

/// Reconciles the group of a changed instance, if it has one.
pub(super) fn instance_changed(world: &mut World, instance: &str) {
    if let Some(key) = world.autoscaling.owners.get(instance).cloned() {
        let now = world.now;
        wake(world, &key, now);
    }
}

/// Reconciles the groups whose refresh watches alarms, after an alarm changed.
pub(super) fn alarms_changed(world: &mut World) {
    let watching: Vec<Key> = world
        .autoscaling
        .groups
        .iter()
        .filter(|(_, group)| group.active_refresh().is_some_and(Refresh::watches_alarms))
        .map(|(key, _)| key.clone())
        .collect();
    let now = world.now;
    for key in watching {
        wake(world, &key, now);
    }
}

/// Schedules a reconciliation of a group at `at`, unless an earlier one is scheduled: that one schedules the next.
fn wake(world: &mut World, key: &Key, at: Time) {
    if world.autoscaling.wakes.get(key).is_some_and(|planned| *planned <= at) {
        return;
    }
    world.autoscaling.wakes.insert(key.clone(), at);
    let event =
        Event::Wake { account: key.0.account.clone(), region: key.0.region.clone(), group: key.1.clone() };
    world.schedule.add(at, world::Event::AutoScaling(event));
}

fn place(call: &Call) -> Place {
    Place::new(call.account.clone(), call.region.clone())
}
