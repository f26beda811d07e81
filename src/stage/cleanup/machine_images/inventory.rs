//! Lists the machine images of a service.

use aws_sdk_ec2::types::{EbsBlockDevice, Filter};

use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::tag;
use crate::stage::aws_view::dates;
use crate::stage::aws_view::images::identity;

use super::image::{Image, Protection};

/// The largest page of `DescribeImages`.
const PAGE: i32 = 1000;

/// Every image of a service that this account owns in the region, including deprecated and disabled ones.
///
/// # Errors
/// As the call.
pub async fn images(aws: &Aws, service: &str) -> Result<Vec<Image>, StageError> {
    let filter = Filter::builder().name(format!("tag:{}", tag::SERVICE)).values(service).build();
    let mut pages = aws
        .ec2
        .describe_images()
        .owners("self")
        .filters(filter)
        .include_deprecated(true)
        .include_disabled(true)
        .max_results(PAGE)
        .into_paginator()
        .send();
    let mut images = Vec::new();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|e| AwsError::new("ec2:DescribeImages", format!("the service {service}"), e))?;
        images.extend(page.images().iter().map(|image| read(image, aws.region())));
    }
    images.retain(|image| image.state != "deregistered");
    Ok(images)
}

/// One image of this account in any state; `None` if EC2 does not know it or reports it as deregistered.
///
/// # Errors
/// As the call.
pub async fn image(aws: &Aws, id: &str) -> Result<Option<Image>, StageError> {
    let answer = aws
        .ec2
        .describe_images()
        .image_ids(id)
        .include_deprecated(true)
        .include_disabled(true)
        .send()
        .await
        .map_err(|e| AwsError::new("ec2:DescribeImages", id, e));
    match answer {
        Ok(answer) => {
            let found = answer.images().first().map(|image| read(image, aws.region()));
            Ok(found.filter(|image| image.state != "deregistered"))
        }
        Err(error) if error.class == Class::Missing => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn read(image: &aws_sdk_ec2::types::Image, region: &str) -> Image {
    let disks = || image.block_device_mappings().iter().filter_map(|mapping| mapping.ebs());
    let tags = image.tags().iter().filter_map(|tag| Some((tag.key()?.to_owned(), tag.value()?.to_owned())));
    Image {
        identity: identity(image, region),
        state: image.state().map_or("unknown", |state| state.as_str()).to_owned(),
        protection: Protection::of(image.deregistration_protection()),
        deprecated_on: image.deprecation_time().and_then(dates::parse),
        launched_on: image.last_launched_time().and_then(dates::parse),
        public: image.public().unwrap_or(false),
        shared_with: None,
        snapshots: disks().filter_map(|disk| disk.snapshot_id().map(str::to_owned)).collect(),
        gib: disks().filter_map(EbsBlockDevice::volume_size).filter_map(|gib| u64::try_from(gib).ok()).sum(),
        tags: tags.collect(),
    }
}
