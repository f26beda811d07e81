//! Tags of pipelines and custom action types, by ARN.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::page::page;
use super::{Home, bad_token};

/// The maximum number of tags of a resource.
const MOST: usize = 50;

/// A resource's tags, in key order.
pub(super) type Tags = BTreeMap<String, String>;

#[derive(Deserialize)]
pub(super) struct Tag {
    key: String,
    value: String,
}

/// Converts the tags of a request.
pub(super) fn tags(listed: Vec<Tag>) -> Tags {
    listed.into_iter().map(|tag| (tag.key, tag.value)).collect()
}

/// The tags of the pipeline with this ARN. Tags of action types are not kept.
fn tagged<'w>(world: &'w mut World, call: &Call, arn: &str) -> Result<&'w mut Tags, ApiError> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let [_, _, "codepipeline", region, account, name] = parts.as_slice() else {
        return Err(ApiError::new("InvalidArnException", format!("{arn} is not the ARN of a pipeline")));
    };
    let home =
        Home { account: (*account).to_owned(), region: (*region).to_owned(), name: (*name).to_owned() };
    if *region != call.region || *account != call.account {
        return Err(ApiError::new("InvalidArnException", format!("{arn} is not in this account and Region")));
    }
    world
        .codepipeline
        .pipelines
        .get_mut(&home)
        .map(super::Pipeline::tags)
        .ok_or_else(|| ApiError::new("ResourceNotFoundException", format!("{arn} was not found")))
}

pub(super) fn tag(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        resource_arn: String,
        tags: Vec<Tag>,
    }
    let input: Input = call.parse()?;
    let kept = tagged(world, call, &input.resource_arn)?;
    let mut all = kept.clone();
    all.extend(tags(input.tags));
    if all.len() > MOST {
        return Err(ApiError::new("TooManyTagsException", format!("A resource has at most {MOST} tags")));
    }
    *kept = all;
    Ok(json!({}))
}

pub(super) fn untag(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        resource_arn: String,
        tag_keys: Vec<String>,
    }
    let input: Input = call.parse()?;
    tagged(world, call, &input.resource_arn)?.retain(|key, _| !input.tag_keys.contains(key));
    Ok(json!({}))
}

pub(super) fn list(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        resource_arn: String,
        next_token: Option<String>,
        max_results: Option<usize>,
    }
    let input: Input = call.parse()?;
    let all: Vec<Value> = tagged(world, call, &input.resource_arn)?
        .iter()
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect();
    let (tags, next) =
        page(all, input.next_token.as_deref(), input.max_results.unwrap_or(100)).ok_or_else(bad_token)?;
    let mut answer = json!({ "tags": tags });
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    Ok(answer)
}
