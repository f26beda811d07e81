//! Elastic Load Balancing v2: load balancers, listeners, rules, target groups and the health of targets.

mod actions;
mod listeners;
mod load_balancers;
mod rules;
mod tags;
mod target_groups;
mod targets;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::super::call::{Answer, Call};
use super::super::time::Time;
use super::super::world::{self, World};
use super::support::{Place, Tags, refuse};

pub(super) use actions::traffic;
pub use listeners::Listener;
pub use load_balancers::LoadBalancer;
pub use rules::Rule;
pub use target_groups::{TargetGroup, place_target_group, seed_target_group, set_requests_per_minute};
pub use targets::{Health, Target, health};
pub(super) use targets::{deregister, instance_changed, register, seed_healthy};

#[derive(Clone, Debug, Default)]
pub struct State {
    load_balancers: BTreeMap<String, LoadBalancer>,
    listeners: BTreeMap<String, Listener>,
    rules: BTreeMap<String, Rule>,
    pub(super) target_groups: BTreeMap<String, TargetGroup>,
    tags: BTreeMap<String, Tags>,
    /// Counts changes to targets and routing, so that other services can cache values computed from them.
    pub(super) epoch: u64,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// The health checks of a target have run. The event is void if the target's `turn` has changed since.
    Checked { group: String, instance: String, port: u16, turn: u64 },
    /// A target has finished draining.
    Drained { group: String, instance: String, port: u16, turn: u64 },
}

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &[
    "AddTags",
    "CreateListener",
    "CreateLoadBalancer",
    "CreateRule",
    "CreateTargetGroup",
    "DeleteListener",
    "DeleteLoadBalancer",
    "DeleteRule",
    "DeleteTargetGroup",
    "DeregisterTargets",
    "DescribeListeners",
    "DescribeLoadBalancers",
    "DescribeRules",
    "DescribeTags",
    "DescribeTargetGroupAttributes",
    "DescribeTargetGroups",
    "DescribeTargetHealth",
    "ModifyListener",
    "ModifyRule",
    "ModifyTargetGroupAttributes",
    "RegisterTargets",
    "RemoveTags",
];

/// Handles one `ELBv2` call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &mut World, call: &Call) -> Answer {
    match call.operation.as_str() {
        "AddTags" => tags::add(world, call),
        "CreateListener" => listeners::create(world, call),
        "CreateLoadBalancer" => load_balancers::create(world, call),
        "CreateRule" => rules::create(world, call),
        "CreateTargetGroup" => target_groups::create(world, call),
        "DeleteListener" => listeners::delete(world, call),
        "DeleteLoadBalancer" => load_balancers::delete(world, call),
        "DeleteRule" => rules::delete(world, call),
        "DeleteTargetGroup" => target_groups::delete(world, call),
        "DeregisterTargets" => targets::deregister_targets(world, call),
        "DescribeListeners" => listeners::describe(world, call),
        "DescribeLoadBalancers" => load_balancers::describe(world, call),
        "DescribeRules" => rules::describe(world, call),
        "DescribeTags" => tags::describe(world, call),
        "DescribeTargetGroupAttributes" => target_groups::describe_attributes(world, call),
        "DescribeTargetGroups" => target_groups::describe(world, call),
        "DescribeTargetHealth" => targets::describe_health(world, call),
        "ModifyListener" => listeners::modify(world, call),
        "ModifyRule" => rules::modify(world, call),
        "ModifyTargetGroupAttributes" => target_groups::modify_attributes(world, call),
        "RegisterTargets" => targets::register_targets(world, call),
        "RemoveTags" => tags::remove(world, call),
        other => {
            Err(refuse("InvalidAction", format!("The action {other} is not valid for this web service.")))
        }
    }
}

/// Applies a due event.
pub fn on_event(world: &mut World, _at: Time, event: Event) {
    targets::on_event(world, event);
}

fn enter(world: &mut World, at: Time, event: Event) {
    world.schedule.add(at, world::Event::Elbv2(event));
}

fn place(call: &Call) -> Place {
    Place::new(call.account.clone(), call.region.clone())
}

/// `arn:aws:elasticloadbalancing:REGION:ACCOUNT:REST`.
fn arn(here: &Place, rest: &str) -> String {
    format!(
        "arn:{}:elasticloadbalancing:{}:{}:{rest}",
        crate::partition::id(&here.region),
        here.region,
        here.account
    )
}

/// Sixteen hexadecimal digits, the last part of the service's ARNs.
fn short_id(world: &mut World) -> String {
    format!("{:016x}", world.ids.next())
}
