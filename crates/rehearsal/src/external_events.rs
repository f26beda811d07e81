//! What happens to a rehearsal from outside: what people do by hand, and what AWS loses.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::call::{ApiError, Call};
use super::services::ec2::{self, CapacityShortage};
use super::services::{autoscaling, codepipeline, imagebuilder};
use super::time::Time;
use super::world::{self, World};

/// Something that happens at a moment of the rehearsal.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Happening {
    /// Virtual minutes since the rehearsal began.
    pub at_minutes: u64,
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum What {
    /// Someone stops the pipeline's executions under way.
    StopExecution {
        /// Abandon actions under way instead of waiting for them.
        #[serde(default)]
        abandon: bool,
    },
    /// Someone retries the failed actions of a stage in the newest execution.
    RetryStage { stage: String },
    /// Someone sets a group's desired capacity.
    SetDesiredCapacity { group: String, capacity: usize },
    /// Someone terminates instances of a group by hand.
    TerminateInstances {
        group: String,
        #[serde(default = "one")]
        count: usize,
    },
    /// Someone suspends processes of a group: `Launch`, `Terminate`, `HealthCheck`, …
    SuspendProcesses { group: String, processes: Vec<String> },
    /// Someone resumes them.
    ResumeProcesses { group: String, processes: Vec<String> },
    /// Someone protects every instance of a group from scale-in.
    ProtectInstances { group: String },
    /// Someone takes an instance of a group into standby.
    EnterStandby { group: String },
    /// Someone starts an instance refresh of a group to the newest version of its template.
    StartRefresh { group: String },
    /// Someone cancels a group's refresh.
    CancelRefresh { group: String },
    /// Someone sets an alarm's state; CloudWatch sets it back when it next looks at its metric.
    SetAlarm { alarm: String, state: AlarmState },
    /// Someone deletes an alarm.
    DeleteAlarm { alarm: String },
    /// Someone deregisters the image that was baked last.
    DeregisterBakedImage,
    /// Someone cancels the image build under way.
    CancelBuild,
    /// An Availability Zone is lost: its instances fail, and nothing is launched there for a while.
    ZoneOutage {
        zone: String,
        #[serde(default = "hour")]
        minutes: u64,
    },
    /// Launches fail for want of capacity for a while, in one zone or of one type, or all.
    CapacityShortage {
        #[serde(default)]
        zone: Option<String>,
        #[serde(default)]
        instance_type: Option<String>,
        #[serde(default = "hour")]
        minutes: u64,
    },
}

/// States an alarm can be set to.
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

fn hour() -> u64 {
    60
}

/// A happening that is due, as the world's agenda knows it.
#[derive(Clone, Debug)]
pub enum Event {
    Happens(Box<What>),
    /// Capacity is back.
    Restored(CapacityShortage),
}

/// How a happening went.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    pub at: Time,
    pub what: What,
    /// AWS's refusal, when someone tried what was not possible then.
    pub refused: Option<ApiError>,
}

/// Enters happenings into the agenda, counted from the world's present moment.
pub(super) fn enter(world: &mut World, happenings: &[Happening]) {
    for happening in happenings {
        let at = world.now + minutes(happening.at_minutes);
        world.agenda.enter(at, world::Event::Happening(Event::Happens(Box::new(happening.what.clone()))));
    }
}

/// Whether someone is still to retry a stage: until then a failed release is not over.
#[must_use]
pub fn awaits_retry(world: &World) -> bool {
    world.agenda.holds(|event| match event {
        world::Event::Happening(Event::Happens(what)) => matches!(**what, What::RetryStage { .. }),
        _ => false,
    })
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60).min(super::scenario::LONGEST))
}

/// Lets it happen.
pub(super) fn on_event(world: &mut World, at: Time, event: Event) {
    match event {
        Event::Restored(shortage) => {
            let shortages = &mut world.ec2.capacity_shortages;
            if let Some(index) = shortages.iter().position(|s| *s == shortage) {
                shortages.remove(index);
            }
        }
        Event::Happens(what) => {
            let refused = happen(world, at, &what).err();
            world.happened.push(Happened { at, what: *what, refused });
        }
    }
}

fn happen(world: &mut World, at: Time, what: &What) -> Result<(), ApiError> {
    let by_name = |group: &str| json!({ "AutoScalingGroupName": group });
    let on_group = |world: &mut World, operation: &str, group: &str, more: Value| {
        let mut input = by_name(group);
        if let (Some(input), Value::Object(more)) = (input.as_object_mut(), more) {
            input.extend(more);
        }
        By::hand(world, at).call(world, "autoscaling", operation, input)
    };
    match what {
        What::StopExecution { abandon } => {
            for (pipeline, execution) in codepipeline::under_way(world) {
                let input = json!({ "pipelineName": pipeline, "pipelineExecutionId": execution, "abandon": abandon,
                                    "reason": "stopped by hand" });
                By::hand(world, at).call(world, "codepipeline", "StopPipelineExecution", input)?;
            }
        }
        What::RetryStage { stage } => {
            let Some((pipeline, execution)) = codepipeline::newest(world) else { return Ok(()) };
            let input = json!({ "pipelineName": pipeline, "pipelineExecutionId": execution, "stageName": stage,
                                "retryMode": "FAILED_ACTIONS" });
            By::hand(world, at).call(world, "codepipeline", "RetryStageExecution", input)?;
        }
        What::SetDesiredCapacity { group, capacity } => {
            on_group(world, "SetDesiredCapacity", group, json!({ "DesiredCapacity": capacity }))?;
        }
        What::TerminateInstances { group, count } => {
            let ids: Vec<String> = autoscaling::in_service(world, group).into_iter().take(*count).collect();
            By::hand(world, at).call(world, "ec2", "TerminateInstances", json!({ "InstanceIds": ids }))?;
        }
        What::SuspendProcesses { group, processes } => {
            on_group(world, "SuspendProcesses", group, json!({ "ScalingProcesses": processes }))?;
        }
        What::ResumeProcesses { group, processes } => {
            on_group(world, "ResumeProcesses", group, json!({ "ScalingProcesses": processes }))?;
        }
        What::ProtectInstances { group } => {
            let ids = autoscaling::in_service(world, group);
            let input = json!({ "InstanceIds": ids, "ProtectedFromScaleIn": true });
            on_group(world, "SetInstanceProtection", group, input)?;
        }
        What::EnterStandby { group } => {
            let ids: Vec<String> = autoscaling::in_service(world, group).into_iter().take(1).collect();
            let input = json!({ "InstanceIds": ids, "ShouldDecrementDesiredCapacity": true });
            on_group(world, "EnterStandby", group, input)?;
        }
        What::StartRefresh { group } => {
            on_group(world, "StartInstanceRefresh", group, json!({}))?;
        }
        What::CancelRefresh { group } => {
            on_group(world, "CancelInstanceRefresh", group, json!({}))?;
        }
        What::SetAlarm { alarm, state } => {
            let input =
                json!({ "AlarmName": alarm, "StateValue": state.name(), "StateReason": "set by hand" });
            By::hand(world, at).call(world, "cloudwatch", "SetAlarmState", input)?;
        }
        What::DeleteAlarm { alarm } => {
            let input = json!({ "AlarmNames": [alarm] });
            By::hand(world, at).call(world, "cloudwatch", "DeleteAlarms", input)?;
        }
        What::DeregisterBakedImage => {
            let Some(ami) = imagebuilder::newest_output(world) else { return Ok(()) };
            By::hand(world, at).call(world, "ec2", "DeregisterImage", json!({ "ImageId": ami }))?;
        }
        What::CancelBuild => {
            let Some(image) = imagebuilder::building(world) else { return Ok(()) };
            let input = json!({ "imageBuildVersionArn": image, "clientToken": "by-hand" });
            By::hand(world, at).call(world, "imagebuilder", "CancelImageCreation", input)?;
        }
        What::ZoneOutage { zone, minutes } => {
            shortage(world, at, Some(zone.clone()), None, *minutes);
            ec2::lose_zone(world, zone);
        }
        What::CapacityShortage { zone, instance_type, minutes } => {
            shortage(world, at, zone.clone(), instance_type.clone(), *minutes);
        }
    }
    Ok(())
}

fn shortage(world: &mut World, at: Time, zone: Option<String>, instance_type: Option<String>, lasting: u64) {
    let shortage = CapacityShortage { region: None, zone, instance_type };
    world.ec2.capacity_shortages.push(shortage.clone());
    world.agenda.enter(at + minutes(lasting), world::Event::Happening(Event::Restored(shortage)));
}

/// The administrator of the account in which the pipeline runs.
struct By {
    account: String,
    region: String,
    at: Time,
}

impl By {
    fn hand(world: &World, at: Time) -> Self {
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
