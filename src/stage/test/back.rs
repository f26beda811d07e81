//! The way back: whatever instance there may be is terminated.

use super::{LOOK_EVERY, LOOKS, Test, instance, judge, progress};
use crate::engine::{Failure, Outcome, Progress, StageError, Step};
use crate::stage::Cx;

pub async fn recalling(cx: &Cx, looks: u8, why: Failure) -> Result<Step<Test>, StageError> {
    let found = match instance::recall(cx).await {
        Ok(found) => found,
        Err(error) if error.class.is_transient() => return Err(error.into()),
        Err(error) => {
            let message = format!("{}; whether an instance was launched is not known: {error}", why.message);
            return Ok(Step::Done(Outcome::Failed(Failure::new(why.kind, message))));
        }
    };
    if found.is_empty() && looks + 1 >= LOOKS {
        return Ok(Step::Done(Outcome::Failed(why)));
    }
    let (looks, summary) = if found.is_empty() {
        (looks + 1, "looking for an instance to terminate".to_owned())
    } else {
        instance::terminate(cx, &found).await?;
        (0, format!("terminating {}", found.join(", ")))
    };
    let progress = Progress { summary, ..Progress::default() };
    Ok(Step::Wait { state: Test::Recalling { looks, why }, again_in: LOOK_EVERY, progress })
}

pub async fn withdrawing(
    cx: &Cx,
    instance: String,
    looks: u8,
    why: Failure,
) -> Result<Step<Test>, StageError> {
    let found = instance::state(cx, &instance).await?;
    match found {
        Some((state, _)) if judge::has_ended(&state) => Ok(Step::Done(Outcome::Failed(why))),
        // An instance that was just launched may not be found at once; one that is long gone is never found.
        None if looks + 1 < LOOKS => {
            let progress = progress(0, format!("looking for {instance} to terminate it"), &instance);
            let state = Test::Withdrawing { instance, looks: looks + 1, why };
            Ok(Step::Wait { state, again_in: LOOK_EVERY, progress })
        }
        Some(_) | None => {
            if instance::terminate(cx, std::slice::from_ref(&instance)).await? {
                Ok(Step::Next(Test::Withdrawn { instance, why }))
            } else {
                Ok(Step::Done(Outcome::Failed(why)))
            }
        }
    }
}

pub async fn withdrawn(cx: &Cx, instance: String, why: Failure) -> Result<Step<Test>, StageError> {
    let found = instance::state(cx, &instance).await?;
    Ok(match found.filter(|(state, _)| !judge::has_ended(state)) {
        None => Step::Done(Outcome::Failed(why)),
        Some((state, _)) => {
            let progress = progress(0, format!("terminating {instance}: {state}"), &instance);
            Step::Wait { state: Test::Withdrawn { instance, why }, again_in: LOOK_EVERY, progress }
        }
    })
}
