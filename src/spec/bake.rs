//! The `bake` section: how the image is baked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::container::Container;
use super::gates::Gates;
use super::recipe::Recipe;
use super::span::Span;

/// How the image is baked: by an EC2 Image Builder pipeline that exists, or by a recipe that is written here, for a machine image or for a container image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bake {
    /// ARN of the Image Builder pipeline that bakes the image. Either this, `recipe` or `container`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        regex(
            pattern = r"^arn:aws(-[a-z]+)*:imagebuilder:[a-z]{2}(-[a-z]+)+-[0-9]:[0-9]{12}:image-pipeline/[a-z0-9_-]{1,128}$"
        ),
        example = &"arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web"
    )]
    pub image_pipeline: Option<String>,
    /// What the machine image is made of. Either this, `image_pipeline` or `container`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Recipe")]
    pub recipe: Option<Recipe>,
    /// What the container image is made of. Either this, `image_pipeline` or `recipe`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Container")]
    pub container: Option<Container>,
    /// How long the image may take, from the start of the pipeline to copies in every region. At least 5m, at most
    /// 14d.
    #[schemars(extend("x-at-least" = "5m", "x-at-most" = "14d"))]
    pub timeout: Span,
    /// How long a build may show no progress at all before it is cancelled. Not given: as long as `timeout` allows. At least 5m, at most 14d.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Span", extend("x-at-least" = "5m", "x-at-most" = "14d"))]
    pub stalled_after: Option<Span>,
    /// Name of an SSM parameter that is set to the new image: letters, digits and `_.-`, in parts between single `/`. It holds a machine image's id (data type `aws:ec2:image`), or what a container image is pulled by, with its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        length(min = 1, max = 1011),
        regex(pattern = r"^/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$"),
        example = &"/imagebuilder/web/candidate"
    )]
    pub parameter: Option<String>,
    /// Copies of the image that must come out of the pipeline's distribution. None given: those that come out are taken as they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200))]
    pub expect: Vec<ImageCopy>,
    /// Whose content is read through the EBS direct API and bound by the statement. Not given: the statement binds the images' identities only. It costs about $0.006 for each GiB that is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Content")]
    pub content: Option<Content>,
    /// What must hold of the image before it counts as baked.
    #[serde(default, skip_serializing_if = "Gates::is_empty")]
    pub gates: Gates,
}

impl Bake {
    /// Paths in the source artifact of the documents a recipe names, and what each is.
    #[must_use]
    pub fn documents(&self) -> Vec<(&str, &'static str)> {
        let components = match (&self.recipe, &self.container) {
            (Some(recipe), _) => recipe.components.as_slice(),
            (None, Some(container)) => container.components.as_slice(),
            (None, None) => &[],
        };
        let components = components.iter().filter_map(|component| component.document.as_deref());
        let dockerfile = self.container.as_ref().and_then(|container| container.dockerfile.as_deref());
        components
            .map(|path| (path, "a component's document the spec names"))
            .chain(dockerfile.map(|path| (path, "the Dockerfile template the spec names")))
            .collect()
    }
}

/// Whose content is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// That of the copy in the worker's own region, for all of them.
    Home,
    /// That of every copy of the account; they must be equal.
    All,
}

/// One copy of an image: a region and the account that owns it there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageCopy {
    /// The region, such as eu-west-1.
    #[schemars(regex(pattern = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"), example = &"eu-west-1")]
    pub region: String,
    /// The account's twelve digits, in quotes.
    #[schemars(regex(pattern = r"^[0-9]{12}$"), example = &"123456789012")]
    pub account: String,
}
