//! The way of the task: registered, started, up, asked, gone; and the hand-over of what was found.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ecs::types::{DesiredStatus, TaskDefinitionStatus};

use super::super::page::{self, About};
use super::super::{Test, progress};
use super::ecs::{self, Started};
use super::judge::{self, Found, Rise};
use super::{CAPACITY_EVERY, Inputs, LOOK_EVERY, TaskTest, next, report, wait};
use crate::engine::{Failure, FailureKind, Outcome, Progress, StageError, Step, Timestamp};
use crate::evidence::{ContainerIdentity, Stage};
use crate::stage::Cx;
use crate::stage::handover::hand_over_about;
use crate::stage::test::report as checks;

pub async fn registering(inputs: &Inputs, cx: &Cx) -> Result<Step<Test>, StageError> {
    let known = ecs::revisions(cx, TaskDefinitionStatus::Active).await?.into_iter().next();
    let revision = match known {
        Some(revision) => revision,
        None => ecs::register(cx, inputs).await?,
    };
    next(TaskTest::Starting { revision, since: cx.now() })
}

pub async fn starting(
    inputs: &Inputs,
    cx: &Cx,
    revision: i32,
    since: Timestamp,
) -> Result<Step<Test>, StageError> {
    // A client token is known for a day, and a task that has stopped for an hour: whoever comes later finds neither.
    for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
        if let Some(task) = ecs::tasks(cx, &inputs.task.cluster, desired).await?.into_iter().next() {
            return next(TaskTest::Rising { revision, task, since: cx.now() });
        }
    }
    let why = match ecs::start(cx, inputs, revision).await? {
        Started::Task(task) => return next(TaskTest::Rising { revision, task, since: cx.now() }),
        Started::Refused(why) => why,
    };
    let limit = inputs.test.start_timeout.as_duration();
    if cx.now().since(since) > limit {
        return Err(StageError::Rejected(format!(
            "no task of {} could be started within {} s: {why}",
            inputs.image.reference(),
            limit.as_secs()
        )));
    }
    let progress = Progress { summary: format!("no task yet: {why}"), ..Progress::default() };
    wait(TaskTest::Starting { revision, since }, CAPACITY_EVERY, progress)
}

pub async fn rising(
    inputs: &Inputs,
    cx: &Cx,
    revision: i32,
    task: String,
    since: Timestamp,
) -> Result<Step<Test>, StageError> {
    let found = ecs::look(cx, &inputs.task.cluster, &task).await?;
    let elapsed = cx.now().since(since);
    let rose = u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX);
    let over = |task, why: Option<&str>| decided(revision, task, Found::new(rose, why, Vec::new()));
    let waiting = match judge::rise(&inputs.task, found.as_ref()) {
        Rise::Up(_) => {
            let asked = Vec::new();
            return next(TaskTest::Asking { revision, task, since: cx.now(), rose, asked });
        }
        Rise::Done(_) => return over(task, None),
        Rise::Failed(why) => return over(task, Some(&why)),
        Rise::Waiting(what) => what,
    };
    let limit = inputs.test.start_timeout.as_duration();
    if elapsed > limit {
        let what = if inputs.task.expect_exit_code.is_some() { "had not ended" } else { "was not up" };
        let why = format!("it {what} within {} s of its start; last seen: {waiting}", limit.as_secs());
        return over(task, Some(&why));
    }
    // Up to 20 percent, by the share of the time it may take.
    let percent =
        u8::try_from(elapsed.as_secs().saturating_mul(20) / limit.as_secs().max(1)).unwrap_or(20).min(20);
    let progress = progress(percent, format!("task {task}: {waiting}"), &task);
    wait(TaskTest::Rising { revision, task, since }, LOOK_EVERY, progress)
}

/// Goes on to the task's end: a wait, not a next, since what was found out must have been written to the token before
/// the task ends, or a worker that begins the slice anew would find it stopped.
pub fn decided(revision: i32, task: String, found: Found) -> Result<Step<Test>, StageError> {
    let progress = progress(91, format!("stopping task {task}"), &task);
    wait(TaskTest::Stopping { revision, task, found }, Duration::from_secs(1), progress)
}

pub async fn stopping(
    inputs: &Inputs,
    cx: &Cx,
    revision: i32,
    task: String,
    found: Found,
) -> Result<Step<Test>, StageError> {
    let look = ecs::look(cx, &inputs.task.cluster, &task).await?;
    // A task that is not shown may be hidden from an old look; only ECS's refusal to stop it is proof.
    if look.is_none_or(|look| !look.is_over()) {
        ecs::stop(cx, &inputs.task.cluster, &task).await?;
    }
    next(TaskTest::Ending { revision, task, found })
}

pub async fn ending(
    inputs: &Inputs,
    cx: &Cx,
    revision: i32,
    task: String,
    found: Found,
) -> Result<Step<Test>, StageError> {
    let look = ecs::look(cx, &inputs.task.cluster, &task).await?;
    match look.filter(|look| look.last != "STOPPED") {
        None => next(TaskTest::Deregistering { revision, task, found }),
        Some(look) => {
            let progress = progress(92, format!("stopping task {task}: {}", look.last.to_lowercase()), &task);
            wait(TaskTest::Ending { revision, task, found }, LOOK_EVERY, progress)
        }
    }
}

pub async fn deregistering(
    cx: &Cx,
    revision: i32,
    task: String,
    found: Found,
) -> Result<Step<Test>, StageError> {
    let definition = ecs::definition(cx, revision).await?;
    if definition.is_some_and(|definition| definition.is(&TaskDefinitionStatus::Active)) {
        ecs::deregister(cx, revision).await?;
    }
    next(TaskTest::Deleting { revision, task, found })
}

pub async fn deleting(cx: &Cx, revision: i32, task: String, found: Found) -> Result<Step<Test>, StageError> {
    match ecs::definition(cx, revision).await? {
        Some(definition) if definition.is(&TaskDefinitionStatus::Active) => {
            let progress = progress(95, "deregistering the task definition".to_owned(), &task);
            wait(TaskTest::Deleting { revision, task, found }, LOOK_EVERY, progress)
        }
        Some(definition) if definition.is(&TaskDefinitionStatus::Inactive) => {
            ecs::delete(cx, revision).await?;
            next(TaskTest::Sealing { task, found })
        }
        Some(_) | None => next(TaskTest::Sealing { task, found }),
    }
}

pub async fn sealing(inputs: &Inputs, cx: &Cx, task: &str, found: &Found) -> Result<Step<Test>, StageError> {
    let results = report::results(&inputs.test, &inputs.task, found);
    let spec = &inputs.release.spec;
    let image = &inputs.image;
    let statement = checks::test_result(&results, &inputs.release.artifact.files);
    let mut artifact = inputs.release.artifact.clone();
    artifact.files.extend(checks::files(&spec.service, &results));
    let reference = image.reference();
    let about = About {
        service: &spec.service,
        image: &reference,
        name: image.tag.as_deref().unwrap_or("no tag"),
        region: &image.region,
        account: &image.account,
        on: "task",
        instance: task,
        console: false,
    };
    let page = page::page(about, &results)
        .map_err(|error| StageError::Bug(format!("the page of the test cannot be written: {error}")))?;
    artifact.files.insert(page::PAGE.to_owned(), page.into_bytes());
    let subjects = ContainerIdentity::subjects(std::slice::from_ref(image));
    let valid_for = spec.evidence.valid_for.as_duration();
    let sealed = hand_over_about(cx, Stage::Test, subjects, &statement, artifact, valid_for).await?;
    if let Some(message) = checks::failure(&results) {
        return Ok(Step::Done(Outcome::Failed(Failure::new(FailureKind::JobFailed, message))));
    }
    Ok(Step::Done(Outcome::Succeeded {
        summary: format!("{} of {} checks passed on {reference}", results.len(), results.len()),
        external_id: Some(task.to_owned()),
        variables: BTreeMap::from([
            ("ImageDigest".to_owned(), format!("sha256:{}", image.digest)),
            ("TaskId".to_owned(), task.to_owned()),
            ("ChecksPassed".to_owned(), results.len().to_string()),
            ("StatementDigest".to_owned(), sealed.to_string()),
        ]),
    }))
}
