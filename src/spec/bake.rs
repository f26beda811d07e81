//! The `bake` section: how the image is baked.

pub mod component;
pub mod container_recipe;
pub mod gates;
pub mod image_recipe;
pub mod scan;

use crate::partitions::{partition_pattern, region_pattern};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::component::{Component, Reuse};
use self::container_recipe::ContainerRecipe;
use self::gates::Gates;
use self::image_recipe::ImageRecipe;
use super::names::{NAME, PARAMETER};
use super::one_of::one_of;
use super::span::Span;

/// How the image is baked: by a recipe in this file for a machine image or a container image, or by an Image Builder pipeline that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = one_of(&["image_recipe", "container_recipe", "image_pipeline"])))]
pub struct Bake {
    /// Environment that the stage acts in: a role and a region in the worker's own file. Default: the worker's own role and region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64), regex(pattern = NAME), example = &"build")]
    pub environment: Option<String>,
    /// Recipe of a machine image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ImageRecipe")]
    pub image_recipe: Option<ImageRecipe>,
    /// Recipe of a container image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ContainerRecipe")]
    pub container_recipe: Option<ContainerRecipe>,
    /// Image Builder pipeline that exists and bakes the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ImagePipeline")]
    pub image_pipeline: Option<ImagePipeline>,
    /// Conditions that the image must meet to count as baked.
    #[serde(default, skip_serializing_if = "Gates::is_empty")]
    pub gates: Gates,
    /// Copies whose content is read through the EBS direct APIs, hashed and written into the statement: none, `one_copy` (the one in the worker's region) or `every_copy` of the account, which must all be equal. Reading costs about $0.006 per GiB written.
    #[serde(default, skip_serializing_if = "ContentDigest::is_default")]
    pub content_digest: ContentDigest,
    /// Where the new image is published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Publish")]
    pub publish: Option<Publish>,
    /// How long a build may go without progress before it is cancelled. At least 5m, at most 14d. Default: as long as `timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Span", extend("x-min" = "5m", "x-max" = "14d"))]
    pub progress_timeout: Option<Span>,
    /// How long the bake may take, from the start of the build to copies in every region. At least 5m, at most 14d.
    #[schemars(extend("x-min" = "5m", "x-max" = "14d"))]
    pub timeout: Span,
}

/// What recipes of machine images and of container images have in common.
#[derive(Clone, Copy, Debug)]
pub struct Recipe<'a> {
    /// Key of the recipe in the section.
    pub key: &'static str,
    pub parent_image: &'a str,
    pub components: &'a [Component],
    pub infrastructure_configuration: &'a str,
    pub distribution_configuration: Option<&'a str>,
    pub reuse: Reuse,
    pub source_paths: &'a [String],
}

impl Bake {
    /// The recipe; none when an image pipeline bakes.
    #[must_use]
    pub fn recipe(&self) -> Option<Recipe<'_>> {
        let image = self.image_recipe.as_ref().map(|recipe| Recipe {
            key: "image_recipe",
            parent_image: &recipe.parent_image,
            components: &recipe.components,
            infrastructure_configuration: &recipe.infrastructure_configuration,
            distribution_configuration: recipe.distribution_configuration.as_deref(),
            reuse: recipe.reuse,
            source_paths: &recipe.source_paths,
        });
        image.or_else(|| {
            self.container_recipe.as_ref().map(|recipe| Recipe {
                key: "container_recipe",
                parent_image: &recipe.parent_image,
                components: &recipe.components,
                infrastructure_configuration: &recipe.infrastructure_configuration,
                distribution_configuration: recipe.distribution_configuration.as_deref(),
                reuse: recipe.reuse,
                source_paths: &recipe.source_paths,
            })
        })
    }

    /// ARN of the image pipeline that bakes, if one does.
    #[must_use]
    pub fn image_pipeline(&self) -> Option<&str> {
        self.image_pipeline.as_ref().map(|pipeline| pipeline.arn.as_str())
    }

    /// Name of the parameter that the image is published to.
    #[must_use]
    pub fn parameter(&self) -> Option<&str> {
        self.publish.as_ref().map(|publish| publish.parameter.as_str())
    }

    /// Paths in the source artifact of the files that a recipe names, each with what it is.
    #[must_use]
    pub fn documents(&self) -> Vec<(&str, &'static str)> {
        let components = self.recipe().map(|recipe| recipe.components).unwrap_or_default();
        let components = components.iter().filter_map(|component| component.path.as_deref());
        let dockerfile = self.container_recipe.as_ref().and_then(|recipe| recipe.dockerfile.as_deref());
        components
            .map(|path| (path, "a component document that the spec names"))
            .chain(dockerfile.map(|path| (path, "the Dockerfile template that the spec names")))
            .collect()
    }
}

/// An Image Builder pipeline that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImagePipeline {
    /// ARN of the image pipeline.
    #[schemars(
        regex(
            pattern = concat!(r"^arn:", partition_pattern!(), r":imagebuilder:", region_pattern!(), r":[0-9]{12}:image-pipeline/[a-z0-9_-]{1,128}$")
        ),
        example = &"arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web"
    )]
    pub arn: String,
}

/// Where the new image is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Name of the SSM parameter that is set to the image: letters, digits and `_.-`, in parts between single `/`. A machine image sets its id (data type `aws:ec2:image`), a container image the reference to pull it by digest.
    #[schemars(length(min = 1, max = 1011), regex(pattern = PARAMETER), example = &"/bakeline/images/web/candidate")]
    pub parameter: String,
}

choice! {
    /// Copies whose content is read and hashed.
    ContentDigest { None, OneCopy, EveryCopy }
}
