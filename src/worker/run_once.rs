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
pub async fn run_once(house: &WorkerDeps) -> Result<usize, WorkerError> {
    let mut answered = 0;
    for id in house.journal.jobs().await? {
        if let Claim::Ours(job) = claim::take_up(house, &id).await? {
            run(house, *job).await?;
            answered += 1;
        }
    }
    for &stage in &house.stages {
        for offered in claim::poll(house, stage, 1).await? {
            let label = JobLabel::of(&offered, stage);
            let first = offered.continuation_token.is_none();
            match claim::acknowledge(house, offered).await? {
                Claim::Ours(job) => {
                    house.telemetry.emit(house.clock.now(), &label, &Event::Claimed { first });
                    run(house, *job).await?;
                    answered += 1;
                }
                Claim::NotOurs { why, .. } => {
                    house.telemetry.emit(house.clock.now(), &label, &Event::NotOurs { why: &why });
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
pub async fn run(house: &WorkerDeps, job: Job) -> Result<Reported, WorkerError> {
    let Some(stage) = stage_of(&job.action_type) else {
        return report::report(house, &job, &no_stage(&job)).await;
    };
    let due = slice::not_before(&job);
    house.clock.sleep(due.since(house.clock.now())).await;
    let label = JobLabel::of(&job, stage);
    let cx = house.context(job);
    let answer = guarded(slice::run(stage, &cx)).await.unwrap_or_else(|defect| defect);
    let reported = report::report(house, &cx.job, &answer).await?;
    tell(house, &label, &answer, &reported);
    Ok(reported)
}

/// Emits what came of a slice and its report.
pub fn tell(house: &WorkerDeps, label: &JobLabel, answer: &Answer, reported: &Reported) {
    let now = house.clock.now();
    match (reported, answer) {
        (Reported::Dropped { why }, _) => house.telemetry.emit(now, label, &Event::Dropped { why }),
        (Reported::Taken, Answer::Continue { not_before, progress, .. }) => {
            house.telemetry.emit(now, label, &Event::SliceYielded { until: *not_before, progress });
        }
        (Reported::Taken, Answer::End(outcome)) => {
            house.telemetry.emit(now, label, &Event::Ended { outcome });
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
