//! `StartInstanceRefresh`, `DescribeInstanceRefreshes`, `CancelInstanceRefresh`, `RollbackInstanceRefresh`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::cloudwatch::{AlarmState, alarm_state};
use super::super::support::{page, present, refuse};
use super::config::{RawConfig, invalid};
use super::groups::{Group, owned};
use super::preferences::RawPreferences;
use super::refresh::{Refresh, Status};
use super::{AlarmAtStart, place, wake};

/// How long a refresh is listed: six weeks.
const LISTED_FOR: Duration = Duration::from_hours(6 * 7 * 24);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Start {
    auto_scaling_group_name: String,
    #[serde(default)]
    strategy: Option<String>,
    #[serde(default)]
    desired_configuration: Option<RawConfig>,
    #[serde(default)]
    preferences: RawPreferences,
}

pub(super) fn start(world: &mut World, call: &Call) -> Answer {
    let input: Start = call.parse()?;
    let here = place(call);
    let at_start = world.autoscaling.alarm_at_start;
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    if let Some(active) = group.active_refresh() {
        return Err(refuse(
            "InstanceRefreshInProgress",
            format!("An instance refresh is already in progress for this group: {}", active.id),
        ));
    }
    if input.strategy.as_deref().is_some_and(|s| s != "Rolling") {
        return Err(invalid(
            "The ReplaceRootVolume strategy needs a mixed instances policy with ImageId overrides.",
        ));
    }
    let (key, saved) = (group.key(), group.config.clone());
    let preferences = input.preferences.accept(group)?;
    let desired = match &input.desired_configuration {
        Some(raw) => Some(raw.accept(world, &here)?),
        None => None,
    };
    if preferences.auto_rollback {
        if desired.is_none() {
            return Err(invalid("AutoRollback needs a desired configuration."));
        }
        if let Some(why) = saved.irreversible(world, &here) {
            return Err(invalid(format!("AutoRollback is not possible: {why}.")));
        }
    }
    let rings = |name: &&String| alarm_state(world, &here, name) == Some(AlarmState::Alarm);
    let ringing: BTreeSet<String> = preferences.alarms.iter().filter(rings).cloned().collect();
    if let (AlarmAtStart::Refuse, Some(alarm)) = (at_start, ringing.first()) {
        return Err(invalid(format!("The alarm {alarm} is in the ALARM state.")));
    }
    let id = world.ids.uuid();
    let refresh = Refresh {
        id: id.clone(),
        status: Status::Pending,
        reason: None,
        entered: call.now,
        started: None,
        ended: None,
        goal: desired.clone().unwrap_or_else(|| saved.clone()),
        saved,
        desired,
        total: 0,
        completed: 0,
        rollback: None,
        preferences,
        excused: if at_start == AlarmAtStart::Ignore { ringing } else { BTreeSet::new() },
        next_checkpoint: 0,
        hold_until: None,
        bake_until: None,
        progress_at: call.now,
        paused: false,
        wait_for_transitions: true,
    };
    owned(world, call, &key.1)?.refreshes.push(refresh);
    wake(world, &key, call.now);
    Ok(json!({ "InstanceRefreshId": id }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfGroup {
    auto_scaling_group_name: String,
    #[serde(default)]
    wait_for_transitioning_instances: Option<bool>,
}

/// The group's refresh, if it is in one of these states.
fn active<'a>(group: &'a mut Group, states: &[Status]) -> Result<&'a mut Refresh, ApiError> {
    group.refreshes.last_mut().filter(|r| states.contains(&r.status)).ok_or_else(|| {
        refuse(
            "ActiveInstanceRefreshNotFound",
            "No in progress or pending Instance Refresh found for this group.",
        )
    })
}

/// `CancelInstanceRefresh`: rolls nothing back, and cancels a rollback too.
pub(super) fn cancel(world: &mut World, call: &Call) -> Answer {
    let input: OfGroup = call.parse()?;
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    let key = group.key();
    let states = [Status::Pending, Status::InProgress, Status::Baking, Status::RollbackInProgress];
    let refresh = active(group, &states)?;
    refresh.status = Status::Cancelling;
    refresh.reason = Some("Cancelling due to user request.".into());
    refresh.wait_for_transitions = input.wait_for_transitioning_instances.unwrap_or(true);
    refresh.hold_until = None;
    let id = refresh.id.clone();
    wake(world, &key, call.now);
    Ok(json!({ "InstanceRefreshId": id }))
}

/// `RollbackInstanceRefresh`: only an active refresh, and only to a configuration that cannot have changed.
pub(super) fn rollback(world: &mut World, call: &Call) -> Answer {
    let input: OfGroup = call.parse()?;
    let here = place(call);
    let states = [Status::Pending, Status::InProgress, Status::Baking];
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    let key = group.key();
    let refresh = active(group, &states)?.clone();
    let irreversible = match &refresh.desired {
        None => Some("the instance refresh has no desired configuration"),
        Some(_) => refresh.saved.irreversible(world, &here),
    };
    if let Some(why) = irreversible {
        return Err(refuse(
            "IrreversibleInstanceRefresh",
            format!("The instance refresh cannot be rolled back: {why}."),
        ));
    }
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    let mut turned = refresh;
    turned.turn_back(group, call.now, "Rolling back due to user request.".into());
    let id = turned.id.clone();
    *active(group, &states)? = turned;
    wake(world, &key, call.now);
    Ok(json!({ "InstanceRefreshId": id }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Describe {
    auto_scaling_group_name: String,
    #[serde(default)]
    instance_refresh_ids: Vec<String>,
    #[serde(default)]
    next_token: Option<String>,
    #[serde(default)]
    max_records: Option<usize>,
}

/// `DescribeInstanceRefreshes`, newest first.
pub(super) fn describe(world: &mut World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    let found: Vec<Value> = group
        .refreshes
        .iter()
        .rev()
        .filter(|r| r.entered + LISTED_FOR > call.now)
        .filter(|r| input.instance_refresh_ids.is_empty() || input.instance_refresh_ids.contains(&r.id))
        .map(|r| view(group, r))
        .collect();
    let size = input.max_records.unwrap_or(50).min(100);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidNextToken")?;
    Ok(present(json!({ "InstanceRefreshes": found, "NextToken": next })))
}

fn view(group: &Group, refresh: &Refresh) -> Value {
    let rollback = refresh.rollback.as_ref().map(|r| {
        json!({
            "RollbackReason": r.reason,
            "RollbackStartTime": r.started.epoch_seconds(),
            "PercentageCompleteOnRollback": r.percent,
            "InstancesToUpdateOnRollback": r.to_update,
        })
    });
    let begun = refresh.started.is_some();
    present(json!({
        "InstanceRefreshId": refresh.id,
        "AutoScalingGroupName": group.name,
        "Status": refresh.status.name(),
        "StatusReason": refresh.reason,
        "StartTime": refresh.started.map(Time::epoch_seconds),
        "EndTime": refresh.ended.map(Time::epoch_seconds),
        "PercentageComplete": begun.then(|| refresh.percent()),
        "InstancesToUpdate": begun.then(|| refresh.to_update()),
        "Preferences": refresh.preferences.view(),
        "DesiredConfiguration": refresh.desired.as_ref().map(super::config::Config::members),
        "RollbackDetails": rollback,
        "Strategy": "Rolling",
    }))
}
