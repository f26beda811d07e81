//! Tags of parameters. Other resource types have no tags here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::parameter::{find, key};

/// A tag of a request.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Tag {
    pub key: String,
    pub value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    resource_type: String,
    resource_id: String,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

fn tags_of<'w>(
    world: &'w mut World,
    call: &Call,
    input: &Input,
) -> Result<&'w mut BTreeMap<String, String>, ApiError> {
    if input.resource_type != "Parameter" {
        let message = format!("the embedded AWS does not support the resource type {}", input.resource_type);
        return Err(ApiError::new("InvalidResourceType", message));
    }
    let invalid = || ApiError::new("InvalidResourceId", format!("{} does not exist", input.resource_id));
    let key = key(call, &input.resource_id);
    find(world, &key).map_err(|_| invalid())?;
    world.ssm.parameters.get_mut(&key).map(|parameter| &mut parameter.tags).ok_or_else(invalid)
}

pub(super) fn add(world: &mut World, call: &Call) -> Answer {
    let mut input: Input = call.parse()?;
    let given = std::mem::take(&mut input.tags);
    let tags = tags_of(world, call, &input)?;
    tags.extend(given.into_iter().map(|tag| (tag.key, tag.value)));
    Ok(json!({}))
}

pub(super) fn remove(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    tags_of(world, call, &input)?.retain(|key, _| !input.tag_keys.contains(key));
    Ok(json!({}))
}

pub(super) fn list(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let tags = tags_of(world, call, &input)?;
    let list: Vec<Value> = tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect();
    Ok(json!({ "TagList": list }))
}
