//! What runs left, found by the tags that everything carries from birth.

use std::collections::BTreeMap;

use aws_sdk_autoscaling::types::Filter as GroupFilter;
use aws_sdk_ec2::types::{Filter, InstanceStateName, Tag};
use aws_sdk_imagebuilder::types::{Filter as ImageFilter, ImageSummary, Ownership};

use super::{Leftover, Run, What, tasks};
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;
use crate::engine::key::tag;
use crate::stage::aws_view::canary_groups::is_canary_group;
use crate::stage::cleanup::inventory::Inventory;

/// Begins the name of every staging instance.
const STAGING: &str = "bakeline-test-";

/// Values in one filter of EC2.
const BATCH: usize = 200;

/// Whose builds are looked at. Image Builder lists none by tag.
#[derive(Clone, Copy, Debug)]
pub enum Builds<'a> {
    /// Every build of the account in the region: a call for each image version.
    All,
    /// Those of one release: of its image pipeline, or of recipes that have this name.
    Of { image_pipeline: Option<&'a str>, recipe: Option<&'a str> },
}

/// Everything that runs left, whether they have ended or not.
///
/// # Errors
/// As the calls.
pub async fn find(aws: &Aws, builds: Builds<'_>) -> Result<Vec<Leftover>, StageError> {
    let mut found = instances(aws).await?;
    found.extend(tasks::find(aws).await?);
    found.extend(trial_groups(aws).await?);
    found.extend(snapshots(aws).await?);
    match builds {
        Builds::All => found.extend(recipe_builds(aws, None).await?),
        Builds::Of { image_pipeline, recipe } => {
            if let Some(pipeline) = image_pipeline {
                found.extend(pipeline_builds(aws, pipeline).await?);
            }
            if let Some(name) = recipe {
                found.extend(recipe_builds(aws, Some(name)).await?);
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn tagged<'t>(tags: &'t [Tag], key: &str) -> Option<&'t str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}

fn of_ours() -> Filter {
    Filter::builder().name("tag-key").values(tag::ATTEMPT).build()
}

async fn instances(aws: &Aws) -> Result<Vec<Leftover>, StageError> {
    let mut pages = aws.ec2.describe_instances().filters(of_ours()).into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(reservation) = pages.next().await {
        let reservation =
            reservation.map_err(|e| AwsError::new("ec2:DescribeInstances", tag::ATTEMPT, e))?;
        for instance in reservation.instances() {
            let state = instance.state().and_then(|state| state.name());
            let over = matches!(state, Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown));
            let staging = tagged(instance.tags(), "Name").is_some_and(|name| name.starts_with(STAGING));
            if let (false, true, Some(id), Some(run)) =
                (over, staging, instance.instance_id(), Run::of(|key| tagged(instance.tags(), key)))
            {
                found.push(Leftover { what: What::StagingInstance, id: id.to_owned(), run });
            }
        }
    }
    Ok(found)
}

/// Groups of a trial: the canary and its baseline.
async fn trial_groups(aws: &Aws) -> Result<Vec<Leftover>, StageError> {
    let ours = GroupFilter::builder().name("tag-key").values(tag::ATTEMPT).build();
    let mut pages =
        aws.autoscaling.describe_auto_scaling_groups().filters(ours).into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(group) = pages.next().await {
        let group = group
            .map_err(|e| AwsError::new("autoscaling:DescribeAutoScalingGroups", tag::ATTEMPT, e))?;
        let get = |key: &str| group.tags().iter().find(|tag| tag.key() == Some(key))?.value();
        let name = group.auto_scaling_group_name().unwrap_or_default();
        // One that is being deleted has a status.
        if let (true, None, Some(run)) = (is_canary_group(name), group.status(), Run::of(get)) {
            let what = if group.max_size().unwrap_or(0) > 0 {
                What::TrialGroup
            } else {
                What::EmptiedTrialGroup { instances: group.instances().len() }
            };
            found.push(Leftover { what, id: name.to_owned(), run });
        }
    }
    Ok(found)
}

/// Snapshots with our tags that no image stands on, a disabled one included, and that nothing else names.
async fn snapshots(aws: &Aws) -> Result<Vec<Leftover>, StageError> {
    let ask = aws.ec2.describe_snapshots().owner_ids("self").filters(of_ours());
    let mut pages = ask.into_paginator().items().send();
    let mut found: BTreeMap<String, Run> = BTreeMap::new();
    while let Some(snapshot) = pages.next().await {
        let snapshot =
            snapshot.map_err(|e| AwsError::new("ec2:DescribeSnapshots", tag::ATTEMPT, e))?;
        let run = Run::of(|key| tagged(snapshot.tags(), key));
        if let (Some(id), Some(run)) = (snapshot.snapshot_id(), run) {
            found.insert(id.to_owned(), run);
        }
    }
    let ids: Vec<String> = found.keys().cloned().collect();
    for batch in ids.chunks(BATCH) {
        let behind = Filter::builder()
            .name("block-device-mapping.snapshot-id")
            .set_values(Some(batch.to_vec()))
            .build();
        let ask = aws.ec2.describe_images().owners("self").include_deprecated(true).include_disabled(true);
        let mut images = ask.filters(behind).into_paginator().items().send();
        while let Some(image) = images.next().await {
            let image = image.map_err(|e| AwsError::new("ec2:DescribeImages", "of our snapshots", e))?;
            for disk in image.block_device_mappings().iter().filter_map(|mapping| mapping.ebs()) {
                found.remove(disk.snapshot_id().unwrap_or_default());
            }
        }
    }
    if !found.is_empty() {
        // What launch templates and the like name is no leftover.
        let named = Inventory::read(aws).await?.facts.snapshots();
        found.retain(|id, _| !named.contains_key(id));
    }
    Ok(found.into_iter().map(|(id, run)| Leftover { what: What::Snapshot, id, run }).collect())
}

async fn pipeline_builds(aws: &Aws, pipeline: &str) -> Result<Vec<Leftover>, StageError> {
    let ask = aws.imagebuilder.list_image_pipeline_images().image_pipeline_arn(pipeline);
    let mut pages = ask.into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(image) = pages.next().await {
        let image = image.map_err(|e| AwsError::new("imagebuilder:ListImagePipelineImages", pipeline, e))?;
        found.extend(under_way(&image));
    }
    Ok(found)
}

/// Builds of recipes of one name, or of every recipe: a pipeline's are among them.
async fn recipe_builds(aws: &Aws, recipe: Option<&str>) -> Result<Vec<Leftover>, StageError> {
    let filter = recipe.map(|name| vec![ImageFilter::builder().name("name").values(name).build()]);
    let ask = aws.imagebuilder.list_images().owner(Ownership::SelfValue).set_filters(filter);
    let mut versions = ask.into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(version) = versions.next().await {
        let about = recipe.unwrap_or("this account");
        let version = version.map_err(|e| AwsError::new("imagebuilder:ListImages", about, e))?;
        let Some(arn) = version.arn() else { continue };
        let ask = aws.imagebuilder.list_image_build_versions().image_version_arn(arn);
        let mut builds = ask.into_paginator().items().send();
        while let Some(build) = builds.next().await {
            let build = build.map_err(|e| AwsError::new("imagebuilder:ListImageBuildVersions", arn, e))?;
            found.extend(under_way(&build));
        }
    }
    Ok(found)
}

/// A build under way that carries the tags of one run. One that several releases share carries none, and is left.
fn under_way(build: &ImageSummary) -> Option<Leftover> {
    let status = build.state().and_then(|state| state.status()).map_or("", |status| status.as_str());
    let going =
        matches!(status, "PENDING" | "CREATING" | "BUILDING" | "TESTING" | "DISTRIBUTING" | "INTEGRATING");
    let run = build.tags().and_then(|tags| Run::of(|key| tags.get(key).map(String::as_str)))?;
    let id = build.arn().filter(|_| going)?.to_owned();
    Some(Leftover { what: What::Build, id, run })
}
