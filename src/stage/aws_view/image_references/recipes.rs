//! References from Image Builder: the parent images of this account's recipes, and the images that build instances
//! run.

use std::collections::HashMap;

use aws_sdk_imagebuilder::types::{InstanceBlockDeviceMapping, OutputResources, Ownership};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::AT_ONCE;
use super::graph::{ListName, Listings, ResourceKind};
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::tag;

/// The largest page of Image Builder's lists.
const PAGE: i32 = 25;

/// Reads every recipe: its parent image, the image that a container recipe's build instances run, and the snapshots
/// in its block device mappings.
pub async fn recipes(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    let ask = aws.imagebuilder.list_image_recipes().owner(Ownership::SelfValue).max_results(PAGE);
    let mut pages = ask.into_paginator().send();
    let (mut entries, mut by_hand) = (0, Vec::new());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("imagebuilder:ListImageRecipes", "every recipe", e))?;
        for recipe in page.image_recipe_summary_list() {
            entries += 1;
            let Some(arn) = recipe.arn() else { continue };
            if let Some(parent) = recipe.parent_image() {
                listings.add_text(ResourceKind::Recipe, arn, parent);
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
                listings.add_text(ResourceKind::Recipe, arn, image);
            }
            by_hand.extend(is_by_hand(recipe.tags()).then(|| Recipe::Container(arn.to_owned())));
        }
    }
    listings.set_length(ListName::Recipes, entries);
    let disks = stream::iter(by_hand).map(|recipe| async move { recipe.snapshots(aws).await });
    let disks: Vec<_> = disks.buffered(AT_ONCE).try_collect().await?;
    for (arn, snapshots) in disks {
        listings.add_snapshots(ResourceKind::Recipe, &arn, snapshots.iter().map(String::as_str));
    }
    Ok(())
}

/// A recipe whose block device mappings must be read one by one, because the list omits them.
enum Recipe {
    Image(String),
    Container(String),
}

/// Whether a person made the recipe. Recipes that a bake declares name no snapshot, and each release adds one.
fn is_by_hand(tags: Option<&HashMap<String, String>>) -> bool {
    !tags.is_some_and(|tags| tags.contains_key(tag::SERVICE) && tags.contains_key(tag::ATTEMPT))
}

impl Recipe {
    /// The recipe's ARN and the snapshots it names; none if it was deleted since it was listed.
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

/// Reads the machine images that parent builds produced: a recipe may name its parent by the ARN of an Image Builder
/// image.
pub async fn build_outputs(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    for arn in listings.wanted_builds() {
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
        listings.build_outputs.insert(arn, images);
    }
    Ok(())
}
