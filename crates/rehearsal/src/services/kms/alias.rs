//! Aliases of keys, by account and Region.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::page::page;
use super::key::find;
use super::{Alias, bad_marker, not_found};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Input {
    alias_name: String,
    #[serde(default)]
    target_key_id: String,
}

type Name = (String, String, String);

fn name(call: &Call, alias: &str) -> Result<Name, ApiError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "/_-".contains(c);
    let rest = alias.strip_prefix("alias/").filter(|rest| !rest.is_empty() && rest.chars().all(good));
    match rest {
        Some(rest) if !rest.starts_with("aws/") => {
            Ok((call.account.clone(), call.region.clone(), alias.to_owned()))
        }
        _ => Err(ApiError::new("InvalidAliasNameException", format!("Alias name {alias} is not valid"))),
    }
}

fn arn(name: &Name) -> String {
    format!("arn:{}:kms:{}:{}:{}", crate::partition::id(&name.1), name.1, name.0, name.2)
}

/// The id of an alias's target key. The target cannot be an alias.
fn target(world: &World, call: &Call, text: &str) -> Result<String, ApiError> {
    if text.contains("alias/") {
        return Err(super::validation("Aliases must refer to keys. Not aliases"));
    }
    Ok(find(world, call, text)?.id.clone())
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let name = name(call, &input.alias_name)?;
    let target = target(world, call, &input.target_key_id)?;
    if world.kms.aliases.contains_key(&name) {
        let message = format!("An alias with the name {} already exists", arn(&name));
        return Err(ApiError::new("AlreadyExistsException", message));
    }
    world.kms.aliases.insert(name, Alias { target, created: call.now, updated: call.now });
    Ok(json!({}))
}

pub(super) fn update(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let name = name(call, &input.alias_name)?;
    let target = target(world, call, &input.target_key_id)?;
    let missing = not_found(&format!("Alias {}", arn(&name)));
    let alias = world.kms.aliases.get_mut(&name).ok_or(missing)?;
    alias.target = target;
    alias.updated = call.now;
    Ok(json!({}))
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let name = name(call, &input.alias_name)?;
    let missing = not_found(&format!("Alias {}", arn(&name)));
    world.kms.aliases.remove(&name).ok_or(missing)?;
    Ok(json!({}))
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Input {
        key_id: Option<String>,
        limit: Option<usize>,
        marker: Option<String>,
    }
    let input: Input = call.parse()?;
    let only = match &input.key_id {
        None => None,
        Some(text) => Some(target(world, call, text)?),
    };
    let all: Vec<Value> = world
        .kms
        .aliases
        .iter()
        .filter(|(name, _)| name.0 == call.account && name.1 == call.region)
        .filter(|(_, alias)| only.as_ref().is_none_or(|id| *id == alias.target))
        .map(|(name, alias)| {
            json!({
                "AliasName": name.2,
                "AliasArn": arn(name),
                "TargetKeyId": alias.target,
                "CreationDate": alias.created.epoch_seconds(),
                "LastUpdatedDate": alias.updated.epoch_seconds(),
            })
        })
        .collect();
    let (aliases, next) =
        page(all, input.marker.as_deref(), input.limit.unwrap_or(50)).ok_or_else(bad_marker)?;
    let mut answer = json!({ "Aliases": aliases, "Truncated": next.is_some() });
    if let Some(next) = next {
        answer["NextMarker"] = next.into();
    }
    Ok(answer)
}
