//! The four stages of a release. Each is a machine of resting places; its judgement is pure and in files of its own.

pub mod aws_view;
pub mod bake;
pub mod cleanup;
pub mod content;
pub mod context;
pub mod failure_reason;
pub mod handover;
pub mod promote;
pub mod reap;
pub mod store;
pub mod test;
#[cfg(test)]
mod tokens;

pub use context::{Authority, Cx};

use crate::engine::{Failure, Machine, StageError, Step, Timestamp};
use crate::evidence::Stage;

/// What [`StageMachine::step_back`] says of a state that goes forward.
fn goes_forward(state: &impl std::fmt::Debug) -> StageError {
    StageError::Bug(format!("a stage was to go back without its inputs from {state:?}"))
}

/// A machine that is one of the four stages.
pub trait StageMachine: Machine<Context = Cx> {
    const STAGE: Stage;

    /// Reads what the stage works from, and has the context act in the target that the release names. `at` is when the
    /// action began: what was good enough to begin with, such as a statement not yet expired, stays good enough for the
    /// whole action.
    fn load(
        cx: &mut Cx,
        at: Timestamp,
    ) -> impl std::future::Future<Output = Result<Self::Inputs, StageError>> + Send;

    /// The way back of an action that is over and whose first slice was not heard of: whatever that slice made must be
    /// found by the keys derived from the execution. None if nothing it makes has to go.
    fn recover_lost_first_slice(why: Failure) -> Option<Self>;

    /// One move on the way back without the inputs, which are gone for good: what the state and the keys derived from
    /// the execution know must be enough to undo what was made. No statement is handed over, for there is nothing to
    /// hand it over with.
    ///
    /// # Errors
    /// As a step; [`StageError::Bug`] for a state that is not unwinding.
    fn step_back(self, cx: &Cx) -> impl std::future::Future<Output = Result<Step<Self>, StageError>> + Send;
}
