//! The next call that brings a repository further, and the calls. Each is the same however often it is sent.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::types::{ImageIdentifier, TargetStorageClass};

use super::image::{Image, Key, Manifest, Status, short};
use super::marks::{self, Batch, Trim};
use super::quarantine::{self, Next, Step};
use super::retain::{Family, Disposition};
use super::survey::Survey;
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;

/// Images in one call of `BatchDeleteImage`.
const DELETED_AT_ONCE: usize = 100;

/// One call that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Out of the archive.
    Restore(Key),
    /// Images of one repository, indexes first.
    Delete { repository: String, digests: Vec<String> },
    /// Into the archive.
    Archive(Key),
    /// Written down that they are about to go into the archive.
    Mark(Batch),
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acted {
    Done,
    /// These were deleted, or were gone.
    Deleted {
        gone: Vec<String>,
        held: Vec<(String, String)>,
    },
    /// There is no such image any more.
    Gone,
}

/// What is next, for the images that `may` change: what comes back comes first, what goes for good last. At most `most`
/// images are marked within an hour. Of calls for one image each, at most `few` are given: for so many images one look
/// is good enough.
#[must_use]
pub fn next(survey: &Survey, most: usize, few: usize, may: impl Fn(&Image) -> bool) -> Vec<Act> {
    let stepping = |step: Step| {
        let is = move |next: Next| next == Next::Step(step);
        survey.leaving().filter(move |(_, next)| is(*next)).map(|(image, _)| image).filter(|image| may(image))
    };
    let returning = survey.images.iter().filter(|image| {
        let back = matches!(survey.fates.get(&image.key), Some(Disposition::Reinstate(_)));
        back && image.status == Status::Archived && may(image)
    });
    let restored: Vec<Act> = returning.take(few).map(|image| Act::Restore(image.key.clone())).collect();
    if !restored.is_empty() {
        return restored;
    }
    // What an index names follows it into the archive, and out of it.
    let family = Family::of(&survey.images);
    let is_free = |image: &&Image| family.lists(&image.key).is_empty();
    let archived = stepping(Step::Archive).filter(is_free).take(few);
    let archived: Vec<Act> = archived.map(|image| Act::Archive(image.key.clone())).collect();
    if !archived.is_empty() {
        return archived;
    }
    let fresh = |key: &Key| quarantine::is_fresh(survey.marked.get(key).copied(), survey.at);
    let marked = survey.marked.keys().filter(|key| fresh(key)).count();
    let room = most.saturating_sub(marked).min(marks::MOST);
    if let Some(first) = stepping(Step::Mark).find(is_free).filter(|_| room > 0) {
        let repository = first.key.repository.clone();
        let of_it = stepping(Step::Mark).filter(|image| image.key.repository == repository).filter(is_free);
        let digests: BTreeSet<String> = of_it.take(room).map(|image| image.key.digest.clone()).collect();
        return vec![Act::Mark(Batch::new(&repository, digests, survey.at))];
    }
    // Last of all: what ECR holds back must keep nothing else from its step.
    let Some(first) = stepping(Step::Delete).find(is_free) else { return Vec::new() };
    let repository = first.key.repository.clone();
    let of_it = stepping(Step::Delete).filter(|image| image.key.repository == repository).filter(is_free);
    let (indexes, others): (Vec<&Image>, Vec<&Image>) =
        of_it.partition(|image| image.manifest != Manifest::Single);
    let digests = indexes.into_iter().chain(others).map(|image| image.key.digest.clone());
    vec![Act::Delete { repository, digests: digests.take(DELETED_AT_ONCE).collect() }]
}

/// Makes the call.
///
/// # Errors
/// As the call.
pub async fn act(aws: &Aws, act: &Act) -> Result<Acted, StageError> {
    match act {
        Act::Restore(key) => store(aws, key, TargetStorageClass::Standard).await,
        Act::Archive(key) => store(aws, key, TargetStorageClass::Archive).await,
        Act::Delete { repository, digests } => delete(aws, repository, digests).await,
        Act::Mark(batch) => write(aws, batch).await.map(|()| Acted::Done),
    }
}

async fn store(aws: &Aws, key: &Key, class: TargetStorageClass) -> Result<Acted, StageError> {
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
        Ok(_) => Ok(Acted::Done),
        Err(error) if error.class == Class::Missing => Ok(Acted::Gone),
        Err(error) => Err(error.into()),
    }
}

/// Deletes by digest. What cannot go is told by an answer that succeeds.
async fn delete(aws: &Aws, repository: &str, digests: &[String]) -> Result<Acted, StageError> {
    let ids = digests.iter().map(|digest| ImageIdentifier::builder().image_digest(digest).build()).collect();
    let sent =
        aws.once.ecr.batch_delete_image().repository_name(repository).set_image_ids(Some(ids)).send().await;
    let answer = sent.map_err(|e| AwsError::new("ecr:BatchDeleteImage", repository, e))?;
    let mut failed = BTreeMap::new();
    for failure in answer.failures() {
        let digest = failure.image_id().and_then(ImageIdentifier::image_digest).unwrap_or_default();
        let code = failure.failure_code().map_or("no code", |code| code.as_str());
        failed.insert(digest.to_owned(), code.to_owned());
    }
    // Not found is gone: an earlier call did it whose answer was lost.
    let (gone, held): (Vec<&String>, Vec<&String>) =
        digests.iter().partition(|digest| failed.get(*digest).is_none_or(|code| code == "ImageNotFound"));
    let why = |digest: &String| (digest.clone(), failed.get(digest).cloned().unwrap_or_default());
    Ok(Acted::Deleted {
        gone: gone.into_iter().cloned().collect(),
        held: held.into_iter().map(why).collect(),
    })
}

async fn write(aws: &Aws, batch: &Batch) -> Result<(), StageError> {
    aws.ssm
        .put_parameter()
        .name(&batch.name)
        .description("Container images that bakeline's cleanup is about to put into the archive")
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
pub async fn trim(aws: &Aws, trim: &Trim) -> Result<(), StageError> {
    let name = match trim {
        Trim::Write(batch) => return write(aws, batch).await,
        Trim::Delete { name } => name,
    };
    let sent = aws.ssm.delete_parameter().name(name).send().await;
    match sent.map_err(|e| AwsError::new("ssm:DeleteParameter", name, e)) {
        Err(error) if error.class != Class::Missing => Err(error.into()),
        _ => Ok(()),
    }
}

/// One step of bringing an image back from the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Back {
    /// It was asked to come back.
    Asked,
    /// It is on its way.
    Coming,
    /// It is there.
    There,
}

/// Takes an image one step back.
///
/// # Errors
/// As the calls; or there is no such image.
pub async fn back(aws: &Aws, image: Option<&Image>, key: &Key) -> Result<Back, StageError> {
    let gone = || {
        StageError::Rejected(format!(
            "there is no image {} in {} of {}: it cannot be brought back",
            short(&key.digest),
            key.repository,
            aws.region()
        ))
    };
    match image.ok_or_else(gone)?.status {
        Status::Archived => match store(aws, key, TargetStorageClass::Standard).await? {
            Acted::Gone => Err(gone()),
            Acted::Done | Acted::Deleted { .. } => Ok(Back::Asked),
        },
        Status::Activating => Ok(Back::Coming),
        Status::Active | Status::Unknown => Ok(Back::There),
    }
}
