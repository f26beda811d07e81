//! The test of a container image: one task of it on Fargate in a staging cluster, its ports asked, and its end confirmed.
//!
//! What is left in the world is found by the derived name of the definition's family alone: the definition says in a tag
//! in which cluster its task runs.

mod asking;
mod back;
mod ecs;
mod forward;
pub mod judge;
mod probe;
pub mod report;
#[cfg(test)]
pub(super) mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::judge::{Asked, Found};
use super::Test;
use crate::engine::{Failure, Progress, StageError, Step, Timestamp};
use crate::evidence::ContainerIdentity;
use crate::spec;
use crate::stage::handover::Release;
use crate::stage::{Cx, not_unwinding};

/// Looks that must find nothing before it is believed that nothing is there.
const LOOKS: u8 = 3;
/// Between looks at a task that moves, and between questions to one that is up.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Between attempts to start a task for which there is no capacity.
const CAPACITY_EVERY: Duration = Duration::from_secs(30);

/// The resting places of the test of a container image. `revision` is that of the task definition in this attempt's
/// family, `task` the id of the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum TaskTest {
    /// No definition is known. One may have been registered: its family finds it.
    Registering,
    /// The definition is registered, since `since`. A task may have been started: its client token finds it.
    Starting { revision: i32, since: Timestamp },
    /// The task was started at `since`.
    Rising { revision: i32, task: String, since: Timestamp },
    /// The task came up at `since`, `rose` seconds after its start, and the checks so far were begun.
    Asking { revision: i32, task: String, since: Timestamp, rose: u32, asked: Vec<Asked> },
    /// Nothing more is asked.
    Stopping { revision: i32, task: String, found: Found },
    /// ECS was asked to stop the task, or it has stopped by itself.
    Ending { revision: i32, task: String, found: Found },
    /// The task has stopped. Its definition is to be deregistered.
    Deregistering { revision: i32, task: String, found: Found },
    /// The definition is deregistered, and to be deleted.
    Deleting { revision: i32, task: String, found: Found },
    /// All is gone. Only the hand-over is left.
    Sealing { task: String, found: Found },
    /// Unwinding: a definition may have been registered; `looks` looks in a row found none. `instances`: nobody knows
    /// what was tested, and instances are looked for next.
    Recalling { looks: u8, instances: bool, why: Failure },
    /// Unwinding: of this definition a task may run; `looks` looks in a row found none.
    Withdrawing { revision: i32, looks: u8, instances: bool, why: Failure },
    /// Unwinding: the task is stopping, or there is none. The definition is to be deregistered.
    Withdrawn { revision: i32, instances: bool, why: Failure },
    /// Unwinding: the definition is deregistered, and to be deleted.
    Clearing { revision: i32, instances: bool, why: Failure },
}

/// What the test of a container image works from.
#[derive(Debug)]
pub struct Inputs {
    pub release: Release,
    pub test: spec::Test,
    pub task: spec::Task,
    /// The release's image in the worker's region.
    pub image: ContainerIdentity,
}

impl TaskTest {
    /// The way back of a test of which nobody knows what it was of.
    #[must_use]
    pub fn recover_lost_first_slice(why: Failure) -> Self {
        Self::Recalling { looks: 0, instances: true, why }
    }

    #[must_use]
    pub fn unwind(self, why: Failure) -> Self {
        match self {
            Self::Registering
            | Self::Starting { .. }
            | Self::Rising { .. }
            | Self::Asking { .. }
            | Self::Stopping { .. }
            | Self::Ending { .. }
            | Self::Deregistering { .. }
            | Self::Deleting { .. } => Self::Recalling { looks: 0, instances: false, why },
            // Of a sealing test all is gone; the others are unwinding already.
            Self::Sealing { .. }
            | Self::Recalling { .. }
            | Self::Withdrawing { .. }
            | Self::Withdrawn { .. }
            | Self::Clearing { .. } => self,
        }
    }

    #[must_use]
    pub fn is_unwinding(&self) -> bool {
        match self {
            Self::Registering
            | Self::Starting { .. }
            | Self::Rising { .. }
            | Self::Asking { .. }
            | Self::Stopping { .. }
            | Self::Ending { .. }
            | Self::Deregistering { .. }
            | Self::Deleting { .. }
            | Self::Sealing { .. } => false,
            Self::Recalling { .. }
            | Self::Withdrawing { .. }
            | Self::Withdrawn { .. }
            | Self::Clearing { .. } => true,
        }
    }

    pub async fn step(self, inputs: &Inputs, cx: &Cx) -> Result<Step<Test>, StageError> {
        match self {
            Self::Registering => forward::registering(inputs, cx).await,
            Self::Starting { revision, since } => forward::starting(inputs, cx, revision, since).await,
            Self::Rising { revision, task, since } => {
                forward::rising(inputs, cx, revision, task, since).await
            }
            Self::Asking { revision, task, since, rose, asked } => {
                asking::asking(inputs, cx, asking::Round { revision, task, since, rose, asked }).await
            }
            Self::Stopping { revision, task, found } => {
                forward::stopping(inputs, cx, revision, task, found).await
            }
            Self::Ending { revision, task, found } => {
                forward::ending(inputs, cx, revision, task, found).await
            }
            Self::Deregistering { revision, task, found } => {
                forward::deregistering(cx, revision, task, found).await
            }
            Self::Deleting { revision, task, found } => forward::deleting(cx, revision, task, found).await,
            Self::Sealing { task, found } => forward::sealing(inputs, cx, &task, &found).await,
            unwinding @ (Self::Recalling { .. }
            | Self::Withdrawing { .. }
            | Self::Withdrawn { .. }
            | Self::Clearing { .. }) => unwinding.unwind_without_inputs(cx).await,
        }
    }

    pub async fn unwind_without_inputs(self, cx: &Cx) -> Result<Step<Test>, StageError> {
        match self {
            Self::Recalling { looks, instances, why } => back::recalling(cx, looks, instances, why).await,
            Self::Withdrawing { revision, looks, instances, why } => {
                back::withdrawing(cx, revision, looks, instances, why).await
            }
            Self::Withdrawn { revision, instances, why } => {
                back::withdrawn(cx, revision, instances, why).await
            }
            Self::Clearing { revision, instances, why } => back::clearing(cx, revision, instances, why).await,
            forward @ (Self::Registering
            | Self::Starting { .. }
            | Self::Rising { .. }
            | Self::Asking { .. }
            | Self::Stopping { .. }
            | Self::Ending { .. }
            | Self::Deregistering { .. }
            | Self::Deleting { .. }
            | Self::Sealing { .. }) => Err(not_unwinding(&forward)),
        }
    }
}

impl From<TaskTest> for Test {
    fn from(task: TaskTest) -> Self {
        Self::Task { task }
    }
}

#[allow(clippy::unnecessary_wraps, reason = "every step ends by it, and a step may fail")]
fn next(state: TaskTest) -> Result<Step<Test>, StageError> {
    Ok(Step::Next(state.into()))
}

#[allow(clippy::unnecessary_wraps, reason = "every step ends by it, and a step may fail")]
fn wait(state: TaskTest, again_in: Duration, progress: Progress) -> Result<Step<Test>, StageError> {
    Ok(Step::Wait { state: state.into(), again_in, progress })
}
