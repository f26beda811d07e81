//! `bake.recipe`: what the image is made of, kept with the application.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the image is made of. Components and recipe are made in Image Builder under versions that follow from their content: what did not change makes nothing new.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// The image it starts from: an AMI's id, the ARN of an Image Builder image (its newest version that fits), or `ssm:` and the name of a parameter that holds an AMI's id.
    #[schemars(
        length(max = 1024),
        regex(
            pattern = r"^(ami-[0-9a-f]{8,17}|ssm:/?[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*|arn:aws(-[a-z]+)*:imagebuilder:[a-z]{2}(-[a-z]+)+-[0-9]:([0-9]{12}|aws):image/[a-z0-9_-]+/([0-9]+|x)\.([0-9]+|x)\.([0-9]+|x))$"
        ),
        example = &"ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    )]
    pub parent_image: String,
    /// What is done to it, in order.
    #[schemars(length(min = 1, max = 20))]
    pub components: Vec<Component>,
    /// The root volume. Not given: as the parent image has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Volume")]
    pub volume: Option<Volume>,
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

/// Whether an image that an earlier release baked from the same things may be taken instead of a new one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reuse {
    /// Every release bakes.
    #[default]
    Never,
    /// If the recipe, its components, the sources and the parent image are the same.
    SameParent,
    /// If they are the same but for the parent image: a newer parent alone bakes nothing.
    Always,
}

/// One component: a document of the source artifact, or one that exists in Image Builder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Component {
    /// Path of the component's document in the source artifact: relative, `/` between folders, of letters, digits and `._-`, no part beginning with a dot. Either this or `arn`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        length(max = 255),
        regex(pattern = r"^([A-Za-z0-9_-][A-Za-z0-9._-]*/)*[A-Za-z0-9_-][A-Za-z0-9._-]*$"),
        example = &"imagebuilder/web.yaml"
    )]
    pub document: Option<String>,
    /// ARN of a component that exists, of one exact version. Either this or `document`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(
        with = "String",
        regex(
            pattern = r"^arn:aws(-[a-z]+)*:imagebuilder:[a-z]{2}(-[a-z]+)+-[0-9]:([0-9]{12}|aws|third-party):component/[a-z0-9_-]+/[0-9]+\.[0-9]+\.[0-9]+(/[0-9]+)?$"
        ),
        example = &"arn:aws:imagebuilder:eu-west-1:aws:component/update-linux/1.0.2"
    )]
    pub arn: Option<String>,
    /// The component's parameters by name. They can be read in Image Builder by whoever may: no secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// The root volume of the image: of type gp3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Name of the parent image's root device.
    #[serde(default = "Volume::default_device")]
    #[schemars(regex(pattern = r"^/dev/[a-z]+[0-9]*$"), example = &"/dev/xvda")]
    pub device: String,
    /// Its size in GiB.
    #[schemars(range(min = 1, max = 16000))]
    pub size_gib: u32,
    /// Whether it is encrypted.
    #[serde(default = "Volume::default_encrypted")]
    pub encrypted: bool,
    /// Id or ARN of the KMS key, or `alias/` and its name. Not given: the account's default key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(min = 1, max = 1024))]
    pub kms_key: Option<String>,
}

impl Volume {
    fn default_device() -> String {
        "/dev/xvda".to_owned()
    }

    const fn default_encrypted() -> bool {
        true
    }
}
