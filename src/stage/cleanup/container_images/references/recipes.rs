//! References from Image Builder's container recipes to their parent images.

use aws_sdk_imagebuilder::types::{Container, OutputResources, Ownership};

use super::graph::{Listings, Resource, ResourceKind};
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::stage::aws_view::image_references::graph::ListName;

/// The largest page of Image Builder's lists.
const PAGE: i32 = 25;

/// Reads every container recipe with its parent: an image address, or an Image Builder image with the containers it
/// produced.
pub async fn recipes(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    let ask = aws.imagebuilder.list_container_recipes().owner(Ownership::SelfValue).max_results(PAGE);
    let mut pages = ask.into_paginator().send();
    let (mut entries, mut builds) = (0, Vec::new());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("imagebuilder:ListContainerRecipes", "every recipe", e))?;
        for recipe in page.container_recipe_summary_list() {
            entries += 1;
            let (Some(arn), Some(parent)) = (recipe.arn(), recipe.parent_image()) else { continue };
            let resource = Resource::new(ResourceKind::Recipe, arn);
            if parent.starts_with("arn:") {
                builds.push((resource, parent.to_owned()));
            } else {
                listings.add_text(resource, parent);
            }
        }
    }
    listings.add_length(ListName::Recipes, entries);
    for (resource, build) in builds {
        let answer = aws.imagebuilder.get_image().image_build_version_arn(&build).send().await;
        let answer = match answer.map_err(|e| AwsError::new("imagebuilder:GetImage", &build, e)) {
            Err(error) if error.class == Class::Missing => continue,
            answer => answer?,
        };
        let outputs = answer.image().and_then(|image| image.output_resources());
        let containers = outputs.map(OutputResources::containers).unwrap_or_default();
        for address in containers.iter().flat_map(Container::image_uris) {
            listings.add_text(resource.clone(), address);
        }
    }
    Ok(())
}
