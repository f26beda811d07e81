//! The Recycle Bin: images and snapshots that a retention rule keeps after their deletion.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{page, present, refuse};
use super::images::Image;
use super::snapshots::Snapshot;

/// The content of the Recycle Bin and its retention rule.
#[derive(Clone, Debug, Default)]
pub struct Bin {
    /// The retention period in every account and Region; `None` if there is no rule.
    pub keeps: Option<Duration>,
    images: BTreeMap<String, (Image, Time)>,
    snapshots: BTreeMap<String, (Snapshot, Time)>,
}

impl Bin {
    /// Keeps a deregistered image, if there is a rule.
    pub(super) fn take_image(&mut self, image: Image, now: Time) {
        if self.keeps.is_some() {
            self.images.insert(image.id.clone(), (image, now));
        }
    }

    /// Keeps a deleted snapshot, if there is a rule.
    pub(super) fn take_snapshot(&mut self, snapshot: Snapshot, now: Time) {
        if self.keeps.is_some() {
            self.snapshots.insert(snapshot.id.clone(), (snapshot, now));
        }
    }

    fn leaves(&self, entered: Time) -> Time {
        entered + self.keeps.unwrap_or_default()
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct List {
    image_ids: Vec<String>,
    snapshot_ids: Vec<String>,
    next_token: Option<String>,
    max_results: Option<usize>,
}

/// `ListImagesInRecycleBin`. Ids that are not in the bin are omitted.
pub(super) fn images(world: &World, call: &Call) -> Answer {
    let input: List = call.parse()?;
    let bin = &world.ec2.bin;
    let found: Vec<Value> = bin
        .images
        .values()
        .filter(|(image, entered)| {
            image.account == call.account && image.region == call.region && bin.leaves(*entered) > call.now
        })
        .filter(|(image, _)| input.image_ids.is_empty() || input.image_ids.contains(&image.id))
        .map(|(image, entered)| {
            json!({
                "ImageId": image.id,
                "Name": image.name,
                "Description": image.description,
                "RecycleBinEnterTime": entered.epoch_seconds(),
                "RecycleBinExitTime": bin.leaves(*entered).epoch_seconds(),
            })
        })
        .collect();
    let (found, next) = paged(found, &input)?;
    Ok(present(json!({ "Images": found, "NextToken": next })))
}

/// `ListSnapshotsInRecycleBin`.
pub(super) fn snapshots(world: &World, call: &Call) -> Answer {
    let input: List = call.parse()?;
    let bin = &world.ec2.bin;
    let found: Vec<Value> = bin
        .snapshots
        .values()
        .filter(|(one, entered)| {
            one.account == call.account && one.region == call.region && bin.leaves(*entered) > call.now
        })
        .filter(|(one, _)| input.snapshot_ids.is_empty() || input.snapshot_ids.contains(&one.id))
        .map(|(one, entered)| {
            json!({
                "SnapshotId": one.id,
                "Description": one.description,
                "VolumeId": "vol-ffffffff",
                "RecycleBinEnterTime": entered.epoch_seconds(),
                "RecycleBinExitTime": bin.leaves(*entered).epoch_seconds(),
            })
        })
        .collect();
    let (found, next) = paged(found, &input)?;
    Ok(present(json!({ "Snapshots": found, "NextToken": next })))
}

fn paged(found: Vec<Value>, input: &List) -> Result<(Vec<Value>, Option<String>), ApiError> {
    page(found, input.next_token.as_deref(), input.max_results.unwrap_or(1000), "InvalidParameterValue")
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Restore {
    #[serde(default)]
    image_id: String,
    #[serde(default)]
    snapshot_id: String,
}

/// `RestoreImageFromRecycleBin`: restores the image unchanged. Its snapshots must be restored first.
pub(super) fn restore_image(world: &mut World, call: &Call) -> Answer {
    let Restore { image_id: id, .. } = call.parse()?;
    let bin = &world.ec2.bin;
    let found = bin.images.get(&id).filter(|(image, entered)| {
        image.account == call.account && image.region == call.region && bin.leaves(*entered) > call.now
    });
    let Some((image, _)) = found else {
        return Err(refuse("InvalidAMIID.NotFound", format!("The image id '[{id}]' does not exist")));
    };
    if let Some(missing) = image.snapshots.iter().find(|one| !world.ec2.snapshots.contains_key(*one)) {
        return Err(refuse("InvalidSnapshot.NotFound", format!("The snapshot '{missing}' does not exist.")));
    }
    let image = image.clone();
    world.ec2.bin.images.remove(&id);
    world.ec2.images.insert(id, image);
    Ok(json!({ "Return": true }))
}

/// `RestoreSnapshotFromRecycleBin`.
pub(super) fn restore_snapshot(world: &mut World, call: &Call) -> Answer {
    let Restore { snapshot_id: id, .. } = call.parse()?;
    let bin = &world.ec2.bin;
    let found = bin.snapshots.get(&id).filter(|(one, entered)| {
        one.account == call.account && one.region == call.region && bin.leaves(*entered) > call.now
    });
    let Some((snapshot, _)) = found.cloned() else {
        return Err(refuse("InvalidSnapshot.NotFound", format!("The snapshot '{id}' does not exist.")));
    };
    world.ec2.bin.snapshots.remove(&id);
    let answer =
        json!({ "SnapshotId": id, "OwnerId": snapshot.account, "Description": snapshot.description });
    world.ec2.snapshots.insert(id, snapshot);
    Ok(answer)
}
