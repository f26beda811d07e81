//! Tags: `{key, value}` lists on clusters, task definitions, tasks and services.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::Tags;
use super::{State, invalid, place, task_definition};

/// The maximum number of tags of a resource.
const MOST: usize = 50;

/// A tag in a request.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Tag {
    key: String,
    #[serde(default)]
    value: String,
}

/// Validates the tags of a request and converts them to a map.
///
/// # Errors
/// There are too many tags, or two with the same key.
pub(super) fn read(tags: &[Tag]) -> Result<Tags, ApiError> {
    if tags.len() > MOST {
        return Err(invalid("The number of tags exceeds the maximum allowed (50)."));
    }
    let map: Tags = tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect();
    if map.len() != tags.len() {
        return Err(invalid("Duplicate tag keys found. Please note that Tag keys are case insensitive."));
    }
    Ok(map)
}

/// Tags as ECS returns them.
pub(super) fn view(tags: &Tags) -> Value {
    tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect()
}

/// Whether `include` requests tags.
pub(super) fn wanted(include: &[String]) -> bool {
    include.iter().any(|field| field == "TAGS")
}

fn of<'w>(world: &'w mut World, call: &Call, arn: &str) -> Result<&'w mut Tags, ApiError> {
    let here = place(call);
    let ecs: &mut State = &mut world.ecs;
    let found = if let Some(task) = ecs.tasks.get_mut(arn) {
        Some(&mut task.tags)
    } else if let Some(service) = ecs.services.get_mut(arn) {
        Some(&mut service.tags)
    } else if arn.contains(":cluster/") {
        ecs.clusters.values_mut().find(|cluster| cluster.arn == arn).map(|cluster| &mut cluster.tags)
    } else {
        task_definition::find_mut(&mut ecs.definitions, &here, arn).map(|definition| &mut definition.tags)
    };
    found.ok_or_else(|| invalid("The specified resource wasn't found."))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    resource_arn: String,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

pub(super) fn tag(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let new = read(&input.tags)?;
    of(world, call, &input.resource_arn)?.extend(new);
    Ok(json!({}))
}

pub(super) fn untag(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    of(world, call, &input.resource_arn)?.retain(|key, _| !input.tag_keys.contains(key));
    Ok(json!({}))
}

pub(super) fn list(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    Ok(json!({ "tags": view(of(world, call, &input.resource_arn)?) }))
}
