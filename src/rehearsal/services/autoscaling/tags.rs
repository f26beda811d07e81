//! Tags of groups, and which of them new instances inherit.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::world::World;
use super::config::invalid;
use super::groups::owned;

/// One tag of a group.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupTag {
    pub key: String,
    #[serde(default)]
    pub value: Option<String>,
    #[serde(default)]
    pub propagate_at_launch: Option<bool>,
    #[serde(default)]
    pub resource_id: Option<String>,
}

impl GroupTag {
    pub fn view(&self, group: &str) -> Value {
        json!({
            "ResourceId": group,
            "ResourceType": "auto-scaling-group",
            "Key": self.key,
            "Value": self.value.clone().unwrap_or_default(),
            "PropagateAtLaunch": self.propagate_at_launch.unwrap_or(false),
        })
    }
}

/// Enters tags into a group's; a later one replaces an earlier one of the same key.
pub(super) fn put(into: &mut Vec<GroupTag>, tags: Vec<GroupTag>) {
    for tag in tags {
        into.retain(|t| t.key != tag.key);
        into.push(tag);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Create {
    tags: Vec<GroupTag>,
}

pub(super) fn create_or_update(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    for tag in &input.tags {
        let name = tag.resource_id.as_deref().ok_or_else(|| invalid("A tag must name its ResourceId."))?;
        owned(world, call, name)?;
    }
    for tag in input.tags {
        let name = tag.resource_id.clone().unwrap_or_default();
        put(&mut owned(world, call, &name)?.tags, vec![tag]);
    }
    Ok(json!({}))
}
