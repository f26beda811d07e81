//! The test of a container image in one Fargate task of a test cluster.
//!
//! The family of the task definition has the derived name of this attempt, so the stage finds the definition without any
//! other state. A tag of the definition names the cluster of its task.

mod ecs;
mod error;
mod probe;
mod report;
mod run_probes;
mod status;
mod steps;
#[cfg(test)]
pub(super) mod tests;
mod undo;

use std::time::Duration;

use super::state::Test;
use super::state::task::TaskTest;
use crate::engine::{Progress, StageError, Step};
use crate::evidence::ContainerIdentity;
use crate::spec;
use crate::stage::handover::Release;
use crate::stage::{Cx, not_unwinding};

/// Reads in a row that must find nothing before the stage relies on there being nothing: ECS is eventually consistent.
const EMPTY_READS: u8 = 3;
/// Interval between two polls of a task, and between two requests to its ports.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// Interval between two attempts to start a task without capacity.
const CAPACITY_POLL_INTERVAL: Duration = Duration::from_secs(30);

/// What the test of a container image works from.
#[derive(Debug)]
pub struct TaskInputs {
    pub release: Release,
    pub test: spec::Test,
    pub task: spec::Task,
    /// The image of the release in the worker's region.
    pub image: ContainerIdentity,
}

/// Runs the step of a state.
pub async fn step(state: TaskTest, inputs: &TaskInputs, cx: &Cx) -> Result<Step<Test>, StageError> {
    match state {
        TaskTest::Registering => steps::register(inputs, cx).await,
        TaskTest::Starting { revision, since } => steps::start(inputs, cx, revision, since).await,
        TaskTest::WaitingForTask { revision, task, since } => {
            steps::wait_for_task(inputs, cx, revision, task, since).await
        }
        TaskTest::Probing { revision, task, since, start_seconds, probes } => {
            let round = run_probes::Round { revision, task, since, start_seconds, probes };
            run_probes::run_probes(inputs, cx, round).await
        }
        TaskTest::Stopping { revision, task, findings } => {
            steps::stop(inputs, cx, revision, task, findings).await
        }
        TaskTest::ConfirmingStop { revision, task, findings } => {
            steps::confirm_stop(inputs, cx, revision, task, findings).await
        }
        TaskTest::Deregistering { revision, task, findings } => {
            steps::deregister(cx, revision, task, findings).await
        }
        TaskTest::Deleting { revision, task, findings } => steps::delete(cx, revision, task, findings).await,
        TaskTest::Sealing { task, findings } => steps::seal(inputs, cx, &task, &findings).await,
        undo @ (TaskTest::UndoFindingDefinitions { .. }
        | TaskTest::UndoStopping { .. }
        | TaskTest::UndoDeregistering { .. }
        | TaskTest::UndoDeleting { .. }) => unwind_without_inputs(undo, cx).await,
    }
}

/// Runs the step of a state of the undo.
pub async fn unwind_without_inputs(state: TaskTest, cx: &Cx) -> Result<Step<Test>, StageError> {
    match state {
        TaskTest::UndoFindingDefinitions { empty_reads, then_instances, reason } => {
            undo::find_definitions(cx, empty_reads, then_instances, reason).await
        }
        TaskTest::UndoStopping { revision, empty_reads, then_instances, reason } => {
            undo::stop(cx, revision, empty_reads, then_instances, reason).await
        }
        TaskTest::UndoDeregistering { revision, then_instances, reason } => {
            undo::deregister(cx, revision, then_instances, reason).await
        }
        TaskTest::UndoDeleting { revision, then_instances, reason } => {
            undo::delete(cx, revision, then_instances, reason).await
        }
        forward @ (TaskTest::Registering
        | TaskTest::Starting { .. }
        | TaskTest::WaitingForTask { .. }
        | TaskTest::Probing { .. }
        | TaskTest::Stopping { .. }
        | TaskTest::ConfirmingStop { .. }
        | TaskTest::Deregistering { .. }
        | TaskTest::Deleting { .. }
        | TaskTest::Sealing { .. }) => Err(not_unwinding(&forward)),
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

fn progress(percent: u8, summary: String, task: &str) -> Progress {
    Progress { percent, summary, external_id: Some(task.to_owned()) }
}
