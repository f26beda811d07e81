//! The life cycle of an instance: pending, running, status checks, stopping, terminated.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::instance_behavior::InstanceBehavior;
use super::super::super::span::SpanOrNever;
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{Tags, refuse};
use super::super::{autoscaling, elbv2};
use super::{Event, enter};

/// The time from launch to `running`.
pub const RUNNING_AFTER: Duration = Duration::from_secs(5);
/// The time from `shutting-down` to `terminated`.
const TERMINATED_AFTER: Duration = Duration::from_secs(20);
const STOPPED_AFTER: Duration = Duration::from_secs(30);
/// How long a terminated instance is still described.
const LINGERS: Duration = Duration::from_hours(1);
/// The time that a reboot takes in addition to the boot.
const REBOOT: Duration = Duration::from_secs(10);
/// The age of seeded instances.
const SETTLED_FOR_MS: i64 = 24 * 3_600_000;
/// How long an instance that does not boot stays `initializing`, beyond the boot time.
const GIVES_UP_AFTER: Duration = Duration::from_mins(3);

/// The state of an instance, with EC2's names and codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    Pending,
    Running,
    ShuttingDown,
    Terminated,
    Stopping,
    Stopped,
}

impl InstanceState {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::ShuttingDown => "shutting-down",
            Self::Terminated => "terminated",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }

    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::Pending => 0,
            Self::Running => 16,
            Self::ShuttingDown => 32,
            Self::Terminated => 48,
            Self::Stopping => 64,
            Self::Stopped => 80,
        }
    }

    /// Whether it is pending or running.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Pending | Self::Running)
    }

    pub(super) fn view(self) -> Value {
        json!({ "Code": self.code(), "Name": self.name() })
    }
}

/// An instance.
#[allow(clippy::struct_excessive_bools, reason = "the status of an EC2 instance consists of flags")]
#[derive(Clone, Debug)]
pub struct Instance {
    pub id: String,
    pub account: String,
    pub region: String,
    pub image_id: String,
    pub instance_type: String,
    pub state: InstanceState,
    /// Whether it is running and has passed its status checks.
    pub status_ok: bool,
    /// Whether its status checks have failed permanently.
    pub impaired: bool,
    pub tags: Tags,
    pub launched: Time,
    /// When it was terminated.
    pub ended: Option<Time>,
    pub zone: String,
    pub subnet_id: String,
    pub vpc_id: String,
    pub(super) reservation: String,
    pub(super) launch_index: usize,
    pub(super) client_token: Option<String>,
    pub(super) security_groups: Vec<String>,
    pub(super) profile_arn: Option<String>,
    pub(super) metadata_options: Value,
    pub(super) key_name: Option<String>,
    pub(super) private_ip: String,
    pub(super) protected: bool,
    pub(super) transition_reason: String,
    /// Whether it is a Spot Instance.
    pub(super) spot: bool,
    pub(in super::super) behavior: Arc<InstanceBehavior>,
}

impl Instance {
    /// Whether it passes its load balancer's health checks.
    #[must_use]
    pub fn serves(&self) -> bool {
        self.state == InstanceState::Running && self.status_ok
    }
}

/// Schedules the state changes of a new instance.
pub(super) fn begin(world: &mut World, id: &str, at: Time, behavior: &InstanceBehavior) {
    enter(world, at + RUNNING_AFTER, Event::Running(id.to_owned()));
    enter_checks(world, id, at, behavior);
}

fn enter_checks(world: &mut World, id: &str, at: Time, behavior: &InstanceBehavior) {
    match behavior.boot.duration() {
        Some(boot) => enter(world, at + RUNNING_AFTER.max(boot), Event::StatusOk(id.to_owned())),
        None => enter(world, at + RUNNING_AFTER + GIVES_UP_AFTER, Event::StatusImpaired(id.to_owned())),
    }
}

pub(super) fn on_event(world: &mut World, at: Time, event: Event) {
    let changed = match event {
        Event::Running(id) => change(world, &id, |instance| {
            let starts = instance.state == InstanceState::Pending;
            if starts {
                instance.state = InstanceState::Running;
            }
            starts
        }),
        Event::StatusOk(id) => {
            let passed = change(world, &id, |instance| {
                let passes = instance.state == InstanceState::Running && !instance.status_ok;
                instance.status_ok |= passes;
                passes
            });
            let memory = world.ec2.instances.get(&id).and_then(|i| i.behavior.out_of_memory_after);
            if let (Some(_), Some(after)) = (&passed, memory) {
                enter(world, at + after.duration(), Event::OutOfMemory(id));
            }
            passed
        }
        Event::OutOfMemory(id) => change(world, &id, |instance| {
            let fails = instance.state == InstanceState::Running && instance.status_ok;
            instance.status_ok &= !fails;
            instance.impaired |= fails;
            fails
        }),
        Event::StatusImpaired(id) => change(world, &id, |instance| {
            let fails = instance.state == InstanceState::Running;
            instance.impaired |= fails;
            fails
        }),
        Event::Rebooted(id) => {
            if let Some(instance) = world.ec2.instances.get(&id) {
                let behavior = Arc::clone(&instance.behavior);
                enter_checks(world, &id, at, &behavior);
            }
            None
        }
        Event::Stopped(id) => change(world, &id, |instance| {
            let stops = instance.state == InstanceState::Stopping;
            if stops {
                instance.state = InstanceState::Stopped;
            }
            stops
        }),
        Event::Terminated(id) => {
            enter(world, at + LINGERS, Event::Forgotten(id.clone()));
            change(world, &id, |instance| {
                instance.state = InstanceState::Terminated;
                true
            })
        }
        Event::Forgotten(id) => {
            world.ec2.instances.remove(&id);
            None
        }
        Event::ImageAvailable(_) => None,
    };
    if let Some(id) = changed {
        tell(world, &id);
    }
}

/// Changes one instance. Returns its id if something changed.
fn change(world: &mut World, id: &str, act: impl FnOnce(&mut Instance) -> bool) -> Option<String> {
    let instance = world.ec2.instances.get_mut(id)?;
    act(instance).then(|| id.to_owned())
}

/// Notifies load balancers and Auto Scaling groups of a changed instance.
fn tell(world: &mut World, id: &str) {
    elbv2::instance_changed(world, id);
    autoscaling::instance_changed(world, id);
}

/// Makes every instance in an Availability Zone fail.
pub fn lose_zone(world: &mut World, zone: &str) {
    let lost: Vec<String> = world
        .ec2
        .instances
        .values_mut()
        .filter(|instance| instance.zone == zone && instance.state == InstanceState::Running)
        .map(|instance| {
            instance.status_ok = false;
            instance.impaired = true;
            instance.id.clone()
        })
        .collect();
    for id in lost {
        tell(world, &id);
    }
}

/// Makes a seeded instance one that has been running for a long time.
pub(in super::super) fn settle(world: &mut World, id: &str) {
    if let Some(instance) = world.ec2.instances.get_mut(id) {
        instance.state = InstanceState::Running;
        instance.status_ok = instance.behavior.boot != SpanOrNever::Never;
        instance.launched = Time(instance.launched.0 - SETTLED_FOR_MS);
    }
}

/// Terminates an instance. No effect on one that is already shutting down.
pub(in super::super) fn terminate(world: &mut World, id: &str, reason: &str) {
    let now = world.now;
    let Some(instance) = world.ec2.instances.get_mut(id) else { return };
    if matches!(instance.state, InstanceState::ShuttingDown | InstanceState::Terminated) {
        return;
    }
    instance.state = InstanceState::ShuttingDown;
    instance.ended = Some(now);
    instance.status_ok = false;
    reason.clone_into(&mut instance.transition_reason);
    enter(world, now + TERMINATED_AFTER, Event::Terminated(id.to_owned()));
    tell(world, id);
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ids {
    #[serde(default)]
    instance_ids: Vec<String>,
}

/// Checks that every id is an instance of the caller.
fn owned(world: &World, call: &Call, ids: &[String]) -> Result<(), ApiError> {
    for id in ids {
        let known =
            world.ec2.instances.get(id).is_some_and(|i| i.account == call.account && i.region == call.region);
        if !known {
            return Err(not_found(id));
        }
    }
    Ok(())
}

/// The error for an id that is unknown or malformed.
pub(super) fn not_found(id: &str) -> ApiError {
    let digits = id.strip_prefix("i-").unwrap_or_default();
    if !matches!(digits.len(), 8 | 17) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return refuse("InvalidInstanceID.Malformed", format!("Invalid id: \"{id}\""));
    }
    refuse("InvalidInstanceID.NotFound", format!("The instance ID '{id}' does not exist"))
}

pub(super) fn terminate_instances(world: &mut World, call: &Call) -> Answer {
    let input: Ids = call.parse()?;
    owned(world, call, &input.instance_ids)?;
    for id in &input.instance_ids {
        if world.ec2.instances.get(id).is_some_and(|i| i.protected) {
            return Err(refuse(
                "OperationNotPermitted",
                format!(
                    "The instance '{id}' may not be terminated. Modify its 'disableApiTermination' instance attribute and try again."
                ),
            ));
        }
    }
    let changes = with_states(world, &input.instance_ids, |world, id| {
        terminate(world, id, "User initiated");
    });
    Ok(json!({ "TerminatingInstances": changes }))
}

pub(super) fn stop(world: &mut World, call: &Call) -> Answer {
    let input: Ids = call.parse()?;
    owned(world, call, &input.instance_ids)?;
    for id in &input.instance_ids {
        let state = world.ec2.instances.get(id).map(|i| i.state);
        if matches!(state, Some(InstanceState::ShuttingDown | InstanceState::Terminated)) {
            return Err(refuse(
                "IncorrectInstanceState",
                format!("This instance '{id}' is not in a state from which it can be stopped."),
            ));
        }
    }
    let now = world.now;
    let changes = with_states(world, &input.instance_ids, |world, id| {
        let Some(instance) = world.ec2.instances.get_mut(id) else { return };
        if instance.state.is_live() {
            instance.state = InstanceState::Stopping;
            instance.status_ok = false;
            "User initiated".clone_into(&mut instance.transition_reason);
            enter(world, now + STOPPED_AFTER, Event::Stopped(id.to_owned()));
            tell(world, id);
        }
    });
    Ok(json!({ "StoppingInstances": changes }))
}

fn with_states(world: &mut World, ids: &[String], mut act: impl FnMut(&mut World, &str)) -> Vec<Value> {
    let state = |world: &World, id: &str| world.ec2.instances.get(id).map(|i| i.state.view());
    ids.iter()
        .map(|id| {
            let before = state(world, id);
            act(world, id);
            json!({ "InstanceId": id, "PreviousState": before, "CurrentState": state(world, id) })
        })
        .collect()
}

pub(super) fn reboot(world: &mut World, call: &Call) -> Answer {
    let input: Ids = call.parse()?;
    owned(world, call, &input.instance_ids)?;
    let now = world.now;
    for id in &input.instance_ids {
        let changed = change(world, id, |instance| {
            let runs = instance.state == InstanceState::Running;
            if runs {
                instance.status_ok = false;
            }
            runs
        });
        if changed.is_some() {
            enter(world, now + REBOOT, Event::Rebooted(id.clone()));
            tell(world, id);
        }
    }
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConsoleOutput {
    instance_id: String,
}

pub(super) fn console_output(world: &mut World, call: &Call) -> Answer {
    let input: ConsoleOutput = call.parse()?;
    owned(world, call, std::slice::from_ref(&input.instance_id))?;
    let Some(instance) = world.ec2.instances.get(&input.instance_id) else {
        return Err(not_found(&input.instance_id));
    };
    let text = if instance.status_ok {
        format!("[    0.000000] Linux version 6.1\r\ncloud-init: {} finished\r\nlogin: ", instance.image_id)
    } else if instance.impaired {
        "[    0.000000] Linux version 6.1\r\nKernel panic - not syncing: VFS: Unable to mount root fs\r\n"
            .to_owned()
    } else {
        String::new()
    };
    // The member is a string with Base64 content.
    Ok(json!({
        "InstanceId": instance.id,
        "Timestamp": call.now.epoch_seconds(),
        "Output": base64(text.as_bytes()),
    }))
}

/// Base64 with padding (RFC 4648, section 4).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let three = [chunk.first(), chunk.get(1), chunk.get(2)].map(|b| u32::from(*b.unwrap_or(&0)));
        let word = (three[0] << 16) | (three[1] << 8) | three[2];
        for place in 0..4_u32 {
            let index = usize::try_from((word >> (18 - 6 * place)) & 63).unwrap_or(0);
            let filled = usize::try_from(place).is_ok_and(|p| p <= chunk.len());
            text.push(if filled { char::from(LETTERS[index]) } else { '=' });
        }
    }
    text
}
