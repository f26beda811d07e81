//! Restores single container images from ECR's archive.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_ecr::types::TargetStorageClass;

use super::calls::{self, CallResult};
use super::image::{Image, ImageKey, Status};
use super::inventory;
use crate::aws::Aws;
use crate::engine::error::{ErrorClass, ModuleError};
use crate::engine::{Clock, StageError};

/// Pause between two reads of an image that is being restored, and the maximum number of reads: ECR takes up to twenty
/// minutes.
const PAUSE: Duration = Duration::from_secs(30);
const MAX_READS: usize = 120;

/// Progress of restoring an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreStatus {
    Requested,
    InProgress,
    Restored,
}

/// Why an image cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UndoError {
    #[error("there is no image {key} in {region}")]
    NotFound { key: ImageKey, region: String },
    #[error("ECR did not restore {key} from the archive within an hour")]
    Unfinished { key: ImageKey },
}

impl ModuleError for UndoError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Rejected
    }
}

/// Restores an image, and with an index the images it lists. Reports each image when its restore is requested and when
/// it is restored.
///
/// # Errors
/// As the calls; there is no such image; or ECR does not restore it.
pub async fn restore(
    aws: &Aws,
    clock: &Clock,
    key: &ImageKey,
    mut report: impl FnMut(&ImageKey, RestoreStatus),
) -> Result<(), StageError> {
    let mut queue = vec![key.clone()];
    let mut seen = BTreeSet::new();
    while let Some(key) = queue.pop() {
        if !seen.insert(key.clone()) {
            continue;
        }
        let image = restore_one(aws, clock, &key, &mut report).await?;
        // The images that an index lists can be read once the index is restored.
        queue.extend(image.children().iter().map(|child| key.sibling(child)));
    }
    Ok(())
}

async fn restore_one(
    aws: &Aws,
    clock: &Clock,
    key: &ImageKey,
    report: &mut impl FnMut(&ImageKey, RestoreStatus),
) -> Result<Image, StageError> {
    let mut last_error = None;
    let mut reported = false;
    for _ in 0..MAX_READS {
        let step = async {
            let image = inventory::image(aws, key).await?;
            Ok::<_, StageError>((restore_step(aws, image.as_ref(), key).await?, image))
        };
        match step.await {
            Ok((RestoreStatus::Restored, Some(image))) => {
                if reported {
                    report(key, RestoreStatus::Restored);
                }
                return Ok(image);
            }
            Ok((status, _)) => {
                if !reported {
                    report(key, status);
                }
                reported = true;
            }
            Err(error) if error.is_transient() => last_error = Some(error),
            Err(error) => return Err(error),
        }
        clock.sleep(PAUSE).await;
    }
    Err(last_error.unwrap_or_else(|| UndoError::Unfinished { key: key.clone() }.into()))
}

/// Requests the restore of an archived image, or reads how far ECR is.
async fn restore_step(aws: &Aws, image: Option<&Image>, key: &ImageKey) -> Result<RestoreStatus, StageError> {
    let not_found = || UndoError::NotFound { key: key.clone(), region: aws.region().to_owned() };
    match image.ok_or_else(not_found)?.status {
        Status::Archived => match calls::set_storage_class(aws, key, TargetStorageClass::Standard).await? {
            CallResult::NotFound => Err(not_found().into()),
            CallResult::Done | CallResult::Deleted { .. } => Ok(RestoreStatus::Requested),
        },
        Status::Activating => Ok(RestoreStatus::InProgress),
        Status::Active | Status::Unknown => Ok(RestoreStatus::Restored),
    }
}
