//! One job in hand: its slice run within bounds and reported, exactly once.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::Settings;
use super::execution_status::{self, ExecutionStatusCache};
use crate::engine::error::with_causes;
use crate::engine::{Clock, Failure, FailureKind, Job, Outcome, Progress, StageError};
use crate::evidence::Stage;
use crate::stage::Cx;
use crate::telemetry::metric::Ending;
use crate::telemetry::{Event, JobLabel, Measured};
use crate::worker::action::stage_of;
use crate::worker::claim::{self, Claim};
use crate::worker::report::{self, Reported};
use crate::worker::run_once::{guarded, no_stage, tell};
use crate::worker::slice::{self, Answer};
use crate::worker::{WorkerDeps, WorkerError};

/// Runs one slice of a stage. Production uses [`stages`]; a test may put something else in its place.
pub type Runner = Arc<dyn Fn(Stage, Arc<Cx>) -> BoxFuture<'static, Result<Answer, StageError>> + Send + Sync>;

/// The four stages.
#[must_use]
pub fn stages() -> Runner {
    Arc::new(|stage, cx| async move { slice::attempt(stage, &cx).await }.boxed())
}

/// Tries of a slice that could not begin, before the action fails.
const TRIES: u32 = 8;

/// Milliseconds since the Unix epoch.
pub(super) fn millis(clock: &Clock) -> u64 {
    let since = clock.time_source().now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A job that is ours and not yet answered.
#[derive(Debug)]
pub(super) struct ClaimedJob {
    pub job: Job,
    pub stage: Option<Stage>,
    pub label: JobLabel,
    /// When its artifact credentials were given, in milliseconds.
    fresh: u64,
    /// When it may be worked on, in milliseconds.
    pub due: u64,
    tries: u32,
    /// Whether an earlier slice of it may have been cut off without a word.
    interrupted: bool,
    /// What CodePipeline is still to be told, after a report that did not get through.
    answer: Option<Answer>,
    /// The action is over without us; what it made is undone.
    unwinding: Option<Failure>,
}

impl ClaimedJob {
    pub fn new(job: Job, now: u64) -> Box<Self> {
        let stage = stage_of(&job.action_type);
        let label = JobLabel::of(&job, stage.unwrap_or(Stage::Bake));
        let due = slice::not_before(&job).0;
        let due = u64::try_from(due).unwrap_or(0).saturating_mul(1000);
        Box::new(Self {
            job,
            stage,
            label,
            fresh: now,
            due,
            tries: 0,
            interrupted: false,
            answer: None,
            unwinding: None,
        })
    }

    /// The token with which another worker can go on at once; none if this worker must do something first.
    pub fn to_give_back(&self) -> Option<&str> {
        let free = self.answer.is_none() && self.unwinding.is_none();
        self.job.continuation_token.as_deref().filter(|_| free)
    }

    /// Whether nothing has begun yet, so that no token can carry the job.
    pub fn is_unbegun(&self) -> bool {
        self.job.continuation_token.is_none() && self.tries == 0
    }

    fn later(mut self: Box<Self>, now: u64) -> Next {
        self.tries = self.tries.saturating_add(1);
        self.due = now.saturating_add(1000u64 << self.tries.min(6));
        Next::Later(self)
    }
}

/// What is to become of a job that was worked on.
#[derive(Debug)]
pub(super) enum Next {
    /// It is answered with a token, which the job now has: CodePipeline will offer the next job to someone.
    Handed(Box<ClaimedJob>),
    /// It is answered for good. `moved` tells that CodePipeline may soon have a job of a later action.
    Gone { job: String, moved: bool },
    /// CodePipeline did not take our answer: the job had ended, or was offered anew.
    Dropped { job: String },
    /// It stays with us, and is due again at its moment.
    Later(Box<ClaimedJob>),
}

/// What every slice shares.
pub(super) struct SliceRunner {
    pub deps: WorkerDeps,
    pub settings: Settings,
    pub runner: Runner,
    pub fates: ExecutionStatusCache,
}

impl SliceRunner {
    fn now(&self) -> u64 {
        millis(&self.deps.clock)
    }

    /// Works on a job once: refreshes what has grown old, runs the slice, reports.
    pub async fn work(&self, mut held: Box<ClaimedJob>) -> Next {
        let began = self.now();
        let late = Duration::from_millis(began.saturating_sub(held.due.max(held.fresh)));
        let label = held.label.clone();
        let (next, ending) = match held.answer.take() {
            Some(answer) => self.report(held, answer).await,
            None => match self.prepare(held).await {
                Ok(held) => self.run(held).await,
                Err(next) => (next, Ending::Postponed),
            },
        };
        let took = Duration::from_millis(self.now().saturating_sub(began));
        self.deps
            .telemetry
            .measure(self.deps.clock.now(), &Measured::Slice { label: &label, ending, took, late });
        next
    }

    /// Fresh credentials, and whether the action still goes on.
    async fn prepare(&self, mut held: Box<ClaimedJob>) -> Result<Box<ClaimedJob>, Next> {
        let now = self.now();
        if Duration::from_millis(now.saturating_sub(held.fresh)) > self.settings.fresh_for {
            held = self.refresh(held).await?;
        }
        let begun = held.job.continuation_token.is_some() || held.interrupted || held.tries > 0;
        if begun && held.unwinding.is_none() {
            match self.fates.look(&self.deps.aws, &held.job, self.deps.clock.now()).await {
                Ok(Some(why)) => self.abandon(&mut held, why),
                Ok(None) => {}
                // Not knowing is no reason to stop a release: the next look may tell.
                Err(error) => {
                    tracing::warn!(job = held.job.id, error = %with_causes(&error), "the execution cannot be looked at");
                }
            }
        }
        Ok(held)
    }

    fn abandon(&self, held: &mut ClaimedJob, why: String) {
        self.deps.telemetry.emit(self.deps.clock.now(), &held.label, &Event::Abandoned { why: &why });
        held.unwinding = Some(Failure::new(FailureKind::JobFailed, why));
    }

    async fn refresh(&self, mut held: Box<ClaimedJob>) -> Result<Box<ClaimedJob>, Next> {
        match claim::look_up(&self.deps, &held.job.id).await {
            Ok(Claim::Ours(fresh)) => {
                // Of an action that is over CodePipeline gives no credentials; the old ones may still do.
                if fresh.credentials.is_some() {
                    held.job.credentials = fresh.credentials;
                    held.fresh = self.now();
                }
                Ok(held)
            }
            Ok(Claim::NotOurs { .. }) if held.unwinding.is_some() => Ok(held),
            Ok(Claim::NotOurs { why, .. }) => {
                self.deps.telemetry.emit(self.deps.clock.now(), &held.label, &Event::NotOurs { why: &why });
                Err(self.gone(held, false).await)
            }
            Err(error) => {
                tracing::warn!(job = held.job.id, error = %with_causes(&error), "the job cannot be read anew");
                Err(held.later(self.now()))
            }
        }
    }

    async fn gone(&self, held: Box<ClaimedJob>, moved: bool) -> Next {
        if let Err(error) = self.deps.journal.forget(&held.job.id).await {
            tracing::warn!(job = held.job.id, %error, "the journal keeps a job that is done; looking it up will tell");
        }
        Next::Gone { job: held.job.id, moved }
    }

    async fn run(&self, held: Box<ClaimedJob>) -> (Next, Ending) {
        let Some(stage) = held.stage else {
            let answer = no_stage(&held.job);
            return self.report(held, answer).await;
        };
        let cx = Arc::new(self.deps.context(held.job.clone()));
        if let Some(why) = held.unwinding.clone() {
            let slice = async { Ok(slice::unwind(stage, &cx, &why).await) };
            let answer = self.bounded(&held, slice).await.unwrap_or_else(|error| slice::failed(&error));
            return self.unwound(held, answer).await;
        }
        match self.bounded(&held, (self.runner)(stage, cx)).await {
            Ok(answer) => self.report(held, answer).await,
            Err(error) if held.tries < TRIES => {
                tracing::warn!(job = held.job.id, error = %with_causes(&error), "the slice could not begin");
                let mut held = held;
                // Whatever it was, credentials that have run out are one way to it.
                held.fresh = 0;
                (held.later(self.now()), Ending::Postponed)
            }
            Err(error) => self.report(held, slice::failed(&error)).await,
        }
    }

    /// Runs a slice until it ends, panics or has taken too long.
    async fn bounded(
        &self,
        held: &ClaimedJob,
        slice: impl Future<Output = Result<Answer, StageError>>,
    ) -> Result<Answer, StageError> {
        let limit = self.settings.slice_limit;
        tokio::select! {
            answer = guarded(slice) => answer.unwrap_or_else(Ok),
            () = self.deps.clock.sleep(limit) => {
                let why = format!("the slice took longer than {} seconds and was cut off", limit.as_secs());
                match held.job.continuation_token.as_deref().and_then(|token| postponed(token, &self.deps.clock)) {
                    Some((token, not_before)) => {
                        let progress = Progress { summary: format!("trying again: {why}"), ..Progress::default() };
                        Ok(Answer::Continue { token, not_before, progress })
                    }
                    None => Err(StageError::NotYet(why)),
                }
            }
        }
    }

    async fn report(&self, mut held: Box<ClaimedJob>, answer: Answer) -> (Next, Ending) {
        match report::report(&self.deps, &held.job, &answer).await {
            Ok(reported) => {
                tell(&self.deps, &held.label, &answer, &reported);
                match (reported, answer) {
                    (Reported::Taken, Answer::Continue { token, .. }) => {
                        held.job.continuation_token = Some(token);
                        (Next::Handed(held), Ending::SliceYielded)
                    }
                    (Reported::Taken, Answer::End(Outcome::Succeeded { .. })) => {
                        (Next::Gone { job: held.job.id, moved: true }, Ending::Succeeded)
                    }
                    (Reported::Taken, Answer::End(Outcome::Failed(_))) => {
                        (Next::Gone { job: held.job.id, moved: false }, Ending::Failed)
                    }
                    (Reported::Dropped { .. }, answer) => (self.refused(held, answer).await, Ending::Dropped),
                }
            }
            Err(error) => {
                tracing::warn!(job = held.job.id, error = %with_causes(&error), "the result did not get through; it is sent again");
                held.answer = Some(answer);
                (held.later(self.now()), Ending::Postponed)
            }
        }
    }

    /// CodePipeline did not take the result. If the whole action is over, what it made is undone; otherwise another
    /// worker has answered, and nothing of its work is touched.
    async fn refused(&self, mut held: Box<ClaimedJob>, answer: Answer) -> Next {
        let Answer::Continue { token, .. } = answer else {
            return Next::Dropped { job: held.job.id };
        };
        match execution_status::over(&self.deps.aws, &held.job).await {
            Ok(Some(why)) => {
                held.job.continuation_token = Some(token);
                self.begin_unwinding(&mut held, why).await;
                Next::Later(held)
            }
            Ok(None) => Next::Dropped { job: held.job.id },
            Err(error) => {
                tracing::warn!(job = held.job.id, error = %with_causes(&error), "the execution cannot be looked at");
                Next::Dropped { job: held.job.id }
            }
        }
    }

    async fn unwound(&self, mut held: Box<ClaimedJob>, answer: Answer) -> (Next, Ending) {
        match answer {
            Answer::Continue { token, not_before, .. } => {
                held.job.continuation_token = Some(token);
                held.due = u64::try_from(not_before.0).unwrap_or(0).saturating_mul(1000);
                (Next::Later(held), Ending::Unwound)
            }
            Answer::End(outcome) => {
                self.deps.telemetry.emit(
                    self.deps.clock.now(),
                    &held.label,
                    &Event::Undone { outcome: &outcome },
                );
                (self.gone(held, false).await, Ending::Unwound)
            }
        }
    }

    /// Looks after an action whose next job was not seen: it may have been abandoned while no worker had it.
    pub async fn look_after(&self, mut held: Box<ClaimedJob>) -> Option<Box<ClaimedJob>> {
        match execution_status::over(&self.deps.aws, &held.job).await {
            Ok(None) => None,
            Ok(Some(why)) => {
                self.begin_unwinding(&mut held, why).await;
                Some(held)
            }
            Err(error) => {
                tracing::warn!(job = held.job.id, error = %with_causes(&error), "the execution cannot be looked at");
                None
            }
        }
    }

    async fn begin_unwinding(&self, held: &mut ClaimedJob, why: String) {
        if let Err(error) = self.deps.journal.remember(&held.job.id).await {
            tracing::warn!(job = held.job.id, %error, "the journal does not know of an unwinding");
        }
        self.abandon(held, why);
        held.due = self.now();
    }

    /// Ends a job with its own token, so that another worker goes on with it at once.
    pub async fn give_back(&self, held: Box<ClaimedJob>) -> Next {
        let Some(token) = held.to_give_back() else { return Next::Later(held) };
        let progress =
            Progress { summary: "the worker stops; another one goes on".into(), ..Progress::default() };
        let not_before = slice::not_before(&held.job);
        let answer = Answer::Continue { token: token.to_owned(), not_before, progress };
        self.report(held, answer).await.0
    }

    /// Looks up a job that the journal remembers.
    ///
    /// # Errors
    /// CodePipeline did not answer.
    pub async fn take_up(&self, id: &str) -> Result<Option<Box<ClaimedJob>>, WorkerError> {
        match claim::take_up(&self.deps, id).await? {
            Claim::Ours(job) => {
                let mut held = ClaimedJob::new(*job, self.now());
                held.interrupted = true;
                self.deps.telemetry.emit(
                    self.deps.clock.now(),
                    &held.label,
                    &Event::Claimed { first: false },
                );
                Ok(Some(held))
            }
            Claim::NotOurs { job, why } => {
                tracing::info!(job, why, "a job in the journal is not ours any more");
                Ok(None)
            }
        }
    }
}

/// The same token for half a minute later, with one more fault counted; none if it is not a token of ours.
fn postponed(token: &str, clock: &Clock) -> Option<(String, crate::engine::Timestamp)> {
    let mut value: serde_json::Value = serde_json::from_str(token).ok()?;
    let not_before = clock.now().plus(Duration::from_secs(30));
    let faults = value.get("faults")?.as_u64()?.saturating_add(1).min(u64::from(u16::MAX));
    let members = value.as_object_mut()?;
    members.insert("not_before".into(), not_before.0.into());
    members.insert("faults".into(), faults.into());
    let text = value.to_string();
    (text.len() <= crate::engine::Token::<()>::MAX).then_some((text, not_before))
}
