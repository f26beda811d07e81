//! `bake.container_recipe`: the recipe of a container image, kept with the application.

use crate::partitions::{partition_pattern, region_pattern};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::component::{Component, Reuse};
use crate::spec::names::{DISTRIBUTION_CONFIGURATION, INFRASTRUCTURE_CONFIGURATION, SOURCE_PATH};

/// Recipe of a container image. Components and recipe are created in Image Builder under versions derived from their content: what did not change creates nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerRecipe {
    /// Parent image, as FROM of a Dockerfile names it, or the ARN of an Image Builder container image. An image in ECR is resolved to its digest: when the tag moves, the next release bakes a new image.
    #[schemars(
        length(max = 300),
        regex(
            pattern = concat!(r"^(arn:", partition_pattern!(), r":imagebuilder:", region_pattern!(), r":([0-9]{12}|aws):image/[a-z0-9_-]+/([0-9]+|x)\.([0-9]+|x)\.([0-9]+|x)|[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?)$")
        ),
        example = &"123456789012.dkr.ecr.eu-west-1.amazonaws.com/base:2026-11"
    )]
    pub parent_image: String,
    /// Components that build the image, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub components: Vec<Component>,
    /// Path of a Dockerfile template in the source artifact. It begins with FROM `{{{ imagebuilder:parentImage }}}` and has `{{{ imagebuilder:components }}}` where the components run. Default: a template of these two lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        length(max = 255),
        regex(pattern = SOURCE_PATH),
        example = &"image/Dockerfile"
    )]
    pub dockerfile: Option<String>,
    /// Name of the ECR repository that the image is pushed to: in the region of the build, and wherever the distribution configuration names no other.
    #[schemars(
        length(min = 2, max = 256),
        regex(pattern = r"^([a-z0-9]+([._-][a-z0-9]+)*/)*[a-z0-9]+([._-][a-z0-9]+)*$"),
        example = &"web"
    )]
    pub repository: String,
    /// ARN of the infrastructure configuration that builds run on.
    #[schemars(
        regex(pattern = INFRASTRUCTURE_CONFIGURATION),
        example = &"arn:aws:imagebuilder:eu-west-1:123456789012:infrastructure-configuration/web"
    )]
    pub infrastructure_configuration: String,
    /// ARN of the distribution configuration. Default: one copy, in the region of the build.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        regex(pattern = DISTRIBUTION_CONFIGURATION),
        example = &"arn:aws:imagebuilder:eu-west-1:123456789012:distribution-configuration/web"
    )]
    pub distribution_configuration: Option<String>,
    /// When the image of an earlier release is reused in place of a new one: never, unchanged (recipe, components, sources and parent image are the same), or `unchanged_except_parent` (a newer parent image alone bakes nothing).
    #[serde(default, skip_serializing_if = "Reuse::is_default")]
    pub reuse: Reuse,
    /// Files and folders of the source artifact that go into the image. A change in them bakes a new image. Default: everything in the source artifact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(max = 255), regex(pattern = SOURCE_PATH)))]
    pub source_paths: Vec<String>,
}
