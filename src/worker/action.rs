//! The four action types, and the stage each one runs.

use crate::engine::job::ActionType;
use crate::evidence::Stage;

/// The provider of every action type.
pub const PROVIDER: &str = "Bakeline";
/// The version of every action type.
pub const VERSION: &str = "1";

/// The CodePipeline category in which a stage's action type lives.
#[must_use]
pub const fn category(stage: Stage) -> &'static str {
    match stage {
        Stage::Bake => "Build",
        Stage::Test => "Test",
        Stage::Promote => "Deploy",
        Stage::Cleanup => "Invoke",
    }
}

/// The stage an action type runs; none if it is not one of ours.
#[must_use]
pub fn stage_of(action: &ActionType) -> Option<Stage> {
    if action.provider != PROVIDER || action.version != VERSION {
        return None;
    }
    Stage::ALL.into_iter().find(|stage| category(*stage) == action.category)
}
