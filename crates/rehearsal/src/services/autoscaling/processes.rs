//! `SuspendProcesses` and `ResumeProcesses`.

use serde::Deserialize;
use serde_json::json;

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::config::invalid;
use super::groups::owned;
use super::wake;

const PROCESSES: &[&str] = &[
    "AZRebalance",
    "AddToLoadBalancer",
    "AlarmNotification",
    "HealthCheck",
    "InstanceRefresh",
    "Launch",
    "ReplaceUnhealthy",
    "ScheduledActions",
    "Terminate",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Processes {
    auto_scaling_group_name: String,
    #[serde(default)]
    scaling_processes: Vec<String>,
}

impl Processes {
    /// The named processes; all processes if none is named.
    fn named(&self) -> Result<Vec<String>, ApiError> {
        if self.scaling_processes.is_empty() {
            return Ok(PROCESSES.iter().map(|p| (*p).to_owned()).collect());
        }
        match self.scaling_processes.iter().find(|p| !PROCESSES.contains(&p.as_str())) {
            Some(unknown) => Err(invalid(format!("Unknown scaling process {unknown}"))),
            None => Ok(self.scaling_processes.clone()),
        }
    }
}

pub(super) fn suspend(world: &mut World, call: &Call) -> Answer {
    let input: Processes = call.parse()?;
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    group.suspended.extend(input.named()?);
    let key = group.key();
    wake(world, &key, call.now);
    Ok(json!({}))
}

pub(super) fn resume(world: &mut World, call: &Call) -> Answer {
    let input: Processes = call.parse()?;
    let group = owned(world, call, &input.auto_scaling_group_name)?;
    for process in input.named()? {
        group.suspended.remove(&process);
    }
    let key = group.key();
    wake(world, &key, call.now);
    Ok(json!({}))
}
