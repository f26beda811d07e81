//! A stage as a resumable state machine, and one slice of it.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::error::{Failure, FailureKind, StageError};
use super::token::Token;

/// Faults in a row after which a stage gives up going forward.
pub const MAX_FAULTS: u16 = 24;

/// How long an unwinding may take after the deadline, before the action fails with what is left to undo; a state may
/// take longer.
pub const UNWINDING_GRACE: Duration = Duration::from_hours(1);

/// A stage of a release.
///
/// A step may run any number of times from the same state, on any worker, at any time. It makes at most one
/// mutating call, under a key derived from the execution, and adopts what it finds already done. A state is a
/// resting place: its documentation says what is already true in the world there.
pub trait Machine: Serialize + DeserializeOwned + Clone + Debug + PartialEq + Send + Sync + Sized {
    /// What the stage works from: read anew in every slice, never carried in the token.
    type Inputs: Sync;
    /// What a step may use to look and to act.
    type Context: Sync;

    /// The first resting place.
    fn start(inputs: &Self::Inputs) -> Self;

    /// How long the action may take before it is unwound.
    fn timeout(inputs: &Self::Inputs) -> Duration;

    /// The resting place from which everything this attempt made is undone, ending in `why`.
    ///
    /// Must be the identity for a state that is already unwinding, or that has nothing left to undo and rests at
    /// the end of a success.
    #[must_use]
    fn unwind(self, why: Failure) -> Self;

    /// Whether the state is on its way back.
    fn is_unwinding(&self) -> bool;

    /// How long the way back from here may take past the deadline.
    fn unwinding_grace(&self) -> Duration {
        UNWINDING_GRACE
    }

    /// One move.
    fn step(
        self,
        inputs: &Self::Inputs,
        context: &Self::Context,
    ) -> impl Future<Output = Result<Step<Self>, StageError>> + Send;
}

/// What one step came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<M> {
    /// Go on from here at once.
    Next(M),
    /// The world must move first.
    Wait { state: M, again_in: Duration, progress: Progress },
    /// The action is over.
    Done(Outcome),
}

/// What a person sees of an action under way (`ExecutionDetails`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    pub summary: String,
    /// What the console links to.
    pub external_id: Option<String>,
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Succeeded {
        summary: String,
        external_id: Option<String>,
        /// Output variables: keys `[A-Za-z0-9@\-_]+`.
        variables: BTreeMap<String, String>,
    },
    Failed(Failure),
}

/// What one slice came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Slice<M> {
    Yield { token: Token<M>, progress: Progress },
    Done(Outcome),
}

/// Opens a token for an action that begins now.
pub fn begin<M: Machine>(inputs: &M::Inputs, execution: &str, now: Timestamp) -> Token<M> {
    Token::opened(M::start(inputs), execution, now, now.plus(M::timeout(inputs)))
}

/// Steps from `token` until the stage must wait, is done, or `budget` steps were made.
///
/// Never fails: a transient fault yields the last good state with its fault counted; anything else turns the
/// machine round to undo what it made, and the reason becomes the outcome.
pub async fn run_slice<M: Machine>(
    token: Token<M>,
    inputs: &M::Inputs,
    context: &M::Context,
    now: impl Fn() -> Timestamp,
    budget: u32,
) -> Slice<M> {
    drive(token, |state: M| state.step(inputs, context), now, budget).await
}

/// Runs one slice as [`run_slice`] does, with `step` in place of the machine's own: for a machine on its way back that
/// must do without its inputs.
pub async fn drive<M, F>(
    mut token: Token<M>,
    step: impl Fn(M) -> F,
    now: impl Fn() -> Timestamp,
    budget: u32,
) -> Slice<M>
where
    M: Machine,
    F: Future<Output = Result<Step<M>, StageError>>,
{
    token.slices = token.slices.saturating_add(1);
    for _ in 0..budget {
        token = overdue(token, now());
        if token.state.is_unwinding() && now() > token.deadline.plus(token.state.unwinding_grace()) {
            return Slice::Done(Outcome::Failed(left_behind(&token)));
        }
        match step(token.state.clone()).await {
            Ok(Step::Next(state)) => {
                token.faults = 0;
                token.state = state;
            }
            Ok(Step::Wait { state, again_in, progress }) => {
                token.faults = 0;
                token.state = state;
                token.not_before = now().plus(again_in);
                return Slice::Yield { token, progress };
            }
            Ok(Step::Done(outcome)) => return Slice::Done(outcome),
            Err(error) => match recover(token, &error, now()) {
                Recovery::Later { token, progress } => return Slice::Yield { token, progress },
                Recovery::Unwind(turned) => token = turned,
                Recovery::Fail(failure) => return Slice::Done(Outcome::Failed(failure)),
            },
        }
    }
    token.not_before = now();
    let progress = Progress { summary: "going on in the next slice".into(), ..Progress::default() };
    Slice::Yield { token, progress }
}

/// Turns a machine round whose deadline has passed. The time to undo counts from now: with every worker dead, the
/// deadline may have passed long ago, and what was made still has to go.
fn overdue<M: Machine>(mut token: Token<M>, now: Timestamp) -> Token<M> {
    if now > token.deadline && !token.state.is_unwinding() {
        let why = Failure::new(
            FailureKind::JobFailed,
            format!("the stage was not done by its deadline {} (begun {})", token.deadline, token.started),
        );
        token.state = token.state.unwind(why);
        token.deadline = now;
    }
    token
}

enum Recovery<M> {
    Later { token: Token<M>, progress: Progress },
    Unwind(Token<M>),
    Fail(Failure),
}

fn recover<M: Machine>(mut token: Token<M>, error: &StageError, now: Timestamp) -> Recovery<M> {
    if error.is_transient() && (token.faults < MAX_FAULTS || token.state.is_unwinding()) {
        token.faults = token.faults.saturating_add(1);
        token.not_before = now.plus(backoff(token.faults));
        let summary = format!("trying again (fault {} in a row): {error}", token.faults);
        return Recovery::Later { token, progress: Progress { summary, ..Progress::default() } };
    }
    let failure = error.failure();
    if token.state.is_unwinding() {
        return Recovery::Fail(Failure::new(
            failure.kind,
            format!(
                "{}; and what the stage made could not be undone: look for resources tagged \
                bakeline:action-execution={}",
                failure.message, token.execution
            ),
        ));
    }
    let before = token.state.clone();
    token.state = token.state.unwind(failure.clone().for_token());
    token.faults = 0;
    if token.state == before { Recovery::Fail(failure) } else { Recovery::Unwind(token) }
}

/// Seconds between looks after `faults` faults in a row: 2, 4, 8 … at most 120.
fn backoff(faults: u16) -> Duration {
    Duration::from_secs(2u64.saturating_pow(u32::from(faults.min(7))).min(120))
}

fn left_behind<M: Machine>(token: &Token<M>) -> Failure {
    let within = match token.state.unwinding_grace().as_secs() / 3600 {
        1 => "an hour".to_owned(),
        hours => format!("{hours} hours"),
    };
    Failure::new(
        FailureKind::SystemUnavailable,
        format!(
            "what the stage made could not be undone within {within} of its deadline {}: look for resources tagged \
             bakeline:action-execution={}",
            token.deadline, token.execution
        ),
    )
}

#[cfg(test)]
mod tests;
