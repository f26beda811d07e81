//! Polls every stage once and runs the offered jobs one after another: for rehearsals and tests.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tracing::Instrument as _;

use super::action::stage_of;
use super::claim::{self, Claim};
use super::deps::WorkerDeps;
use super::error::WorkerError;
use super::report::{self, Reported};
use super::slice::{self, Answer};
use crate::engine::{Failure, FailureKind, Job, Outcome};
use crate::evidence::Stage;
use crate::telemetry::event::ActionFacts;
use crate::telemetry::{Event, JobLabel};

/// Recovers the jobs of the journal, then polls every stage once and runs one offered job of each. Returns how many
/// results were reported.
///
/// # Errors
/// AWS did not answer a poll, an acknowledgement or a result. The journal keeps the claimed jobs.
pub async fn run_once(deps: &WorkerDeps) -> Result<usize, WorkerError> {
    let mut reported = 0;
    for id in deps.journal.jobs().await? {
        if let Claim::Ours(job) = claim::recover(deps, &id).await? {
            run(deps, *job).await?;
            reported += 1;
        }
    }
    for &stage in &deps.stages {
        for offered in claim::poll(deps, stage, 1).await? {
            let label = JobLabel::of(&offered, stage);
            let span = label.span();
            reported += usize::from(run_offered(deps, offered, &label).instrument(span).await?);
        }
    }
    Ok(reported)
}

/// Claims and runs an offered job; returns whether this worker got it.
async fn run_offered(deps: &WorkerDeps, offered: Job, label: &JobLabel) -> Result<bool, WorkerError> {
    let first = offered.continuation_token.is_none();
    match claim::acknowledge(deps, offered).await? {
        Claim::Ours(job) => {
            deps.telemetry.emit(deps.clock.now(), label, &Event::Claimed { first });
            run_claimed(deps, *job, label.stage).await?;
            Ok(true)
        }
        Claim::Refused { reason, .. } => {
            deps.telemetry.emit(deps.clock.now(), label, &Event::ClaimRefused { reason: &reason });
            Ok(false)
        }
    }
}

/// Waits until a claimed job is due, runs its slice and reports the result.
///
/// # Errors
/// The result could not be sent; the journal keeps the job.
pub async fn run(deps: &WorkerDeps, job: Job) -> Result<Reported, WorkerError> {
    let Some(stage) = stage_of(&job.action_type) else {
        return report::report(deps, &job, &no_stage(&job)).await;
    };
    let span = JobLabel::of(&job, stage).span();
    run_claimed(deps, job, stage).instrument(span).await
}

async fn run_claimed(deps: &WorkerDeps, job: Job, stage: Stage) -> Result<Reported, WorkerError> {
    let due = slice::not_before(&job);
    deps.clock.sleep(due.since(deps.clock.now())).await;
    let label = JobLabel::of(&job, stage);
    let started = slice::started(&job).unwrap_or_else(|| deps.clock.now());
    let context = deps.context(job);
    let answer = catch_panic(slice::run(stage, &context)).await.unwrap_or_else(|defect| defect);
    let reported = report::report(deps, &context.job, &answer).await?;
    let service = context.service.get().map(String::as_str);
    let action = ActionFacts { duration: deps.clock.now().since(started), service };
    emit_reported(deps, &label, action, &answer, &reported);
    Ok(reported)
}

/// Emits the event of a reported answer.
pub fn emit_reported(
    deps: &WorkerDeps,
    label: &JobLabel,
    action: ActionFacts<'_>,
    answer: &Answer,
    reported: &Reported,
) {
    let now = deps.clock.now();
    match (reported, answer) {
        (Reported::Refused { reason }, _) => {
            deps.telemetry.emit(now, label, &Event::ResultRefused { reason });
        }
        (Reported::Accepted, Answer::Continue { not_before, progress, .. }) => {
            deps.telemetry.emit(now, label, &Event::SliceYielded { until: *not_before, progress });
        }
        (Reported::Accepted, Answer::End(outcome)) => {
            deps.telemetry.emit(now, label, &Event::Ended { outcome, action });
        }
    }
}

/// The answer to a job whose action type no stage runs.
#[must_use]
pub fn no_stage(job: &Job) -> Answer {
    let message = format!(
        "this worker runs actions of the providers BakelineBake, BakelineTest, BakelinePromote and BakelineCleanup, \
         version 1; the action type of the job is {} {} {}",
        job.action_type.category, job.action_type.provider, job.action_type.version
    );
    Answer::End(Outcome::Failed(Failure::new(FailureKind::ConfigurationError, message)))
}

/// Runs a slice and catches its panic.
///
/// # Errors
/// The slice panicked: the answer fails the action as any other error does, and other jobs continue.
pub async fn catch_panic<T>(slice: impl Future<Output = T>) -> Result<T, Answer> {
    AssertUnwindSafe(slice).catch_unwind().await.map_err(|panic| {
        let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let message = message
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without a message".to_owned());
        let message = format!("this is a defect in bakeline: {message}");
        Answer::End(Outcome::Failed(Failure::new(FailureKind::JobFailed, message)))
    })
}
