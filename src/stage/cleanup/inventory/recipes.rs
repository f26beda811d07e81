//! Image Builder: recipes of this account, and the images they stand on or are built on.

use aws_sdk_imagebuilder::types::{OutputResources, Ownership};

use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::stage::cleanup::graph::{Facts, Kind, Source};

/// The largest page of Image Builder's lists.
const PAGE: i32 = 25;

/// Every image recipe with its parent image, and every container recipe with the image its build instances run.
pub async fn recipes(aws: &Aws, facts: &mut Facts) -> Result<(), StageError> {
    let ask = aws.imagebuilder.list_image_recipes().owner(Ownership::SelfValue).max_results(PAGE);
    let mut pages = ask.into_paginator().send();
    let mut entries = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("imagebuilder:ListImageRecipes", "every recipe", e))?;
        for recipe in page.image_recipe_summary_list() {
            entries += 1;
            if let (Some(arn), Some(parent)) = (recipe.arn(), recipe.parent_image()) {
                facts.text(Kind::Recipe, arn, parent);
            }
        }
    }
    let ask = aws.imagebuilder.list_container_recipes().owner(Ownership::SelfValue).max_results(PAGE);
    let mut pages = ask.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("imagebuilder:ListContainerRecipes", "every recipe", e))?;
        for recipe in page.container_recipe_summary_list() {
            entries += 1;
            for image in [recipe.parent_image(), recipe.instance_image()].into_iter().flatten() {
                facts.text(Kind::Recipe, recipe.arn().unwrap_or("a container recipe"), image);
            }
        }
    }
    facts.count(Source::Recipes, entries);
    Ok(())
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
