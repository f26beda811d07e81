//! ECS: clusters, task definitions, and tasks and services on Fargate.
//!
//! The rules come from the service model 2014-11-13 and the developer guide: a task is PROVISIONING, PENDING,
//! RUNNING, STOPPING, DEPROVISIONING, STOPPED, and is described for an hour after that. There are no container
//! instances.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::super::call::{Answer, ApiError, Call};
use super::super::container_behavior::ContainerBehavior;
use super::super::time::Time;
use super::super::world::{self, World};
use super::support::Place;

mod cluster;
mod container;
mod life;
mod list;
mod pull;
mod reach;
mod rollout;
mod run;
mod service;
mod service_view;
mod tags;
mod task;
mod task_definition;
mod task_definition_list;

pub use reach::{Reached, knock};
pub use task::Task;
pub use task_definition::TaskDefinition;

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &[
    "CreateCluster",
    "CreateService",
    "DeleteCluster",
    "DeleteService",
    "DeleteTaskDefinitions",
    "DeregisterTaskDefinition",
    "DescribeClusters",
    "DescribeServices",
    "DescribeTaskDefinition",
    "DescribeTasks",
    "ListClusters",
    "ListServices",
    "ListTagsForResource",
    "ListTaskDefinitionFamilies",
    "ListTaskDefinitions",
    "ListTasks",
    "RegisterTaskDefinition",
    "RunTask",
    "StopTask",
    "TagResource",
    "UntagResource",
    "UpdateService",
];

/// Behavior that AWS does not document; the scenario sets it.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The behavior of containers.
    pub container: ContainerBehavior,
    /// How long a new task stays hidden from list and describe calls.
    pub visible_after: Duration,
    /// Whether there is no Fargate capacity: `RunTask` then returns failures instead of tasks.
    pub no_capacity: bool,
}

#[derive(Clone, Debug, Default)]
pub struct State {
    pub options: Options,
    clusters: BTreeMap<(Place, String), cluster::Cluster>,
    /// Task definitions by family, in the order of their revisions.
    definitions: BTreeMap<(Place, String), Vec<TaskDefinition>>,
    /// The highest revision number of each family.
    issued: BTreeMap<(Place, String), u32>,
    /// By ARN.
    tasks: BTreeMap<String, Task>,
    /// By ARN.
    services: BTreeMap<String, service::Service>,
    /// Client tokens of `RunTask`, with their requests and the tasks started.
    remembered: BTreeMap<(Place, String), run::Remembered>,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// A task's network interface is attached.
    Attached(String),
    /// The pull of a task's images has succeeded or failed.
    Pulled(String),
    /// A container exits by itself.
    Exited { task: String, container: usize, code: i32 },
    /// A health check has a result.
    Checked { task: String, container: usize, healthy: bool },
    /// The containers of a stopped task have ended.
    Killed(String),
    /// A task's network interface is deleted.
    Detached(String),
    /// A stopped task is no longer described.
    Forgotten(String),
    /// A task definition marked for deletion is deleted, if nothing uses it.
    Deleted { place: Place, family: String, revision: u32 },
    /// A service reconciles its tasks.
    Scheduled(String),
}

/// Handles one API call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &mut World, call: &Call) -> Answer {
    match call.operation.as_str() {
        "CreateCluster" => cluster::create(world, call),
        "CreateService" => service::create(world, call),
        "DeleteCluster" => cluster::delete(world, call),
        "DeleteService" => service::delete(world, call),
        "DeleteTaskDefinitions" => task_definition::delete(world, call),
        "DeregisterTaskDefinition" => task_definition::deregister(world, call),
        "DescribeClusters" => cluster::describe(world, call),
        "DescribeServices" => service_view::describe(world, call),
        "DescribeTaskDefinition" => task_definition::describe(world, call),
        "DescribeTasks" => list::describe_tasks(world, call),
        "ListClusters" => cluster::list(world, call),
        "ListServices" => service_view::list(world, call),
        "ListTagsForResource" => tags::list(world, call),
        "ListTaskDefinitionFamilies" => task_definition_list::families(world, call),
        "ListTaskDefinitions" => task_definition_list::definitions(world, call),
        "ListTasks" => list::tasks(world, call),
        "RegisterTaskDefinition" => task_definition::register(world, call),
        "RunTask" => run::run(world, call),
        "StopTask" => run::stop(world, call),
        "TagResource" => tags::tag(world, call),
        "UntagResource" => tags::untag(world, call),
        "UpdateService" => service::update(world, call),
        other => Err(ApiError::new("UnknownOperationException", other)),
    }
}

/// Applies a due event.
pub fn on_event(world: &mut World, at: Time, event: Event) {
    match event {
        Event::Scheduled(service) => rollout::reconcile(world, at, &service),
        Event::Deleted { place, family, revision } => {
            task_definition::gone(world, at, &place, &family, revision);
        }
        other => life::on_event(world, at, other),
    }
}

fn enter(world: &mut World, at: Time, event: Event) {
    world.schedule.add(at, world::Event::Ecs(event));
}

fn place(call: &Call) -> Place {
    Place::new(call.account.clone(), call.region.clone())
}

/// `arn:aws:ecs:REGION:ACCOUNT:REST`.
fn arn(here: &Place, rest: &str) -> String {
    format!("arn:{}:ecs:{}:{}:{rest}", crate::partition::id(&here.region), here.region, here.account)
}

/// A task id: 32 hexadecimal digits.
fn long_id(world: &mut World) -> String {
    format!("{:016x}{:016x}", world.ids.next(), world.ids.next())
}

fn client(message: impl Into<String>) -> ApiError {
    ApiError::new("ClientException", message)
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterException", message)
}

/// The pagination members of every list call.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Paging {
    next_token: Option<String>,
    max_results: Option<usize>,
}

/// One page of ARNs or names in this member, at most 100.
fn paged(call: &Call, member: &str, all: Vec<String>) -> Answer {
    let paging: Paging = call.parse()?;
    let size = paging.max_results.unwrap_or(100);
    if !(1..=100).contains(&size) {
        return Err(invalid("maxResults must be between 1 and 100."));
    }
    let (page, next) = super::page::page(all, paging.next_token.as_deref(), size)
        .ok_or_else(|| invalid("Invalid token in the request."))?;
    let mut answer = serde_json::Map::from_iter([(member.to_owned(), Value::from(page))]);
    if let Some(next) = next {
        answer.insert("nextToken".to_owned(), next.into());
    }
    Ok(Value::Object(answer))
}

#[cfg(test)]
mod tests;
