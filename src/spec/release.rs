//! The release spec as a whole. The JSON Schema that checks a file is derived from these types; rules between
//! values are in `rules`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::NAME;
use super::{bake::Bake, cleanup::Cleanup, evidence::Evidence, promote::Promote, test::Test};

/// A release: how one service is baked into an image, tested, promoted and cleaned up after.
///
/// Leave a section out if the pipeline has no action of that stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSpec {
    /// Version of this format: 2.
    #[schemars(range(min = 2, max = 2))]
    pub version: u32,
    /// Name of the service, of its Image Builder recipes (which need 3 characters), and the value of the tag `bakeline:service` on its images: 3 to 40 of a-z, 0-9 and `-`, with no `-` at either end.
    #[schemars(length(min = 3, max = 40), regex(pattern = NAME), example = &"web")]
    pub service: String,
    /// Release channel, the value of the tag `bakeline:channel` on its images: 1 to 64 of a-z, 0-9 and `-`. Cleanup counts each channel on its own. Default: no tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", length(max = 64), regex(pattern = NAME), example = &"stable")]
    pub channel: Option<String>,
    /// How the image is baked. Read by the bake stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Bake")]
    pub bake: Option<Bake>,
    /// How the image is tested before production. Read by the test stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Test")]
    pub test: Option<Test>,
    /// How the image replaces the one in production. Read by the promote stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Promote")]
    pub promote: Option<Promote>,
    /// Which images of the service are kept. Read by the cleanup stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Cleanup")]
    pub cleanup: Option<Cleanup>,
    /// Settings of the evidence that each stage hands to the next one.
    #[serde(default)]
    pub evidence: Evidence,
}

/// A stage runs, and the spec has no section for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the release spec has no section `{section}`; the {section} stage needs it")]
pub struct MissingSection {
    /// Key of the section, which is also the name of the stage.
    pub section: &'static str,
}

impl ReleaseSpec {
    /// The version of the format that this build reads.
    pub const VERSION: u32 = 2;

    /// The section of the bake stage.
    ///
    /// # Errors
    /// [`MissingSection`] when the spec has none.
    pub fn bake(&self) -> Result<&Bake, MissingSection> {
        self.bake.as_ref().ok_or(MissingSection { section: "bake" })
    }

    /// The section of the test stage.
    ///
    /// # Errors
    /// [`MissingSection`] when the spec has none.
    pub fn test(&self) -> Result<&Test, MissingSection> {
        self.test.as_ref().ok_or(MissingSection { section: "test" })
    }

    /// The section of the promote stage.
    ///
    /// # Errors
    /// [`MissingSection`] when the spec has none.
    pub fn promote(&self) -> Result<&Promote, MissingSection> {
        self.promote.as_ref().ok_or(MissingSection { section: "promote" })
    }

    /// The section of the cleanup stage.
    ///
    /// # Errors
    /// [`MissingSection`] when the spec has none.
    pub fn cleanup(&self) -> Result<&Cleanup, MissingSection> {
        self.cleanup.as_ref().ok_or(MissingSection { section: "cleanup" })
    }

    /// The name of every environment that the spec uses, in the order of the stages.
    pub fn environments(&self) -> impl Iterator<Item = &str> {
        let bake = self.bake.iter().map(|bake| &bake.environment);
        let test = self.test.iter().map(|test| &test.environment);
        let promote = self.promote.iter().flat_map(|promote| {
            std::iter::once(&promote.environment).chain(promote.waves.iter().map(|wave| &wave.environment))
        });
        let cleanup = self.cleanup.iter().map(|cleanup| &cleanup.environment);
        bake.chain(test).chain(promote).chain(cleanup).filter_map(|name| name.as_deref())
    }
}
