//! Image Builder: recipes of this account, and the images they stand on or are built on.

use std::collections::HashMap;

use aws_sdk_imagebuilder::types::{InstanceBlockDeviceMapping, OutputResources, Ownership};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::AT_ONCE;
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::tag;
use crate::stage::cleanup::graph::{Facts, Kind, Source};

/// The largest page of Image Builder's lists.
const PAGE: i32 = 25;

/// Every recipe with the image it stands on, and of a container the image its build instances run; and the snapshots that
/// recipes name.
pub async fn recipes(aws: &Aws, facts: &mut Facts) -> Result<(), StageError> {
    let ask = aws.imagebuilder.list_image_recipes().owner(Ownership::SelfValue).max_results(PAGE);
    let mut pages = ask.into_paginator().send();
    let (mut entries, mut by_hand) = (0, Vec::new());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("imagebuilder:ListImageRecipes", "every recipe", e))?;
        for recipe in page.image_recipe_summary_list() {
            entries += 1;
            let Some(arn) = recipe.arn() else { continue };
            if let Some(parent) = recipe.parent_image() {
                facts.text(Kind::Recipe, arn, parent);
            }
            by_hand.extend(is_by_hand(recipe.tags()).then(|| Recipe::Image(arn.to_owned())));
        }
    }
    let ask = aws.imagebuilder.list_container_recipes().owner(Ownership::SelfValue).max_results(PAGE);
    let mut pages = ask.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("imagebuilder:ListContainerRecipes", "every recipe", e))?;
        for recipe in page.container_recipe_summary_list() {
            entries += 1;
            let Some(arn) = recipe.arn() else { continue };
            for image in [recipe.parent_image(), recipe.instance_image()].into_iter().flatten() {
                facts.text(Kind::Recipe, arn, image);
            }
            by_hand.extend(is_by_hand(recipe.tags()).then(|| Recipe::Container(arn.to_owned())));
        }
    }
    facts.count(Source::Recipes, entries);
    let disks = stream::iter(by_hand).map(|recipe| async move { recipe.snapshots(aws).await });
    let disks: Vec<_> = disks.buffered(AT_ONCE).try_collect().await?;
    for (arn, snapshots) in disks {
        facts.disk(Kind::Recipe, &arn, snapshots.iter().map(String::as_str));
    }
    Ok(())
}

/// A recipe whose block device mappings are to be read: its list does not have them.
enum Recipe {
    Image(String),
    Container(String),
}

/// Recipes that bakes declare name no snapshot, and there may be as many of them as there were releases.
fn is_by_hand(tags: Option<&HashMap<String, String>>) -> bool {
    !tags.is_some_and(|tags| tags.contains_key(tag::SERVICE) && tags.contains_key(tag::ATTEMPT))
}

impl Recipe {
    /// Its ARN, and the snapshots it names. One that was deleted since it was listed names none.
    async fn snapshots(self, aws: &Aws) -> Result<(String, Vec<String>), StageError> {
        let (arn, mappings) = match self {
            Self::Image(arn) => {
                let answer = aws.imagebuilder.get_image_recipe().image_recipe_arn(&arn).send().await;
                let answer = answer.map_err(|e| AwsError::new("imagebuilder:GetImageRecipe", &arn, e));
                let recipe = unless_gone(answer)?.and_then(|answer| answer.image_recipe);
                (arn, recipe.and_then(|recipe| recipe.block_device_mappings))
            }
            Self::Container(arn) => {
                let answer = aws.imagebuilder.get_container_recipe().container_recipe_arn(&arn).send().await;
                let answer = answer.map_err(|e| AwsError::new("imagebuilder:GetContainerRecipe", &arn, e));
                let recipe = unless_gone(answer)?.and_then(|answer| answer.container_recipe);
                let instance = recipe.and_then(|recipe| recipe.instance_configuration);
                (arn, instance.and_then(|instance| instance.block_device_mappings))
            }
        };
        let snapshot = |mapping: InstanceBlockDeviceMapping| mapping.ebs?.snapshot_id;
        Ok((arn, mappings.unwrap_or_default().into_iter().filter_map(snapshot).collect()))
    }
}

fn unless_gone<A>(answer: Result<A, AwsError>) -> Result<Option<A>, StageError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.class == Class::Missing => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The images that a parent built by Image Builder came to: a recipe that names the parent by its ARN needs them.
pub async fn builds(aws: &Aws, facts: &mut Facts) -> Result<(), StageError> {
    for arn in facts.wanted_builds() {
        let answer = aws.imagebuilder.get_image().image_build_version_arn(&arn).send().await;
        let images = match answer.map_err(|e| AwsError::new("imagebuilder:GetImage", &arn, e)) {
            Ok(answer) => {
                let amis =
                    answer.image().and_then(|image| image.output_resources()).map(OutputResources::amis);
                amis.unwrap_or_default().iter().filter_map(|ami| ami.image().map(str::to_owned)).collect()
            }
            Err(error) if error.class == Class::Missing => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        facts.built.insert(arn, images);
    }
    Ok(())
}
