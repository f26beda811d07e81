//! Systems Manager: Run Command and Parameter Store.
//!
//! The rules come from the service model 2014-11-06 and the user guide.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::call::{Answer, ApiError, Call};
use super::super::time::Time;
use super::super::world::{self, World};

mod command;
mod document;
mod invocation;
mod label;
mod list;
mod node;
mod output;
mod parameter;
mod put;
mod query;
mod tags;

pub use command::{Command, Invocation};
pub use document::write_document;
pub use parameter::{parameter_value, parameters_naming, write_parameter};

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &[
    "AddTagsToResource",
    "CancelCommand",
    "DeleteParameter",
    "DeleteParameters",
    "DescribeInstanceInformation",
    "DescribeParameters",
    "GetCommandInvocation",
    "GetParameter",
    "GetParameterHistory",
    "GetParameters",
    "GetParametersByPath",
    "LabelParameterVersion",
    "ListCommandInvocations",
    "ListCommands",
    "ListTagsForResource",
    "PutParameter",
    "RemoveTagsFromResource",
    "SendCommand",
    "UnlabelParameterVersion",
];

/// The timing of commands and parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The time from passed status checks until the agent is online.
    pub agent_after: Duration,
    /// The time from `SendCommand` until its invocations are visible.
    pub visible_after: Duration,
    /// The time from `SendCommand` until the agent receives the command.
    pub delivery_takes: Duration,
    /// The time from `PutParameter` with data type `aws:ec2:image` until the value is stored or dropped.
    pub image_validation_takes: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            agent_after: Duration::from_secs(5),
            visible_after: Duration::from_secs(1),
            delivery_takes: Duration::from_secs(2),
            image_validation_takes: Duration::from_secs(3),
        }
    }
}

/// Account, Region and name of a parameter.
type Key = (String, String, String);

/// All commands, parameters and documents.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub options: Options,
    /// Commands by id.
    commands: BTreeMap<String, Command>,
    parameters: BTreeMap<Key, parameter::Parameter>,
    /// Documents of accounts. AWS's own documents are in every account.
    documents: BTreeMap<document::Key, document::Document>,
}

/// A scheduled event.
#[derive(Clone, Debug)]
pub enum Event {
    /// The command reaches the instance, if its agent is online.
    Deliver { command: String, instance: String },
    /// The script has ended or its timeout has expired.
    Finish { command: String, instance: String },
    /// The delivery timeout of the command has expired.
    DeliveryTimeout { command: String, instance: String },
    /// A cancelled invocation has stopped.
    Cancelled { command: String, instance: String },
    /// The validation of a parameter's image has finished.
    ImageChecked { account: String, region: String, name: String, version: u64 },
}

/// The commands sent so far, in no particular order.
pub fn commands(world: &World) -> impl Iterator<Item = &Command> {
    world.ssm.commands.values()
}

/// Handles one API call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &mut World, call: &Call) -> Answer {
    match call.operation.as_str() {
        "AddTagsToResource" => tags::add(world, call),
        "CancelCommand" => command::cancel(world, call),
        "DeleteParameter" => parameter::delete(world, call),
        "DeleteParameters" => parameter::delete_many(world, call),
        "DescribeInstanceInformation" => node::describe(world, call),
        "DescribeParameters" => query::describe(world, call),
        "GetCommandInvocation" => invocation::get(world, call),
        "GetParameter" => parameter::get(world, call),
        "GetParameterHistory" => query::history(world, call),
        "GetParameters" => parameter::get_many(world, call),
        "GetParametersByPath" => query::by_path(world, call),
        "LabelParameterVersion" => label::attach(world, call),
        "ListCommandInvocations" => invocation::list(world, call),
        "ListCommands" => list::commands(world, call),
        "ListTagsForResource" => tags::list(world, call),
        "PutParameter" => put::put(world, call),
        "RemoveTagsFromResource" => tags::remove(world, call),
        "SendCommand" => command::send(world, call),
        "UnlabelParameterVersion" => label::detach(world, call),
        other => Err(ApiError::new("UnknownOperationException", other)),
    }
}

/// Applies a due event.
pub fn on_event(world: &mut World, at: Time, event: Event) {
    match event {
        Event::Deliver { command, instance } => command::deliver(world, at, &command, &instance),
        Event::Finish { command, instance } => command::finish(world, at, &command, &instance),
        Event::DeliveryTimeout { command, instance } => command::undelivered(world, at, &command, &instance),
        Event::Cancelled { command, instance } => command::cancelled(world, at, &command, &instance),
        Event::ImageChecked { account, region, name, version } => {
            put::image_checked(world, &(account, region, name), version);
        }
    }
}

fn enter(world: &mut World, at: Time, event: Event) {
    world.schedule.add(at, world::Event::Ssm(event));
}

fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

fn bad_token() -> ApiError {
    ApiError::new("InvalidNextToken", "The specified token is not valid")
}

#[cfg(test)]
mod tests;
