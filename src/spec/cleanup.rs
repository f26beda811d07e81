//! The `cleanup` section: which images are kept, and how the others go.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::span::Span;

/// Which images of the service are kept, and how the others go. Those in use are kept whatever stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cleanup {
    /// How many of the newest images of each channel are kept. The channel is the tag `bakeline:channel`.
    #[schemars(range(min = 1, max = 1000))]
    pub keep_last: u32,
    /// Images younger than this are kept.
    pub keep_younger_than: Span,
    /// Images promoted within this time are kept.
    #[serde(default = "month")]
    pub keep_promoted_within: Span,
    /// Images launched within this time are kept. AWS tells of a launch a day late.
    #[serde(default = "week")]
    pub keep_launched_within: Span,
    /// What happens to images that other accounts may launch.
    #[serde(default)]
    pub shared: Shared,
    /// How long an image is disabled, and can be brought back as it was, before it is deregistered.
    #[serde(default = "week")]
    pub quarantine: Span,
    /// How many images one cleanup takes a step with, the oldest first.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1000))]
    pub at_most: u32,
    /// Other numbers for a region, an account or a channel. Of several that fit, the last one says.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub exceptions: Vec<Exception>,
    /// Repositories of ECR whose container images are cleaned up too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Containers")]
    pub containers: Option<Containers>,
}

/// Which container images are kept, and how the others go. Those in use are kept whatever stands here, as far as ECS,
/// Lambda, Systems Manager and Image Builder tell; what Kubernetes runs they do not tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Containers {
    /// The repositories, by name.
    #[schemars(
        length(min = 1, max = 20),
        inner(length(min = 2, max = 256), regex(pattern = r"^[a-z0-9]+([._/-]+[a-z0-9]+)*$"))
    )]
    pub repositories: Vec<String>,
    /// How many of the newest images with a tag are kept in each repository. What an index names does not count.
    #[schemars(range(min = 1, max = 1000))]
    pub keep_last: u32,
    /// Images younger than this are kept.
    pub keep_younger_than: Span,
    /// Images pulled within this time are kept. ECR tells of a pull at least once a day.
    #[serde(default = "week")]
    pub keep_pulled_within: Span,
    /// Images with such a tag are kept; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 300)))]
    pub keep_tags: Vec<String>,
    /// How long an image lies in ECR's archive, and can be brought back, before it is deleted.
    #[serde(default = "week")]
    pub quarantine: Span,
    /// How many images one cleanup puts into the archive, the oldest first.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1000))]
    pub at_most: u32,
}

/// What happens to images that other accounts may launch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shared {
    /// They are kept.
    #[default]
    Keep,
    /// They are kept while EC2's image usage report names an instance or a launch template in another account.
    /// Auto Scaling launch configurations of other accounts stay unseen.
    ByUsage,
}

/// Other numbers for the images that fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exception {
    /// The region the images lie in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[a-z]{2}(-[a-z]+)+-[0-9]$"), with = "String")]
    pub region: Option<String>,
    /// The account that owns the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9]{12}$"), with = "String")]
    pub account: Option<String>,
    /// The channel of the images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128), with = "String")]
    pub channel: Option<String>,
    /// In place of `keep_last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000), with = "u32")]
    pub keep_last: Option<u32>,
    /// In place of `keep_younger_than`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Span")]
    pub keep_younger_than: Option<Span>,
    /// In place of `keep_promoted_within`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Span")]
    pub keep_promoted_within: Option<Span>,
}

/// The numbers that hold for one image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub last: u32,
    pub younger_than: Span,
    pub promoted_within: Span,
}

impl Cleanup {
    /// The numbers for images of one region, account and channel.
    #[must_use]
    pub fn limits(&self, region: &str, account: &str, channel: &str) -> Limits {
        let mut limits = Limits {
            last: self.keep_last,
            younger_than: self.keep_younger_than,
            promoted_within: self.keep_promoted_within,
        };
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        for other in &self.exceptions {
            if fits(&other.region, region) && fits(&other.account, account) && fits(&other.channel, channel) {
                limits = Limits {
                    last: other.keep_last.unwrap_or(limits.last),
                    younger_than: other.keep_younger_than.unwrap_or(limits.younger_than),
                    promoted_within: other.keep_promoted_within.unwrap_or(limits.promoted_within),
                };
            }
        }
        limits
    }
}

const fn week() -> Span {
    Span::from_secs(7 * 86_400)
}

const fn month() -> Span {
    Span::from_secs(30 * 86_400)
}

const fn hundred() -> u32 {
    100
}
