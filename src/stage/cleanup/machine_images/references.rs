//! Reasons to keep an image from two sources: bakeline's own inventory and EC2's `DescribeImageReferences`. The union
//! counts.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    ImageReferenceOptionName, ImageReferenceResourceType, ResourceTypeOption, ResourceTypeRequest,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::retention::{Agreement, KeepReason, KeepReasons};
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;
use crate::stage::aws_view::image_references::AT_ONCE;
use crate::stage::aws_view::image_references::graph::{References, Resource, ResourceKind, parameter_name};

/// Ids in one call of `DescribeImageReferences`.
const BATCH: usize = 10;

/// How many versions of each launch template EC2 searches; its default is the ten newest.
const VERSION_DEPTH: &str = "10000";

/// Every state of an instance that runs or may start again. By default EC2 reports terminated instances, too.
const STATES: [&str; 5] = ["pending", "running", "shutting-down", "stopping", "stopped"];

/// The union of both sources, and which source misses a reference. `ec2` has an entry for each image that EC2 was
/// asked about.
#[must_use]
pub fn keep_reasons(inventory: &References, ec2: &References) -> KeepReasons {
    let mut reasons = KeepReasons::new();
    let sources = [(inventory, ec2, Agreement::InventoryOnly), (ec2, inventory, Agreement::Ec2Only)];
    for (source, other, only_here) in sources {
        for (image, resources) in source {
            for resource in resources {
                // The inventory covers every kind that EC2 reports, but not the other way round.
                let is_comparable = only_here == Agreement::Ec2Only || resource.kind.is_comparable();
                // EC2 cannot contradict a reference to an image that it was not asked about.
                let disagrees = ec2.contains_key(image)
                    && is_comparable
                    && other.get(image).is_none_or(|known| !known.contains(resource));
                let agreement = if disagrees { only_here } else { Agreement::Agreed };
                let reason = if resource.kind == ResourceKind::InstanceRefresh {
                    KeepReason::InRefresh { refresh: resource.id.clone() }
                } else {
                    KeepReason::Referenced { by: resource.to_string(), agreement }
                };
                reasons.entry(image.clone()).or_default().insert(reason);
            }
        }
    }
    reasons
}

/// Reads the references to these images that EC2 reports.
///
/// # Errors
/// As the call.
pub async fn read(aws: &Aws, images: &[String]) -> Result<References, StageError> {
    let read = |batch: Vec<String>| async move {
        let ask = aws
            .ec2
            .describe_image_references()
            .set_image_ids(Some(batch.clone()))
            .set_resource_types(Some(kinds()));
        let mut pages = ask.into_paginator().send();
        let mut found: Vec<(String, Resource)> = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| AwsError::new("ec2:DescribeImageReferences", batch.join(", "), e))?;
            for reference in page.image_references() {
                let (Some(image), Some(arn)) = (reference.image_id(), reference.arn()) else { continue };
                found.push((image.to_owned(), resource_of(reference.resource_type(), arn)));
            }
        }
        Ok::<_, StageError>(found)
    };
    let batches: Vec<Vec<String>> = images.chunks(BATCH).map(<[String]>::to_vec).collect();
    let found: Vec<_> = stream::iter(batches).map(read).buffered(AT_ONCE).try_collect().await?;
    let mut references: References = images.iter().map(|image| (image.clone(), BTreeSet::new())).collect();
    for (image, resource) in found.into_iter().flatten() {
        references.entry(image).or_default().insert(resource);
    }
    Ok(references)
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
            .resource_type_options(option(ImageReferenceOptionName::VersionDepth, &[VERSION_DEPTH]))
            .build(),
        request(ImageReferenceResourceType::SsmParameter).build(),
        request(ImageReferenceResourceType::ImageBuilderImageRecipe).build(),
        request(ImageReferenceResourceType::ImageBuilderContainerRecipe).build(),
    ]
}

fn resource_of(kind: Option<&ImageReferenceResourceType>, arn: &str) -> Resource {
    let kind = match kind {
        Some(ImageReferenceResourceType::Ec2Instance) => ResourceKind::Instance,
        Some(ImageReferenceResourceType::Ec2LaunchTemplate) => ResourceKind::LaunchTemplate,
        Some(ImageReferenceResourceType::SsmParameter) => ResourceKind::Parameter,
        Some(
            ImageReferenceResourceType::ImageBuilderImageRecipe
            | ImageReferenceResourceType::ImageBuilderContainerRecipe,
        ) => ResourceKind::Recipe,
        _ => ResourceKind::Other,
    };
    let resource = arn.splitn(6, ':').nth(5).unwrap_or(arn);
    let id = match kind {
        ResourceKind::Instance | ResourceKind::LaunchTemplate => {
            resource.rsplit('/').next().unwrap_or(resource).to_owned()
        }
        ResourceKind::Parameter => parameter_name(resource.strip_prefix("parameter").unwrap_or(resource)),
        _ => arn.to_owned(),
    };
    Resource { kind, id }
}
