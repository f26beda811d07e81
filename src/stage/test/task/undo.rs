//! Undoes the test of a container image: stops its task, and deletes its task definition.

use aws_sdk_ecs::types::{DesiredStatus, TaskDefinitionStatus};

use super::super::state::Test;
use super::super::state::task::TaskTest;
use super::{EMPTY_READS, POLL_INTERVAL, ecs, next, wait};
use crate::aws::Class;
use crate::engine::{Failure, Outcome, Progress, StageError, Step};
use crate::stage::Cx;

fn summary(summary: &str) -> Progress {
    Progress { summary: summary.to_owned(), ..Progress::default() }
}

/// Looks for a task definition of this attempt.
pub async fn find_definitions(
    cx: &Cx,
    empty_reads: u8,
    then_instances: bool,
    reason: Failure,
) -> Result<Step<Test>, StageError> {
    for status in [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive] {
        match ecs::revisions(cx, status).await {
            Ok(revisions) => {
                if let Some(revision) = revisions.into_iter().next() {
                    return next(TaskTest::UndoStopping { revision, empty_reads: 0, then_instances, reason });
                }
            }
            // A role that may not list task definitions has not registered any.
            Err(error) if then_instances && error.class == Class::Denied => {
                return Ok(Step::Next(Test::UndoFindingInstances { empty_reads: 0, reason }));
            }
            Err(error) if error.class.is_transient() => return Err(error.into()),
            Err(error) => {
                let message = format!("{}; a task may be running: {error}", reason.message);
                return Ok(Step::Done(Outcome::Failed(Failure::new(reason.kind, message))));
            }
        }
    }
    if empty_reads + 1 < EMPTY_READS {
        let state = TaskTest::UndoFindingDefinitions { empty_reads: empty_reads + 1, then_instances, reason };
        return wait(state, POLL_INTERVAL, summary("looking for a task to stop"));
    }
    if then_instances {
        return Ok(Step::Next(Test::UndoFindingInstances { empty_reads: 0, reason }));
    }
    Ok(Step::Done(Outcome::Failed(reason)))
}

/// Stops the task of the definition, if there is one.
pub async fn stop(
    cx: &Cx,
    revision: i32,
    empty_reads: u8,
    then_instances: bool,
    reason: Failure,
) -> Result<Step<Test>, StageError> {
    let cluster = ecs::definition(cx, revision).await?.and_then(|definition| definition.cluster);
    if let Some(cluster) = cluster {
        if let Some(task) = ecs::tasks(cx, &cluster, DesiredStatus::Running).await?.first() {
            ecs::stop(cx, &cluster, task).await?;
            return next(TaskTest::UndoDeregistering { revision, then_instances, reason });
        }
        let is_stopping = !ecs::tasks(cx, &cluster, DesiredStatus::Stopped).await?.is_empty();
        // A task that has just started may not be listed yet.
        if !is_stopping && empty_reads + 1 < EMPTY_READS {
            let state =
                TaskTest::UndoStopping { revision, empty_reads: empty_reads + 1, then_instances, reason };
            return wait(state, POLL_INTERVAL, summary("looking for a task to stop"));
        }
    }
    next(TaskTest::UndoDeregistering { revision, then_instances, reason })
}

/// Deregisters the task definition.
pub async fn deregister(
    cx: &Cx,
    revision: i32,
    then_instances: bool,
    reason: Failure,
) -> Result<Step<Test>, StageError> {
    let definition = ecs::definition(cx, revision).await?;
    if definition.is_some_and(|definition| definition.is(&TaskDefinitionStatus::Active)) {
        ecs::deregister(cx, revision).await?;
    }
    next(TaskTest::UndoDeleting { revision, then_instances, reason })
}

/// Deletes the task definition, then looks for another one: a lost response may hide a second registration.
pub async fn delete(
    cx: &Cx,
    revision: i32,
    then_instances: bool,
    reason: Failure,
) -> Result<Step<Test>, StageError> {
    match ecs::definition(cx, revision).await? {
        Some(definition) if definition.is(&TaskDefinitionStatus::Active) => {
            let state = TaskTest::UndoDeleting { revision, then_instances, reason };
            return wait(state, POLL_INTERVAL, summary("deregistering the task definition"));
        }
        Some(definition) if definition.is(&TaskDefinitionStatus::Inactive) => {
            ecs::delete(cx, revision).await?;
        }
        Some(_) | None => {}
    }
    next(TaskTest::UndoFindingDefinitions { empty_reads: 0, then_instances, reason })
}
