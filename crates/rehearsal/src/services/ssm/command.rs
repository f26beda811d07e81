//! The life cycle of a command: sent, delivered, run, finished.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::instance_behavior::CommandRule;
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::ec2;
use super::document::{self, Document};
use super::node::{self, Ping};
use super::output::{self, Target as Output};
use super::{Event, enter, list, validation};

/// The default of `TimeoutSeconds`.
const HOUR: u64 = 3600;
/// The maximum number of instance ids in `SendCommand`.
const INSTANCES_LIMIT: usize = 50;

/// A command.
#[derive(Clone, Debug)]
pub struct Command {
    pub id: String,
    pub sent: Time,
    pub comment: String,
    /// The lines of the script, or the document's name and its parameters.
    pub script: String,
    pub(super) document: Document,
    pub(super) version: String,
    /// The invocations, one per instance.
    pub invocations: Vec<Invocation>,
    pub(super) account: String,
    pub(super) region: String,
    pub(super) parameters: BTreeMap<String, Vec<String>>,
    pub(super) instance_ids: Vec<String>,
    pub(super) targets: Value,
    /// The delivery timeout.
    pub(super) timeout: Duration,
    execution_timeout: Duration,
    pub(super) max_concurrency: String,
    pub(super) max_errors: String,
    /// The S3 location where the agent writes the full output.
    pub(super) output: Option<Output>,
}

/// An invocation: a command on one instance.
#[derive(Clone, Debug)]
pub struct Invocation {
    pub instance: String,
    /// `Pending`, `InProgress`, `Success`, `Failed`, `TimedOut`, `Cancelling` or `Cancelled`.
    pub status: &'static str,
    pub(super) details: &'static str,
    /// -1 until the script has ended.
    pub response_code: i32,
    pub stdout: String,
    pub stderr: String,
    pub(super) started: Option<Time>,
    pub(super) ended: Option<Time>,
    /// Its outcome, known once the script runs.
    outcome: Option<(&'static str, &'static str, i32)>,
    output: (String, String),
}

impl Invocation {
    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    fn end(&mut self, at: Time, status: &'static str, details: &'static str, code: i32) {
        self.status = status;
        self.details = details;
        self.response_code = code;
        self.ended = Some(at);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Send {
    #[serde(default)]
    instance_ids: Vec<String>,
    #[serde(default)]
    targets: Vec<Target>,
    document_name: String,
    document_version: Option<String>,
    timeout_seconds: Option<u64>,
    #[serde(default)]
    comment: String,
    #[serde(default)]
    parameters: BTreeMap<String, Vec<String>>,
    max_concurrency: Option<String>,
    max_errors: Option<String>,
    #[serde(rename = "OutputS3BucketName")]
    output_bucket: Option<String>,
    #[serde(rename = "OutputS3KeyPrefix")]
    output_prefix: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Target {
    key: String,
    values: Vec<String>,
}

pub(super) fn send(world: &mut World, call: &Call) -> Answer {
    let input: Send = call.parse()?;
    let document = document::find(world, &call.account, &call.region, &input.document_name)?;
    let execution_timeout = document.check(input.document_version.as_deref(), &input.parameters)?;
    let timeout = input.timeout_seconds.unwrap_or(HOUR);
    if !(30..=2_592_000).contains(&timeout) {
        return Err(validation("TimeoutSeconds is 30 to 2592000"));
    }
    let instances = resolve(world, call, &input)?;
    let id = world.ids.uuid();
    let script = match input.parameters.get("commands") {
        Some(lines) => lines.join("\n"),
        None => told(&document.name, &input.parameters),
    };
    let command = Command {
        id: id.clone(),
        sent: call.now,
        comment: input.comment,
        script,
        document,
        version: input.document_version.unwrap_or_else(|| "$DEFAULT".to_owned()),
        invocations: instances.iter().map(|instance| pending(instance)).collect(),
        account: call.account.clone(),
        region: call.region.clone(),
        parameters: input.parameters,
        instance_ids: input.instance_ids,
        targets: call.input.get("Targets").cloned().unwrap_or_else(|| json!([])),
        timeout: Duration::from_secs(timeout),
        execution_timeout,
        max_concurrency: input.max_concurrency.unwrap_or_else(|| "50".to_owned()),
        max_errors: input.max_errors.unwrap_or_else(|| "0".to_owned()),
        output: input.output_bucket.map(|bucket| Output { bucket, prefix: input.output_prefix }),
    };
    let shown = list::view(&command);
    world.ssm.commands.insert(id.clone(), command);
    let delivered = call.now + world.ssm.options.delivery_takes;
    for instance in instances {
        let command = id.clone();
        enter(world, delivered, Event::Deliver { command, instance: instance.clone() });
        let too_late = call.now + Duration::from_secs(timeout);
        enter(world, too_late, Event::DeliveryTimeout { command: id.clone(), instance });
    }
    Ok(json!({ "Command": shown }))
}

fn pending(instance: &str) -> Invocation {
    Invocation {
        instance: instance.to_owned(),
        status: "Pending",
        details: "Pending",
        response_code: -1,
        stdout: String::new(),
        stderr: String::new(),
        started: None,
        ended: None,
        outcome: None,
        output: (String::new(), String::new()),
    }
}

/// A document's name and parameters as one text, for the command rules of an image.
fn told(name: &str, parameters: &BTreeMap<String, Vec<String>>) -> String {
    let parameters = parameters.iter().map(|(name, values)| format!(" {name}={}", values.join(",")));
    std::iter::once(name.to_owned()).chain(parameters).collect()
}

/// The instances of a request. Those given by id must be online; targets select whatever matches.
fn resolve(world: &mut World, call: &Call, input: &Send) -> Result<Vec<String>, ApiError> {
    if input.instance_ids.is_empty() == input.targets.is_empty() {
        return Err(validation("Give either InstanceIds or Targets"));
    }
    if input.instance_ids.len() > INSTANCES_LIMIT || input.targets.len() > 5 {
        return Err(validation("At most 50 InstanceIds or 5 Targets"));
    }
    let distinct: BTreeSet<&String> = input.instance_ids.iter().collect();
    if distinct.len() != input.instance_ids.len() {
        return Err(ApiError::new("DuplicateInstanceId", "An instance id is given twice"));
    }
    for id in &input.instance_ids {
        let here = ec2::instance(world, id)
            .is_some_and(|found| found.account == call.account && found.region == call.region);
        if !here || node::ping(world, id, call.now) != Some(Ping::Online) {
            return Err(ApiError::new(
                "InvalidInstanceId",
                format!("Instances [[{id}]] not in a valid state for account {}", call.account),
            ));
        }
    }
    if input.targets.is_empty() {
        return Ok(input.instance_ids.clone());
    }
    let filters: Vec<Value> = input
        .targets
        .iter()
        .map(|target| {
            let name = if target.key == "InstanceIds" { "instance-id" } else { target.key.as_str() };
            json!({ "Name": name, "Values": target.values })
        })
        .collect();
    let mut found = node::find(world, call, &json!(filters));
    found.retain(|id| node::ping(world, id, call.now) == Some(Ping::Online));
    Ok(found)
}

fn invocation_mut<'w>(world: &'w mut World, command: &str, instance: &str) -> Option<&'w mut Invocation> {
    let command = world.ssm.commands.get_mut(command)?;
    command
        .invocations
        .iter_mut()
        .find(|invocation| invocation.instance == instance && !invocation.has_ended())
}

/// Delivers a command: the agent runs it with the behavior of the instance's image.
pub(super) fn deliver(world: &mut World, at: Time, id: &str, instance: &str) {
    // If the instance is no longer online, the command stays pending until its delivery timeout.
    if node::ping(world, instance, at) != Some(Ping::Online) {
        return;
    }
    let Some(command) = world.ssm.commands.get(id) else { return };
    let (script, limit) = (command.script.clone(), command.execution_timeout);
    let before = |text: &str| {
        let sent =
            |other: &&Command| other.id != id && other.sent <= command.sent && other.script.contains(text);
        let here = |other: &&Command| {
            other.invocations.iter().any(|i| i.instance == instance && i.started.is_some())
        };
        world.ssm.commands.values().filter(sent).filter(here).count()
    };
    let holds = |rule: &&CommandRule| {
        script.contains(&rule.contains) && rule.times.is_none_or(|times| before(&rule.contains) < times)
    };
    let rule = ec2::instance(world, instance)
        .and_then(|found| ec2::behavior(world, &found.image_id))
        .and_then(|behavior| behavior.commands.iter().find(holds))
        .cloned();
    let takes =
        rule.as_ref().map_or(Duration::ZERO, |rule| rule.duration.duration()).max(Duration::from_secs(1));
    let Some(invocation) = invocation_mut(world, id, instance).filter(|i| i.status == "Pending") else {
        return;
    };
    invocation.status = "InProgress";
    invocation.details = "InProgress";
    invocation.started = Some(at);
    let code = rule.as_ref().map_or(0, |rule| rule.exit_code);
    invocation.outcome = Some(match (takes > limit, code) {
        // A script that exceeds its timeout ends like with SIGKILL.
        (true, _) => ("TimedOut", "Execution Timed Out", 137),
        (false, 0) => ("Success", "Success", 0),
        (false, code) => ("Failed", "Failed", code),
    });
    invocation.output = rule.map(|rule| (rule.stdout, rule.stderr)).unwrap_or_default();
    let event = Event::Finish { command: id.to_owned(), instance: instance.to_owned() };
    enter(world, at + takes.min(limit), event);
}

pub(super) fn finish(world: &mut World, at: Time, id: &str, instance: &str) {
    let alive = node::ping(world, instance, at) == Some(Ping::Online);
    let Some(invocation) = invocation_mut(world, id, instance).filter(|i| i.status == "InProgress") else {
        return;
    };
    if !alive {
        // No agent is left to report the end of the script.
        invocation.end(at, "TimedOut", "Execution Timed Out", -1);
        return;
    }
    let Some((status, details, code)) = invocation.outcome.take() else { return };
    (invocation.stdout, invocation.stderr) = std::mem::take(&mut invocation.output);
    if status == "Failed" {
        let note = format!("failed to run commands: exit status {code}");
        invocation.stderr.push_str(&note);
    }
    invocation.end(at, status, details, code);
    output::write(world, id, instance);
}

pub(super) fn undelivered(world: &mut World, at: Time, id: &str, instance: &str) {
    if let Some(invocation) = invocation_mut(world, id, instance).filter(|i| i.status == "Pending") {
        invocation.end(at, "TimedOut", "Delivery Timed Out", -1);
    }
}

pub(super) fn cancelled(world: &mut World, at: Time, id: &str, instance: &str) {
    if let Some(invocation) = invocation_mut(world, id, instance).filter(|i| i.status == "Cancelling") {
        invocation.end(at, "Cancelled", "Cancelled", -1);
    }
}

/// A command in the caller's account and Region.
pub(super) fn find<'w>(world: &'w World, call: &Call, id: &str) -> Result<&'w Command, ApiError> {
    world
        .ssm
        .commands
        .get(id)
        .filter(|command| command.account == call.account && command.region == call.region)
        .ok_or_else(|| ApiError::new("InvalidCommandId", format!("Command {id} does not exist")))
}

/// `CancelCommand`: requests the cancellation; a script may end before it takes effect.
pub(super) fn cancel(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        command_id: String,
        #[serde(default)]
        instance_ids: Vec<String>,
    }
    let input: Input = call.parse()?;
    let command = find(world, call, &input.command_id)?;
    let chosen: Vec<String> = command
        .invocations
        .iter()
        .filter(|i| input.instance_ids.is_empty() || input.instance_ids.contains(&i.instance))
        .map(|i| i.instance.clone())
        .collect();
    if let Some(unknown) = input.instance_ids.iter().find(|id| !chosen.contains(id)) {
        return Err(ApiError::new("InvalidInstanceId", format!("The command was not sent to {unknown}")));
    }
    for instance in chosen {
        let Some(invocation) = invocation_mut(world, &input.command_id, &instance) else { continue };
        invocation.status = "Cancelling";
        invocation.details = "Cancelling";
        let event = Event::Cancelled { command: input.command_id.clone(), instance };
        enter(world, call.now + Duration::from_secs(1), event);
    }
    Ok(json!({}))
}
