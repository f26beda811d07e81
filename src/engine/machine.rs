//! The resumable state machine of a stage, and how one slice of it runs.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::error::StageError;
use super::failure::{Failure, FailureKind};
use super::token::Token;
use super::transition;

/// Consecutive transient errors after which a stage unwinds.
pub const MAX_FAULTS: u16 = 24;

/// How long unwinding may take after the deadline. Then the action fails and names the tag of what is left. A state may
/// allow more time.
pub const UNWINDING_GRACE: Duration = Duration::from_hours(1);

/// The state machine of a stage.
///
/// A step may run any number of times from the same state, on any worker, at any time. It makes at most one mutating
/// call, with a client token derived from the execution, and adopts what an earlier run of the step created. The
/// documentation of each state says what is true in AWS when the machine is in it.
pub trait Machine: Serialize + DeserializeOwned + Clone + Debug + PartialEq + Send + Sync + Sized {
    /// The inputs of the stage: every slice reads them again; the token never carries them.
    type Inputs: Sync;
    /// Clients, clock and job of a step.
    type Context: Sync;

    /// The initial state.
    fn start(inputs: &Self::Inputs) -> Self;

    /// How long the action may take before the engine unwinds it.
    fn timeout(inputs: &Self::Inputs) -> Duration;

    /// The state that undoes everything this attempt created and then fails with `reason`.
    ///
    /// Returns the state unchanged if it is already unwinding, or if the stage has succeeded and nothing is to undo.
    #[must_use]
    fn unwind(self, reason: Failure) -> Self;

    /// Whether the state undoes what the attempt created.
    fn is_unwinding(&self) -> bool;

    /// How long unwinding from this state may take after the deadline.
    fn unwinding_grace(&self) -> Duration {
        UNWINDING_GRACE
    }

    /// Runs one step.
    fn step(
        self,
        inputs: &Self::Inputs,
        context: &Self::Context,
    ) -> impl Future<Output = Result<Step<Self>, StageError>> + Send;
}

/// The result of one step.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<M> {
    /// Continue with this state at once.
    Next(M),
    /// Continue later: AWS is still at work.
    Wait { state: M, again_in: Duration, progress: Progress },
    /// The action has ended.
    Done(Outcome),
}

/// The progress of a running action, as the console shows it (`ExecutionDetails`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    pub summary: String,
    /// The id of the external resource, such as an image ARN.
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

/// The result of one slice.
#[derive(Clone, Debug, PartialEq)]
pub enum Slice<M> {
    Yield { token: Token<M>, progress: Progress },
    Done(Outcome),
}

/// Creates the token of an action that starts now.
pub fn start<M: Machine>(inputs: &M::Inputs, execution: &str, now: Timestamp) -> Token<M> {
    Token::new(M::start(inputs), execution, now, now.plus(M::timeout(inputs)))
}

/// Runs steps from `token` until the stage waits, ends, or has made `budget` steps.
///
/// It never fails: a transient error yields the last state with one more fault; any other error unwinds the machine, and
/// the reason becomes the outcome.
pub async fn run_slice<M: Machine>(
    token: Token<M>,
    inputs: &M::Inputs,
    context: &M::Context,
    now: impl Fn() -> Timestamp,
    budget: u32,
) -> Slice<M> {
    run_slice_with(token, |state: M| state.step(inputs, context), now, budget).await
}

/// Runs one slice with another step function: for unwinding without inputs.
pub async fn run_slice_with<M, F>(
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
        token = unwind_if_overdue(token, now());
        if token.state.is_unwinding() && now() > token.deadline.plus(token.state.unwinding_grace()) {
            return Slice::Done(Outcome::Failed(not_undone(&token)));
        }
        match step(token.state.clone()).await {
            Ok(Step::Next(state)) => {
                transition::trace(&token.state, Some(&state));
                token.faults = 0;
                token.state = state;
            }
            Ok(Step::Wait { state, again_in, progress }) => {
                transition::trace(&token.state, Some(&state));
                token.faults = 0;
                token.state = state;
                token.not_before = now().plus(again_in);
                return Slice::Yield { token, progress };
            }
            Ok(Step::Done(outcome)) => {
                transition::trace(&token.state, None);
                return Slice::Done(outcome);
            }
            Err(error) => match handle_error(token, &error, now()) {
                ErrorHandling::Retry { token, progress } => return Slice::Yield { token, progress },
                ErrorHandling::Unwind(unwinding) => token = unwinding,
                ErrorHandling::Fail(failure) => return Slice::Done(Outcome::Failed(failure)),
            },
        }
    }
    token.not_before = now();
    let progress = Progress { summary: "continues in the next slice".into(), ..Progress::default() };
    Slice::Yield { token, progress }
}

/// Unwinds a machine after its deadline.
///
/// The time for unwinding starts now and not at the deadline, which may be long past if no worker was running.
fn unwind_if_overdue<M: Machine>(mut token: Token<M>, now: Timestamp) -> Token<M> {
    if now > token.deadline && !token.state.is_unwinding() {
        let reason = Failure::new(
            FailureKind::TimedOut,
            format!("the stage did not end by its deadline {} (started {})", token.deadline, token.started),
        );
        let unwinding = token.state.clone().unwind(reason);
        transition::trace(&token.state, Some(&unwinding));
        token.state = unwinding;
        token.deadline = now;
    }
    token
}

enum ErrorHandling<M> {
    Retry { token: Token<M>, progress: Progress },
    Unwind(Token<M>),
    Fail(Failure),
}

fn handle_error<M: Machine>(mut token: Token<M>, error: &StageError, now: Timestamp) -> ErrorHandling<M> {
    if error.is_transient() && (token.faults < MAX_FAULTS || token.state.is_unwinding()) {
        token.faults = token.faults.saturating_add(1);
        token.not_before = now.plus(backoff(token.faults));
        let summary = format!("retrying after an error ({} in a row): {error}", token.faults);
        return ErrorHandling::Retry { token, progress: Progress { summary, ..Progress::default() } };
    }
    let failure = error.failure();
    if token.state.is_unwinding() {
        return ErrorHandling::Fail(Failure::new(
            failure.kind,
            format!(
                "{}; the stage could not remove everything it created: find the resources tagged bakeline:attempt={}",
                failure.message, token.execution
            ),
        ));
    }
    let before = token.state.clone();
    token.state = token.state.unwind(failure.clone().for_token());
    token.faults = 0;
    if token.state == before {
        ErrorHandling::Fail(failure)
    } else {
        transition::trace(&before, Some(&token.state));
        ErrorHandling::Unwind(token)
    }
}

/// The pause after `faults` consecutive errors: 2, 4, 8 … at most 120 seconds.
fn backoff(faults: u16) -> Duration {
    Duration::from_secs(2u64.saturating_pow(u32::from(faults.min(7))).min(120))
}

fn not_undone<M: Machine>(token: &Token<M>) -> Failure {
    let within = match token.state.unwinding_grace().as_secs() / 3600 {
        1 => "an hour".to_owned(),
        hours => format!("{hours} hours"),
    };
    Failure::new(
        FailureKind::SystemUnavailable,
        format!(
            "the stage could not remove everything it created within {within} of its deadline {}: find the resources \
             tagged bakeline:attempt={}",
            token.deadline, token.execution
        ),
    )
}

#[cfg(test)]
mod tests;
