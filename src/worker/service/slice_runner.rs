//! Runs one slice of a claimed job with a timeout, and reports its result once.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tracing::Instrument as _;

use super::Settings;
use super::claimed_job::{ClaimedJob, NextStep, millis, to_millis};
use super::execution_status::{self, ExecutionStatusCache};
use crate::engine::error::with_causes;
use crate::engine::{Clock, Failure, FailureKind, Outcome, Progress, StageError, Timestamp, Token};
use crate::evidence::Stage;
use crate::stage::Cx;
use crate::telemetry::metric::SliceResult;
use crate::telemetry::{Event, Measurement};
use crate::worker::claim::{self, Claim};
use crate::worker::report::{self, Reported};
use crate::worker::run_once::{catch_panic, emit_reported, no_stage};
use crate::worker::slice::{self, Answer};
use crate::worker::{WorkerDeps, WorkerError};

/// Runs one slice of a stage. Production uses [`stages`]; a test may use another function.
pub type Runner = Arc<dyn Fn(Stage, Arc<Cx>) -> BoxFuture<'static, Result<Answer, StageError>> + Send + Sync>;

/// The runner of the four stages.
#[must_use]
pub fn stages() -> Runner {
    Arc::new(|stage, context| async move { slice::attempt(stage, &context).await }.boxed())
}

/// Tries of a first slice that cannot read its inputs, before the action fails.
const MAX_TRIES: u32 = 8;

/// Dependencies shared by all slices.
pub(super) struct SliceRunner {
    pub deps: WorkerDeps,
    pub settings: Settings,
    pub runner: Runner,
    pub execution_status: ExecutionStatusCache,
}

impl SliceRunner {
    fn now(&self) -> u64 {
        millis(&self.deps.clock)
    }

    /// Renews the credentials if they are old, runs the slice and reports its result.
    pub async fn run(&self, claimed: Box<ClaimedJob>) -> NextStep {
        let span = claimed.label.span();
        self.run_in_span(claimed).instrument(span).await
    }

    async fn run_in_span(&self, mut claimed: Box<ClaimedJob>) -> NextStep {
        let began = self.now();
        let start_lag =
            Duration::from_millis(began.saturating_sub(claimed.due.max(claimed.credentials_from)));
        let stage = claimed.label.stage;
        claimed.started.get_or_insert(self.deps.clock.now());
        let (next, result) = match claimed.unreported.take() {
            Some(answer) => self.report(claimed, answer).await,
            None => match self.prepare(claimed).await {
                Ok(claimed) => self.run_slice(claimed).await,
                Err(next) => (next, SliceResult::Postponed),
            },
        };
        let duration = Duration::from_millis(self.now().saturating_sub(began));
        let measurement = Measurement::Slice { stage, result, duration, start_lag };
        self.deps.telemetry.measure(self.deps.clock.now(), &measurement);
        next
    }

    /// Renews old credentials, and checks whether the action has ended outside.
    async fn prepare(&self, mut claimed: Box<ClaimedJob>) -> Result<Box<ClaimedJob>, NextStep> {
        let age = Duration::from_millis(self.now().saturating_sub(claimed.credentials_from));
        if age > self.settings.credentials_max_age {
            claimed = self.renew_credentials(claimed).await?;
        }
        let has_run = claimed.job.continuation_token.is_some() || claimed.recovered || claimed.tries > 0;
        if has_run && claimed.unwinding.is_none() {
            let now = self.deps.clock.now();
            match self.execution_status.ended_outside(&self.deps.aws, &claimed.job, now).await {
                Ok(Some(reason)) => self.start_undo(&mut claimed, reason),
                Ok(None) => {}
                // An unknown status does not stop a release: the next read may succeed.
                Err(error) => log_unknown_status(&error),
            }
        }
        Ok(claimed)
    }

    fn start_undo(&self, claimed: &mut ClaimedJob, reason: String) {
        let event = Event::UndoStarted { reason: &reason };
        self.deps.telemetry.emit(self.deps.clock.now(), &claimed.label, &event);
        claimed.unwinding = Some(Failure::new(FailureKind::JobFailed, reason));
    }

    async fn renew_credentials(&self, mut claimed: Box<ClaimedJob>) -> Result<Box<ClaimedJob>, NextStep> {
        match claim::read(&self.deps, &claimed.job.id).await {
            Ok(Claim::Ours(job)) => {
                // CodePipeline gives no credentials for an action that has ended: the old ones may still be valid.
                if job.credentials.is_some() {
                    claimed.job.credentials = job.credentials;
                    claimed.credentials_from = self.now();
                }
                Ok(claimed)
            }
            Ok(Claim::Refused { .. }) if claimed.unwinding.is_some() => Ok(claimed),
            Ok(Claim::Refused { reason, .. }) => {
                let event = Event::ClaimRefused { reason: &reason };
                self.deps.telemetry.emit(self.deps.clock.now(), &claimed.label, &event);
                Err(self.end(claimed).await)
            }
            Err(error) => {
                tracing::warn!(error = %with_causes(&error), "cannot renew the credentials of the job");
                Err(claimed.retry(self.now()))
            }
        }
    }

    /// Removes a job without a result from the journal.
    async fn end(&self, claimed: Box<ClaimedJob>) -> NextStep {
        if let Err(error) = self.deps.journal.remove(&claimed.job.id).await {
            tracing::warn!(error = %with_causes(&error), "cannot remove the job from the journal; a later recovery removes it");
        }
        NextStep::Ended { job_id: claimed.job.id, expect_job: false }
    }

    async fn run_slice(&self, mut claimed: Box<ClaimedJob>) -> (NextStep, SliceResult) {
        let Some(stage) = claimed.stage else {
            let answer = no_stage(&claimed.job);
            return self.report(claimed, answer).await;
        };
        let context = Arc::new(self.deps.context(claimed.job.clone()));
        let service = Arc::clone(&context.service);
        if let Some(reason) = claimed.unwinding.clone() {
            let slice = async { Ok(slice::unwind(stage, &context, &reason).await) };
            let answer =
                self.with_timeout(&claimed, slice).await.unwrap_or_else(|error| slice::failed(&error));
            claimed.service = service.get().cloned();
            return self.undone(claimed, answer).await;
        }
        let result = self.with_timeout(&claimed, (self.runner)(stage, context)).await;
        claimed.service = service.get().cloned();
        match result {
            Ok(answer) => self.report(claimed, answer).await,
            Err(error) if claimed.tries < MAX_TRIES => {
                tracing::warn!(error = %with_causes(&error), "the first slice cannot start; retrying");
                // Expired credentials are one possible cause: renew them before the retry.
                claimed.credentials_from = 0;
                (claimed.retry(self.now()), SliceResult::Postponed)
            }
            Err(error) => self.report(claimed, slice::failed(&error)).await,
        }
    }

    /// Runs a slice until it ends, panics or exceeds the timeout.
    async fn with_timeout(
        &self,
        claimed: &ClaimedJob,
        slice: impl Future<Output = Result<Answer, StageError>>,
    ) -> Result<Answer, StageError> {
        let timeout = self.settings.slice_timeout;
        tokio::select! {
            answer = catch_panic(slice) => answer.unwrap_or_else(Ok),
            () = self.deps.clock.sleep(timeout) => {
                let error = SliceTimeout { seconds: timeout.as_secs() };
                let token = claimed.job.continuation_token.as_deref();
                match token.and_then(|token| postpone(token, &self.deps.clock)) {
                    Some((token, not_before)) => {
                        let progress = Progress { summary: format!("retrying: {error}"), ..Progress::default() };
                        Ok(Answer::Continue { token, not_before, progress })
                    }
                    None => Err(StageError::not_yet(error)),
                }
            }
        }
    }

    async fn report(&self, mut claimed: Box<ClaimedJob>, answer: Answer) -> (NextStep, SliceResult) {
        match report::report(&self.deps, &claimed.job, &answer).await {
            Ok(reported) => {
                let action = claimed.action_facts(self.deps.clock.now());
                emit_reported(&self.deps, &claimed.label, action, &answer, &reported);
                match (reported, answer) {
                    (Reported::Accepted, Answer::Continue { token, .. }) => {
                        claimed.job.continuation_token = Some(token);
                        (NextStep::Continued(claimed), SliceResult::Continued)
                    }
                    (Reported::Accepted, Answer::End(Outcome::Succeeded { .. })) => {
                        let job_id = claimed.job.id;
                        (NextStep::Ended { job_id, expect_job: true }, SliceResult::Succeeded)
                    }
                    (Reported::Accepted, Answer::End(Outcome::Failed(_))) => {
                        let job_id = claimed.job.id;
                        (NextStep::Ended { job_id, expect_job: false }, SliceResult::Failed)
                    }
                    (Reported::Refused { .. }, answer) => {
                        (self.refused(claimed, answer).await, SliceResult::Dropped)
                    }
                }
            }
            Err(error) => {
                tracing::warn!(error = %with_causes(&error), "cannot report the result; retrying");
                claimed.unreported = Some(answer);
                (claimed.retry(self.now()), SliceResult::Postponed)
            }
        }
    }

    /// Handles a refused result. If the whole action has ended, the stage undoes what it created; otherwise another
    /// worker has reported a result, and nothing is undone.
    async fn refused(&self, mut claimed: Box<ClaimedJob>, answer: Answer) -> NextStep {
        let Answer::Continue { token, .. } = answer else {
            return NextStep::Dropped { job_id: claimed.job.id };
        };
        match execution_status::ended_outside(&self.deps.aws, &claimed.job).await {
            Ok(Some(reason)) => {
                claimed.job.continuation_token = Some(token);
                self.enqueue_undo(&mut claimed, reason).await;
                NextStep::Requeue(claimed)
            }
            Ok(None) => NextStep::Dropped { job_id: claimed.job.id },
            Err(error) => {
                log_unknown_status(&error);
                NextStep::Dropped { job_id: claimed.job.id }
            }
        }
    }

    async fn undone(&self, mut claimed: Box<ClaimedJob>, answer: Answer) -> (NextStep, SliceResult) {
        match answer {
            Answer::Continue { token, not_before, .. } => {
                claimed.job.continuation_token = Some(token);
                claimed.due = to_millis(not_before);
                (NextStep::Requeue(claimed), SliceResult::Undone)
            }
            Answer::End(outcome) => {
                let now = self.deps.clock.now();
                let event = Event::UndoEnded { outcome: &outcome, action: claimed.action_facts(now) };
                self.deps.telemetry.emit(now, &claimed.label, &event);
                (self.end(claimed).await, SliceResult::Undone)
            }
        }
    }

    /// Checks an action whose next job did not come: it may have been abandoned while no worker had it. Returns a job
    /// if there is something to undo.
    pub async fn check_action(&self, mut claimed: Box<ClaimedJob>) -> Option<Box<ClaimedJob>> {
        let span = claimed.label.span();
        async {
            match execution_status::ended_outside(&self.deps.aws, &claimed.job).await {
                Ok(None) => None,
                Ok(Some(reason)) => {
                    self.enqueue_undo(&mut claimed, reason).await;
                    Some(claimed)
                }
                Err(error) => {
                    log_unknown_status(&error);
                    None
                }
            }
        }
        .instrument(span)
        .await
    }

    async fn enqueue_undo(&self, claimed: &mut ClaimedJob, reason: String) {
        if let Err(error) = self.deps.journal.add(&claimed.job.id).await {
            tracing::warn!(error = %with_causes(&error), "the journal does not have the job that is being undone");
        }
        self.start_undo(claimed, reason);
        claimed.due = self.now();
    }

    /// Returns a job to CodePipeline with its own token, so that another worker continues at once.
    pub async fn return_job(&self, claimed: Box<ClaimedJob>) -> NextStep {
        let Some(token) = claimed.returnable_token() else { return NextStep::Requeue(claimed) };
        let summary = "this worker is stopping; another worker continues".to_owned();
        let progress = Progress { summary, ..Progress::default() };
        let not_before = slice::not_before(&claimed.job);
        let answer = Answer::Continue { token: token.to_owned(), not_before, progress };
        let span = claimed.label.span();
        self.report(claimed, answer).instrument(span).await.0
    }

    /// Recovers a job from the journal.
    ///
    /// # Errors
    /// CodePipeline did not answer.
    pub async fn recover(&self, job_id: &str) -> Result<Option<Box<ClaimedJob>>, WorkerError> {
        match claim::recover(&self.deps, job_id).await? {
            Claim::Ours(job) => {
                let mut claimed = ClaimedJob::new(*job, self.now());
                claimed.recovered = true;
                let event = Event::Claimed { first: false };
                claimed
                    .label
                    .span()
                    .in_scope(|| self.deps.telemetry.emit(self.deps.clock.now(), &claimed.label, &event));
                Ok(Some(claimed))
            }
            Claim::Refused { job_id, reason } => {
                tracing::info!(job_id, reason, "a job of the journal has ended or belongs to another worker");
                Ok(None)
            }
        }
    }
}

fn log_unknown_status(error: &crate::aws::AwsError) {
    tracing::warn!(error = %with_causes(error), "cannot read the status of the execution");
}

/// A slice exceeded its timeout.
#[derive(Debug, thiserror::Error)]
#[error("the slice did not end within {seconds} seconds")]
struct SliceTimeout {
    seconds: u64,
}

/// The same token, due in half a minute and with one more fault; `None` if it is not a token of bakeline.
fn postpone(token: &str, clock: &Clock) -> Option<(String, Timestamp)> {
    let mut value: serde_json::Value = serde_json::from_str(token).ok()?;
    let not_before = clock.now().plus(Duration::from_secs(30));
    let faults = value.get("faults")?.as_u64()?.saturating_add(1).min(u64::from(u16::MAX));
    let members = value.as_object_mut()?;
    members.insert("not_before".into(), not_before.0.into());
    members.insert("faults".into(), faults.into());
    let text = value.to_string();
    (text.len() <= Token::<()>::MAX).then_some((text, not_before))
}
