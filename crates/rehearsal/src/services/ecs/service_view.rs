//! API views of services.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::world::World;
use super::service::{Deployment, Rollout, Service, Status};
use super::{cluster, invalid, paged, place, tags, task};

/// The maximum number of services in one `DescribeServices`.
const MOST: usize = 10;

/// The number of running and of pending tasks, of one deployment or of all.
fn counts(world: &World, service: &Service, deployment: Option<&str>) -> (usize, usize) {
    let group = service.group();
    let mine = world.ecs.tasks.values().filter(|task| {
        let by = task.started_by.as_deref();
        task.cluster == service.cluster && task.group == group && deployment.is_none_or(|id| by == Some(id))
    });
    mine.fold((0, 0), |(running, pending), task| match task.status {
        task::Status::Running => (running + 1, pending),
        task::Status::Provisioning | task::Status::Pending => (running, pending + 1),
        _ => (running, pending),
    })
}

fn deployment(world: &World, service: &Service, number: usize, one: &Deployment) -> Value {
    let (running, pending) = counts(world, service, Some(&one.id));
    json!({
        "id": one.id,
        "status": if number == 0 { "PRIMARY" } else { "ACTIVE" },
        "taskDefinition": one.definition,
        "desiredCount": if number == 0 { service.desired } else { 0 },
        "pendingCount": pending,
        "runningCount": running,
        "failedTasks": one.failed,
        "createdAt": one.created.epoch_seconds(),
        "updatedAt": one.updated.epoch_seconds(),
        "launchType": "FARGATE",
        "platformVersion": "1.4.0",
        "platformFamily": "Linux",
        "networkConfiguration": service.given.get("networkConfiguration"),
        "rolloutState": match one.rollout {
            Rollout::InProgress => "IN_PROGRESS",
            Rollout::Completed => "COMPLETED",
            Rollout::Failed => "FAILED",
        },
        "rolloutStateReason": one.reason,
    })
}

pub(super) fn view(world: &World, service: &Service, with_tags: bool) -> Value {
    let (running, pending) = counts(world, service, None);
    let deployments: Vec<Value> = service
        .deployments
        .iter()
        .enumerate()
        .map(|(number, one)| deployment(world, service, number, one))
        .collect();
    let events: Vec<Value> = service
        .events
        .iter()
        .rev()
        .take(100)
        .map(|(id, at, message)| json!({ "id": id, "createdAt": at.epoch_seconds(), "message": message }))
        .collect();
    let mut view = service.given.clone();
    let rest = json!({
        "serviceArn": service.arn,
        "serviceName": service.name,
        "clusterArn": service.cluster,
        "status": match service.status {
            Status::Active => "ACTIVE",
            Status::Draining => "DRAINING",
            Status::Inactive => "INACTIVE",
        },
        "desiredCount": service.desired,
        "runningCount": running,
        "pendingCount": pending,
        "launchType": "FARGATE",
        "platformFamily": "Linux",
        "taskDefinition": service.deployments.first().map(|deployment| &deployment.definition),
        "deployments": deployments,
        "events": events,
        "createdAt": service.created.epoch_seconds(),
        "schedulingStrategy": "REPLICA",
        "deploymentController": { "type": "ECS" },
        "tags": if with_tags { tags::view(&service.tags) } else { json!([]) },
    });
    if let Value::Object(rest) = rest {
        view.extend(rest);
    }
    Value::Object(view)
}

/// The ARN of a service, given its name or ARN.
pub(super) fn service_arn(cluster: &cluster::Cluster, asked: &str) -> String {
    if asked.starts_with("arn:") {
        return asked.to_owned();
    }
    format!("{}/{asked}", cluster.arn.replace(":cluster/", ":service/"))
}

#[derive(Deserialize)]
struct Describe {
    cluster: Option<String>,
    services: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    if input.services.is_empty() {
        return Err(invalid("Services cannot be empty."));
    }
    if input.services.len() > MOST {
        return Err(invalid("Services cannot have more than 10 elements."));
    }
    let cluster = cluster::find(world, &place(call), input.cluster.as_deref())?;
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for asked in &input.services {
        let arn = service_arn(cluster, asked);
        match world.ecs.services.get(&arn).filter(|service| service.cluster == cluster.arn) {
            Some(service) => services.push(view(world, service, tags::wanted(&input.include))),
            None => failures.push(json!({ "arn": arn, "reason": "MISSING" })),
        }
    }
    Ok(json!({ "services": services, "failures": failures }))
}

#[derive(Deserialize)]
struct List {
    cluster: Option<String>,
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let input: List = call.parse()?;
    let cluster = cluster::find(world, &place(call), input.cluster.as_deref())?;
    let mine =
        world.ecs.services.values().filter(|service| service.cluster == cluster.arn && !service.is_gone());
    paged(call, "serviceArns", mine.map(|service| service.arn.clone()).collect())
}
