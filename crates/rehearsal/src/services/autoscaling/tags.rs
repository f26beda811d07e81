//! Tags of groups, and which of them new instances inherit.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::world::World;
use super::super::support::{Filter, page, present};
use super::config::invalid;
use super::groups::owned;
use super::place;

/// A tag of a group.
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
    /// Whether this tag matches a filter of `DescribeTags`.
    fn fits(&self, filter: &Filter, group: &str) -> bool {
        let value = match filter.name.as_str() {
            "auto-scaling-group" => group,
            "key" => &self.key,
            "value" => self.value.as_deref().unwrap_or_default(),
            _ if self.propagate_at_launch.unwrap_or(false) => "true",
            _ => "false",
        };
        filter.values.iter().any(|wanted| wanted == value)
    }

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

/// Adds tags to a group's; a tag replaces an existing one with the same key.
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

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Describe {
    #[serde(default)]
    filters: Vec<Filter>,
    next_token: Option<String>,
    max_records: Option<usize>,
}

/// `DescribeTags`: the tags of all groups, sorted by group and key.
pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    if let Some(unknown) = input.filters.iter().find(|f| !FILTERS.contains(&f.name.as_str())) {
        return Err(invalid(format!("Filter type {} is not correct.", unknown.name)));
    }
    let here = place(call);
    let mut found: Vec<(&str, &GroupTag)> = world
        .autoscaling
        .groups
        .values()
        .filter(|group| group.place == here)
        .flat_map(|group| group.tags.iter().map(move |tag| (group.name.as_str(), tag)))
        .filter(|(group, tag)| input.filters.iter().all(|filter| tag.fits(filter, group)))
        .collect();
    found.sort_by(|(a, one), (b, other)| (a, &one.key).cmp(&(b, &other.key)));
    let views: Vec<Value> = found.into_iter().map(|(group, tag)| tag.view(group)).collect();
    let size = input.max_records.unwrap_or(50).min(100);
    let (tags, next) = page(views, input.next_token.as_deref(), size, "InvalidNextToken")?;
    Ok(present(json!({ "Tags": tags, "NextToken": next })))
}

/// The filters of `DescribeTags`.
const FILTERS: [&str; 4] = ["auto-scaling-group", "key", "value", "propagate-at-launch"];
