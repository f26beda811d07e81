//! A claimed job to its answer, and one turn over all that is offered.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use super::action::stage_of;
use super::claim::{self, Claim};
use super::deps::{WorkerDeps, WorkerError};
use super::report::{self, Reported};
use super::slice::{self, Answer};
use crate::engine::{Failure, FailureKind, Job, Outcome};
use crate::telemetry::{Event, JobLabel};

/// Takes up what the journal remembers, then polls every stage once and runs what is offered, one job after another.
/// Returns how many jobs were answered.
///
/// # Errors
/// AWS did not answer a poll, an acknowledgement or a result. Jobs already claimed stay in the journal.
pub async fn run_once(deps: &WorkerDeps) -> Result<usize, WorkerError> {
    let mut answered = 0;
    for id in deps.journal.jobs().await? {
        if let Claim::Ours(job) = claim::take_up(deps, &id).await? {
            run(deps, *job).await?;
            answered += 1;
        }
    }
    for &stage in &deps.stages {
        for offered in claim::poll(deps, stage, 1).await? {
            let label = JobLabel::of(&offered, stage);
            let first = offered.continuation_token.is_none();
            match claim::acknowledge(deps, offered).await? {
                Claim::Ours(job) => {
                    deps.telemetry.emit(deps.clock.now(), &label, &Event::Claimed { first });
                    run(deps, *job).await?;
                    answered += 1;
                }
                Claim::NotOurs { why, .. } => {
                    deps.telemetry.emit(deps.clock.now(), &label, &Event::NotOurs { why: &why });
                }
            }
        }
    }
    Ok(answered)
}

/// Runs the slice of a claimed job once it is due, and reports.
///
/// # Errors
/// The result could not be sent; the journal keeps the job.
pub async fn run(deps: &WorkerDeps, job: Job) -> Result<Reported, WorkerError> {
    let Some(stage) = stage_of(&job.action_type) else {
        return report::report(deps, &job, &no_stage(&job)).await;
    };
    let due = slice::not_before(&job);
    deps.clock.sleep(due.since(deps.clock.now())).await;
    let label = JobLabel::of(&job, stage);
    let cx = deps.context(job);
    let answer = guarded(slice::run(stage, &cx)).await.unwrap_or_else(|defect| defect);
    let reported = report::report(deps, &cx.job, &answer).await?;
    tell(deps, &label, &answer, &reported);
    Ok(reported)
}

/// Emits what came of a slice and its report.
pub fn tell(deps: &WorkerDeps, label: &JobLabel, answer: &Answer, reported: &Reported) {
    let now = deps.clock.now();
    match (reported, answer) {
        (Reported::Dropped { why }, _) => deps.telemetry.emit(now, label, &Event::Dropped { why }),
        (Reported::Taken, Answer::Continue { not_before, progress, .. }) => {
            deps.telemetry.emit(now, label, &Event::SliceYielded { until: *not_before, progress });
        }
        (Reported::Taken, Answer::End(outcome)) => {
            deps.telemetry.emit(now, label, &Event::Ended { outcome });
        }
    }
}

/// The answer to a job that no stage runs.
#[must_use]
pub fn no_stage(job: &Job) -> Answer {
    let message = format!(
        "this worker runs actions of the providers BakelineBake, BakelineTest, BakelinePromote and BakelineCleanup, \
         version 1; the action type of the job is {} {} {}",
        job.action_type.category, job.action_type.provider, job.action_type.version
    );
    Answer::End(Outcome::Failed(Failure::new(FailureKind::ConfigurationError, message)))
}

/// Runs a slice to its end or its panic.
///
/// # Errors
/// A panic is a defect of ours; the pipeline hears of it like of every other failure, and other jobs go on.
pub async fn guarded<T>(slice: impl Future<Output = T>) -> Result<T, Answer> {
    AssertUnwindSafe(slice).catch_unwind().await.map_err(|panic| {
        let what = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let what =
            what.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned());
        let message = format!("this is a defect in bakeline: {what}");
        Answer::End(Outcome::Failed(Failure::new(FailureKind::JobFailed, message)))
    })
}
