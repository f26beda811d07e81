//! The `bake` section: how the image is baked.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;

/// How the image is baked: one execution of an EC2 Image Builder pipeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bake {
    /// ARN of the Image Builder pipeline that bakes the image.
    #[schemars(
        regex(
            pattern = r"^arn:aws(-[a-z]+)*:imagebuilder:[a-z]{2}(-[a-z]+)+-[0-9]:[0-9]{12}:image-pipeline/[a-z0-9_-]{1,128}$"
        ),
        example = &"arn:aws:imagebuilder:eu-west-1:123456789012:image-pipeline/web"
    )]
    pub image_pipeline: String,
    /// How long the image may take, from the start of the pipeline to copies in every region. At least 5m, at most
    /// 14d.
    #[schemars(extend("x-at-least" = "5m", "x-at-most" = "14d"))]
    pub timeout: Span,
    /// Name of an SSM parameter (data type `aws:ec2:image`) that is set to the new image: letters, digits and `_.-`,
    /// in parts between single `/`.
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
