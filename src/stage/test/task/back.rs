//! The way back: whatever task there may be is stopped, and its definition taken away.

use aws_sdk_ecs::types::{DesiredStatus, TaskDefinitionStatus};

use super::super::Test;
use super::{LOOK_EVERY, LOOKS, TaskTest, ecs, next, wait};
use crate::aws::Class;
use crate::engine::{Failure, Outcome, Progress, StageError, Step};
use crate::stage::Cx;

fn quiet(summary: &str) -> Progress {
    Progress { summary: summary.to_owned(), ..Progress::default() }
}

pub async fn recalling(cx: &Cx, looks: u8, instances: bool, why: Failure) -> Result<Step<Test>, StageError> {
    for status in [TaskDefinitionStatus::Active, TaskDefinitionStatus::Inactive] {
        match ecs::revisions(cx, status).await {
            Ok(revisions) => {
                if let Some(revision) = revisions.into_iter().next() {
                    return next(TaskTest::Withdrawing { revision, looks: 0, instances, why });
                }
            }
            // Whoever may not look at ECS has registered nothing there.
            Err(error) if instances && error.class == Class::Denied => {
                return Ok(Step::Next(Test::Recalling { looks: 0, why }));
            }
            Err(error) if error.class.is_transient() => return Err(error.into()),
            Err(error) => {
                let message = format!("{}; whether a task was started is not known: {error}", why.message);
                return Ok(Step::Done(Outcome::Failed(Failure::new(why.kind, message))));
            }
        }
    }
    if looks + 1 < LOOKS {
        let state = TaskTest::Recalling { looks: looks + 1, instances, why };
        return wait(state, LOOK_EVERY, quiet("looking for a task to stop"));
    }
    if instances {
        return Ok(Step::Next(Test::Recalling { looks: 0, why }));
    }
    Ok(Step::Done(Outcome::Failed(why)))
}

pub async fn withdrawing(
    cx: &Cx,
    revision: i32,
    looks: u8,
    instances: bool,
    why: Failure,
) -> Result<Step<Test>, StageError> {
    let cluster = ecs::definition(cx, revision).await?.and_then(|definition| definition.cluster);
    if let Some(cluster) = cluster {
        if let Some(task) = ecs::tasks(cx, &cluster, DesiredStatus::Running).await?.first() {
            ecs::stop(cx, &cluster, task).await?;
            return next(TaskTest::Withdrawn { revision, instances, why });
        }
        // One that is stopping already needs nothing more.
        let stops = !ecs::tasks(cx, &cluster, DesiredStatus::Stopped).await?.is_empty();
        // A task that was just started may not be listed at once.
        if !stops && looks + 1 < LOOKS {
            let state = TaskTest::Withdrawing { revision, looks: looks + 1, instances, why };
            return wait(state, LOOK_EVERY, quiet("looking for a task to stop"));
        }
    }
    next(TaskTest::Withdrawn { revision, instances, why })
}

pub async fn withdrawn(
    cx: &Cx,
    revision: i32,
    instances: bool,
    why: Failure,
) -> Result<Step<Test>, StageError> {
    let definition = ecs::definition(cx, revision).await?;
    if definition.is_some_and(|definition| definition.is(&TaskDefinitionStatus::Active)) {
        ecs::deregister(cx, revision).await?;
    }
    next(TaskTest::Clearing { revision, instances, why })
}

pub async fn clearing(
    cx: &Cx,
    revision: i32,
    instances: bool,
    why: Failure,
) -> Result<Step<Test>, StageError> {
    let definition = ecs::definition(cx, revision).await?;
    match definition {
        Some(definition) if definition.is(&TaskDefinitionStatus::Active) => {
            let state = TaskTest::Clearing { revision, instances, why };
            return wait(state, LOOK_EVERY, quiet("deregistering the task definition"));
        }
        Some(definition) if definition.is(&TaskDefinitionStatus::Inactive) => {
            ecs::delete(cx, revision).await?;
        }
        Some(_) | None => {}
    }
    // Whether there is another one, of a registration that was not seen in time.
    next(TaskTest::Recalling { looks: 0, instances, why })
}
