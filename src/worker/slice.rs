//! One slice of an action: token in, token or outcome out.

use crate::engine::machine::{MAX_FAULTS, UNWINDING_GRACE, begin, drive, run_slice};
use crate::engine::{
    Failure, FailureKind, Job, Machine, Outcome, Progress, Slice, StageError, Timestamp, Token,
};
use crate::evidence::Stage;
use crate::stage::bake::Bake;
use crate::stage::cleanup::Cleanup;
use crate::stage::promote::Promote;
use crate::stage::test::Test;
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
        Stage::Bake => Box::pin(unwind_stage::<Bake>(cx.clone(), why)).await,
        Stage::Test => Box::pin(unwind_stage::<Test>(cx.clone(), why)).await,
        Stage::Promote => Box::pin(unwind_stage::<Promote>(cx.clone(), why)).await,
        Stage::Cleanup => Box::pin(unwind_stage::<Cleanup>(cx.clone(), why)).await,
    }
}

/// Runs one slice of the stage that `M` is, as [`attempt`] does of the stage it is told.
///
/// # Errors
/// As [`attempt`].
pub async fn attempt_as<M: StageMachine>(cx: &Cx) -> Result<Answer, StageError> {
    // A slice is a large future: it lives on the heap.
    match Box::pin(slice::<M>(cx.clone())).await {
        Ok(done) => Ok(answer(done)),
        Err(error) if error.is_transient() => Err(error),
        Err(error) => Ok(failed(&error)),
    }
}

async fn unwind_stage<M: StageMachine>(cx: Cx, why: &Failure) -> Answer {
    let over = || Answer::End(Outcome::Failed(why.clone()));
    let Some(raw) = &cx.job.continuation_token else { return recover_lost_first_slice::<M>(cx, why).await };
    let mut token = match Token::<M>::decode(raw, &cx.key().action_execution) {
        Ok(token) => token,
        Err(error) => return failed(&StageError::Rejected(error.to_string())),
    };
    if !token.state.is_unwinding() {
        let turned = token.state.clone().unwind(why.clone().for_token());
        if turned == token.state {
            return over();
        }
        token.state = turned;
        token.faults = 0;
    }
    answer(go_on(cx, token).await)
}

/// Undoes what a first slice made that nobody heard of: its worker died, and then the action was ended.
async fn recover_lost_first_slice<M: StageMachine>(cx: Cx, why: &Failure) -> Answer {
    let now = cx.now();
    let Some(state) = M::recover_lost_first_slice(why.clone().for_token()) else {
        return Answer::End(Outcome::Failed(why.clone()));
    };
    // CodePipeline gives no credentials for the artifacts of an action that is over. Where they can be read all the
    // same they name the target; otherwise the worker's own account is all there is to look at.
    let mut looking = cx.clone();
    let target = M::load(&mut looking, now).await.ok().and(looking.target);
    let opened = Token::opened(state, &cx.key().action_execution, now, now);
    let token = Token { target, ..opened };
    answer(go_on(cx, token).await)
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

async fn slice<M: StageMachine>(mut cx: Cx) -> Result<Slice<M>, StageError> {
    let execution = cx.key().action_execution.clone();
    let Some(raw) = cx.job.continuation_token.clone() else {
        super::action::check(&cx.job).map_err(|error| StageError::Config(error.to_string()))?;
        let began = cx.now();
        let inputs = M::load(&mut cx, began).await?;
        let mut token = begin::<M>(&inputs, &execution, began);
        token.target.clone_from(&cx.target);
        return Ok(run_slice(token, &inputs, &cx, || cx.now(), STEPS).await);
    };
    Ok(go_on(cx, Token::<M>::decode(&raw, &execution)?).await)
}

/// One slice of an action under way, with its inputs or, when they are gone, back without them.
async fn go_on<M: StageMachine>(cx: Cx, token: Token<M>) -> Slice<M> {
    let mut acting = cx.clone();
    match load::<M>(&mut acting, &token).await {
        Ok(inputs) => run_slice(token, &inputs, &acting, || acting.now(), STEPS).await,
        Err(error) => Box::pin(without_inputs(cx, token, error)).await,
    }
}

/// Reads the inputs of an action under way again; they must name the target that it began in.
async fn load<M: StageMachine>(cx: &mut Cx, token: &Token<M>) -> Result<M::Inputs, StageError> {
    let inputs = M::load(cx, token.started).await?;
    if cx.target != token.target {
        let name = |target: &Option<String>| target.clone().unwrap_or_else(|| "none".to_owned());
        return Err(StageError::Rejected(format!(
            "the release now names the target {}, and the action began in {}",
            name(&cx.target),
            name(&token.target)
        )));
    }
    Ok(inputs)
}

/// What follows when the inputs of an action under way cannot be read. It waits for them as long as its deadline lets
/// it; once they are gone for good, or replaced by something else, what it made is undone without them.
async fn without_inputs<M: StageMachine>(mut cx: Cx, mut token: Token<M>, error: StageError) -> Slice<M> {
    let now = cx.now();
    let unwinding = token.state.is_unwinding();
    let patient = if unwinding { token.faults < MAX_FAULTS } else { now <= token.deadline };
    if error.is_transient() && patient {
        return not_yet(token, now, format!("the inputs cannot be read just now: {error}"));
    }
    if !unwinding {
        let mut why = error.failure();
        why.message = format!("the inputs cannot be read again: {}", why.message);
        token.state = token.state.unwind(why.clone().for_token());
        token.faults = 0;
        if !token.state.is_unwinding() {
            return Slice::Done(Outcome::Failed(why));
        }
    }
    if let Err(error) = cx.act_in(token.target.as_deref()).await {
        return not_yet(token, now, format!("the target cannot be acted in: {error}"));
    }
    let cx = &cx;
    drive(token, |state: M| state.step_back(cx), || cx.now(), STEPS).await
}

/// The same state half a minute later, with one more fault counted. Past the grace of an unwinding the action fails
/// with what it leaves.
fn not_yet<M: StageMachine>(mut token: Token<M>, now: Timestamp, summary: String) -> Slice<M> {
    if now > token.deadline.plus(UNWINDING_GRACE) {
        let message = format!(
            "{summary}; what the stage made is not undone: look for resources tagged bakeline:action-execution={}",
            token.execution
        );
        return Slice::Done(Outcome::Failed(Failure::new(FailureKind::SystemUnavailable, message)));
    }
    token.faults = token.faults.saturating_add(1);
    token.not_before = now.plus(std::time::Duration::from_secs(30));
    Slice::Yield { token, progress: Progress { summary, ..Progress::default() } }
}
