//! CloudWatch: metrics of the simulated traffic, custom metrics, metric math and alarms.

mod agent;
mod alarm_calls;
mod alarms;
mod composite;
mod expression;
mod metrics;
mod query;
mod query_calls;
#[cfg(test)]
mod tests;
mod traffic;

use std::collections::BTreeMap;

use super::super::call::{Answer, Call};
use super::super::time::Time;
use super::super::world::{self, World};
use super::autoscaling;
use super::support::{Place, refuse};

pub use agent::{Measure, Published, publish};
pub use alarm_calls::{hold_alarm, seed_alarm};
pub(super) use alarms::alarm_state;
pub use alarms::{Alarm, AlarmState};

/// The resolution of metrics and alarm evaluation.
const MINUTE_MS: i64 = 60_000;

#[derive(Clone, Debug, Default)]
pub struct State {
    traffic: BTreeMap<String, traffic::Traffic>,
    /// `elbv2`'s epoch when the traffic was last computed.
    traffic_epoch: Option<u64>,
    /// The metrics that every instance publishes.
    published: Vec<agent::Published>,
    custom: BTreeMap<(Place, metrics::MetricKey), BTreeMap<i64, metrics::Samples>>,
    alarms: BTreeMap<(Place, String), Alarm>,
    ticking: bool,
}

#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// The end of a minute: records metrics and evaluates alarms.
    Tick,
}

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &[
    "DeleteAlarms",
    "DescribeAlarms",
    "GetMetricData",
    "GetMetricStatistics",
    "ListMetrics",
    "PutCompositeAlarm",
    "PutMetricAlarm",
    "PutMetricData",
    "SetAlarmState",
];

/// Handles one CloudWatch call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &mut World, call: &Call) -> Answer {
    match call.operation.as_str() {
        "DeleteAlarms" => alarm_calls::delete(world, call),
        "DescribeAlarms" => alarm_calls::describe(world, call),
        "GetMetricData" => query_calls::data(world, call),
        "GetMetricStatistics" => query_calls::statistics(world, call),
        "ListMetrics" => query_calls::list(world, call),
        "PutCompositeAlarm" => alarm_calls::put_composite(world, call),
        "PutMetricAlarm" => alarm_calls::put_metric(world, call),
        "PutMetricData" => query_calls::put(world, call),
        "SetAlarmState" => alarm_calls::set_state(world, call),
        other => {
            Err(refuse("InvalidAction", format!("The action {other} is not valid for this web service.")))
        }
    }
}

/// Applies a due event.
pub fn on_event(world: &mut World, at: Time, event: Event) {
    match event {
        Event::Tick => {
            traffic::record(world, at);
            if alarms::evaluate_all(world, at) {
                autoscaling::alarms_changed(world);
            }
            world.cloudwatch.ticking = false;
            wake(world);
        }
    }
}

/// Schedules the next minute's tick, as long as there is traffic to record or an alarm to evaluate.
pub(super) fn wake(world: &mut World) {
    let targets = || world.elbv2.target_groups.values().any(|g| !g.targets.is_empty());
    if world.cloudwatch.ticking || (world.cloudwatch.alarms.is_empty() && !targets()) {
        return;
    }
    world.cloudwatch.ticking = true;
    let next = Time((world.now.0.div_euclid(MINUTE_MS) + 1) * MINUTE_MS);
    world.schedule.add(next, world::Event::CloudWatch(Event::Tick));
}

fn place(call: &Call) -> Place {
    Place::new(call.account.clone(), call.region.clone())
}
