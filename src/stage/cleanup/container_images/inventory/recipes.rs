//! Image Builder's container recipes, and the images they stand on.

use aws_sdk_imagebuilder::types::{Container, OutputResources, Ownership};

use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::stage::cleanup::containers::graph::{Facts, Kind, User};
use crate::stage::cleanup::graph::Source;

/// The largest page of Image Builder's lists.
const PAGE: i32 = 25;

/// Every container recipe with its parent: an image's address, or a build of Image Builder's and what it came to.
pub async fn recipes(aws: &Aws, facts: &mut Facts) -> Result<(), StageError> {
    let ask = aws.imagebuilder.list_container_recipes().owner(Ownership::SelfValue).max_results(PAGE);
    let mut pages = ask.into_paginator().send();
    let (mut entries, mut builds) = (0, Vec::new());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("imagebuilder:ListContainerRecipes", "every recipe", e))?;
        for recipe in page.container_recipe_summary_list() {
            entries += 1;
            let (Some(arn), Some(parent)) = (recipe.arn(), recipe.parent_image()) else { continue };
            let user = User::new(Kind::Recipe, arn);
            if parent.starts_with("arn:") {
                builds.push((user, parent.to_owned()));
            } else {
                facts.text(user, parent);
            }
        }
    }
    facts.count(Source::Recipes, entries);
    for (user, build) in builds {
        let answer = aws.imagebuilder.get_image().image_build_version_arn(&build).send().await;
        let answer = match answer.map_err(|e| AwsError::new("imagebuilder:GetImage", &build, e)) {
            Err(error) if error.class == Class::Missing => continue,
            answer => answer?,
        };
        let outputs = answer.image().and_then(|image| image.output_resources());
        let containers = outputs.map(OutputResources::containers).unwrap_or_default();
        for address in containers.iter().flat_map(Container::image_uris) {
            facts.text(user.clone(), address);
        }
    }
    Ok(())
}
