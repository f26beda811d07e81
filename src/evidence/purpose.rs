//! The kinds of statements that a key may sign.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::link::Stage;

/// A kind of statement that a key may be trusted to sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// The provenance of an image, by the bake stage.
    Bake,
    /// A test result, by the test stage.
    Test,
    /// A promotion, by the promote stage.
    Promote,
    /// A cleanup, by the cleanup stage.
    Cleanup,
    /// A plan that `bakeline cleanup apply` carries out.
    CleanupPlan,
}

impl Purpose {
    /// The name in the trust root.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bake => "bake",
            Self::Test => "test",
            Self::Promote => "promote",
            Self::Cleanup => "cleanup",
            Self::CleanupPlan => "cleanup_plan",
        }
    }
}

impl From<Stage> for Purpose {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Bake => Self::Bake,
            Stage::Test => Self::Test,
            Stage::Promote => Self::Promote,
            Stage::Cleanup => Self::Cleanup,
        }
    }
}

impl std::fmt::Display for Purpose {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
