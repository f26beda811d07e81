//! ECS services: create, update, delete. `rollout` reconciles their tasks.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{Place, Tags};
use super::run::{Network, check_network};
use super::tags::{self, Tag};
use super::task_definition::runnable;
use super::{Event, arn, cluster, enter, invalid, place, service_view};

/// The status of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    Draining,
    Inactive,
}

#[derive(Clone, Debug)]
pub(super) struct Service {
    pub arn: String,
    pub name: String,
    pub place: Place,
    /// The ARN of the cluster.
    pub cluster: String,
    pub status: Status,
    pub desired: u64,
    pub network: Network,
    /// Members that are returned as given.
    pub given: Map<String, Value>,
    pub limits: Limits,
    pub tags: Tags,
    pub created: Time,
    /// The deployments, newest first. The newest is the desired one.
    pub deployments: Vec<Deployment>,
    /// The last definition with a steady state: the circuit breaker's rollback target.
    pub steady_at: Option<String>,
    pub events: Vec<(String, Time, String)>,
    /// The client token and request of its creation.
    token: Option<(String, Map<String, Value>)>,
}

/// The deployment configuration: minimum and maximum tasks in percent of the desired count, and the circuit breaker.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Limits {
    #[serde(default = "Limits::usual_most")]
    pub maximum_percent: usize,
    #[serde(default = "Limits::usual_least")]
    pub minimum_healthy_percent: usize,
    #[serde(default)]
    pub deployment_circuit_breaker: Breaker,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Breaker {
    pub enable: bool,
    pub rollback: bool,
}

impl Limits {
    fn usual_most() -> usize {
        200
    }

    fn usual_least() -> usize {
        100
    }

    fn read(given: Option<&Value>) -> Result<Self, ApiError> {
        let given = given.cloned().unwrap_or_else(|| json!({}));
        serde_json::from_value(given).map_err(|e| invalid(e.to_string()))
    }
}

/// A deployment: the service with one task definition.
#[derive(Clone, Debug)]
pub(super) struct Deployment {
    pub id: String,
    /// ARN.
    pub definition: String,
    pub created: Time,
    pub updated: Time,
    /// The number of consecutive failed tasks.
    pub failed: u64,
    pub rollout: Rollout,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rollout {
    InProgress,
    Completed,
    Failed,
}

impl Service {
    pub(super) fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    pub(super) fn is_gone(&self) -> bool {
        self.status == Status::Inactive
    }

    /// Whether the service uses a definition, or may roll back to it.
    pub(super) fn needs(&self, definition: &str) -> bool {
        !self.is_gone() && self.deployments.iter().any(|deployment| deployment.definition == definition)
    }

    /// The name of its tasks' group.
    pub(super) fn group(&self) -> String {
        format!("service:{}", self.name)
    }
}

impl Deployment {
    pub(super) fn new(world: &mut World, definition: String) -> Self {
        let id = format!("ecs-svc/{:019}", world.ids.next() >> 1);
        Self {
            reason: format!("ECS deployment {id} in progress."),
            id,
            definition,
            created: world.now,
            updated: world.now,
            failed: 0,
            rollout: Rollout::InProgress,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    cluster: Option<String>,
    service_name: String,
    task_definition: Option<String>,
    desired_count: Option<u64>,
    client_token: Option<String>,
    #[serde(default)]
    network_configuration: Network,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// The members that are returned as given.
const GIVEN: [&str; 10] = [
    "loadBalancers",
    "serviceRegistries",
    "platformVersion",
    "deploymentConfiguration",
    "placementConstraints",
    "placementStrategy",
    "networkConfiguration",
    "healthCheckGracePeriodSeconds",
    "enableECSManagedTags",
    "propagateTags",
];

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    let here = place(call);
    let cluster = cluster::find(world, &here, input.cluster.as_deref())?;
    let (cluster, cluster_name) = (cluster.arn.clone(), cluster.name.clone());
    let arn = arn(&here, &format!("service/{cluster_name}/{}", input.service_name));
    let token = input.client_token.map(|token| (token, call.input.clone()));
    if let Some(service) = world.ecs.services.get(&arn).filter(|service| !service.is_gone()) {
        if token.is_some() && service.token == token {
            return Ok(json!({ "service": service_view::view(world, service, true) }));
        }
        return Err(invalid("Creation of service was not idempotent."));
    }
    let definition = input.task_definition.ok_or_else(|| invalid("TaskDefinition can not be blank."))?;
    let desired = input.desired_count.ok_or_else(|| invalid("Desired count can not be null."))?;
    if call.input.get("launchType").and_then(Value::as_str) != Some("FARGATE") {
        return Err(invalid("No Container Instances were found in your cluster."));
    }
    let definition = runnable(world, &here, &definition)?;
    check_network(world, call, &definition, &input.network_configuration)?;
    let limits = Limits::read(call.input.get("deploymentConfiguration"))?;
    let deployment = Deployment::new(world, definition.arn);
    let service = Service {
        arn: arn.clone(),
        name: input.service_name,
        place: here,
        cluster,
        status: Status::Active,
        desired,
        network: input.network_configuration,
        given: given(&call.input),
        limits,
        tags: tags::read(&input.tags)?,
        created: call.now,
        deployments: vec![deployment],
        steady_at: None,
        events: Vec::new(),
        token,
    };
    let answer = json!({ "service": service_view::view(world, &service, true) });
    world.ecs.services.insert(arn.clone(), service);
    enter(world, call.now, Event::Scheduled(arn));
    Ok(answer)
}

fn given(input: &Map<String, Value>) -> Map<String, Value> {
    let members = GIVEN.iter().filter_map(|name| Some(((*name).to_owned(), input.get(*name)?.clone())));
    members.collect()
}

/// The ARN of the service that a request names.
fn find(world: &World, call: &Call, cluster: Option<&str>, asked: &str) -> Result<String, ApiError> {
    let cluster = cluster::find(world, &place(call), cluster)?;
    let arn = service_view::service_arn(cluster, asked);
    match world.ecs.services.get(&arn).filter(|service| service.cluster == cluster.arn) {
        Some(_) => Ok(arn),
        None => Err(ApiError::new("ServiceNotFoundException", "Service not found.")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Update {
    cluster: Option<String>,
    service: String,
    desired_count: Option<u64>,
    task_definition: Option<String>,
    network_configuration: Option<Network>,
    #[serde(default)]
    force_new_deployment: bool,
}

/// `UpdateService`: a changed definition or network, or `forceNewDeployment`, starts a new deployment.
pub(super) fn update(world: &mut World, call: &Call) -> Answer {
    let input: Update = call.parse()?;
    let here = place(call);
    let arn = find(world, call, input.cluster.as_deref(), &input.service)?;
    let Some(service) = world.ecs.services.get(&arn).filter(|service| service.is_active()) else {
        return Err(ApiError::new("ServiceNotActiveException", "Service was not ACTIVE."));
    };
    let current = service.deployments.first().map(|deployment| deployment.definition.clone());
    let reference = input.task_definition.or(current.clone()).unwrap_or_default();
    let network = input.network_configuration.clone().unwrap_or_else(|| service.network.clone());
    let definition = runnable(world, &here, &reference)?;
    check_network(world, call, &definition, &network)?;
    let limits =
        call.input.get("deploymentConfiguration").map(|given| Limits::read(Some(given))).transpose()?;
    let is_new = input.force_new_deployment
        || input.network_configuration.is_some()
        || Some(&definition.arn) != current.as_ref();
    let deployment = is_new.then(|| Deployment::new(world, definition.arn));
    if let Some(service) = world.ecs.services.get_mut(&arn) {
        service.network = network;
        service.desired = input.desired_count.unwrap_or(service.desired);
        service.limits = limits.unwrap_or(service.limits);
        service.given.extend(given(&call.input));
        if let Some(deployment) = deployment {
            service.deployments.insert(0, deployment);
        }
    }
    enter(world, call.now, Event::Scheduled(arn.clone()));
    Ok(json!({ "service": world.ecs.services.get(&arn).map(|s| service_view::view(world, s, true)) }))
}

#[derive(Deserialize)]
struct Delete {
    cluster: Option<String>,
    service: String,
    force: Option<bool>,
}

/// `DeleteService`: the service drains until its tasks have stopped.
pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: Delete = call.parse()?;
    let arn = find(world, call, input.cluster.as_deref(), &input.service)?;
    if let Some(service) = world.ecs.services.get_mut(&arn) {
        if service.desired > 0 && input.force != Some(true) && service.is_active() {
            return Err(invalid("The service cannot be stopped while it is scaled above 0."));
        }
        if service.is_active() {
            service.status = Status::Draining;
            service.desired = 0;
        }
    }
    enter(world, call.now, Event::Scheduled(arn.clone()));
    Ok(json!({ "service": world.ecs.services.get(&arn).map(|s| service_view::view(world, s, true)) }))
}
