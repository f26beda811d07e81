//! Lists the images of a repository with the contents of its indexes, and the marks of earlier cleanups.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::types::{
    DescribeImagesFilter, ImageDetail, ImageIdentifier, ImageStatus, ImageStatusFilter,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;

use crate::aws::{Aws, AwsError, Class};
use crate::engine::error::{ErrorClass, ModuleError};
use crate::engine::{StageError, Timestamp};
use crate::stage::aws_view::image_references::AT_ONCE;

use super::image::{Image, ImageKey, Manifest, Status};
use super::marks::{FOLDER, MarkBatch};

/// The largest page of `DescribeImages`.
const PAGE: i32 = 1000;

/// Images in one call of `BatchGetImage`.
const BATCH: usize = 100;

/// Media types of manifests that list other manifests.
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// Why the images of a repository cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    #[error(
        "there is no repository {repository} in this account and region; correct \
         cleanup.container_images.repositories"
    )]
    NoRepository { repository: String },
    #[error("the manifest of the index {index} cannot be parsed")]
    Index { index: ImageKey, source: serde_json::Error },
    #[error("ECR listed the index {index} and did not return its manifest")]
    IndexUnread { index: ImageKey },
    #[error(
        "the parameter {parameter} contains no marks of a cleanup; if you delete it, its images stay archived"
    )]
    Marks { parameter: String },
}

impl ModuleError for InventoryError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoRepository { .. } => ErrorClass::Config,
            Self::Index { .. } | Self::Marks { .. } => ErrorClass::Rejected,
            Self::IndexUnread { .. } => ErrorClass::NotYet,
        }
    }
}

/// Every image of a repository, including archived ones, which ECR lists only on request.
///
/// # Errors
/// As the calls; there is no such repository; or an index cannot be read.
pub async fn images(aws: &Aws, repository: &str) -> Result<Vec<Image>, StageError> {
    let filter = DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build();
    let ask = aws.ecr.describe_images().repository_name(repository).max_results(PAGE).filter(filter);
    let mut pages = ask.into_paginator().send();
    let mut images = Vec::new();
    while let Some(page) = pages.next().await {
        let page = match page.map_err(|e| AwsError::new("ecr:DescribeImages", repository, e)) {
            Err(error) if error.class == Class::Missing => {
                return Err(InventoryError::NoRepository { repository: repository.to_owned() }.into());
            }
            page => page?,
        };
        images.extend(page.image_details().iter().filter_map(|detail| image_of(repository, detail)));
    }
    read_indexes(aws, repository, &mut images).await?;
    Ok(images)
}

/// One image; `None` if ECR does not know it.
///
/// # Errors
/// As the calls.
pub async fn image(aws: &Aws, key: &ImageKey) -> Result<Option<Image>, StageError> {
    let id = ImageIdentifier::builder().image_digest(&key.digest).build();
    let sent = aws.ecr.describe_images().repository_name(&key.repository).image_ids(id).send().await;
    let answer = match sent.map_err(|e| AwsError::new("ecr:DescribeImages", key.to_string(), e)) {
        Err(error) if error.class == Class::Missing => return Ok(None),
        answer => answer?,
    };
    let found = answer.image_details().iter().filter_map(|detail| image_of(&key.repository, detail));
    let mut images: Vec<Image> = found.collect();
    read_indexes(aws, &key.repository, &mut images).await?;
    Ok(images.into_iter().find(|image| image.key == *key))
}

fn image_of(repository: &str, detail: &ImageDetail) -> Option<Image> {
    let at = |moment: Option<&aws_smithy_types::DateTime>| moment.map(|moment| Timestamp(moment.secs()));
    let status = match detail.image_status() {
        None | Some(ImageStatus::Active) => Status::Active,
        Some(ImageStatus::Archived) => Status::Archived,
        Some(ImageStatus::Activating) => Status::Activating,
        Some(_) => Status::Unknown,
    };
    let is_index = detail.image_manifest_media_type().is_some_and(|media| INDEXES.contains(&media));
    Some(Image {
        key: ImageKey::new(repository, detail.image_digest()?),
        tags: detail.image_tags().iter().cloned().collect(),
        pushed_on: at(detail.image_pushed_at()),
        pulled_on: at(detail.last_recorded_pull_time()),
        status,
        archived_on: at(detail.last_archived_at()),
        activated_on: at(detail.last_activated_at()),
        bytes: detail.image_size_in_bytes().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
        // The index is read next, unless it is archived.
        manifest: if is_index { Manifest::UnreadIndex } else { Manifest::Single },
        subject: detail.subject_manifest_digest().map(str::to_owned),
    })
}

/// The part of an index that matters here.
#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

/// Reads the manifests of indexes that are not archived.
async fn read_indexes(aws: &Aws, repository: &str, images: &mut [Image]) -> Result<(), StageError> {
    let is_readable =
        |image: &&Image| image.manifest == Manifest::UnreadIndex && image.status == Status::Active;
    let wanted: Vec<String> =
        images.iter().filter(is_readable).map(|image| image.key.digest.clone()).collect();
    let read = |batch: Vec<String>| async move {
        let ids =
            batch.iter().map(|digest| ImageIdentifier::builder().image_digest(digest).build()).collect();
        let sent = aws
            .ecr
            .batch_get_image()
            .repository_name(repository)
            .set_image_ids(Some(ids))
            .set_accepted_media_types(Some(INDEXES.map(str::to_owned).to_vec()))
            .send()
            .await;
        let answer = sent.map_err(|e| AwsError::new("ecr:BatchGetImage", repository, e))?;
        let mut read = BTreeMap::new();
        for image in answer.images() {
            let digest = image.image_id().and_then(ImageIdentifier::image_digest);
            let (Some(digest), Some(text)) = (digest, image.image_manifest()) else { continue };
            let index: Index = serde_json::from_str(text).map_err(|source| InventoryError::Index {
                index: ImageKey::new(repository, digest),
                source,
            })?;
            let children: BTreeSet<String> = index.manifests.into_iter().map(|child| child.digest).collect();
            read.insert(digest.to_owned(), children.into_iter().collect::<Vec<_>>());
        }
        Ok::<_, StageError>(read)
    };
    let batches: Vec<Vec<String>> = wanted.chunks(BATCH).map(<[String]>::to_vec).collect();
    let read: Vec<_> = stream::iter(batches).map(read).buffered(AT_ONCE).try_collect().await?;
    let mut read: BTreeMap<String, Vec<String>> = read.into_iter().flatten().collect();
    for image in images.iter_mut().filter(|image| wanted.contains(&image.key.digest)) {
        let Some(children) = read.remove(&image.key.digest) else {
            // It was deleted or archived since it was listed, or the answer is stale.
            return Err(InventoryError::IndexUnread { index: image.key.clone() }.into());
        };
        image.manifest = Manifest::Index(children);
    }
    Ok(())
}

/// Reads all marks of this account and region.
///
/// # Errors
/// As the call; or a parameter in the folder contains no marks.
pub async fn marks(aws: &Aws) -> Result<Vec<MarkBatch>, StageError> {
    let folder = FOLDER.trim_end_matches('/');
    let mut pages = aws.ssm.get_parameters_by_path().path(folder).recursive(true).into_paginator().send();
    let mut marks = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("ssm:GetParametersByPath", folder, e))?;
        for parameter in page.parameters() {
            let (name, value) = (parameter.name().unwrap_or_default(), parameter.value().unwrap_or_default());
            let batch = MarkBatch::parse(name, value);
            marks.push(batch.ok_or_else(|| InventoryError::Marks { parameter: name.to_owned() })?);
        }
    }
    Ok(marks)
}
