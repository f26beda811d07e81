//! Restores single machine images: from quarantine, and from the Recycle Bin if a retention rule keeps them there.

use std::time::Duration;

use aws_sdk_ec2::types::{ImageRecycleBinInfo, SnapshotRecycleBinInfo};

use super::advance::restore_step;
use super::quarantine::UndoStep;
use super::{calls, inventory};
use crate::aws::{Aws, AwsError};
use crate::engine::error::{ErrorClass, ModuleError};
use crate::engine::{Clock, StageError};

/// Maximum number of steps and stale reads of one image, including its snapshots in the Recycle Bin.
const MAX_STEPS: usize = 96;

/// Pause after each step, so that EC2's next answer shows it.
const PAUSE: Duration = Duration::from_secs(5);

/// A step that restored a part of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UndoResult {
    /// A snapshot was restored from the Recycle Bin.
    SnapshotRestored(String),
    /// The image was restored from the Recycle Bin.
    ImageRestored,
    Step(UndoStep),
}

/// Why an image cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UndoError {
    #[error(
        "there is no image {image} in {region}, neither among the account's images nor in the Recycle Bin"
    )]
    NotFound { image: String, region: String },
    #[error("{image} is not restored after {MAX_STEPS} steps: something else changes it at the same time")]
    Unfinished { image: String },
}

impl ModuleError for UndoError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Rejected
    }
}

/// Restores an image and reports each step. After a call without a reply, the image is read again before the next call.
///
/// # Errors
/// As [`undo`]; or the image is not restored in the end.
pub async fn restore(
    aws: &Aws,
    clock: &Clock,
    id: &str,
    mut report: impl FnMut(&UndoResult),
) -> Result<(), StageError> {
    let mut last_error = None;
    for _ in 0..MAX_STEPS {
        match undo(aws, clock, id).await {
            Ok(None) => return Ok(()),
            Ok(Some(result)) => report(&result),
            Err(error) if error.is_transient() => last_error = Some(error),
            Err(error) => return Err(error),
        }
        clock.sleep(PAUSE).await;
    }
    Err(last_error.unwrap_or_else(|| UndoError::Unfinished { image: id.to_owned() }.into()))
}

/// Makes the next call that restores an image; `None` if the image is as it was before its quarantine.
///
/// # Errors
/// As the calls; or the image is neither in the account nor in the Recycle Bin.
pub async fn undo(aws: &Aws, clock: &Clock, id: &str) -> Result<Option<UndoResult>, StageError> {
    let Some(mut image) = inventory::image(aws, id).await? else {
        return from_recycle_bin(aws, id).await.map(Some);
    };
    if image.state != "disabled" {
        image.shared_with = calls::launch_permissions(aws, id).await?;
    }
    Ok(restore_step(aws, &image, clock.now()).await?.map(UndoResult::Step))
}

/// Restores one snapshot of the image, or the image once all its snapshots are restored: EC2 requires this order.
async fn from_recycle_bin(aws: &Aws, id: &str) -> Result<UndoResult, StageError> {
    if image_in_recycle_bin(aws, id).await?.is_none() {
        return Err(UndoError::NotFound { image: id.to_owned(), region: aws.region().to_owned() }.into());
    }
    let mut pages = aws.ec2.list_snapshots_in_recycle_bin().into_paginator().items().send();
    while let Some(snapshot) = pages.next().await {
        let snapshot: SnapshotRecycleBinInfo =
            snapshot.map_err(|e| AwsError::new("ec2:ListSnapshotsInRecycleBin", id, e))?;
        // CreateImage and CopyImage write the image's id into the description of its snapshots.
        let of_image = snapshot.description().is_some_and(|text| text.contains(id));
        if let (true, Some(snapshot)) = (of_image, snapshot.snapshot_id()) {
            aws.once
                .ec2
                .restore_snapshot_from_recycle_bin()
                .snapshot_id(snapshot)
                .send()
                .await
                .map_err(|e| AwsError::new("ec2:RestoreSnapshotFromRecycleBin", snapshot, e))?;
            return Ok(UndoResult::SnapshotRestored(snapshot.to_owned()));
        }
    }
    aws.once
        .ec2
        .restore_image_from_recycle_bin()
        .image_id(id)
        .send()
        .await
        .map_err(|e| AwsError::new("ec2:RestoreImageFromRecycleBin", id, e))?;
    Ok(UndoResult::ImageRestored)
}

async fn image_in_recycle_bin(aws: &Aws, id: &str) -> Result<Option<ImageRecycleBinInfo>, StageError> {
    let mut pages = aws.ec2.list_images_in_recycle_bin().image_ids(id).into_paginator().items().send();
    while let Some(image) = pages.next().await {
        let image = image.map_err(|e| AwsError::new("ec2:ListImagesInRecycleBin", id, e))?;
        if image.image_id() == Some(id) {
            return Ok(Some(image));
        }
    }
    Ok(None)
}
