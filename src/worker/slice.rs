//! One slice of an action: token in, token or outcome out.

use crate::engine::machine::{begin, run_slice};
use crate::engine::{
    Failure, FailureKind, Job, Machine, Outcome, Progress, Slice, StageError, Timestamp, Token,
};
use crate::evidence::Stage;
use crate::stage::bake::Bake;
use crate::stage::canary::Promote;
use crate::stage::cleanup::Cleanup;
use crate::stage::staging::Test;
use crate::stage::{Cx, StageMachine};

/// Steps in one slice before it is reported: bounds the time a job takes without an answer.
pub const STEPS: u32 = 64;

/// What CodePipeline is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// More is to come, not before the given moment.
    Continue {
        token: String,
        not_before: Timestamp,
        progress: Progress,
    },
    End(Outcome),
}

/// When a job's token lets its state be stepped; now, if there is none or it is another action execution's, which
/// [`run`] refuses: nobody waits for the date in such a token.
#[must_use]
pub fn not_before(job: &Job) -> Timestamp {
    #[derive(serde::Deserialize)]
    struct Due {
        execution: String,
        not_before: Timestamp,
    }
    let due = job.continuation_token.as_deref().and_then(|raw| serde_json::from_str::<Due>(raw).ok());
    due.filter(|due| due.execution == job.key.action_execution)
        .map_or(Timestamp::default(), |due| due.not_before)
}

/// Runs one slice of `stage` and never fails: whatever goes wrong is an answer.
pub async fn run(stage: Stage, cx: &Cx) -> Answer {
    attempt(stage, cx).await.unwrap_or_else(|error| failed(&error))
}

/// Runs one slice of `stage`.
///
/// # Errors
/// Nothing has begun yet and the inputs cannot be read just now: the same slice may be tried again.
pub async fn attempt(stage: Stage, cx: &Cx) -> Result<Answer, StageError> {
    match stage {
        Stage::Bake => attempt_as::<Bake>(cx).await,
        Stage::Test => attempt_as::<Test>(cx).await,
        Stage::Promote => attempt_as::<Promote>(cx).await,
        Stage::Cleanup => attempt_as::<Cleanup>(cx).await,
    }
}

/// Undoes what the action of a job made, as far as one slice gets: for an action that is over without our answer.
/// The token of a [`Answer::Continue`] is for the next slice of the unwinding; CodePipeline would not take it.
pub async fn unwind(stage: Stage, cx: &Cx, why: &Failure) -> Answer {
    match stage {
        Stage::Bake => unwind_stage::<Bake>(cx, why).await,
        Stage::Test => unwind_stage::<Test>(cx, why).await,
        Stage::Promote => unwind_stage::<Promote>(cx, why).await,
        Stage::Cleanup => unwind_stage::<Cleanup>(cx, why).await,
    }
}

/// Runs one slice of the stage that `M` is, as [`attempt`] does of the stage it is told.
///
/// # Errors
/// As [`attempt`].
pub async fn attempt_as<M: StageMachine>(cx: &Cx) -> Result<Answer, StageError> {
    match slice::<M>(cx).await {
        Ok(done) => Ok(answer(done)),
        Err(error) if error.is_transient() => Err(error),
        Err(error) => Ok(failed(&error)),
    }
}

async fn unwind_stage<M: StageMachine>(cx: &Cx, why: &Failure) -> Answer {
    let over = || Answer::End(Outcome::Failed(why.clone()));
    // Without a token no resting place was reached: there is nothing of this action to undo.
    let Some(raw) = &cx.job.continuation_token else { return over() };
    let mut token = match Token::<M>::decode(raw, &cx.key().action_execution) {
        Ok(token) => token,
        Err(error) => return failed(&StageError::Rejected(error.to_string())),
    };
    let inputs = match M::load(cx, token.started).await {
        Ok(inputs) => inputs,
        Err(error) => return unloaded(cx, Some(token), error).map_or_else(|error| failed(&error), answer),
    };
    if !token.state.is_unwinding() {
        let turned = token.state.clone().unwind(why.clone().for_token());
        if turned == token.state {
            return over();
        }
        token.state = turned;
        token.faults = 0;
    }
    answer(run_slice(token, &inputs, cx, || cx.now(), STEPS).await)
}

fn answer<M: Machine>(slice: Slice<M>) -> Answer {
    match slice {
        Slice::Yield { token, progress } => match token.encode() {
            Ok(text) => Answer::Continue { token: text, not_before: token.not_before, progress },
            Err(error) => failed(&StageError::Bug(error.to_string())),
        },
        Slice::Done(outcome) => Answer::End(outcome),
    }
}

/// The answer to an error that no later try can mend.
#[must_use]
pub fn failed(error: &StageError) -> Answer {
    Answer::End(Outcome::Failed(error.failure()))
}

async fn slice<M: StageMachine>(cx: &Cx) -> Result<Slice<M>, StageError> {
    let execution = &cx.key().action_execution;
    let token = match &cx.job.continuation_token {
        None => None,
        Some(raw) => Some(Token::<M>::decode(raw, execution)?),
    };
    let began = token.as_ref().map_or_else(|| cx.now(), |token| token.started);
    let inputs = match M::load(cx, began).await {
        Ok(inputs) => inputs,
        Err(error) => return unloaded(cx, token, error),
    };
    let token = token.unwrap_or_else(|| begin::<M>(&inputs, execution, began));
    Ok(run_slice(token, &inputs, cx, || cx.now(), STEPS).await)
}

/// What follows when the inputs cannot be read: a stage under way waits for them, for as long as its deadline lets it.
fn unloaded<M: Machine>(cx: &Cx, token: Option<Token<M>>, error: StageError) -> Result<Slice<M>, StageError> {
    let Some(mut token) = token.filter(|_| error.is_transient()) else { return Err(error) };
    let now = cx.now();
    if now > token.deadline.plus(crate::engine::machine::UNWINDING_GRACE) {
        let message =
            format!("the inputs could not be read again before the deadline {}: {error}", token.deadline);
        return Ok(Slice::Done(Outcome::Failed(Failure::new(FailureKind::SystemUnavailable, message))));
    }
    token.faults = token.faults.saturating_add(1);
    token.not_before = now.plus(std::time::Duration::from_secs(30));
    let progress =
        Progress { summary: format!("the inputs cannot be read just now: {error}"), ..Progress::default() };
    Ok(Slice::Yield { token, progress })
}
