//! The tasks that the scheduler starts, and the events with which they end.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _};
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::CONCURRENT_CALLS;
use super::claimed_job::{ClaimedJob, NextStep, millis};
use super::slice_runner::SliceRunner;
use crate::engine::Job;
use crate::engine::error::with_causes;
use crate::evidence::Stage;
use crate::telemetry::{Event, JobLabel, Measurement};
use crate::worker::WorkerError;
use crate::worker::claim::{self, Claim};
use crate::worker::journal::{JournalError, TakenOver};

/// How a task ended.
#[derive(Debug)]
pub(super) enum TaskEvent {
    Polled {
        stage: Stage,
        reserved: usize,
        sent: u64,
        result: Result<Offers, WorkerError>,
    },
    Recovered {
        job_id: String,
        job: Result<Option<Box<ClaimedJob>>, WorkerError>,
    },
    SliceEnded(NextStep),
    Returned(NextStep),
    /// An action was checked; there is a job if the action must be undone.
    ActionChecked(Option<Box<ClaimedJob>>),
    LeaseRenewed(Result<TakenOver, JournalError>),
    /// A task panicked: the scheduler recovers its job.
    Panicked {
        job_id: Option<String>,
        task: Task,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    Poll { stage: Stage, reserved: usize },
    Slice,
    Return,
    Recover,
    CheckAction,
    RenewLease,
}

/// Starts a task whose end becomes an event, even if it panics.
pub(super) fn spawn(
    tasks: &mut JoinSet<TaskEvent>,
    task: Task,
    job_id: Option<String>,
    work: impl Future<Output = TaskEvent> + Send + 'static,
) {
    let panicked = TaskEvent::Panicked { job_id, task };
    tasks.spawn(AssertUnwindSafe(work).catch_unwind().map(|ended| ended.unwrap_or(panicked)));
}

/// The result of a poll.
#[derive(Debug, Default)]
#[allow(clippy::vec_box, reason = "a claimed job moves between queues: its box moves, not the job")]
pub(super) struct Offers {
    pub offered: usize,
    pub claimed: Vec<Box<ClaimedJob>>,
    /// Ids of jobs whose acknowledgement may or may not have arrived.
    pub uncertain: Vec<String>,
}

/// Polls a stage and claims the offered jobs.
pub(super) async fn poll(
    runner: &SliceRunner,
    stage: Stage,
    batch: usize,
    lag: Duration,
) -> Result<Offers, WorkerError> {
    let deps = &runner.deps;
    let offered = claim::poll(deps, stage, i32::try_from(batch).unwrap_or(i32::MAX)).await?;
    let mut offers = Offers { offered: offered.len(), ..Offers::default() };
    let measurement = Measurement::Poll { stage, offered: offers.offered, lag };
    deps.telemetry.measure(deps.clock.now(), &measurement);
    let claims = offered.into_iter().map(|job| {
        let label = JobLabel::of(&job, stage);
        let span = label.span();
        claim_offered(runner, job, label).instrument(span)
    });
    let mut claims = futures::stream::iter(claims).buffer_unordered(CONCURRENT_CALLS);
    while let Some(claimed) = claims.next().await {
        match claimed {
            Ok(Some(claimed)) => offers.claimed.push(claimed),
            Ok(None) => {}
            Err(job_id) => offers.uncertain.push(job_id),
        }
    }
    Ok(offers)
}

/// Claims an offered job; `Err` has the id of a job whose acknowledgement may not have arrived.
async fn claim_offered(
    runner: &SliceRunner,
    job: Job,
    label: JobLabel,
) -> Result<Option<Box<ClaimedJob>>, String> {
    let deps = &runner.deps;
    let first = job.continuation_token.is_none();
    match claim::acknowledge(deps, job).await {
        Ok(Claim::Ours(job)) => {
            deps.telemetry.emit(deps.clock.now(), &label, &Event::Claimed { first });
            Ok(Some(ClaimedJob::new(*job, millis(&deps.clock))))
        }
        Ok(Claim::Refused { reason, .. }) => {
            deps.telemetry.emit(deps.clock.now(), &label, &Event::ClaimRefused { reason: &reason });
            Ok(None)
        }
        Err(error) => {
            tracing::warn!(error = %with_causes(&error), "the acknowledgement may not have arrived");
            Err(label.job_id)
        }
    }
}
