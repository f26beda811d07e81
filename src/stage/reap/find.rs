//! Finds leftovers by the tags that bakeline puts on everything it creates.

use std::collections::BTreeMap;

use aws_sdk_autoscaling::types::Filter as GroupFilter;
use aws_sdk_ec2::types::{Filter, InstanceStateName, Tag};
use aws_sdk_imagebuilder::types::{Filter as ImageFilter, ImageSummary, Ownership};

use super::{Leftover, LeftoverKind, Run, tasks};
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;
use crate::engine::key::tag;
use crate::spec::{Bake, ReleaseSpec};
use crate::stage::aws_view::canary_groups::is_canary_group;
use crate::stage::aws_view::image_references::Inventory;

/// Prefix of the name of every test instance.
const TEST_INSTANCES: &str = "bakeline-test-";

/// EC2's maximum number of values in one filter.
const BATCH: usize = 200;

/// The builds to search. Image Builder cannot list builds by tag.
#[derive(Clone, Copy, Debug)]
pub enum Builds<'a> {
    /// Every build of the account in the region: one call per image version.
    All,
    /// The builds of one release: those of its image pipeline, or of recipes with this name.
    Of { image_pipeline: Option<&'a str>, recipe: Option<&'a str> },
}

impl<'a> Builds<'a> {
    /// The builds of one release.
    #[must_use]
    pub fn of(spec: &'a ReleaseSpec) -> Self {
        let bake = spec.bake.as_ref();
        Self::Of {
            image_pipeline: bake.and_then(Bake::image_pipeline),
            recipe: bake.and_then(|bake| bake.image_recipe.as_ref()).map(|_| spec.service.as_str()),
        }
    }
}

/// Finds the leftovers of all runs, ended or not.
///
/// # Errors
/// As the calls.
pub async fn find(aws: &Aws, builds: Builds<'_>) -> Result<Vec<Leftover>, StageError> {
    let mut found = instances(aws).await?;
    found.extend(tasks::find(aws).await?);
    found.extend(canary_groups(aws).await?);
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

fn tagged_by_a_run() -> Filter {
    Filter::builder().name("tag-key").values(tag::ATTEMPT).build()
}

async fn instances(aws: &Aws) -> Result<Vec<Leftover>, StageError> {
    let mut pages = aws.ec2.describe_instances().filters(tagged_by_a_run()).into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(reservation) = pages.next().await {
        let reservation = reservation.map_err(|e| AwsError::new("ec2:DescribeInstances", tag::ATTEMPT, e))?;
        for instance in reservation.instances() {
            let state = instance.state().and_then(|state| state.name());
            let is_over =
                matches!(state, Some(InstanceStateName::Terminated | InstanceStateName::ShuttingDown));
            let is_test =
                tagged(instance.tags(), "Name").is_some_and(|name| name.starts_with(TEST_INSTANCES));
            if let (false, true, Some(id), Some(run)) =
                (is_over, is_test, instance.instance_id(), Run::of(|key| tagged(instance.tags(), key)))
            {
                found.push(Leftover { kind: LeftoverKind::TestInstance, id: id.to_owned(), run });
            }
        }
    }
    Ok(found)
}

/// Finds the groups of canaries and their baselines.
async fn canary_groups(aws: &Aws) -> Result<Vec<Leftover>, StageError> {
    let ours = GroupFilter::builder().name("tag-key").values(tag::ATTEMPT).build();
    let mut pages =
        aws.autoscaling.describe_auto_scaling_groups().filters(ours).into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(group) = pages.next().await {
        let group =
            group.map_err(|e| AwsError::new("autoscaling:DescribeAutoScalingGroups", tag::ATTEMPT, e))?;
        let get = |key: &str| group.tags().iter().find(|tag| tag.key() == Some(key))?.value();
        let name = group.auto_scaling_group_name().unwrap_or_default();
        // A group that is being deleted has a status.
        if let (true, None, Some(run)) = (is_canary_group(name), group.status(), Run::of(get)) {
            let kind = if group.max_size().unwrap_or(0) > 0 {
                LeftoverKind::CanaryGroup
            } else {
                LeftoverKind::EmptiedCanaryGroup { instances: group.instances().len() }
            };
            found.push(Leftover { kind, id: name.to_owned(), run });
        }
    }
    Ok(found)
}

/// Finds tagged snapshots that no image uses, disabled images included, and that no other resource references.
async fn snapshots(aws: &Aws) -> Result<Vec<Leftover>, StageError> {
    let ask = aws.ec2.describe_snapshots().owner_ids("self").filters(tagged_by_a_run());
    let mut pages = ask.into_paginator().items().send();
    let mut found: BTreeMap<String, Run> = BTreeMap::new();
    while let Some(snapshot) = pages.next().await {
        let snapshot = snapshot.map_err(|e| AwsError::new("ec2:DescribeSnapshots", tag::ATTEMPT, e))?;
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
            let image =
                image.map_err(|e| AwsError::new("ec2:DescribeImages", "images with tagged snapshots", e))?;
            for disk in image.block_device_mappings().iter().filter_map(|mapping| mapping.ebs()) {
                found.remove(disk.snapshot_id().unwrap_or_default());
            }
        }
    }
    if !found.is_empty() {
        // A snapshot that a launch template or another resource references is no leftover.
        let referenced = Inventory::read(aws).await?.listings.by_snapshot();
        found.retain(|id, _| !referenced.contains_key(id));
    }
    Ok(found.into_iter().map(|(id, run)| Leftover { kind: LeftoverKind::Snapshot, id, run }).collect())
}

async fn pipeline_builds(aws: &Aws, pipeline: &str) -> Result<Vec<Leftover>, StageError> {
    let ask = aws.imagebuilder.list_image_pipeline_images().image_pipeline_arn(pipeline);
    let mut pages = ask.into_paginator().items().send();
    let mut found = Vec::new();
    while let Some(image) = pages.next().await {
        let image = image.map_err(|e| AwsError::new("imagebuilder:ListImagePipelineImages", pipeline, e))?;
        found.extend(unfinished(&image));
    }
    Ok(found)
}

/// Finds builds of recipes with this name, or of every recipe. Builds of image pipelines are among them.
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
            found.extend(unfinished(&build));
        }
    }
    Ok(found)
}

/// An unfinished build with the tags of one run. A build that several releases share carries no run's tags and is
/// left.
fn unfinished(build: &ImageSummary) -> Option<Leftover> {
    let status = build.state().and_then(|state| state.status()).map_or("", |status| status.as_str());
    let is_running =
        matches!(status, "PENDING" | "CREATING" | "BUILDING" | "TESTING" | "DISTRIBUTING" | "INTEGRATING");
    let run = build.tags().and_then(|tags| Run::of(|key| tags.get(key).map(String::as_str)))?;
    let id = build.arn().filter(|_| is_running)?.to_owned();
    Some(Leftover { kind: LeftoverKind::Build, id, run })
}
