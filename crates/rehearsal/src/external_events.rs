//! External events of a rehearsal: what people do to the account, and what AWS loses.

mod format;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{ApiError, Call};
use super::one_of;
use super::services::ec2::{self, CapacityShortage};
use super::services::{autoscaling, codepipeline, imagebuilder};
use super::span::Span;
use super::time::Time;
use super::world::{self, World};

/// An event at a moment of the rehearsal: `at`, and one key that names the event.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduledEvent {
    /// Time since the rehearsal began.
    pub at: Span,
    pub event: ExternalEvent,
}

/// What people do and what AWS loses.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ExternalEvent {
    /// Someone stops the pipeline executions that are in progress.
    StopExecution {
        /// Abandon the actions in progress instead of waiting for them.
        #[serde(default)]
        abandon: bool,
    },
    /// Someone retries the failed actions of a stage in the newest execution.
    RetryStage { stage: String },
    /// Someone sets the desired capacity of a group.
    SetDesiredCapacity { target: EventTarget, capacity: usize },
    /// Someone terminates instances of a group.
    TerminateInstances {
        target: EventTarget,
        #[serde(default = "one")]
        count: usize,
    },
    /// Someone suspends processes of a group: `Launch`, `Terminate`, `HealthCheck`, …
    SuspendProcesses { target: EventTarget, processes: Vec<String> },
    /// Someone resumes processes of a group.
    ResumeProcesses { target: EventTarget, processes: Vec<String> },
    /// Someone protects every instance of a group from scale-in.
    ProtectInstances { target: EventTarget },
    /// Someone puts one instance of a group into standby.
    EnterStandby { target: EventTarget },
    /// Someone starts an instance refresh of a group to the newest version of its launch template.
    StartRefresh { target: EventTarget },
    /// Someone cancels the instance refresh of a group.
    CancelRefresh { target: EventTarget },
    /// Someone sets the state of an alarm. CloudWatch sets it back when it next evaluates the metric.
    SetAlarm { alarm: String, state: AlarmState },
    /// Someone deletes an alarm.
    DeleteAlarm { alarm: String },
    /// Someone deregisters the newest baked image.
    #[serde(deserialize_with = "one_of::unit::deserialize")]
    #[schemars(with = "one_of::Empty")]
    DeregisterBakedImage,
    /// Someone cancels the image build in progress.
    #[serde(deserialize_with = "one_of::unit::deserialize")]
    #[schemars(with = "one_of::Empty")]
    CancelBuild,
    /// An Availability Zone fails: its instances fail, and launches there fail for a while.
    ZoneOutage {
        zone: String,
        #[serde(default = "hour")]
        duration: Span,
    },
    /// Launches fail for lack of capacity for a while: in one zone, of one instance type, or all.
    CapacityShortage {
        #[serde(default)]
        zone: Option<String>,
        #[serde(default)]
        instance_type: Option<String>,
        #[serde(default = "hour")]
        duration: Span,
    },
}

/// What an event concerns.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum EventTarget {
    AutoScalingGroup { name: String },
}

impl EventTarget {
    fn group(&self) -> &str {
        let Self::AutoScalingGroup { name } = self;
        name
    }
}

/// The state that an alarm is set to.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum AlarmState {
    Ok,
    Alarm,
    InsufficientData,
}

impl AlarmState {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

fn one() -> usize {
    1
}

fn hour() -> Span {
    Span::from_mins(60)
}

/// An external event in the world's schedule.
#[derive(Clone, Debug)]
pub enum Event {
    External(Box<ExternalEvent>),
    /// A capacity shortage ends.
    CapacityRestored(CapacityShortage),
}

/// An event that happened, or whose API call AWS rejected.
#[derive(Clone, Debug, PartialEq)]
pub struct PastEvent {
    pub at: Time,
    pub event: ExternalEvent,
    /// AWS's error, if AWS rejected the event's API call.
    pub refused: Option<ApiError>,
}

/// Schedules events relative to the world's current time.
pub(super) fn schedule(world: &mut World, events: &[ScheduledEvent]) {
    for scheduled in events {
        let at = world.now + scheduled.at.duration();
        let event = Event::External(Box::new(scheduled.event.clone()));
        world.schedule.add(at, world::Event::External(event));
    }
}

/// Whether a stage retry is still scheduled: a failed release can continue until then.
#[must_use]
pub fn has_scheduled_retry(world: &World) -> bool {
    world.schedule.contains(|event| match event {
        world::Event::External(Event::External(event)) => matches!(**event, ExternalEvent::RetryStage { .. }),
        _ => false,
    })
}

/// Applies an event that is due.
pub(super) fn on_event(world: &mut World, at: Time, event: Event) {
    match event {
        Event::CapacityRestored(shortage) => {
            let shortages = &mut world.ec2.capacity_shortages;
            if let Some(index) = shortages.iter().position(|s| *s == shortage) {
                shortages.remove(index);
            }
        }
        Event::External(event) => {
            let refused = apply(world, at, &event).err();
            world.past_events.push(PastEvent { at, event: *event, refused });
        }
    }
}

fn apply(world: &mut World, at: Time, event: &ExternalEvent) -> Result<(), ApiError> {
    let by_name = |group: &str| json!({ "AutoScalingGroupName": group });
    let on_group = |world: &mut World, operation: &str, target: &EventTarget, more: Value| {
        let mut input = by_name(target.group());
        if let (Some(input), Value::Object(more)) = (input.as_object_mut(), more) {
            input.extend(more);
        }
        Administrator::of(world, at).call(world, "autoscaling", operation, input)
    };
    match event {
        ExternalEvent::StopExecution { abandon } => {
            for (pipeline, execution) in codepipeline::under_way(world) {
                let input = json!({ "pipelineName": pipeline, "pipelineExecutionId": execution, "abandon": abandon,
                                    "reason": "stopped by hand" });
                Administrator::of(world, at).call(world, "codepipeline", "StopPipelineExecution", input)?;
            }
        }
        ExternalEvent::RetryStage { stage } => {
            let Some((pipeline, execution)) = codepipeline::newest(world) else { return Ok(()) };
            let input = json!({ "pipelineName": pipeline, "pipelineExecutionId": execution, "stageName": stage,
                                "retryMode": "FAILED_ACTIONS" });
            Administrator::of(world, at).call(world, "codepipeline", "RetryStageExecution", input)?;
        }
        ExternalEvent::SetDesiredCapacity { target, capacity } => {
            on_group(world, "SetDesiredCapacity", target, json!({ "DesiredCapacity": capacity }))?;
        }
        ExternalEvent::TerminateInstances { target, count } => {
            let ids: Vec<String> =
                autoscaling::in_service(world, target.group()).into_iter().take(*count).collect();
            Administrator::of(world, at).call(
                world,
                "ec2",
                "TerminateInstances",
                json!({ "InstanceIds": ids }),
            )?;
        }
        ExternalEvent::SuspendProcesses { target, processes } => {
            on_group(world, "SuspendProcesses", target, json!({ "ScalingProcesses": processes }))?;
        }
        ExternalEvent::ResumeProcesses { target, processes } => {
            on_group(world, "ResumeProcesses", target, json!({ "ScalingProcesses": processes }))?;
        }
        ExternalEvent::ProtectInstances { target } => {
            let ids = autoscaling::in_service(world, target.group());
            let input = json!({ "InstanceIds": ids, "ProtectedFromScaleIn": true });
            on_group(world, "SetInstanceProtection", target, input)?;
        }
        ExternalEvent::EnterStandby { target } => {
            let ids: Vec<String> =
                autoscaling::in_service(world, target.group()).into_iter().take(1).collect();
            let input = json!({ "InstanceIds": ids, "ShouldDecrementDesiredCapacity": true });
            on_group(world, "EnterStandby", target, input)?;
        }
        ExternalEvent::StartRefresh { target } => {
            on_group(world, "StartInstanceRefresh", target, json!({}))?;
        }
        ExternalEvent::CancelRefresh { target } => {
            on_group(world, "CancelInstanceRefresh", target, json!({}))?;
        }
        ExternalEvent::SetAlarm { alarm, state } => {
            let input =
                json!({ "AlarmName": alarm, "StateValue": state.name(), "StateReason": "set by hand" });
            Administrator::of(world, at).call(world, "cloudwatch", "SetAlarmState", input)?;
        }
        ExternalEvent::DeleteAlarm { alarm } => {
            let input = json!({ "AlarmNames": [alarm] });
            Administrator::of(world, at).call(world, "cloudwatch", "DeleteAlarms", input)?;
        }
        ExternalEvent::DeregisterBakedImage => {
            let Some(ami) = imagebuilder::newest_output(world) else { return Ok(()) };
            Administrator::of(world, at).call(world, "ec2", "DeregisterImage", json!({ "ImageId": ami }))?;
        }
        ExternalEvent::CancelBuild => {
            let Some(image) = imagebuilder::building(world) else { return Ok(()) };
            let input = json!({ "imageBuildVersionArn": image, "clientToken": "by-hand" });
            Administrator::of(world, at).call(world, "imagebuilder", "CancelImageCreation", input)?;
        }
        ExternalEvent::ZoneOutage { zone, duration } => {
            shortage(world, at, Some(zone.clone()), None, *duration);
            ec2::lose_zone(world, zone);
        }
        ExternalEvent::CapacityShortage { zone, instance_type, duration } => {
            shortage(world, at, zone.clone(), instance_type.clone(), *duration);
        }
    }
    Ok(())
}

fn shortage(
    world: &mut World,
    at: Time,
    zone: Option<String>,
    instance_type: Option<String>,
    duration: Span,
) {
    let shortage = CapacityShortage { region: None, zone, instance_type };
    world.ec2.capacity_shortages.push(shortage.clone());
    let until = at + duration.duration();
    world.schedule.add(until, world::Event::External(Event::CapacityRestored(shortage)));
}

/// The administrator of the account in which the pipeline runs.
struct Administrator {
    account: String,
    region: String,
    at: Time,
}

impl Administrator {
    fn of(world: &World, at: Time) -> Self {
        let (account, region) = codepipeline::home(world).unwrap_or_default();
        Self { account, region, at }
    }

    fn call(
        self,
        world: &mut World,
        service: &'static str,
        operation: &str,
        input: Value,
    ) -> Result<Value, ApiError> {
        let Value::Object(input) = input else { return Ok(Value::Null) };
        let call = Call {
            service,
            operation: operation.to_owned(),
            input,
            account: self.account,
            region: self.region,
            access_key: String::new(),
            now: self.at,
        };
        world.call(&call)
    }
}
