//! The four stages of a release. Each is a state machine; its decisions are pure functions in files of their own.

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

use crate::engine::{ErrorClass, Failure, Machine, ModuleError, StageError, Step, Timestamp};
use crate::evidence::Stage;

/// A state that is not unwinding was stepped without inputs.
#[derive(Debug, thiserror::Error)]
#[error("a stage cannot unwind without its inputs from {state}")]
struct NotUnwinding {
    state: String,
}

impl ModuleError for NotUnwinding {
    fn class(&self) -> ErrorClass {
        ErrorClass::Bug
    }
}

/// The error of [`StageMachine::unwind_without_inputs`] for a state that is not unwinding.
fn not_unwinding(state: &impl std::fmt::Debug) -> StageError {
    NotUnwinding { state: format!("{state:?}") }.into()
}

/// The state machine of one of the four stages.
pub trait StageMachine: Machine<Context = Cx> {
    const STAGE: Stage;

    /// Reads the inputs of the stage and switches the context to the environment that the release names.
    ///
    /// `at` is when the action started: a statement that was valid then stays valid for the whole action.
    fn load(
        cx: &mut Cx,
        at: Timestamp,
    ) -> impl std::future::Future<Output = Result<Self::Inputs, StageError>> + Send;

    /// The unwinding state of an action whose first slice crashed before it reported; `None` if the first slice
    /// creates nothing. Keys derived from the execution find what the slice created.
    fn recover_lost_first_slice(reason: Failure) -> Option<Self>;

    /// Runs one step of the unwinding when the inputs no longer exist, with the state and the keys derived from the
    /// execution only. The stage writes no statement.
    ///
    /// # Errors
    /// As a step; [`StageError::Bug`] for a state that is not unwinding.
    fn unwind_without_inputs(
        self,
        cx: &Cx,
    ) -> impl std::future::Future<Output = Result<Step<Self>, StageError>> + Send;
}
