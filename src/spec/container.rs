//! `bake.container`: what a container image is made of, kept with the application.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::recipe::{Component, Reuse};

/// What the container image is made of. Components and recipe are made in Image Builder under versions that follow from their content: what did not change makes nothing new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// The image it starts from, as a Dockerfile's FROM names it, or the ARN of an Image Builder container image. One in ECR is held by its digest: a tag that means another image makes another bake.
    #[schemars(
        length(max = 300),
        regex(
            pattern = r"^(arn:aws(-[a-z]+)*:imagebuilder:[a-z]{2}(-[a-z]+)+-[0-9]:([0-9]{12}|aws):image/[a-z0-9_-]+/([0-9]+|x)\.([0-9]+|x)\.([0-9]+|x)|[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?)$"
        ),
        example = &"123456789012.dkr.ecr.eu-west-1.amazonaws.com/base:2026-11"
    )]
    pub parent_image: String,
    /// What is done to it, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub components: Vec<Component>,
    /// Path of a Dockerfile template in the source artifact. It begins FROM `{{{ imagebuilder:parentImage }}}` and has `{{{ imagebuilder:components }}}` where the components are to run. Not given: a template of these two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        length(max = 255),
        regex(pattern = r"^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$"),
        example = &"image/Dockerfile"
    )]
    pub dockerfile: Option<String>,
    /// The repository in ECR that the image is pushed to, where the build is and wherever the distribution names no other.
    #[schemars(
        length(min = 2, max = 256),
        regex(pattern = r"^([a-z0-9]+([._-][a-z0-9]+)*/)*[a-z0-9]+([._-][a-z0-9]+)*$"),
        example = &"web"
    )]
    pub repository: String,
    /// ARN of the infrastructure configuration that builds run on.
    #[schemars(
        regex(
            pattern = r"^arn:aws(-[a-z]+)*:imagebuilder:[a-z]{2}(-[a-z]+)+-[0-9]:[0-9]{12}:infrastructure-configuration/[a-z0-9_-]{1,128}$"
        ),
        example = &"arn:aws:imagebuilder:eu-west-1:123456789012:infrastructure-configuration/web"
    )]
    pub infrastructure: String,
    /// ARN of the distribution configuration. Not given: one image, where it was built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        regex(
            pattern = r"^arn:aws(-[a-z]+)*:imagebuilder:[a-z]{2}(-[a-z]+)+-[0-9]:[0-9]{12}:distribution-configuration/[a-z0-9_-]{1,128}$"
        ),
        example = &"arn:aws:imagebuilder:eu-west-1:123456789012:distribution-configuration/web"
    )]
    pub distribution: Option<String>,
    /// Whether an image that an earlier release baked from the same things may be taken instead of a new one.
    #[serde(default)]
    pub reuse: Reuse,
    /// Files and folders of the source artifact that go into the image: their content is part of what makes two bakes the same. None given: everything in the source artifact.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 50),
        inner(
            length(max = 255),
            regex(pattern = r"^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$")
        )
    )]
    pub sources: Vec<String>,
}
