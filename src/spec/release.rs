//! The release spec as types. The JSON Schema that checks a spec file is derived from them, so that a rule on
//! one value stands here once; rules between values stand in [`super::rules`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{bake::Bake, cleanup::Cleanup, promote::Promote, span::Span, test::Test};

/// A release: how one service is baked into an image, tested, promoted and cleaned up after.
///
/// A stage's section may be left out where the pipeline has no action of that kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseSpec {
    /// The version of this format.
    #[schemars(range(min = 1, max = 1))]
    pub version: u32,
    /// The service's name, 1 to 40 of a-z, 0-9 and `-`: the value of the tag `bakeline:service` on its images.
    #[schemars(regex(pattern = r"^[a-z0-9-]{1,40}$"), example = &"web")]
    pub service: String,
    /// How the image is baked. Read by the bake stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Bake")]
    pub bake: Option<Bake>,
    /// How the image is tested on an instance in staging. Read by the test stage.
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
    /// What holds for the statements that travel between the stages.
    #[serde(default)]
    pub evidence: Evidence,
    /// In whose name each stage acts: a target that the worker's configuration has under this name. A stage without
    /// one acts as the worker itself.
    #[serde(default, skip_serializing_if = "Targets::is_none")]
    pub targets: Targets,
}

/// Names of targets by stage. What role a name stands for is the worker's to say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// Where the image is baked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9-]{1,32}$"), example = &"build")]
    pub bake: Option<String>,
    /// Where the image is tested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9-]{1,32}$"), example = &"staging")]
    pub test: Option<String>,
    /// Where the image is promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9-]{1,32}$"), example = &"production")]
    pub promote: Option<String>,
    /// Where images are removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", regex(pattern = r"^[a-z0-9-]{1,32}$"), example = &"production")]
    pub cleanup: Option<String>,
}

impl Targets {
    fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// Every name, in the order of the stages.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        [&self.bake, &self.test, &self.promote, &self.cleanup].into_iter().filter_map(|name| name.as_deref())
    }
}

/// A section that a stage needs and the spec does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the release spec has no section `{section}`; the {section} stage does not run without it")]
pub struct MissingSection {
    /// The key of the section, which is also the name of the stage.
    pub section: &'static str,
}

impl ReleaseSpec {
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
}

/// What holds for the statements that travel between the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// How long a hand-over may wait for the next stage. At least 1h, at most 90d.
    #[schemars(extend("x-at-least" = "1h", "x-at-most" = "90d"))]
    pub valid_for: Span,
}

impl Default for Evidence {
    fn default() -> Self {
        Self { valid_for: Span::from_secs(7 * 86_400) }
    }
}
