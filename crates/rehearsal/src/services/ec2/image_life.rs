//! The life cycle of an image: share, deprecate, disable, protect, deregister.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{moment, refuse};
use super::images::{ImageState, Protection, owned};
use super::snapshots;

/// How long protection with a cooldown stays in force after it is disabled.
const COOLDOWN: Duration = Duration::from_hours(24);
const TEN_YEARS: Duration = Duration::from_hours(24 * 3653);
const TWO_YEARS: Duration = Duration::from_hours(24 * 731);

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OfImage {
    image_id: String,
    #[serde(default)]
    delete_associated_snapshots: bool,
    #[serde(default)]
    deprecate_at: Option<f64>,
    #[serde(default)]
    with_cooldown: bool,
}

/// `DeregisterImage`. Snapshots that another registered image uses are `skipped`.
pub(super) fn deregister(world: &mut World, call: &Call) -> Answer {
    let input: OfImage = call.parse()?;
    let now = call.now;
    let image = owned(world, call, &input.image_id)?;
    let blocked = match image.protection {
        Protection::Off => false,
        Protection::On { .. } => true,
        Protection::CoolingDown { until } => until > now,
    };
    if blocked {
        return Err(refuse(
            "OperationNotPermitted",
            format!("The image '{}' is protected from deregistration.", input.image_id),
        ));
    }
    let before = image.clone();
    image.state = ImageState::Deregistered;
    image.ended = Some(now);
    let stood_on = image.snapshots.clone();
    world.ec2.bin.take_image(before, now);
    let mut results: Vec<Value> = Vec::new();
    if input.delete_associated_snapshots {
        for id in stood_on {
            let code = if snapshots::used_by(world, &id, None).is_some() {
                "skipped"
            } else if let Some(snapshot) = world.ec2.snapshots.remove(&id) {
                world.ec2.bin.take_snapshot(snapshot, now);
                "success"
            } else {
                "client-error"
            };
            results.push(json!({ "SnapshotId": id, "ReturnCode": code }));
        }
    }
    Ok(json!({ "Return": true, "DeleteSnapshotResults": results }))
}

/// `DisableImage`: the image becomes private, and enabling it again does not restore its permissions.
pub(super) fn disable(world: &mut World, call: &Call) -> Answer {
    let input: OfImage = call.parse()?;
    let image = owned(world, call, &input.image_id)?;
    if image.state == ImageState::Pending {
        return Err(invalid_state(&input.image_id, image.state));
    }
    image.state = ImageState::Disabled;
    image.shared_with.clear();
    image.public = false;
    Ok(json!({ "Return": true }))
}

pub(super) fn enable(world: &mut World, call: &Call) -> Answer {
    let input: OfImage = call.parse()?;
    let image = owned(world, call, &input.image_id)?;
    if image.state == ImageState::Pending {
        return Err(invalid_state(&input.image_id, image.state));
    }
    image.state = ImageState::Available;
    Ok(json!({ "Return": true }))
}

fn invalid_state(id: &str, state: ImageState) -> ApiError {
    refuse("IncorrectState", format!("The image '{id}' is in the state {}.", state.name()))
}

/// `EnableImageDeprecation`: not in the past, at most ten years ahead (two for a public image), to the minute.
pub(super) fn deprecate(world: &mut World, call: &Call) -> Answer {
    let input: OfImage = call.parse()?;
    let asked = input
        .deprecate_at
        .map(moment)
        .ok_or_else(|| refuse("MissingParameter", "The request must contain the parameter DeprecateAt"))?;
    let image = owned(world, call, &input.image_id)?;
    let at = Time((asked.0.saturating_add(30_000)).div_euclid(60_000) * 60_000);
    let latest = if image.public { image.created + TWO_YEARS } else { call.now + TEN_YEARS };
    if asked < call.now || at > latest {
        return Err(refuse("InvalidParameterValue", "DeprecateAt is in the past or too far in the future."));
    }
    image.deprecated_at = Some(at);
    Ok(json!({ "Return": true }))
}

pub(super) fn undeprecate(world: &mut World, call: &Call) -> Answer {
    let input: OfImage = call.parse()?;
    owned(world, call, &input.image_id)?.deprecated_at = None;
    Ok(json!({ "Return": true }))
}

pub(super) fn protect(world: &mut World, call: &Call) -> Answer {
    let input: OfImage = call.parse()?;
    let image = owned(world, call, &input.image_id)?;
    image.protection = Protection::On { with_cooldown: input.with_cooldown };
    Ok(json!({ "Return": protection(image.protection, call.now) }))
}

pub(super) fn unprotect(world: &mut World, call: &Call) -> Answer {
    let input: OfImage = call.parse()?;
    let image = owned(world, call, &input.image_id)?;
    image.protection = match image.protection {
        Protection::On { with_cooldown: true } => Protection::CoolingDown { until: call.now + COOLDOWN },
        Protection::On { with_cooldown: false } => Protection::Off,
        same => same,
    };
    Ok(json!({ "Return": protection(image.protection, call.now) }))
}

/// The protection as the API returns it.
pub(super) fn protection(protection: Protection, now: Time) -> &'static str {
    match protection {
        Protection::On { with_cooldown: true } => "enabled-with-cooldown",
        Protection::On { with_cooldown: false } => "enabled-without-cooldown",
        Protection::CoolingDown { until } if until > now => "disabled-with-cooldown",
        Protection::Off | Protection::CoolingDown { .. } => "disabled",
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Modify {
    image_id: String,
    #[serde(default)]
    attribute: Option<String>,
    #[serde(default)]
    operation_type: Option<String>,
    #[serde(default)]
    user_ids: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    launch_permission: LaunchPermissions,
    #[serde(default)]
    description: Option<Text>,
    #[serde(default)]
    imds_support: Option<Text>,
    #[serde(default)]
    value: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct LaunchPermissions {
    add: Vec<LaunchPermission>,
    remove: Vec<LaunchPermission>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct LaunchPermission {
    user_id: Option<String>,
    group: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Text {
    value: Option<String>,
}

/// `ModifyImageAttribute`: launch permissions, the description, IMDS support.
pub(super) fn modify_attribute(world: &mut World, call: &Call) -> Answer {
    let mut input: Modify = call.parse()?;
    let image = owned(world, call, &input.image_id)?;
    // The older form of the request: an attribute name, an operation, and lists.
    let by_lists =
        input.user_ids.iter().map(|id| LaunchPermission { user_id: Some(id.clone()), group: None }).chain(
            input.user_groups.iter().map(|g| LaunchPermission { user_id: None, group: Some(g.clone()) }),
        );
    match input.operation_type.as_deref() {
        Some("remove") => input.launch_permission.remove.extend(by_lists),
        Some("add") => input.launch_permission.add.extend(by_lists),
        _ => {}
    }
    let permissions = &input.launch_permission;
    if image.state == ImageState::Disabled && !permissions.add.is_empty() {
        return Err(invalid_state(&input.image_id, image.state));
    }
    for wanted in permissions.add.iter().chain(&permissions.remove) {
        let well_formed = match (&wanted.user_id, &wanted.group) {
            (Some(id), None) => id.len() == 12 && id.bytes().all(|b| b.is_ascii_digit()),
            (None, Some(group)) => group == "all",
            // Organizations and organizational units are accepted and have no effect.
            _ => true,
        };
        if !well_formed {
            let id = wanted.user_id.as_deref().unwrap_or_default();
            return Err(refuse(
                "InvalidAMIAttributeItemValue",
                format!("Invalid attribute item value \"{id}\" for userId item type."),
            ));
        }
    }
    for permission in &permissions.add {
        image.public |= permission.group.is_some();
        image.shared_with.extend(permission.user_id.clone());
    }
    for permission in &permissions.remove {
        image.public &= permission.group.is_none();
        if let Some(id) = &permission.user_id {
            image.shared_with.remove(id);
        }
    }
    if let Some(text) = input.description {
        image.description = text.value;
    } else if input.attribute.as_deref() == Some("description") {
        image.description = input.value;
    }
    if input.imds_support.is_some() {
        image.imds_v2 = true;
    }
    Ok(json!({}))
}
