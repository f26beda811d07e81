//! API views of invocations, which become visible some time after the command is sent.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::page::page;
use super::bad_token;
use super::command::{Command, Invocation, find};
use super::document::Step;
use super::list::Filter;
use super::output;

/// The maximum length of the returned standard output.
const STDOUT_LIMIT: usize = 24_000;
/// The maximum length of the returned standard error.
const STDERR_LIMIT: usize = 8_000;
/// The maximum length of a plugin's output in `ListCommandInvocations`.
const PLUGIN_LIMIT: usize = 2_500;

fn first(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

fn is_visible(world: &World, command: &Command, now: Time) -> bool {
    command.sent + world.ssm.options.visible_after <= now
}

pub(super) fn get(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        command_id: String,
        instance_id: String,
        plugin_name: Option<String>,
    }
    let input: Input = call.parse()?;
    let command = find(world, call, &input.command_id)?;
    let invocation = command
        .invocations
        .iter()
        .find(|invocation| invocation.instance == input.instance_id)
        .filter(|_| is_visible(world, command, call.now))
        .ok_or_else(|| {
            ApiError::new(
                "InvocationDoesNotExist",
                format!("Command {} has no invocation on {}", command.id, input.instance_id),
            )
        })?;
    let step = command.document.step(input.plugin_name.as_deref())?;
    let shown = of(step, invocation);
    Ok(json!({
        "CommandId": command.id,
        "InstanceId": invocation.instance,
        "Comment": command.comment,
        "DocumentName": command.document.name,
        "DocumentVersion": command.version,
        "PluginName": step.name,
        "ResponseCode": shown.code,
        "ExecutionStartDateTime": invocation.started.map(date).unwrap_or_default(),
        "ExecutionElapsedTime": elapsed(invocation),
        "ExecutionEndDateTime": invocation.ended.map(date).unwrap_or_default(),
        "Status": shown.status,
        "StatusDetails": shown.details,
        "StandardOutputContent": first(shown.stdout, STDOUT_LIMIT),
        "StandardOutputUrl": output::url(command, invocation, step, "stdout"),
        "StandardErrorContent": first(shown.stderr, STDERR_LIMIT),
        "StandardErrorUrl": output::url(command, invocation, step, "stderr"),
    }))
}

/// The API view of one step of an invocation. There is no output before the step ends.
struct Shown<'i> {
    status: &'static str,
    details: &'static str,
    code: i32,
    stdout: &'i str,
    stderr: &'i str,
}

fn of<'i>(step: &Step, invocation: &'i Invocation) -> Shown<'i> {
    let ended = invocation.has_ended();
    if !step.runs && invocation.started.is_some() {
        // A step whose precondition does not hold is skipped and counts as succeeded.
        let stdout = if ended { "Step skipped: its precondition does not hold on this platform" } else { "" };
        return Shown { status: "Success", details: "Success", code: 0, stdout, stderr: "" };
    }
    Shown {
        status: invocation.status,
        details: invocation.details,
        code: invocation.response_code,
        stdout: if ended { &invocation.stdout } else { "" },
        stderr: if ended { &invocation.stderr } else { "" },
    }
}

/// An ISO 8601 date with milliseconds. Only this operation has dates as strings.
fn date(at: Time) -> String {
    let format = ::time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    ::time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000)
        .ok()
        .and_then(|date| date.format(&format).ok())
        .unwrap_or_default()
}

/// An ISO 8601 duration, empty until the script has ended.
fn elapsed(invocation: &Invocation) -> String {
    let (Some(started), Some(ended)) = (invocation.started, invocation.ended) else { return String::new() };
    format!("PT{:.3}S", (ended - started).as_secs_f64())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct List {
    command_id: Option<String>,
    instance_id: Option<String>,
    max_results: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
    #[serde(default)]
    details: bool,
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let input: List = call.parse()?;
    if let Some(id) = &input.command_id {
        find(world, call, id)?;
    }
    let mut commands: Vec<&Command> = world
        .ssm
        .commands
        .values()
        .filter(|c| c.account == call.account && c.region == call.region)
        .filter(|c| input.command_id.as_ref().is_none_or(|id| *id == c.id))
        .filter(|c| is_visible(world, c, call.now))
        .collect();
    commands.sort_by(|a, b| (b.sent, &b.id).cmp(&(a.sent, &a.id)));
    let all: Vec<Value> = commands
        .into_iter()
        .flat_map(|command| command.invocations.iter().map(move |invocation| (command, invocation)))
        .filter(|(_, i)| input.instance_id.as_ref().is_none_or(|id| *id == i.instance))
        .filter(|(command, i)| input.filters.iter().all(|filter| filter.fits(command, i.status)))
        .map(|(command, invocation)| view(command, invocation, input.details))
        .collect();
    let size = input.max_results.unwrap_or(50);
    let (page, next) = page(all, input.next_token.as_deref(), size).ok_or_else(bad_token)?;
    let mut answer = json!({ "CommandInvocations": page });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    Ok(answer)
}

fn view(command: &Command, invocation: &Invocation, details: bool) -> Value {
    let plugins: Vec<Value> = command
        .document
        .steps
        .iter()
        .filter(|_| details)
        .map(|step| plugin(command, step, invocation))
        .collect();
    json!({
        "CommandId": command.id,
        "InstanceId": invocation.instance,
        "InstanceName": "",
        "Comment": command.comment,
        "DocumentName": command.document.name,
        "DocumentVersion": command.version,
        "RequestedDateTime": command.sent.epoch_seconds(),
        "Status": invocation.status,
        "StatusDetails": invocation.details,
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
        "CommandPlugins": plugins,
    })
}

fn plugin(command: &Command, step: &Step, invocation: &Invocation) -> Value {
    let shown = of(step, invocation);
    // A plugin has no state `Cancelling`.
    let status = if shown.status == "Cancelling" { "InProgress" } else { shown.status };
    let mut plugin = json!({
        "Name": step.name,
        "Status": status,
        "StatusDetails": shown.details,
        "ResponseCode": shown.code,
        "Output": first(shown.stdout, PLUGIN_LIMIT),
        "StandardOutputUrl": output::url(command, invocation, step, "stdout"),
        "StandardErrorUrl": output::url(command, invocation, step, "stderr"),
    });
    if let Some(at) = invocation.started {
        plugin["ResponseStartDateTime"] = at.epoch_seconds().into();
    }
    if let Some(at) = invocation.ended {
        plugin["ResponseFinishDateTime"] = at.epoch_seconds().into();
    }
    plugin
}
