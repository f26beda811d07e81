//! Undoes the test of a machine image: finds its instances and terminates them.

use super::super::state::Test;
use super::{EMPTY_READS, POLL_INTERVAL, boot, ec2, progress};
use crate::engine::{Failure, Outcome, Progress, StageError, Step};
use crate::stage::Cx;

/// Terminates the instances that this attempt launched, found by their tags.
pub async fn find_instances(cx: &Cx, empty_reads: u8, reason: Failure) -> Result<Step<Test>, StageError> {
    let found = match ec2::find(cx).await {
        Ok(found) => found,
        Err(error) if error.class.is_transient() => return Err(error.into()),
        Err(error) => {
            let message = format!("{}; an instance may be running: {error}", reason.message);
            return Ok(Step::Done(Outcome::Failed(Failure::new(reason.kind, message))));
        }
    };
    if found.is_empty() && empty_reads + 1 >= EMPTY_READS {
        return Ok(Step::Done(Outcome::Failed(reason)));
    }
    let (empty_reads, summary) = if found.is_empty() {
        (empty_reads + 1, "looking for an instance to terminate".to_owned())
    } else {
        ec2::terminate(cx, &found).await?;
        (0, format!("terminating {}", found.join(", ")))
    };
    let progress = Progress { summary, ..Progress::default() };
    let state = Test::UndoFindingInstances { empty_reads, reason };
    Ok(Step::Wait { state, again_in: POLL_INTERVAL, progress })
}

/// Asks EC2 to terminate the instance.
pub async fn terminate(
    cx: &Cx,
    instance: String,
    empty_reads: u8,
    reason: Failure,
) -> Result<Step<Test>, StageError> {
    match ec2::state(cx, &instance).await? {
        Some((state, _)) if boot::has_ended(&state) => Ok(Step::Done(Outcome::Failed(reason))),
        // A new instance may not be found at once. One that was terminated long ago is never found.
        None if empty_reads + 1 < EMPTY_READS => {
            let progress = progress(0, format!("looking for {instance} to terminate it"), &instance);
            let state = Test::UndoTerminating { instance, empty_reads: empty_reads + 1, reason };
            Ok(Step::Wait { state, again_in: POLL_INTERVAL, progress })
        }
        Some(_) | None => {
            if ec2::terminate(cx, std::slice::from_ref(&instance)).await? {
                Ok(Step::Next(Test::UndoConfirmingTermination { instance, reason }))
            } else {
                Ok(Step::Done(Outcome::Failed(reason)))
            }
        }
    }
}

/// Waits until the instance is terminated or shutting down.
pub async fn confirm_termination(
    cx: &Cx,
    instance: String,
    reason: Failure,
) -> Result<Step<Test>, StageError> {
    let found = ec2::state(cx, &instance).await?;
    Ok(match found.filter(|(state, _)| !boot::has_ended(state)) {
        None => Step::Done(Outcome::Failed(reason)),
        Some((state, _)) => {
            let progress = progress(0, format!("terminating {instance}: {state}"), &instance);
            let state = Test::UndoConfirmingTermination { instance, reason };
            Step::Wait { state, again_in: POLL_INTERVAL, progress }
        }
    })
}
