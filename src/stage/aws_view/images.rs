//! Machine images as EC2 describes them, and which instances run which image.

use std::collections::BTreeMap;

use aws_sdk_ec2::types::{Image, InstanceStateName, Reservation};

use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::evidence::ImageIdentity;

/// Ids in one call of `DescribeInstances`.
const BATCH: usize = 100;

/// An image as `DescribeImages` returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageView {
    pub identity: ImageIdentity,
    /// `available`, `pending`, `disabled`, …
    pub state: String,
}

/// The image of this id in the clients' region; none if it does not exist or is deregistered.
///
/// # Errors
/// The call failed.
pub async fn image(aws: &Aws, id: &str) -> Result<Option<ImageView>, StageError> {
    let pages = aws
        .ec2
        .describe_images()
        .image_ids(id)
        .include_deprecated(true)
        .include_disabled(true)
        .into_paginator();
    match pages.items().send().try_collect().await {
        Ok(images) => Ok(images.iter().find(|image| image.image_id() == Some(id)).map(|image| ImageView {
            identity: identity(image, aws.region()),
            state: image.state().map_or("unknown", |state| state.as_str()).to_owned(),
        })),
        Err(error) => match AwsError::new("ec2:DescribeImages", id, error) {
            error if error.class == Class::Missing || error.is("InvalidAMIID.Unavailable") => Ok(None),
            error => Err(error.into()),
        },
    }
}

/// The identity of an image, by which statements name it.
#[must_use]
pub fn identity(image: &Image, region: &str) -> ImageIdentity {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    ImageIdentity {
        account: text(image.owner_id()),
        creation_date: text(image.creation_date()),
        image_id: text(image.image_id()),
        name: text(image.name()),
        region: region.to_owned(),
    }
}

/// The images of instances, by instance id. Terminated instances are left out.
///
/// # Errors
/// The call failed.
pub async fn images_of(aws: &Aws, instances: &[String]) -> Result<BTreeMap<String, String>, StageError> {
    let mut images = BTreeMap::new();
    for batch in instances.chunks(BATCH) {
        let pages = aws.ec2.describe_instances().set_instance_ids(Some(batch.to_vec())).into_paginator();
        let reservations: Vec<_> = pages.items().send().try_collect().await.map_err(|e| {
            let error = AwsError::new("ec2:DescribeInstances", batch.join(", "), e);
            // The instance just terminated, or EC2 does not list it yet: the caller reads again.
            if error.class == Class::Missing { StageError::RetryLater(error) } else { error.into() }
        })?;
        for instance in reservations.iter().flat_map(Reservation::instances) {
            let gone =
                instance.state().and_then(|state| state.name()) == Some(&InstanceStateName::Terminated);
            if let (Some(id), Some(image), false) = (instance.instance_id(), instance.image_id(), gone) {
                images.insert(id.to_owned(), image.to_owned());
            }
        }
    }
    Ok(images)
}
