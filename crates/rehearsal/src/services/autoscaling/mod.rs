//! Auto Scaling: groups that keep their capacity, and instance refreshes that roll through them.

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

/// A group's place and name.
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
    /// What AWS leaves open, chosen by the scenario.
    pub alarm_at_start: AlarmAtStart,
    groups: BTreeMap<Key, Group>,
    /// Which group an instance belongs to.
    owners: BTreeMap<String, Key>,
    /// When each group is reconciled next.
    wakes: BTreeMap<Key, Time>,
    launch_configurations: Vec<(Place, Value)>,
    /// What groups did that are deleted.
    past: BTreeMap<Key, Vec<activities::Activity>>,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// Look at a group: something about it may have changed.
    Wake { account: String, region: String, group: String },
}

/// Operations this service offers.
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

/// Answers one Auto Scaling call.
///
/// # Errors
/// The service's own error codes.
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

/// Lets a due event happen.
pub fn on_event(world: &mut World, at: Time, event: Event) {
    let Event::Wake { account, region, group } = event;
    let key = (Place { account, region }, group);
    if world.autoscaling.wakes.get(&key).is_some_and(|planned| *planned <= at) {
        world.autoscaling.wakes.remove(&key);
        keeping::look_after(world, &key, at);
    }
}

/// Something happened to an instance; its group, if it has one, looks.
pub(super) fn instance_changed(world: &mut World, instance: &str) {
    if let Some(key) = world.autoscaling.owners.get(instance).cloned() {
        let now = world.now;
        wake(world, &key, now);
    }
}

/// Alarms changed; groups whose refresh watches alarms look.
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
