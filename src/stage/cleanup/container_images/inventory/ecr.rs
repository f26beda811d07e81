//! The images of a repository, and what its indexes name.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ecr::types::{
    DescribeImagesFilter, ImageDetail, ImageIdentifier, ImageStatus, ImageStatusFilter,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;

use crate::aws::{Aws, AwsError, Class};
use crate::engine::{StageError, Timestamp};
use crate::stage::cleanup::containers::image::{Image, Key, Manifest, Status};
use crate::stage::cleanup::inventory::AT_ONCE;

/// The largest page of `DescribeImages`.
const PAGE: i32 = 1000;

/// Images in one call of `BatchGetImage`.
const BATCH: usize = 100;

/// Media types of manifests that name other manifests.
const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// Every image of a repository, those in the archive included: unasked, ECR does not show them.
///
/// # Errors
/// As the calls; there is no such repository; an index cannot be read.
pub async fn images(aws: &Aws, repository: &str) -> Result<Vec<Image>, StageError> {
    let filter = DescribeImagesFilter::builder().image_status(ImageStatusFilter::Any).build();
    let ask = aws.ecr.describe_images().repository_name(repository).max_results(PAGE).filter(filter);
    let mut pages = ask.into_paginator().send();
    let mut images = Vec::new();
    while let Some(page) = pages.next().await {
        let page = match page.map_err(|e| AwsError::new("ecr:DescribeImages", repository, e)) {
            Err(error) if error.class == Class::Missing => {
                return Err(StageError::Config(format!(
                    "there is no repository {repository} in this account and region; correct \
                     cleanup.containers.repositories"
                )));
            }
            page => page?,
        };
        images.extend(page.image_details().iter().filter_map(|detail| image_of(repository, detail)));
    }
    read_indexes(aws, repository, &mut images).await?;
    Ok(images)
}

/// One image, as it is now; none when it is not there.
///
/// # Errors
/// As the calls.
pub async fn image(aws: &Aws, key: &Key) -> Result<Option<Image>, StageError> {
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
        key: Key::new(repository, detail.image_digest()?),
        tags: detail.image_tags().iter().cloned().collect(),
        pushed: at(detail.image_pushed_at()),
        pulled: at(detail.last_recorded_pull_time()),
        status,
        archived: at(detail.last_archived_at()),
        activated: at(detail.last_activated_at()),
        bytes: detail.image_size_in_bytes().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
        // What an index names is read next, where it can be.
        manifest: if is_index { Manifest::HiddenIndex } else { Manifest::Single },
        subject: detail.subject_manifest_digest().map(str::to_owned),
    })
}

/// What an index says.
#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

/// Reads the manifests of indexes that are not in the archive.
async fn read_indexes(aws: &Aws, repository: &str, images: &mut [Image]) -> Result<(), StageError> {
    let hidden = |image: &&Image| image.manifest == Manifest::HiddenIndex && image.status == Status::Active;
    let wanted: Vec<String> = images.iter().filter(hidden).map(|image| image.key.digest.clone()).collect();
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
            let index: Index = serde_json::from_str(text).map_err(|error| {
                StageError::Rejected(format!("the index {repository}@{digest} cannot be read: {error}"))
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
            // It went, or into the archive, since it was listed; or it is not shown though it is there.
            return Err(StageError::NotYet(format!("what the index {} names was not read", image.key)));
        };
        image.manifest = Manifest::Index(children);
    }
    Ok(())
}
