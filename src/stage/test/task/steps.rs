//! The steps of a test in a task: register, start, wait, stop, delete, and sign the result.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_ecs::types::{DesiredStatus, TaskDefinitionStatus};

use super::super::checks::page::{self, About};
use super::super::checks::report as checks_report;
use super::super::state::Test;
use super::super::state::task::{TaskFindings, TaskTest};
use super::ecs::{self, Started};
use super::error::TaskError;
use super::status::{self, TaskState};
use super::{CAPACITY_POLL_INTERVAL, POLL_INTERVAL, TaskInputs, next, progress, report, wait};
use crate::engine::{Failure, FailureKind, Outcome, Progress, StageError, Step, Timestamp};
use crate::evidence::{ContainerIdentity, Stage};
use crate::stage::Cx;
use crate::stage::handover::hand_over_about;

/// Registers the task definition, or finds the one of this attempt.
pub async fn register(inputs: &TaskInputs, cx: &Cx) -> Result<Step<Test>, StageError> {
    let existing = ecs::revisions(cx, TaskDefinitionStatus::Active).await?.into_iter().next();
    let revision = match existing {
        Some(revision) => revision,
        None => ecs::register(cx, inputs).await?,
    };
    next(TaskTest::Starting { revision, since: cx.now() })
}

/// Starts the task, or finds the one of this attempt.
pub async fn start(
    inputs: &TaskInputs,
    cx: &Cx,
    revision: i32,
    since: Timestamp,
) -> Result<Step<Test>, StageError> {
    // ECS remembers a client token for a day, and a stopped task for an hour.
    for desired in [DesiredStatus::Running, DesiredStatus::Stopped] {
        if let Some(task) = ecs::tasks(cx, &inputs.task.cluster, desired).await?.into_iter().next() {
            return next(TaskTest::WaitingForTask { revision, task, since: cx.now() });
        }
    }
    let reason = match ecs::start(cx, inputs, revision).await? {
        Started::Task(task) => return next(TaskTest::WaitingForTask { revision, task, since: cx.now() }),
        Started::Refused(reason) => reason,
    };
    let limit = inputs.test.start_timeout.as_duration();
    if cx.now().since(since) > limit {
        let (image, seconds) = (inputs.image.reference(), limit.as_secs());
        return Err(TaskError::NotStarted { image, seconds, reason }.into());
    }
    let progress = Progress { summary: format!("ECS starts no task: {reason}"), ..Progress::default() };
    wait(TaskTest::Starting { revision, since }, CAPACITY_POLL_INTERVAL, progress)
}

/// Waits until the task is up, or has ended if it is a job.
pub async fn wait_for_task(
    inputs: &TaskInputs,
    cx: &Cx,
    revision: i32,
    task: String,
    since: Timestamp,
) -> Result<Step<Test>, StageError> {
    let found = ecs::describe(cx, &inputs.task.cluster, &task).await?;
    let elapsed = cx.now().since(since);
    let start_seconds = u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX);
    let end = |task, failure: Option<&str>| {
        stop_with(revision, task, TaskFindings::new(start_seconds, failure, Vec::new()))
    };
    let missing = match status::task_state(&inputs.task, found.as_ref()) {
        TaskState::Up(_) => {
            let probes = Vec::new();
            return next(TaskTest::Probing { revision, task, since: cx.now(), start_seconds, probes });
        }
        TaskState::Completed(_) => return end(task, None),
        TaskState::Failed(failure) => return end(task, Some(&failure)),
        TaskState::Waiting(missing) => missing,
    };
    let limit = inputs.test.start_timeout.as_duration();
    if elapsed > limit {
        let what = if inputs.task.expect_exit_code.is_some() { "had not ended" } else { "was not up" };
        let failure = format!("it {what} within {} s of its start; last status: {missing}", limit.as_secs());
        return end(task, Some(&failure));
    }
    // Up to 20 percent, by the elapsed part of the timeout.
    let percent =
        u8::try_from(elapsed.as_secs().saturating_mul(20) / limit.as_secs().max(1)).unwrap_or(20).min(20);
    let progress = progress(percent, format!("task {task}: {missing}"), &task);
    wait(TaskTest::WaitingForTask { revision, task, since }, POLL_INTERVAL, progress)
}

/// Goes on to stop the task. `Wait`, not `Next`: the token must hold the findings before the task is stopped. A worker that
/// repeats the slice would find the task stopped.
pub fn stop_with(revision: i32, task: String, findings: TaskFindings) -> Result<Step<Test>, StageError> {
    let progress = progress(91, format!("stopping task {task}"), &task);
    wait(TaskTest::Stopping { revision, task, findings }, Duration::from_secs(1), progress)
}

/// Asks ECS to stop the task.
pub async fn stop(
    inputs: &TaskInputs,
    cx: &Cx,
    revision: i32,
    task: String,
    findings: TaskFindings,
) -> Result<Step<Test>, StageError> {
    let found = ecs::describe(cx, &inputs.task.cluster, &task).await?;
    // A stale read may not find the task. Only ECS's refusal to stop it proves that it is gone.
    if found.is_none_or(|found| !found.is_stopping()) {
        ecs::stop(cx, &inputs.task.cluster, &task).await?;
    }
    next(TaskTest::ConfirmingStop { revision, task, findings })
}

/// Waits until the task has stopped.
pub async fn confirm_stop(
    inputs: &TaskInputs,
    cx: &Cx,
    revision: i32,
    task: String,
    findings: TaskFindings,
) -> Result<Step<Test>, StageError> {
    let found = ecs::describe(cx, &inputs.task.cluster, &task).await?;
    match found.filter(|found| found.last_status != "STOPPED") {
        None => next(TaskTest::Deregistering { revision, task, findings }),
        Some(found) => {
            let summary = format!("stopping task {task}: {}", found.last_status.to_lowercase());
            let progress = progress(92, summary, &task);
            wait(TaskTest::ConfirmingStop { revision, task, findings }, POLL_INTERVAL, progress)
        }
    }
}

/// Deregisters the task definition.
pub async fn deregister(
    cx: &Cx,
    revision: i32,
    task: String,
    findings: TaskFindings,
) -> Result<Step<Test>, StageError> {
    let definition = ecs::definition(cx, revision).await?;
    if definition.is_some_and(|definition| definition.is(&TaskDefinitionStatus::Active)) {
        ecs::deregister(cx, revision).await?;
    }
    next(TaskTest::Deleting { revision, task, findings })
}

/// Deletes the task definition once it is deregistered.
pub async fn delete(
    cx: &Cx,
    revision: i32,
    task: String,
    findings: TaskFindings,
) -> Result<Step<Test>, StageError> {
    match ecs::definition(cx, revision).await? {
        Some(definition) if definition.is(&TaskDefinitionStatus::Active) => {
            let progress = progress(95, "deregistering the task definition".to_owned(), &task);
            wait(TaskTest::Deleting { revision, task, findings }, POLL_INTERVAL, progress)
        }
        Some(definition) if definition.is(&TaskDefinitionStatus::Inactive) => {
            ecs::delete(cx, revision).await?;
            next(TaskTest::Sealing { task, findings })
        }
        Some(_) | None => next(TaskTest::Sealing { task, findings }),
    }
}

/// Signs the test result and stores the output artifact. Ends the action.
pub async fn seal(
    inputs: &TaskInputs,
    cx: &Cx,
    task: &str,
    findings: &TaskFindings,
) -> Result<Step<Test>, StageError> {
    let results = report::results(&inputs.test, &inputs.task, findings);
    let spec = &inputs.release.spec;
    let image = &inputs.image;
    let statement = checks_report::test_result(&results, &inputs.release.artifact.files);
    let mut artifact = inputs.release.artifact.clone();
    artifact.files.extend(checks_report::files(&spec.service, &results));
    let reference = image.reference();
    let about = About {
        service: &spec.service,
        image: &reference,
        name: image.tag.as_deref().unwrap_or("no tag"),
        region: &image.region,
        account: &image.account,
        kind: "task",
        id: task,
        console: false,
    };
    let page = page::page(about, &results).map_err(StageError::bug)?;
    artifact.files.insert(page::PAGE.to_owned(), page.into_bytes());
    let subjects = ContainerIdentity::subjects(std::slice::from_ref(image));
    let valid_for = spec.evidence.valid_for.as_duration();
    let digest = hand_over_about(cx, Stage::Test, subjects, &statement, artifact, valid_for).await?;
    if let Some(message) = checks_report::failure(&results) {
        return Ok(Step::Done(Outcome::Failed(Failure::new(FailureKind::JobFailed, message))));
    }
    Ok(Step::Done(Outcome::Succeeded {
        summary: format!("{} of {} checks passed on {reference}", results.len(), results.len()),
        external_id: Some(task.to_owned()),
        variables: BTreeMap::from([
            ("Image".to_owned(), reference.clone()),
            ("ImageKind".to_owned(), "container_image".to_owned()),
            ("ImageURI".to_owned(), reference),
            ("ImageDigest".to_owned(), format!("sha256:{}", image.digest)),
            ("TaskId".to_owned(), task.to_owned()),
            ("ChecksPassed".to_owned(), results.len().to_string()),
            ("StatementDigest".to_owned(), digest.to_string()),
        ]),
    }))
}
