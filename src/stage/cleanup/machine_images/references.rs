//! What uses an image, from two sources: our own inventory and EC2's `DescribeImageReferences`. Their union counts.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    ImageReferenceOptionName, ImageReferenceResourceType, ResourceTypeOption, ResourceTypeRequest,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::graph::{Kind, User, Users, parameter};
use super::inventory::AT_ONCE;
use super::retain::{Reason, Seen, Uses};
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;

/// Ids in one call of `DescribeImageReferences`.
const BATCH: usize = 10;

/// The most versions of a launch template that EC2 looks at; its default is the ten newest.
const DEPTH: &str = "10000";

/// Every state of an instance that may still start or run. EC2 also names terminated ones unless told not to.
const STATES: [&str; 5] = ["pending", "running", "shutting-down", "stopping", "stopped"];

/// The union of both sources, with who knows of what. `ec2` says of each image EC2 was asked about what it knows.
#[must_use]
pub fn unite(inventory: &Users, ec2: &Users) -> Uses {
    let mut uses = Uses::new();
    for (source, other, alone) in [(inventory, ec2, Seen::InventoryAlone), (ec2, inventory, Seen::Ec2Alone)] {
        for (image, users) in source {
            for user in users {
                // What EC2 names is of a kind that is listed here too; the other way round not of every kind.
                let is_comparable = alone == Seen::Ec2Alone || user.kind.is_in_both();
                // Of an image that EC2 was not asked about it cannot disagree.
                let disagrees = ec2.contains_key(image)
                    && is_comparable
                    && other.get(image).is_none_or(|known| !known.contains(user));
                let seen = if disagrees { alone } else { Seen::Agreed };
                let reason = if user.kind == Kind::InstanceRefresh {
                    Reason::InRefresh { refresh: user.id.clone() }
                } else {
                    Reason::Referenced { by: format!("{} {}", user.kind.name(), user.id), seen }
                };
                uses.entry(image.clone()).or_default().insert(reason);
            }
        }
    }
    uses
}

/// What EC2 knows to use these images, at full depth.
///
/// # Errors
/// As the call.
pub async fn ask(aws: &Aws, images: &[String]) -> Result<Users, StageError> {
    let read = |batch: Vec<String>| async move {
        let ask = aws
            .ec2
            .describe_image_references()
            .set_image_ids(Some(batch.clone()))
            .set_resource_types(Some(kinds()));
        let mut pages = ask.into_paginator().send();
        let mut found: Vec<(String, User)> = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| AwsError::new("ec2:DescribeImageReferences", batch.join(", "), e))?;
            for reference in page.image_references() {
                let (Some(image), Some(arn)) = (reference.image_id(), reference.arn()) else { continue };
                found.push((image.to_owned(), user(reference.resource_type(), arn)));
            }
        }
        Ok::<_, StageError>(found)
    };
    let batches: Vec<Vec<String>> = images.chunks(BATCH).map(<[String]>::to_vec).collect();
    let found: Vec<_> = stream::iter(batches).map(read).buffered(AT_ONCE).try_collect().await?;
    let mut users: Users = images.iter().map(|image| (image.clone(), BTreeSet::new())).collect();
    for (image, user) in found.into_iter().flatten() {
        users.entry(image).or_default().insert(user);
    }
    Ok(users)
}

fn kinds() -> Vec<ResourceTypeRequest> {
    let request = |kind: ImageReferenceResourceType| ResourceTypeRequest::builder().resource_type(kind);
    let option = |name: ImageReferenceOptionName, values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        ResourceTypeOption::builder().option_name(name).set_option_values(Some(values)).build()
    };
    vec![
        request(ImageReferenceResourceType::Ec2Instance)
            .resource_type_options(option(ImageReferenceOptionName::StateName, &STATES))
            .build(),
        request(ImageReferenceResourceType::Ec2LaunchTemplate)
            .resource_type_options(option(ImageReferenceOptionName::VersionDepth, &[DEPTH]))
            .build(),
        request(ImageReferenceResourceType::SsmParameter).build(),
        request(ImageReferenceResourceType::ImageBuilderImageRecipe).build(),
        request(ImageReferenceResourceType::ImageBuilderContainerRecipe).build(),
    ]
}

fn user(kind: Option<&ImageReferenceResourceType>, arn: &str) -> User {
    let kind = match kind {
        Some(ImageReferenceResourceType::Ec2Instance) => Kind::Instance,
        Some(ImageReferenceResourceType::Ec2LaunchTemplate) => Kind::LaunchTemplate,
        Some(ImageReferenceResourceType::SsmParameter) => Kind::Parameter,
        Some(
            ImageReferenceResourceType::ImageBuilderImageRecipe
            | ImageReferenceResourceType::ImageBuilderContainerRecipe,
        ) => Kind::Recipe,
        _ => Kind::Other,
    };
    let resource = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    let id = match kind {
        Kind::Instance | Kind::LaunchTemplate => resource.rsplit('/').next().unwrap_or(resource).to_owned(),
        Kind::Parameter => parameter(resource.strip_prefix("parameter").unwrap_or(resource)),
        _ => arn.to_owned(),
    };
    User { kind, id }
}
