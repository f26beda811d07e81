//! API views and lists of commands.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::world::World;
use super::super::page::page;
use super::bad_token;
use super::command::{Command, find};

/// A filter of both lists.
#[derive(Deserialize)]
pub(super) struct Filter {
    key: String,
    value: String,
}

impl Filter {
    /// Whether a command with this status matches.
    pub(super) fn fits(&self, command: &Command, status: &str) -> bool {
        let format = &::time::format_description::well_known::Rfc3339;
        let bound = || {
            ::time::OffsetDateTime::parse(&self.value, format)
                .ok()
                .map(|date| i128::from(command.sent.0).cmp(&(date.unix_timestamp_nanos() / 1_000_000)))
        };
        match self.key.as_str() {
            "InvokedAfter" => bound().is_some_and(std::cmp::Ordering::is_gt),
            "InvokedBefore" => bound().is_some_and(std::cmp::Ordering::is_lt),
            "Status" => self.value == status,
            "DocumentName" => self.value == command.document.name,
            "ExecutionStage" => {
                let executing = ["Pending", "InProgress", "Cancelling"].contains(&status);
                self.value == if executing { "Executing" } else { "Complete" }
            }
            _ => true,
        }
    }
}

/// Status and details of a whole command.
fn status(command: &Command) -> (&'static str, &'static str) {
    let any = |status: &str| command.invocations.iter().any(|invocation| invocation.status == status);
    let all = |status: &str| command.invocations.iter().all(|invocation| invocation.status == status);
    // A command without targets succeeds at once.
    match () {
        () if all("Success") => ("Success", "Success"),
        () if all("Pending") => ("Pending", "Pending"),
        () if any("Cancelling") => ("Cancelling", "Cancelling"),
        () if any("Pending") || any("InProgress") => ("InProgress", "InProgress"),
        () if any("Failed") => ("Failed", "Failed"),
        () if any("TimedOut") => {
            let details =
                command.invocations.iter().find(|i| i.status == "TimedOut").map_or("", |i| i.details);
            ("TimedOut", details)
        }
        () => ("Cancelled", "Cancelled"),
    }
}

/// A command as `SendCommand` and `ListCommands` return it.
pub(super) fn view(command: &Command) -> Value {
    let (status, details) = status(command);
    let count = |of: &dyn Fn(&super::command::Invocation) -> bool| {
        command.invocations.iter().filter(|invocation| of(invocation)).count()
    };
    json!({
        "CommandId": command.id,
        "DocumentName": command.document.name,
        "DocumentVersion": command.version,
        "Comment": command.comment,
        // The delivery timeout plus the default execution timeout of one hour.
        "ExpiresAfter": (command.sent + command.timeout + Duration::from_hours(1)).epoch_seconds(),
        "Parameters": command.parameters,
        "InstanceIds": command.instance_ids,
        "Targets": command.targets,
        "RequestedDateTime": command.sent.epoch_seconds(),
        "Status": status,
        "StatusDetails": details,
        "MaxConcurrency": command.max_concurrency,
        "MaxErrors": command.max_errors,
        "TargetCount": command.invocations.len(),
        "CompletedCount": count(&super::command::Invocation::has_ended),
        "ErrorCount": count(&|i| i.status == "Failed" || i.details == "Execution Timed Out"),
        "DeliveryTimedOutCount": count(&|i| i.details == "Delivery Timed Out"),
        "TimeoutSeconds": command.timeout.as_secs(),
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    command_id: Option<String>,
    instance_id: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
}

pub(super) fn commands(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    if let Some(id) = &input.command_id {
        find(world, call, id)?;
    }
    let mut commands: Vec<&Command> = world
        .ssm
        .commands
        .values()
        .filter(|c| c.account == call.account && c.region == call.region)
        .filter(|c| input.command_id.as_ref().is_none_or(|id| *id == c.id))
        .filter(|c| {
            input.instance_id.as_ref().is_none_or(|id| c.invocations.iter().any(|i| i.instance == *id))
        })
        .filter(|c| input.filters.iter().all(|filter| filter.fits(c, status(c).0)))
        .collect();
    commands.sort_by(|a, b| (b.sent, &b.id).cmp(&(a.sent, &a.id)));
    let all = commands.into_iter().map(view).collect();
    let size = input.max_results.unwrap_or(50);
    let (page, next) = page(all, input.next_token.as_deref(), size).ok_or_else(bad_token)?;
    let mut answer = json!({ "Commands": page });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    Ok(answer)
}
