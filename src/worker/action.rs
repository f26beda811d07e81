//! CodePipeline's custom action types of bakeline: one for each stage.
//!
//! An action type cannot be changed once a pipeline uses it. So every type already takes what later versions may need: two
//! properties ([`PART`], [`OPTIONS`]) and more artifacts. This version refuses them by [`check`].

use crate::engine::Job;
use crate::engine::job::ActionType;
use crate::evidence::Stage;
use crate::stage::handover::SPEC_PROPERTY;

/// The version of every action type.
pub const VERSION: &str = "1";
/// The property that names which part of the release spec an action runs. Reserved.
pub const PART: &str = "Part";
/// The property for `key=value` lines. Reserved.
pub const OPTIONS: &str = "Options";
/// The action types that bakeline runs, as a hint for people.
pub const ACTION_TYPES: &str = "bakeline runs owner Custom, version 1, providers BakelineBake (category Build), \
                                BakelineTest (Test), BakelinePromote (Deploy) and BakelineCleanup (Invoke)";
/// The configuration properties of every action type.
pub const PROPERTIES: [&str; 3] = [SPEC_PROPERTY, PART, OPTIONS];

/// The provider of a stage's action type.
#[must_use]
pub const fn provider(stage: Stage) -> &'static str {
    match stage {
        Stage::Bake => "BakelineBake",
        Stage::Test => "BakelineTest",
        Stage::Promote => "BakelinePromote",
        Stage::Cleanup => "BakelineCleanup",
    }
}

/// The CodePipeline category of a stage's action type.
#[must_use]
pub const fn category(stage: Stage) -> &'static str {
    match stage {
        Stage::Bake => "Build",
        Stage::Test => "Test",
        Stage::Promote => "Deploy",
        Stage::Cleanup => "Invoke",
    }
}

/// The stage with this provider; `None` for any other provider.
#[must_use]
pub fn stage_of_provider(provider_name: &str) -> Option<Stage> {
    Stage::ALL.into_iter().find(|stage| provider(*stage) == provider_name)
}

/// The stage with this action type; `None` for any other action type.
#[must_use]
pub fn stage_of(action: &ActionType) -> Option<Stage> {
    let stage = stage_of_provider(&action.provider)?;
    (action.version == VERSION && action.category == category(stage)).then_some(stage)
}

/// Why this version refuses the configuration of an action.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    #[error("the action's property {0} is reserved for a later version; leave it empty in the pipeline")]
    Reserved(&'static str),
    #[error("the action has {0} input artifacts; give it one in the pipeline")]
    Inputs(usize),
}

/// Checks the properties and artifacts of a job's action.
///
/// # Errors
/// The action uses a reserved property, or more than one input artifact.
pub fn check(job: &Job) -> Result<(), ActionError> {
    for property in [PART, OPTIONS] {
        if job.configuration.get(property).is_some_and(|value| !value.is_empty()) {
            return Err(ActionError::Reserved(property));
        }
    }
    match job.inputs.len() {
        // The code that reads and writes the artifacts reports a missing one.
        0 | 1 => Ok(()),
        more => Err(ActionError::Inputs(more)),
    }
}
