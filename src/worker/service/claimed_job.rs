//! A claimed job and what becomes of it after a slice.

use crate::engine::{Clock, Failure, Job, Timestamp};
use crate::evidence::Stage;
use crate::telemetry::JobLabel;
use crate::telemetry::event::ActionFacts;
use crate::worker::action::stage_of;
use crate::worker::slice::{self, Answer};

/// Milliseconds since the Unix epoch.
pub(super) fn millis(clock: &Clock) -> u64 {
    let since = clock.time_source().now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Seconds since the epoch as milliseconds; times before the epoch become zero.
pub(super) fn to_millis(time: Timestamp) -> u64 {
    u64::try_from(time.0).unwrap_or(0).saturating_mul(1000)
}

/// A job of this worker whose result is not reported yet. Times are milliseconds since the epoch.
#[derive(Debug)]
pub(super) struct ClaimedJob {
    pub job: Job,
    pub stage: Option<Stage>,
    pub label: JobLabel,
    /// When CodePipeline issued the artifact credentials.
    pub credentials_from: u64,
    /// The earliest time of the slice.
    pub due: u64,
    pub tries: u32,
    /// The job is from the journal: an earlier slice of it may have crashed.
    pub recovered: bool,
    /// A result that could not be reported yet.
    pub unreported: Option<Answer>,
    /// Why the stage undoes what the action created: the action ended without a result from this worker.
    pub unwinding: Option<Failure>,
    /// When the first slice of the action started.
    pub started: Option<Timestamp>,
    /// The service of the release, once a slice has read the spec.
    pub service: Option<String>,
}

impl ClaimedJob {
    pub fn new(job: Job, now: u64) -> Box<Self> {
        let stage = stage_of(&job.action_type);
        Box::new(Self {
            stage,
            label: JobLabel::of(&job, stage.unwrap_or(Stage::Bake)),
            credentials_from: now,
            due: to_millis(slice::not_before(&job)),
            tries: 0,
            recovered: false,
            unreported: None,
            unwinding: None,
            started: slice::started(&job),
            service: None,
            job,
        })
    }

    /// The token with which another worker can continue at once; `None` if this worker must finish something first.
    pub fn returnable_token(&self) -> Option<&str> {
        let idle = self.unreported.is_none() && self.unwinding.is_none();
        self.job.continuation_token.as_deref().filter(|_| idle)
    }

    /// Whether no slice has run: no token can carry the job.
    pub fn is_new(&self) -> bool {
        self.job.continuation_token.is_none() && self.tries == 0
    }

    /// Retries the job with exponential backoff: 2, 4, 8 … 64 seconds.
    pub fn retry(mut self: Box<Self>, now: u64) -> NextStep {
        self.tries = self.tries.saturating_add(1);
        self.due = now.saturating_add(1000u64 << self.tries.min(6));
        NextStep::Requeue(self)
    }

    pub fn action_facts(&self, now: Timestamp) -> ActionFacts<'_> {
        ActionFacts { duration: now.since(self.started.unwrap_or(now)), service: self.service.as_deref() }
    }
}

/// What becomes of a job after a slice.
#[derive(Debug)]
pub(super) enum NextStep {
    /// The result with the next token is reported; CodePipeline will offer the action's next job.
    Continued(Box<ClaimedJob>),
    /// The action has ended. `expect_job` tells that CodePipeline may soon offer a job of a later action.
    Ended { job_id: String, expect_job: bool },
    /// CodePipeline refused the result: the job had ended, or was offered again.
    Dropped { job_id: String },
    /// The job stays with this worker until it is due again.
    Requeue(Box<ClaimedJob>),
}
