//! The `cleanup` section: which images are kept, and how the others are removed.

pub mod container_images;
pub mod machine_images;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::container_images::ContainerImages;
use self::machine_images::MachineImages;
use super::names::NAME;
use super::span::Span;

/// Which images of the service are kept, and how the others are removed. Images in use are always kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("anyOf" = [{"required": ["machine_images"]}, {"required": ["container_images"]}]))]
pub struct Cleanup {
    /// Environment that the stage acts in: a role and a region in the worker's own file. Default: the worker's own role and region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64), regex(pattern = NAME), example = &"production")]
    pub environment: Option<String>,
    /// Rules for machine images (AMIs) of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "MachineImages")]
    pub machine_images: Option<MachineImages>,
    /// Rules for container images in ECR repositories.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ContainerImages")]
    pub container_images: Option<ContainerImages>,
}

const fn week() -> Span {
    Span::from_secs(7 * 86_400)
}

const fn hundred() -> u32 {
    100
}
