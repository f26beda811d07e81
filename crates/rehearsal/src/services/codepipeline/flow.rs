//! How executions advance through stages: one decision at a time, each a pure function of the state.

use std::collections::BTreeSet;

use super::super::super::time::Time;
use super::super::super::world::World;
use super::declaration::Mode;
use super::execution::{ActionStatus, Execution, ExecutionStatus};
use super::{Home, State, action, control};

/// The next step of an execution.
#[derive(Debug, PartialEq, Eq)]
enum Move {
    Enter,
    /// Start these actions of the current stage.
    Start(Vec<String>),
    NextStage,
    Succeed,
    Fail,
    Stop,
}

/// Advances an execution as far as possible now.
pub(super) fn settle(world: &mut World, at: Time, id: &str) {
    while let Some(next) = decide(&world.codepipeline, id) {
        match next {
            Move::Enter => {
                if let Some(execution) = world.codepipeline.executions.get_mut(id) {
                    execution.entered = true;
                    execution.current.clear();
                    execution.updated = at;
                }
            }
            Move::Start(actions) => {
                for name in actions {
                    action::start(world, at, id, &name);
                }
            }
            Move::NextStage => {
                let Some(execution) = world.codepipeline.executions.get_mut(id) else { return };
                let (home, left) = (execution.pipeline.clone(), execution.stage);
                arrive(world, at, id, left + 1);
                wake(world, at, &home, left);
            }
            Move::Succeed => end(world, at, id, ExecutionStatus::Succeeded),
            Move::Stop => end(world, at, id, ExecutionStatus::Stopped),
            Move::Fail => {
                end(world, at, id, ExecutionStatus::Failed);
                control::after_failure(world, at, id);
            }
        }
    }
}

fn decide(state: &State, id: &str) -> Option<Move> {
    let execution = state.executions.get(id)?;
    if !execution.status.is_running() {
        return None;
    }
    let stopping = execution.status == ExecutionStatus::Stopping;
    if !execution.entered {
        if stopping {
            return Some(Move::Stop);
        }
        return (!is_locked(state, execution)).then_some(Move::Enter);
    }
    let present = execution.declaration.stages.get(execution.stage)?;
    let standing = |name: &str| execution.current_run(name).map(|run| run.status);
    if present.actions.iter().any(|a| standing(&a.name) == Some(ActionStatus::Failed)) {
        return Some(Move::Fail);
    }
    if stopping {
        let busy = present.actions.iter().any(|a| standing(&a.name) == Some(ActionStatus::InProgress));
        return (!busy).then_some(Move::Stop);
    }
    let orders: BTreeSet<u32> = present.actions.iter().map(|a| a.run_order).collect();
    for order in orders {
        let abreast: Vec<_> = present.actions.iter().filter(|a| a.run_order == order).collect();
        let unstarted: Vec<String> =
            abreast.iter().filter(|a| standing(&a.name).is_none()).map(|a| a.name.clone()).collect();
        if !unstarted.is_empty() {
            return Some(Move::Start(unstarted));
        }
        if abreast.iter().any(|a| standing(&a.name) != Some(ActionStatus::Succeeded)) {
            return None;
        }
    }
    let last = execution.stage + 1 == execution.declaration.stages.len();
    // A rollback runs one stage only.
    Some(if last || execution.rollback_of.is_some() { Move::Succeed } else { Move::NextStage })
}

/// Whether another execution occupies the stage that this one waits to enter.
pub(super) fn is_locked(state: &State, execution: &Execution) -> bool {
    execution.declaration.execution_mode != Mode::Parallel
        && state.executions.values().any(|other| {
            other.id != execution.id
                && other.pipeline == execution.pipeline
                && other.entered
                && other.stage == execution.stage
                && other.status.is_running()
        })
}

/// Lets an execution wait to enter a stage. In SUPERSEDED mode it supersedes the executions already waiting there.
pub(super) fn arrive(world: &mut World, at: Time, id: &str, stage: usize) {
    let Some(execution) = world.codepipeline.executions.get_mut(id) else { return };
    execution.stage = stage;
    execution.entered = false;
    execution.current.clear();
    execution.updated = at;
    let (home, sequence) = (execution.pipeline.clone(), execution.sequence);
    if execution.declaration.execution_mode != Mode::Superseded {
        return;
    }
    for other in world.codepipeline.executions.values_mut() {
        if other.pipeline == home
            && other.stage == stage
            && !other.entered
            && other.status == ExecutionStatus::InProgress
            && other.sequence < sequence
        {
            other.status = ExecutionStatus::Superseded;
            other.status_summary = Some(format!("Superseded by {id}"));
            other.updated = at;
        }
    }
}

fn end(world: &mut World, at: Time, id: &str, status: ExecutionStatus) {
    let Some(execution) = world.codepipeline.executions.get_mut(id) else { return };
    execution.status = status;
    execution.updated = at;
    let (home, stage) = (execution.pipeline.clone(), execution.stage);
    wake(world, at, &home, stage);
}

/// Lets the executions that wait to enter a stage try again, in order of arrival.
fn wake(world: &mut World, at: Time, home: &Home, stage: usize) {
    let mut waiting: Vec<(u64, String)> = world
        .codepipeline
        .executions
        .values()
        .filter(|e| e.pipeline == *home && e.stage == stage && !e.entered && e.status.is_running())
        .map(|e| (e.sequence, e.id.clone()))
        .collect();
    waiting.sort();
    for (_, id) in waiting {
        settle(world, at, &id);
    }
}
