//! The calls that change container images, and which of them is due next. Each may be repeated: the result is the same.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::types::{ImageIdentifier, TargetStorageClass};

use super::image::{Image, ImageKey, Manifest, Status};
use super::marks::{self, MarkBatch, Trim};
use super::quarantine::{self, Next, RemovalStep};
use super::relations::Relations;
use super::retention::Disposition;
use super::survey::Survey;
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;

/// ECR's maximum number of images in one `BatchDeleteImage`.
const MAX_DELETED: usize = 100;

/// One call that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Restore from the archive.
    Restore(ImageKey),
    /// Delete images of one repository, indexes first.
    Delete { repository: String, digests: Vec<String> },
    /// Move to the archive.
    Archive(ImageKey),
    /// Record that these images are about to be archived.
    Mark(MarkBatch),
}

/// Result of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallResult {
    Done,
    Deleted {
        /// Digests that no longer exist.
        deleted: Vec<String>,
        /// Digests that ECR did not delete, with its failure code.
        refused: Vec<(String, String)>,
    },
    /// ECR does not know the image.
    NotFound,
}

/// The calls that are due for the images that `may_change`: restores first, deletions last. At most `max_marked` images
/// are marked within an hour, and at most `max_calls` calls for single images are returned: one survey is recent enough
/// for so many.
#[must_use]
pub fn due_calls(
    survey: &Survey,
    max_marked: usize,
    max_calls: usize,
    may_change: impl Fn(&Image) -> bool,
) -> Vec<Call> {
    let due = |step: RemovalStep| {
        let is_due = move |next: Next| next == Next::Step(step);
        survey
            .removable()
            .filter(move |(_, next)| is_due(*next))
            .map(|(image, _)| image)
            .filter(|image| may_change(image))
    };
    let to_restore = survey.images.iter().filter(|image| {
        let restore = matches!(survey.dispositions.get(&image.key), Some(Disposition::Restore(_)));
        restore && image.status == Status::Archived && may_change(image)
    });
    let restores: Vec<Call> =
        to_restore.take(max_calls).map(|image| Call::Restore(image.key.clone())).collect();
    if !restores.is_empty() {
        return restores;
    }
    // The images of an index follow the index into the archive and out of it.
    let relations = Relations::of(&survey.images);
    let is_free = |image: &&Image| relations.indexes_of(&image.key).is_empty();
    let to_archive = due(RemovalStep::Archive).filter(is_free).take(max_calls);
    let archives: Vec<Call> = to_archive.map(|image| Call::Archive(image.key.clone())).collect();
    if !archives.is_empty() {
        return archives;
    }
    let is_fresh = |key: &ImageKey| quarantine::is_fresh(survey.marked.get(key).copied(), survey.at);
    let marked = survey.marked.keys().filter(|key| is_fresh(key)).count();
    let free = max_marked.saturating_sub(marked).min(marks::MAX_DIGESTS);
    if let Some(first) = due(RemovalStep::Mark).find(is_free).filter(|_| free > 0) {
        let repository = first.key.repository.clone();
        let images =
            due(RemovalStep::Mark).filter(|image| image.key.repository == repository).filter(is_free);
        let digests: BTreeSet<String> = images.take(free).map(|image| image.key.digest.clone()).collect();
        return vec![Call::Mark(MarkBatch::new(&repository, digests, survey.at))];
    }
    // Last, so that an image that ECR refuses to delete blocks no other step.
    let Some(first) = due(RemovalStep::Delete).find(is_free) else { return Vec::new() };
    let repository = first.key.repository.clone();
    let images = due(RemovalStep::Delete).filter(|image| image.key.repository == repository).filter(is_free);
    let (indexes, others): (Vec<&Image>, Vec<&Image>) =
        images.partition(|image| image.manifest != Manifest::Single);
    let digests = indexes.into_iter().chain(others).map(|image| image.key.digest.clone());
    vec![Call::Delete { repository, digests: digests.take(MAX_DELETED).collect() }]
}

/// Sends a call.
///
/// # Errors
/// As the call.
pub async fn send(aws: &Aws, call: &Call) -> Result<CallResult, StageError> {
    match call {
        Call::Restore(key) => set_storage_class(aws, key, TargetStorageClass::Standard).await,
        Call::Archive(key) => set_storage_class(aws, key, TargetStorageClass::Archive).await,
        Call::Delete { repository, digests } => delete(aws, repository, digests).await,
        Call::Mark(batch) => write_marks(aws, batch).await.map(|()| CallResult::Done),
    }
}

/// Moves an image to the archive or restores it.
///
/// # Errors
/// As the call.
pub async fn set_storage_class(
    aws: &Aws,
    key: &ImageKey,
    class: TargetStorageClass,
) -> Result<CallResult, StageError> {
    let id = ImageIdentifier::builder().image_digest(&key.digest).build();
    let sent = aws
        .once
        .ecr
        .update_image_storage_class()
        .repository_name(&key.repository)
        .image_id(id)
        .target_storage_class(class)
        .send()
        .await;
    match sent.map_err(|e| AwsError::new("ecr:UpdateImageStorageClass", key.to_string(), e)) {
        Ok(_) => Ok(CallResult::Done),
        Err(error) if error.class == Class::Missing => Ok(CallResult::NotFound),
        Err(error) => Err(error.into()),
    }
}

/// Deletes by digest. ECR lists what it does not delete in a successful answer.
async fn delete(aws: &Aws, repository: &str, digests: &[String]) -> Result<CallResult, StageError> {
    let ids = digests.iter().map(|digest| ImageIdentifier::builder().image_digest(digest).build()).collect();
    let sent =
        aws.once.ecr.batch_delete_image().repository_name(repository).set_image_ids(Some(ids)).send().await;
    let answer = sent.map_err(|e| AwsError::new("ecr:BatchDeleteImage", repository, e))?;
    let mut failures = BTreeMap::new();
    for failure in answer.failures() {
        let digest = failure.image_id().and_then(ImageIdentifier::image_digest).unwrap_or_default();
        let code = failure.failure_code().map_or("no code", |code| code.as_str());
        failures.insert(digest.to_owned(), code.to_owned());
    }
    // Not found means that an earlier call, whose reply was lost, deleted it.
    let (deleted, refused): (Vec<&String>, Vec<&String>) =
        digests.iter().partition(|digest| failures.get(*digest).is_none_or(|code| code == "ImageNotFound"));
    let with_code = |digest: &String| (digest.clone(), failures.get(digest).cloned().unwrap_or_default());
    Ok(CallResult::Deleted {
        deleted: deleted.into_iter().cloned().collect(),
        refused: refused.into_iter().map(with_code).collect(),
    })
}

async fn write_marks(aws: &Aws, batch: &MarkBatch) -> Result<(), StageError> {
    aws.ssm
        .put_parameter()
        .name(&batch.name)
        .description("Container images that bakeline's cleanup is about to archive")
        .r#type(aws_sdk_ssm::types::ParameterType::String)
        .overwrite(true)
        .value(batch.value())
        .send()
        .await
        .map_err(|e| AwsError::new("ssm:PutParameter", &batch.name, e))?;
    Ok(())
}

/// Trims a parameter of marks.
///
/// # Errors
/// As the call.
pub async fn trim_marks(aws: &Aws, trim: &Trim) -> Result<(), StageError> {
    let name = match trim {
        Trim::Write(batch) => return write_marks(aws, batch).await,
        Trim::Delete { name } => name,
    };
    let sent = aws.ssm.delete_parameter().name(name).send().await;
    match sent.map_err(|e| AwsError::new("ssm:DeleteParameter", name, e)) {
        Err(error) if error.class != Class::Missing => Err(error.into()),
        _ => Ok(()),
    }
}
