//! `cleanup.machine_images`: which AMIs are kept, and how the others are removed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{hundred, week};
use crate::spec::names::{ACCOUNT, NAME, REGION};
use crate::spec::span::Span;

/// Which AMIs of the service are kept, and how the others are removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MachineImages {
    /// AMIs that are kept, beside those in use.
    pub keep: Keep,
    /// What happens to AMIs that other accounts may launch: keep, or `keep_while_used` (kept while EC2's image usage report names an instance or a launch template in another account; launch configurations of other accounts do not show).
    #[serde(default, skip_serializing_if = "SharedImages::is_default")]
    pub shared_images: SharedImages,
    /// How long an AMI stays disabled, and can be restored, before it is deregistered. Default: 7d.
    #[serde(default = "week")]
    pub quarantine: Span,
    /// Most AMIs that one cleanup disables or deregisters, the oldest first. Default: 100.
    #[serde(default = "hundred")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_per_run: u32,
    /// Other values of `keep` for a region, an account or a channel. Where several match, the last one wins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub overrides: Vec<Override>,
}

/// AMIs that are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keep {
    /// Number of newest AMIs of each channel (tag `bakeline:channel`) that are kept.
    #[schemars(range(min = 1, max = 1000))]
    pub last: u32,
    /// AMIs younger than this are kept.
    pub younger_than: Span,
    /// AMIs promoted within this time are kept. Default: 30d.
    #[serde(default = "month")]
    pub promoted_within: Span,
    /// AMIs launched within this time are kept. EC2 reports a launch up to a day late. Default: 7d.
    #[serde(default = "week")]
    pub launched_within: Span,
}

choice! {
    /// What happens to AMIs that other accounts may launch.
    SharedImages { Keep, KeepWhileUsed }
}

/// Other values of `keep` for the AMIs that match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// AMIs that the values are for.
    #[serde(rename = "match")]
    pub matches: Match,
    /// Values in place of those in `machine_images.keep`.
    pub keep: KeepOverride,
}

/// AMIs that an override is for: those that match every key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Match {
    /// Region of the AMIs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = REGION), example = &"eu-west-1")]
    pub region: Option<String>,
    /// Account that owns the AMIs: twelve digits, in quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = ACCOUNT), example = &"123456789012")]
    pub account: Option<String>,
    /// Channel of the AMIs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64), regex(pattern = NAME), example = &"beta")]
    pub channel: Option<String>,
}

/// Values in place of those in `machine_images.keep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct KeepOverride {
    /// In place of `keep.last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32", range(min = 1, max = 1000))]
    pub last: Option<u32>,
    /// In place of `keep.younger_than`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Span")]
    pub younger_than: Option<Span>,
    /// In place of `keep.promoted_within`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Span")]
    pub promoted_within: Option<Span>,
    /// In place of `keep.launched_within`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Span")]
    pub launched_within: Option<Span>,
}

impl Match {
    fn fits(&self, region: &str, account: &str, channel: &str) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|wanted| wanted == is);
        fits(&self.region, region) && fits(&self.account, account) && fits(&self.channel, channel)
    }
}

impl MachineImages {
    /// The values of `keep` for AMIs of one region, account and channel.
    #[must_use]
    pub fn keep_of(&self, region: &str, account: &str, channel: &str) -> Keep {
        let matching = self.overrides.iter().filter(|one| one.matches.fits(region, account, channel));
        matching.fold(self.keep, |keep, Override { keep: other, .. }| Keep {
            last: other.last.unwrap_or(keep.last),
            younger_than: other.younger_than.unwrap_or(keep.younger_than),
            promoted_within: other.promoted_within.unwrap_or(keep.promoted_within),
            launched_within: other.launched_within.unwrap_or(keep.launched_within),
        })
    }
}

const fn month() -> Span {
    Span::from_secs(30 * 86_400)
}
