//! `cleanup.container_images`: which container images are kept, and how the others are removed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{hundred, week};
use crate::spec::span::Span;

/// Which container images are kept, and how the others are removed. Use in ECS, Lambda, Systems Manager and Image Builder is known; use in Kubernetes is not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ContainerImages {
    /// Names of the ECR repositories.
    #[schemars(
        length(min = 1, max = 20),
        inner(length(min = 2, max = 256), regex(pattern = r"^[a-z0-9]+([._/-]+[a-z0-9]+)*$"))
    )]
    pub repositories: Vec<String>,
    /// Container images that are kept, beside those in use.
    pub keep: KeepContainers,
    /// How long an image stays in ECR's archive, and can be restored, before it is deleted. Default: 7d.
    #[serde(default = "week")]
    pub quarantine: Span,
    /// Most images that one cleanup archives or deletes, the oldest first. Default: 100.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_per_run: u32,
}

/// Container images that are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeepContainers {
    /// Number of newest tagged images that are kept in each repository. Images that an index lists do not count.
    #[schemars(range(min = 1, max = 1000))]
    pub last: u32,
    /// Images younger than this are kept.
    pub younger_than: Span,
    /// Images pulled within this time are kept. ECR records pulls at least once a day. Default: 7d.
    #[serde(default = "week")]
    pub pulled_within: Span,
    /// Images with a tag that matches one of these patterns are kept; `*` matches any text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 300)))]
    pub tags: Vec<String>,
}
