//! `bake.image_recipe`: the recipe of a machine image, kept with the application.

use crate::partitions::{partition_pattern, region_pattern};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::component::{Component, Reuse};
use crate::spec::names::{DISTRIBUTION_CONFIGURATION, INFRASTRUCTURE_CONFIGURATION, SOURCE_PATH};

/// Recipe of a machine image. Components and recipe are created in Image Builder under versions derived from their content: what did not change creates nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageRecipe {
    /// Parent image: the id of an AMI, the ARN of an Image Builder image (the newest version that matches), or `ssm:` and the name of a parameter that holds the id of an AMI.
    #[schemars(
        length(max = 1024),
        regex(
            pattern = concat!(r"^(ami-[0-9a-f]{8,17}|ssm:/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*|arn:", partition_pattern!(), r":imagebuilder:", region_pattern!(), r":([0-9]{12}|aws):image/[a-z0-9_-]+/([0-9]+|x)\.([0-9]+|x)\.([0-9]+|x))$")
        ),
        example = &"ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    )]
    pub parent_image: String,
    /// Components that build the image, in order.
    #[schemars(length(min = 1, max = 20))]
    pub components: Vec<Component>,
    /// Root volume. Default: that of the parent image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "RootVolume")]
    pub root_volume: Option<RootVolume>,
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

/// Root volume of the image, of type gp3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RootVolume {
    /// Device name of the root volume in the parent image.
    #[serde(default = "RootVolume::default_device")]
    #[schemars(regex(pattern = r"^/dev/[a-z]+[0-9]*$"), example = &"/dev/xvda")]
    pub device: String,
    /// Size in GiB.
    #[schemars(range(min = 1, max = 16000))]
    pub size_gib: u32,
    /// Whether the volume is encrypted.
    #[serde(default = "RootVolume::default_encrypted")]
    pub encrypted: bool,
    /// Id or ARN of the KMS key, or `alias/` and its name. Default: the account's default key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 1024))]
    pub kms_key: Option<String>,
}

impl RootVolume {
    fn default_device() -> String {
        "/dev/xvda".to_owned()
    }

    const fn default_encrypted() -> bool {
        true
    }
}
