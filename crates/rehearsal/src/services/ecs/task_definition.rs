//! Task definitions: register, deregister, delete.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{Place, Tags};
use super::container::Declared;
use super::tags::{self, Tag};
use super::{Event, arn, client, enter, invalid, place};

/// How often ECS checks whether a definition marked for deletion is still in use.
const DELETION_LOOK: Duration = Duration::from_mins(1);
/// The maximum number of definitions in one `DeleteTaskDefinitions`.
const MOST_DELETED: usize = 10;

type Families = BTreeMap<(Place, String), Vec<TaskDefinition>>;

/// A task definition: one revision of a family.
#[derive(Clone, Debug)]
pub struct TaskDefinition {
    pub arn: String,
    pub family: String,
    pub revision: u32,
    pub(super) status: Status,
    /// The request's members, without family and tags.
    pub(super) content: Map<String, Value>,
    pub(super) containers: Vec<Declared>,
    pub(super) fargate: bool,
    pub(super) tags: Tags,
    registered: Time,
    deregistered: Option<Time>,
    delete_requested: Option<Time>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Active,
    Inactive,
    DeleteInProgress,
}

impl Status {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::DeleteInProgress => "DELETE_IN_PROGRESS",
        }
    }
}

impl TaskDefinition {
    /// The images of its containers.
    pub fn images(&self) -> impl Iterator<Item = &str> {
        self.containers.iter().map(|container| container.image.as_str())
    }

    pub(super) fn text(&self, member: &str) -> Option<&str> {
        self.content.get(member).and_then(Value::as_str)
    }

    pub(super) fn view(&self) -> Value {
        let mut view = self.content.clone();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                view.insert(name.to_owned(), value);
            }
        };
        let compatibilities = if self.fargate { json!(["EC2", "FARGATE"]) } else { json!(["EC2"]) };
        put("taskDefinitionArn", self.arn.as_str().into());
        put("family", self.family.as_str().into());
        put("revision", self.revision.into());
        put("status", self.status.name().into());
        put("compatibilities", compatibilities);
        put("registeredAt", self.registered.epoch_seconds().into());
        put("deregisteredAt", self.deregistered.map(Time::epoch_seconds).into());
        put("deleteRequestedAt", self.delete_requested.map(Time::epoch_seconds).into());
        Value::Object(view)
    }
}

/// Parses `family`, `family:revision` or an ARN into family and revision.
fn parts(reference: &str) -> (&str, Option<u32>) {
    let name = reference.rsplit_once(":task-definition/").map_or(reference, |(_, name)| name);
    match name.rsplit_once(':') {
        Some((family, revision)) => (family, revision.parse().ok()),
        None => (name, None),
    }
}

/// The revision that a request names, in any status.
pub(super) fn find_mut<'w>(
    families: &'w mut Families,
    here: &Place,
    reference: &str,
) -> Option<&'w mut TaskDefinition> {
    let (family, revision) = parts(reference);
    let revisions = families.get_mut(&(here.clone(), family.to_owned()))?;
    revisions.iter_mut().find(|definition| Some(definition.revision) == revision)
}

/// Resolves a reference to a revision; without a number, the family's latest active one.
pub(super) fn find<'w>(families: &'w Families, here: &Place, reference: &str) -> Option<&'w TaskDefinition> {
    let (family, revision) = parts(reference);
    let revisions = families.get(&(here.clone(), family.to_owned()))?;
    match revision {
        Some(revision) => revisions.iter().find(|definition| definition.revision == revision),
        None => revisions.iter().rev().find(|definition| definition.status == Status::Active),
    }
}

/// The active definition for a new task or service.
///
/// # Errors
/// The definition does not exist or is not active.
pub(super) fn runnable(world: &World, here: &Place, reference: &str) -> Result<TaskDefinition, ApiError> {
    let definition =
        find(&world.ecs.definitions, here, reference).ok_or_else(|| client("TaskDefinition not found."))?;
    if definition.status != Status::Active {
        return Err(client("TaskDefinition is inactive"));
    }
    Ok(definition.clone())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Register {
    family: String,
    network_mode: Option<String>,
    #[serde(default)]
    requires_compatibilities: Vec<String>,
    cpu: Option<String>,
    memory: Option<String>,
    execution_role_arn: Option<String>,
    container_definitions: Vec<Declared>,
    #[serde(default)]
    tags: Vec<Tag>,
}

/// Fargate's task sizes: CPU units, and minimum, maximum and step of memory in MiB.
const FARGATE: [(u64, u64, u64, u64); 7] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16_384, 1024),
    (4096, 8192, 30_720, 1024),
    (8192, 16_384, 61_440, 4096),
    (16_384, 32_768, 122_880, 8192),
];

/// Parses `256`, `.25 vCPU` or `2 GB` into CPU units or MiB.
fn units(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let scaled = |suffix: &str| {
        let number: f64 = text.strip_suffix(suffix)?.trim().parse().ok()?;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float cast saturates, and no saturated number is a Fargate size"
        )]
        Some((number * 1024.0) as u64)
    };
    text.parse().ok().or_else(|| scaled("vcpu")).or_else(|| scaled("gb"))
}

fn check_fargate(input: &Register) -> Result<(), ApiError> {
    if input.network_mode.as_deref() != Some("awsvpc") {
        return Err(client("Fargate only supports network mode ‘awsvpc’."));
    }
    let (Some(cpu), Some(memory)) = (&input.cpu, &input.memory) else {
        return Err(client("Fargate requires that 'cpu' and 'memory' be defined at the task level."));
    };
    let offered = units(cpu).zip(units(memory)).is_some_and(|(cpu, memory)| {
        FARGATE.iter().any(|&(units, least, most, step)| {
            // The smallest size has 512, 1024 and 2048 MiB.
            let odd = units == 256 && memory == 1536;
            cpu == units && (least..=most).contains(&memory) && memory.is_multiple_of(step) && !odd
        })
    });
    if !offered {
        return Err(client(format!(
            "No Fargate configuration exists for given values: {cpu} CPU, {memory} memory."
        )));
    }
    let from_ecr = input.container_definitions.iter().any(|container| container.image.contains(".dkr.ecr."));
    if from_ecr && input.execution_role_arn.is_none() {
        return Err(client(
            "Fargate requires task definition to have execution role ARN to support ECR images.",
        ));
    }
    Ok(())
}

fn check(input: &Register) -> Result<(), ApiError> {
    let is_plain = |text: &str| {
        let fits = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        (1..=255).contains(&text.len()) && fits
    };
    if !is_plain(&input.family) {
        return Err(client("Family contains invalid characters."));
    }
    if input.container_definitions.is_empty() {
        return Err(client("Container list cannot be empty."));
    }
    let names: BTreeSet<&str> = input.container_definitions.iter().map(|c| c.name.as_str()).collect();
    if names.len() != input.container_definitions.len() || !names.iter().all(|name| is_plain(name)) {
        return Err(client("Container.name contains invalid characters or is not unique."));
    }
    if input.container_definitions.iter().any(|container| container.image.is_empty()) {
        return Err(client("Container.image should not be null or empty."));
    }
    if !input.container_definitions.iter().any(|container| container.essential) {
        return Err(client("At least one container must be marked as essential."));
    }
    for container in &input.container_definitions {
        container.check(input.network_mode.as_deref())?;
    }
    if input.requires_compatibilities.iter().any(|kind| kind == "FARGATE") {
        check_fargate(input)?;
    }
    Ok(())
}

/// `RegisterTaskDefinition`: every call creates a revision, even if nothing changed.
pub(super) fn register(world: &mut World, call: &Call) -> Answer {
    let input: Register = call.parse()?;
    check(&input)?;
    let tags = tags::read(&input.tags)?;
    let mut content = call.input.clone();
    content.remove("family");
    content.remove("tags");
    for list in ["volumes", "placementConstraints"] {
        content.entry(list).or_insert_with(|| json!([]));
    }
    let here = place(call);
    let key = (here.clone(), input.family.clone());
    // Revision numbers are not reused after a deletion.
    let issued = world.ecs.issued.entry(key.clone()).or_default();
    *issued = issued.saturating_add(1);
    let revision = *issued;
    let revisions = world.ecs.definitions.entry(key).or_default();
    let definition = TaskDefinition {
        arn: arn(&here, &format!("task-definition/{}:{revision}", input.family)),
        family: input.family,
        revision,
        status: Status::Active,
        content,
        containers: input.container_definitions,
        fargate: input.requires_compatibilities.iter().any(|kind| kind == "FARGATE"),
        tags,
        registered: call.now,
        deregistered: None,
        delete_requested: None,
    };
    let answer = json!({ "taskDefinition": definition.view(), "tags": tags::view(&definition.tags) });
    revisions.push(definition);
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Describe {
    task_definition: String,
    #[serde(default)]
    include: Vec<String>,
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let definition = find(&world.ecs.definitions, &place(call), &input.task_definition)
        .ok_or_else(|| client("Unable to describe task definition."))?;
    let mut answer = json!({ "taskDefinition": definition.view() });
    if tags::wanted(&input.include) {
        answer["tags"] = tags::view(&definition.tags);
    }
    Ok(answer)
}

/// `DeregisterTaskDefinition`: existing tasks continue, new ones cannot start. Repeating it has no effect.
pub(super) fn deregister(world: &mut World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    if parts(&input.task_definition).1.is_none() {
        return Err(invalid("The specified task definition is missing a revision."));
    }
    let definition = find_mut(&mut world.ecs.definitions, &place(call), &input.task_definition)
        .ok_or_else(|| client("The specified task definition does not exist."))?;
    if definition.status == Status::Active {
        definition.status = Status::Inactive;
        definition.deregistered = Some(call.now);
    }
    Ok(json!({ "taskDefinition": definition.view() }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delete {
    task_definitions: Vec<String>,
}

/// `DeleteTaskDefinitions`: marks definitions for deletion. They are deleted once no task or service uses them.
pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: Delete = call.parse()?;
    if !(1..=MOST_DELETED).contains(&input.task_definitions.len()) {
        return Err(invalid("taskDefinitions must have between 1 and 10 elements."));
    }
    let here = place(call);
    let (mut deleted, mut failures, mut going) = (Vec::new(), Vec::new(), Vec::new());
    for reference in &input.task_definitions {
        let fail = |reason: &str| json!({ "arn": reference, "reason": reason });
        let Some(definition) = find_mut(&mut world.ecs.definitions, &here, reference) else {
            failures.push(fail("The specified task definition does not exist."));
            continue;
        };
        match definition.status {
            Status::Active => {
                failures.push(fail(
                    "The specified task definition is still in ACTIVE status. Please deregister the target and try again.",
                ));
                continue;
            }
            Status::Inactive => {
                definition.status = Status::DeleteInProgress;
                definition.delete_requested = Some(call.now);
                going.push((definition.family.clone(), definition.revision));
            }
            Status::DeleteInProgress => {}
        }
        deleted.push(definition.view());
    }
    for (family, revision) in going {
        let event = Event::Deleted { place: here.clone(), family, revision };
        enter(world, call.now + DELETION_LOOK, event);
    }
    Ok(json!({ "taskDefinitions": deleted, "failures": failures }))
}

/// Deletes a definition marked for deletion; if a task or service still uses it, ECS checks again later.
pub(super) fn gone(world: &mut World, at: Time, here: &Place, family: &str, revision: u32) {
    let arn = arn(here, &format!("task-definition/{family}:{revision}"));
    let needed = world.ecs.tasks.values().any(|task| task.definition == arn && !task.has_stopped())
        || world.ecs.services.values().any(|service| service.needs(&arn));
    if needed {
        let event = Event::Deleted { place: here.clone(), family: family.to_owned(), revision };
        enter(world, at + DELETION_LOOK, event);
    } else if let Some(revisions) = world.ecs.definitions.get_mut(&(here.clone(), family.to_owned())) {
        revisions.retain(|definition| definition.revision != revision);
    }
}
