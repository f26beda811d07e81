//! The four stages of a release. Each is a machine of resting places; its judgement is pure and in files of its own.

pub mod bake;
pub mod canary;
pub mod cleanup;
pub mod context;
pub mod handover;
pub mod reap;
pub mod staging;
pub mod store;
#[cfg(test)]
mod tokens;
pub mod why;

pub use context::{Authority, Cx};

use crate::engine::{Machine, StageError, Timestamp};
use crate::evidence::Stage;

/// A machine that is one of the four stages.
pub trait StageMachine: Machine<Context = Cx> {
    const STAGE: Stage;

    /// Reads what the stage works from. `at` is when the action began: what was good enough to begin with, such
    /// as a statement not yet expired, stays good enough for the whole action.
    fn load(
        cx: &Cx,
        at: Timestamp,
    ) -> impl std::future::Future<Output = Result<Self::Inputs, StageError>> + Send;
}
