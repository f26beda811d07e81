//! `RunTask` and `StopTask`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::ec2;
use super::super::support::{Place, Tags};
use super::container::{Container, Override};
use super::list::{task_arn, views};
use super::tags::{self, Tag};
use super::task::{Interface, Status, Task};
use super::task_definition::{TaskDefinition, runnable};
use super::{Event, arn, client, cluster, enter, invalid, life, long_id, place};

/// The time from a task's creation until its network interface is attached.
const ATTACHING: Duration = Duration::from_secs(9);
/// The maximum number of tasks that one call starts.
const MOST: u64 = 10;
/// How long a client token is remembered.
const TOKEN_KNOWN: Duration = Duration::from_hours(24);

/// The request of a client token and the tasks that it started.
#[derive(Clone, Debug)]
pub(super) struct Remembered {
    request: Map<String, Value>,
    tasks: Vec<String>,
    at: Time,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Network {
    awsvpc_configuration: Option<AwsVpc>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AwsVpc {
    subnets: Vec<String>,
    security_groups: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Run {
    cluster: Option<String>,
    task_definition: String,
    count: Option<u64>,
    client_token: Option<String>,
    started_by: Option<String>,
    group: Option<String>,
    launch_type: Option<String>,
    #[serde(default)]
    network_configuration: Network,
    #[serde(default)]
    overrides: Map<String, Value>,
    #[serde(default)]
    tags: Vec<Tag>,
    propagate_tags: Option<String>,
}

/// The parameters of a new task.
pub(super) struct Start<'a> {
    pub cluster: String,
    pub definition: &'a TaskDefinition,
    pub network: &'a Network,
    pub started_by: Option<String>,
    pub group: String,
    pub overrides: Map<String, Value>,
    pub tags: Tags,
}

pub(super) fn run(world: &mut World, call: &Call) -> Answer {
    let input: Run = call.parse()?;
    let here = place(call);
    let cluster = cluster::find(world, &here, input.cluster.as_deref())?.arn.clone();
    if let Some(token) = &input.client_token {
        check_token(token)?;
        if let Some(answer) = replay(world, &here, token, call)? {
            return Ok(answer);
        }
    }
    let definition = runnable(world, &here, &input.task_definition)?;
    let count = input.count.unwrap_or(1);
    if !(1..=MOST).contains(&count) {
        return Err(invalid("Invalid request parameter: count must be between 1 and 10."));
    }
    if input.started_by.as_ref().is_some_and(|by| !is_startable_by(by)) {
        return Err(invalid("Invalid request parameter: startedBy is invalid."));
    }
    if input.launch_type.as_deref() != Some("FARGATE") {
        // There are no container instances, so tasks run only on Fargate.
        return Err(invalid("No Container Instances were found in your cluster."));
    }
    check_network(world, call, &definition, &input.network_configuration)?;
    let mut tags = tags::read(&input.tags)?;
    if input.propagate_tags.as_deref() == Some("TASK_DEFINITION") {
        for (key, value) in &definition.tags {
            tags.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
    if world.ecs.options.no_capacity {
        let reason = "Capacity is unavailable at this time. Please try again later or in a different availability zone";
        return Ok(json!({ "tasks": [], "failures": [{ "reason": reason }] }));
    }
    let mut started = Vec::new();
    for _ in 0..count {
        let start = Start {
            cluster: cluster.clone(),
            definition: &definition,
            network: &input.network_configuration,
            started_by: input.started_by.clone(),
            group: input.group.clone().unwrap_or_else(|| format!("family:{}", definition.family)),
            overrides: input.overrides.clone(),
            tags: tags.clone(),
        };
        started.push(begin(world, &here, start)?);
    }
    let answer =
        json!({ "tasks": views(started.iter().filter_map(|arn| world.ecs.tasks.get(arn))), "failures": [] });
    if let Some(token) = input.client_token {
        let remembered = Remembered { request: call.input.clone(), tasks: started, at: call.now };
        world.ecs.remembered.insert((here, token), remembered);
    }
    Ok(answer)
}

fn is_startable_by(text: &str) -> bool {
    text.len() <= 128 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '/' | '_'))
}

fn check_token(token: &str) -> Result<(), ApiError> {
    if token.len() > 64 || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(invalid("Invalid request parameter: clientToken is invalid."));
    }
    Ok(())
}

/// The tasks that a client token has already started, in their current state.
fn replay(world: &World, here: &Place, token: &str, call: &Call) -> Result<Option<Value>, ApiError> {
    let known = world.ecs.remembered.get(&(here.clone(), token.to_owned()));
    let Some(known) = known.filter(|known| call.now < known.at + TOKEN_KNOWN) else { return Ok(None) };
    if known.request != call.input {
        return Err(ApiError::new(
            "ConflictException",
            "The provided clientToken is already in use with a different RunTask request.",
        ));
    }
    let tasks = views(known.tasks.iter().filter_map(|arn| world.ecs.tasks.get(arn)));
    Ok(Some(json!({ "tasks": tasks, "failures": [] })))
}

/// Checks that the subnets and security groups exist.
///
/// # Errors
/// One does not exist, or the definition's network mode requires a network configuration and none is given.
pub(super) fn check_network(
    world: &mut World,
    call: &Call,
    definition: &TaskDefinition,
    network: &Network,
) -> Result<(), ApiError> {
    if definition.text("networkMode") != Some("awsvpc") {
        return Ok(());
    }
    let Some(vpc) = &network.awsvpc_configuration else {
        return Err(invalid(
            "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
        ));
    };
    if vpc.subnets.is_empty() || vpc.subnets.len() > 16 {
        return Err(invalid("subnets must have between 1 and 16 elements."));
    }
    let here = place(call);
    if let Some(missing) = vpc.subnets.iter().find(|id| ec2::subnet_zone(world, &here, id).is_none()) {
        return Err(invalid(format!(
            "Error retrieving subnet information for [{missing}]: The subnet ID '{missing}' does not exist"
        )));
    }
    if !vpc.security_groups.is_empty() {
        let asked = json!({ "GroupIds": vpc.security_groups });
        let groups = Call {
            service: "ec2",
            operation: "DescribeSecurityGroups".to_owned(),
            input: asked.as_object().cloned().unwrap_or_default(),
            ..call.clone()
        };
        ec2::call(world, &groups).map_err(|refused| {
            invalid(format!("Error retrieving security group information: {}", refused.message))
        })?;
    }
    Ok(())
}

/// Starts one task. Returns its ARN.
///
/// # Errors
/// An override names an unknown container.
pub(super) fn begin(world: &mut World, here: &Place, start: Start<'_>) -> Result<String, ApiError> {
    let overrides: Vec<Override> = start
        .overrides
        .get("containerOverrides")
        .map(|list| serde_json::from_value(list.clone()))
        .transpose()
        .map_err(|e| client(e.to_string()))?
        .unwrap_or_default();
    let mut containers = Container::all(&start.definition.containers, &overrides)?;
    let id = long_id(world);
    let cluster_name = start.cluster.rsplit('/').next().unwrap_or_default().to_owned();
    let task_arn = arn(here, &format!("task/{cluster_name}/{id}"));
    for container in &mut containers {
        container.arn = arn(here, &format!("container/{cluster_name}/{id}/{}", world.ids.uuid()));
    }
    let subnets =
        start.network.awsvpc_configuration.as_ref().map(|vpc| vpc.subnets.as_slice()).unwrap_or_default();
    // Distribute tasks over the subnets.
    let nth = usize::try_from(world.ids.next() % 16).unwrap_or(0) % subnets.len().max(1);
    let subnet = subnets.get(nth).cloned().unwrap_or_default();
    let zone = ec2::subnet_zone(world, here, &subnet).unwrap_or_default().to_owned();
    let chosen = |member: &str| {
        let text = start.overrides.get(member).and_then(Value::as_str).or(start.definition.text(member));
        text.map(str::to_owned)
    };
    let interface = Interface {
        attachment: world.ids.uuid(),
        id: world.ids.ec2("eni"),
        subnet,
        zone,
        mac: mac(world.ids.next()),
        address: None,
    };
    let task = Task {
        arn: task_arn.clone(),
        place: here.clone(),
        cluster: start.cluster,
        definition: start.definition.arn.clone(),
        family: start.definition.family.clone(),
        group: start.group,
        started_by: start.started_by,
        cpu: chosen("cpu"),
        memory: chosen("memory"),
        overrides: with_lists(start.overrides),
        tags: start.tags,
        status: Status::Provisioning,
        containers,
        interface,
        created: world.now,
        pull: (None, None),
        started: None,
        stop: None,
        version: 1,
    };
    world.ecs.tasks.insert(task_arn.clone(), task);
    enter(world, world.now + ATTACHING, Event::Attached(task_arn.clone()));
    Ok(task_arn)
}

/// Adds empty lists to overrides: ECS returns them even if they were not given.
fn with_lists(mut overrides: Map<String, Value>) -> Value {
    for list in ["containerOverrides", "inferenceAcceleratorOverrides"] {
        overrides.entry(list).or_insert_with(|| json!([]));
    }
    Value::Object(overrides)
}

fn mac(draw: u64) -> String {
    let bytes = draw.to_be_bytes();
    let digits: Vec<String> = bytes.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    format!("02:{}", digits.join(":"))
}

#[derive(Deserialize)]
struct Stop {
    cluster: Option<String>,
    task: String,
    reason: Option<String>,
}

/// `StopTask`: returns a task that is stopping or stopped unchanged.
pub(super) fn stop(world: &mut World, call: &Call) -> Answer {
    let input: Stop = call.parse()?;
    let cluster = cluster::find(world, &place(call), input.cluster.as_deref())?;
    let arn = task_arn(cluster, &input.task);
    let cluster = cluster.arn.clone();
    if world.ecs.tasks.get(&arn).is_none_or(|task| task.cluster != cluster) {
        return Err(invalid("The referenced task was not found."));
    }
    let reason = input.reason.unwrap_or_else(|| "Task stopped by user".to_owned());
    life::stop(world, call.now, &arn, "UserInitiated", reason);
    Ok(json!({ "task": world.ecs.tasks.get(&arn).map(|task| task.view(true)) }))
}
