//! Snapshots of EBS volumes.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{Filter, Tags, page, present, refuse, tag_list};
use super::blocks::Blocks;
use super::images::{Disk, NewImage};

/// A snapshot.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub id: String,
    pub account: String,
    pub region: String,
    pub description: String,
    pub tags: Tags,
    /// The volume that it was created from.
    pub disk: Disk,
    /// Its written blocks.
    pub blocks: Blocks,
    pub started: Time,
    /// The time when it is complete.
    pub done: Time,
}

/// Adds a snapshot of one volume of an image that is being registered.
pub(super) fn add(world: &mut World, image: &str, new: &NewImage) -> String {
    let id = world.ids.ec2("snap");
    let snapshot = Snapshot {
        id: id.clone(),
        account: new.account.clone(),
        region: new.region.clone(),
        description: format!("Created for {image}"),
        tags: Tags::new(),
        disk: new.disk,
        blocks: Blocks::named(&id),
        started: world.now,
        done: world.now + new.available_after,
    };
    world.ec2.snapshots.insert(id.clone(), snapshot);
    id
}

/// The registered image, other than `except`, that uses a snapshot.
pub(super) fn used_by<'a>(world: &'a World, id: &str, except: Option<&str>) -> Option<&'a str> {
    world
        .ec2
        .images
        .values()
        .find(|i| i.is_registered() && Some(i.id.as_str()) != except && i.snapshots.iter().any(|s| s == id))
        .map(|i| i.id.as_str())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Delete {
    snapshot_id: String,
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: Delete = call.parse()?;
    let known = world
        .ec2
        .snapshots
        .get(&input.snapshot_id)
        .is_some_and(|s| s.account == call.account && s.region == call.region);
    if !known {
        return Err(not_found(&input.snapshot_id));
    }
    if let Some(image) = used_by(world, &input.snapshot_id, None) {
        return Err(refuse(
            "InvalidSnapshot.InUse",
            format!("The snapshot {} is currently in use by {image}", input.snapshot_id),
        ));
    }
    if let Some(snapshot) = world.ec2.snapshots.remove(&input.snapshot_id) {
        world.ec2.bin.take_snapshot(snapshot, call.now);
    }
    Ok(json!({}))
}

fn not_found(id: &str) -> ApiError {
    refuse("InvalidSnapshot.NotFound", format!("The snapshot '{id}' does not exist."))
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    snapshot_ids: Vec<String>,
    owner_ids: Vec<String>,
    filters: Vec<Filter>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let mine = |s: &Snapshot| {
        s.account == call.account && s.region == call.region && world.ec2.visible(s.started, call.now)
    };
    if let Some(id) = input.snapshot_ids.iter().find(|id| !world.ec2.snapshots.get(*id).is_some_and(mine)) {
        return Err(not_found(id));
    }
    let own = input.owner_ids.is_empty() || input.owner_ids.iter().any(|o| o == "self" || *o == call.account);
    let mut views = Vec::new();
    for snapshot in world.ec2.snapshots.values().filter(|s| own && mine(s)) {
        let named = input.snapshot_ids.is_empty() || input.snapshot_ids.contains(&snapshot.id);
        if named && fits(snapshot, &input.filters, call.now)? {
            views.push(view(snapshot, call.now));
        }
    }
    let size = input.max_results.unwrap_or(1000);
    let (views, next) = page(views, input.next_token.as_deref(), size, "InvalidParameterValue")?;
    Ok(present(json!({ "Snapshots": views, "NextToken": next })))
}

fn state(snapshot: &Snapshot, now: Time) -> &'static str {
    if snapshot.done <= now { "completed" } else { "pending" }
}

fn fits(snapshot: &Snapshot, filters: &[Filter], now: Time) -> Result<bool, ApiError> {
    for filter in filters {
        let fits = match filter.name.as_str() {
            "snapshot-id" => filter.fits(&snapshot.id),
            "status" => filter.fits(state(snapshot, now)),
            "description" => filter.fits(&snapshot.description),
            "owner-id" => filter.fits(&snapshot.account),
            other => match filter.fits_tags(&snapshot.tags) {
                Some(fits) => fits,
                None => {
                    return Err(refuse("InvalidParameterValue", format!("The filter '{other}' is invalid")));
                }
            },
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

fn view(snapshot: &Snapshot, now: Time) -> Value {
    let done = snapshot.done <= now;
    present(json!({
        "SnapshotId": snapshot.id,
        "OwnerId": snapshot.account,
        "Description": snapshot.description,
        "State": state(snapshot, now),
        "Progress": if done { "100%" } else { "50%" },
        "StartTime": snapshot.started.epoch_seconds(),
        "CompletionTime": done.then(|| snapshot.done.epoch_seconds()),
        "VolumeId": "vol-ffffffff",
        "VolumeSize": snapshot.disk.size,
        "Encrypted": snapshot.disk.encrypted,
        "StorageTier": "standard",
        "Tags": tag_list(&snapshot.tags),
    }))
}
