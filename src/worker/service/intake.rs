//! What comes in: how tasks ended, and what a poll brought.

use std::time::Duration;

use futures::StreamExt as _;

use super::AT_ONCE;
use super::slicing::{ClaimedJob, Next, SliceRunner, millis};
use crate::engine::error::with_causes;
use crate::evidence::Stage;
use crate::telemetry::{Event, JobLabel, Measured};
use crate::worker::WorkerError;
use crate::worker::claim::{self, Claim};
use crate::worker::journal::{Inherited, JournalError};

/// How a task ended.
#[derive(Debug)]
pub(super) enum TaskEvent {
    Polled {
        stage: Stage,
        reserved: usize,
        sent: u64,
        found: Result<Offers, WorkerError>,
    },
    TakenUp {
        id: String,
        job: Result<Option<Box<ClaimedJob>>, WorkerError>,
    },
    Worked(Next),
    GivenBack(Next),
    /// An action was looked after; a job came of it if there is something to undo.
    LookedAfter(Option<Box<ClaimedJob>>),
    Tended(Result<Inherited, JournalError>),
    /// A task panicked: the job it had is looked up again.
    Broke {
        job: Option<String>,
        what: Broken,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Broken {
    Poll { stage: Stage, reserved: usize },
    Slice,
    GiveBack,
    TakeUp,
    LookAfter,
    Tend,
}

/// What one poll brought.
#[derive(Debug, Default)]
#[allow(clippy::vec_box, reason = "a job in hand moves from place to place; its box moves, not the job")]
pub(super) struct Offers {
    pub offered: usize,
    pub claimed: Vec<Box<ClaimedJob>>,
    /// Jobs whose acknowledgement may or may not have arrived.
    pub doubtful: Vec<String>,
}

/// Polls, and claims what is offered.
pub(super) async fn ask(
    bench: &SliceRunner,
    stage: Stage,
    batch: usize,
    late: Duration,
) -> Result<Offers, WorkerError> {
    let deps = &bench.deps;
    let offered = claim::poll(deps, stage, i32::try_from(batch).unwrap_or(i32::MAX)).await?;
    deps.telemetry.measure(deps.clock.now(), &Measured::Poll { stage, offered: offered.len(), late });
    let mut offers = Offers { offered: offered.len(), ..Offers::default() };
    let claims = offered.into_iter().map(|job| async move {
        let (id, label, first) =
            (job.id.clone(), JobLabel::of(&job, stage), job.continuation_token.is_none());
        (id, label, first, claim::acknowledge(deps, job).await)
    });
    let mut claims = futures::stream::iter(claims).buffer_unordered(AT_ONCE);
    while let Some((id, label, first, claimed)) = claims.next().await {
        match claimed {
            Ok(Claim::Ours(job)) => {
                deps.telemetry.emit(deps.clock.now(), &label, &Event::Claimed { first });
                offers.claimed.push(ClaimedJob::new(*job, millis(&deps.clock)));
            }
            Ok(Claim::NotOurs { why, .. }) => {
                deps.telemetry.emit(deps.clock.now(), &label, &Event::NotOurs { why: &why });
            }
            Err(error) => {
                tracing::warn!(job = id, error = %with_causes(&error), "the acknowledgement may not have arrived");
                offers.doubtful.push(id);
            }
        }
    }
    Ok(offers)
}
