//! Runs one slice of an action: from a continuation token to the next token or to the outcome.

use crate::engine::machine::{MAX_FAULTS, UNWINDING_GRACE, run_slice, run_slice_with, start};
use crate::engine::{
    ErrorClass, Failure, FailureKind, Job, Machine, ModuleError, Outcome, Progress, Slice, StageError,
    Timestamp, Token, token,
};
use crate::evidence::Stage;
use crate::stage::bake::Bake;
use crate::stage::cleanup::Cleanup;
use crate::stage::promote::Promote;
use crate::stage::test::Test;
use crate::stage::{Cx, StageMachine};

/// Steps in one slice: limits how long a job takes before its result is reported.
pub const STEPS: u32 = 64;

/// The result of a slice, as CodePipeline receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The action continues with this token in a later job, not before the given time.
    Continue { token: String, not_before: Timestamp, progress: Progress },
    /// The action has ended.
    End(Outcome),
}

/// The release names another environment than when the action started.
#[derive(Debug, thiserror::Error)]
#[error("the release now names the environment {}, but the action started in {}", named(.now.as_deref()), named(.started.as_deref()))]
struct EnvironmentChanged {
    now: Option<String>,
    started: Option<String>,
}

impl ModuleError for EnvironmentChanged {
    fn class(&self) -> ErrorClass {
        ErrorClass::Rejected
    }
}

fn named(environment: Option<&str>) -> &str {
    environment.unwrap_or("none")
}

/// The members of a token that the worker reads without knowing the stage.
#[derive(serde::Deserialize)]
struct TokenTimes {
    execution: String,
    started: Option<Timestamp>,
    not_before: Timestamp,
}

fn times(job: &Job) -> Option<TokenTimes> {
    let times: TokenTimes = serde_json::from_str(job.continuation_token.as_deref()?).ok()?;
    (times.execution == job.key.attempt_id).then_some(times)
}

/// The earliest time of the next slice, from the job's token.
///
/// A job without a token is due at once; so is a job with a token of another action execution, which [`run`] refuses.
#[must_use]
pub fn not_before(job: &Job) -> Timestamp {
    times(job).map_or(Timestamp::default(), |times| times.not_before)
}

/// When the action started, from the job's token; `None` in its first slice.
#[must_use]
pub fn started(job: &Job) -> Option<Timestamp> {
    times(job)?.started
}

/// Runs one slice of `stage`. It never fails: every error becomes an answer.
pub async fn run(stage: Stage, cx: &Cx) -> Answer {
    attempt(stage, cx).await.unwrap_or_else(|error| failed(&error))
}

/// Runs one slice of `stage`.
///
/// # Errors
/// The first slice cannot read its inputs at the moment; nothing has changed, and the slice can be retried.
pub async fn attempt(stage: Stage, cx: &Cx) -> Result<Answer, StageError> {
    match stage {
        Stage::Bake => attempt_as::<Bake>(cx).await,
        Stage::Test => attempt_as::<Test>(cx).await,
        Stage::Promote => attempt_as::<Promote>(cx).await,
        Stage::Cleanup => attempt_as::<Cleanup>(cx).await,
    }
}

/// Runs one slice of the unwinding of an action that has ended without a result from this worker.
///
/// The token of an [`Answer::Continue`] is for the next slice of the unwinding; CodePipeline would refuse it.
pub async fn unwind(stage: Stage, cx: &Cx, reason: &Failure) -> Answer {
    match stage {
        Stage::Bake => Box::pin(unwind_stage::<Bake>(cx.clone(), reason)).await,
        Stage::Test => Box::pin(unwind_stage::<Test>(cx.clone(), reason)).await,
        Stage::Promote => Box::pin(unwind_stage::<Promote>(cx.clone(), reason)).await,
        Stage::Cleanup => Box::pin(unwind_stage::<Cleanup>(cx.clone(), reason)).await,
    }
}

/// Runs one slice of the stage machine `M`; see [`attempt`].
///
/// # Errors
/// As [`attempt`].
pub async fn attempt_as<M: StageMachine>(cx: &Cx) -> Result<Answer, StageError> {
    // The future of a slice is large: keep it on the heap.
    match Box::pin(slice::<M>(cx.clone())).await {
        Ok(done) => Ok(answer(done)),
        Err(error) if error.is_transient() => Err(error),
        Err(error @ StageError::Token(_)) => Ok(left_to_newer(cx).unwrap_or_else(|| failed(&error))),
        Err(error) => Ok(failed(&error)),
    }
}

/// The answer to a job whose token a newer bakeline wrote, in a journal that this worker took over: the same token, so that
/// CodePipeline offers the job again and a newer worker claims it.
fn left_to_newer(cx: &Cx) -> Option<Answer> {
    let raw = cx.job.continuation_token.as_deref()?;
    let version = token::newer_version(raw)?;
    tracing::warn!(version, "left the job to a newer worker: its continuation token has a newer version");
    let summary = "left to a newer worker".to_owned();
    let progress = Progress { summary, ..Progress::default() };
    Some(Answer::Continue { token: raw.to_owned(), not_before: cx.now(), progress })
}

async fn unwind_stage<M: StageMachine>(cx: Cx, reason: &Failure) -> Answer {
    let ended = || Answer::End(Outcome::Failed(reason.clone()));
    let Some(raw) = &cx.job.continuation_token else {
        return recover_lost_first_slice::<M>(cx, reason).await;
    };
    let mut token = match Token::<M>::decode(raw, &cx.key().attempt_id) {
        Ok(token) => token,
        Err(error) => return failed(&StageError::rejected(error)),
    };
    if !token.state.is_unwinding() {
        let unwinding = token.state.clone().unwind(reason.clone().for_token());
        if unwinding == token.state {
            return ended();
        }
        token.state = unwinding;
        token.faults = 0;
    }
    answer(continue_action(cx, token).await)
}

/// Undoes what a first slice created before its worker crashed without a report and the action was abandoned.
async fn recover_lost_first_slice<M: StageMachine>(cx: Cx, reason: &Failure) -> Answer {
    let now = cx.now();
    let Some(state) = M::recover_lost_first_slice(reason.clone().for_token()) else {
        return Answer::End(Outcome::Failed(reason.clone()));
    };
    // CodePipeline gives no artifact credentials for an action that has ended. If the artifacts can be read all the
    // same, they name the environment; otherwise the stage searches the worker's own account.
    let mut loading = cx.clone();
    let environment = M::load(&mut loading, now).await.ok().and(loading.environment);
    let token = Token { environment, ..Token::new(state, &cx.key().attempt_id, now, now) };
    answer(continue_action(cx, token).await)
}

fn answer<M: Machine>(slice: Slice<M>) -> Answer {
    match slice {
        Slice::Yield { token, progress } => match token.encode() {
            Ok(text) => Answer::Continue { token: text, not_before: token.not_before, progress },
            Err(error) => failed(&StageError::bug(error)),
        },
        Slice::Done(outcome) => Answer::End(outcome),
    }
}

/// The answer to an error that no retry can solve.
#[must_use]
pub fn failed(error: &StageError) -> Answer {
    Answer::End(Outcome::Failed(error.failure()))
}

async fn slice<M: StageMachine>(mut cx: Cx) -> Result<Slice<M>, StageError> {
    let attempt_id = cx.key().attempt_id.clone();
    let Some(raw) = cx.job.continuation_token.clone() else {
        super::action::check(&cx.job).map_err(StageError::config)?;
        let started = cx.now();
        let inputs = M::load(&mut cx, started).await?;
        let mut token = start::<M>(&inputs, &attempt_id, started);
        token.environment.clone_from(&cx.environment);
        return Ok(run_slice(token, &inputs, &cx, || cx.now(), STEPS).await);
    };
    Ok(continue_action(cx, Token::<M>::decode(&raw, &attempt_id)?).await)
}

/// Runs one slice of an action that has started, or unwinds it if its inputs no longer exist.
async fn continue_action<M: StageMachine>(cx: Cx, token: Token<M>) -> Slice<M> {
    let mut acting = cx.clone();
    match load::<M>(&mut acting, &token).await {
        Ok(inputs) => run_slice(token, &inputs, &acting, || acting.now(), STEPS).await,
        Err(error) => Box::pin(handle_missing_inputs(cx, token, error)).await,
    }
}

/// Reads the inputs of a started action again. They must name the environment in which the action started.
async fn load<M: StageMachine>(cx: &mut Cx, token: &Token<M>) -> Result<M::Inputs, StageError> {
    let inputs = M::load(cx, token.started).await?;
    if cx.environment != token.environment {
        let (now, started) = (cx.environment.clone(), token.environment.clone());
        return Err(EnvironmentChanged { now, started }.into());
    }
    Ok(inputs)
}

/// Handles inputs of a started action that cannot be read.
///
/// A transient error is retried until the deadline. Inputs that were deleted or replaced end the action: the stage
/// unwinds without them.
async fn handle_missing_inputs<M: StageMachine>(
    mut cx: Cx,
    mut token: Token<M>,
    error: StageError,
) -> Slice<M> {
    let now = cx.now();
    let unwinding = token.state.is_unwinding();
    let may_retry = if unwinding { token.faults < MAX_FAULTS } else { now <= token.deadline };
    if error.is_transient() && may_retry {
        return retry_later(token, now, format!("the inputs cannot be read at the moment: {error}"));
    }
    if !unwinding {
        let mut reason = error.failure();
        reason.message = format!("the inputs cannot be read again: {}", reason.message);
        token.state = token.state.unwind(reason.clone().for_token());
        token.faults = 0;
        if !token.state.is_unwinding() {
            return Slice::Done(Outcome::Failed(reason));
        }
    }
    if let Err(error) = cx.act_in(M::STAGE, token.environment.as_deref()).await {
        return retry_later(token, now, format!("the environment cannot be used: {error}"));
    }
    let cx = &cx;
    run_slice_with(token, |state: M| state.unwind_without_inputs(cx), || cx.now(), STEPS).await
}

/// Keeps the state for half a minute and counts one more fault. After the grace period of the unwinding, the action
/// fails and names the tag of what is left.
fn retry_later<M: StageMachine>(mut token: Token<M>, now: Timestamp, summary: String) -> Slice<M> {
    if now > token.deadline.plus(UNWINDING_GRACE) {
        let message = format!(
            "{summary}; the stage could not remove what it created: find the resources tagged bakeline:attempt={}",
            token.execution
        );
        return Slice::Done(Outcome::Failed(Failure::new(FailureKind::SystemUnavailable, message)));
    }
    token.faults = token.faults.saturating_add(1);
    token.not_before = now.plus(std::time::Duration::from_secs(30));
    Slice::Yield { token, progress: Progress { summary, ..Progress::default() } }
}
