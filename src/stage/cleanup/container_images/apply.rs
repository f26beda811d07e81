//! Applies the container images of an approved plan.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::calls::{self, Call, CallResult};
use super::image::{Image, ImageKey};
use super::plan::{Refusal, is_due, remaining_actions};
use super::quarantine::Next;
use super::references::Definitions;
use super::retention::Disposition;
use super::survey::{Scope, Survey};
use crate::aws::Aws;
use crate::engine::{Clock, StageError};
use crate::evidence::predicate::{PlannedAction, PlannedContainer};

/// Maximum number of calls after one survey.
const MAX_CALLS: usize = 10;

/// Maximum number of successive surveys after which no call succeeded.
const MAX_IDLE: usize = 24;

/// Pause after a stale read or a call without a reply.
const PAUSE: Duration = Duration::from_secs(5);

/// Why a plan was not applied to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Stage(#[from] StageError),
}

/// What was done with an image of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    Archived,
    /// ECR is restoring it from the archive.
    Restored,
    Deleted,
    /// ECR refuses to delete it, with its failure code.
    Refused(String),
    /// It no longer exists.
    NotFound,
    /// A resource started to use it while the plan was applied: it was left.
    InUse,
}

/// Checks whether the plan may be applied now. Changes nothing.
///
/// # Errors
/// It may not; or a list could not be read.
pub async fn check(
    aws: &Aws,
    clock: &Clock,
    scope: &Scope<'_>,
    definitions: &Definitions,
    plan: &[PlannedContainer],
) -> Result<(), ApplyError> {
    let survey = Survey::take(aws, scope, definitions, clock.now()).await?;
    survey.check_lengths().map_err(StageError::from)?;
    remaining_actions(plan, &survey)?;
    Ok(())
}

/// Does what the plan says, nothing else, and reports each image once it is done. Everything is read before the first
/// change and again after a few calls.
///
/// # Errors
/// The plan is refused, or a call failed. Changes made before remain; the same plan may be applied again and continues.
pub async fn apply(
    aws: &Aws,
    clock: &Clock,
    scope: &Scope<'_>,
    definitions: &Definitions,
    plan: &[PlannedContainer],
    mut report: impl FnMut(&ImageKey, &Applied),
) -> Result<(), ApplyError> {
    let survey = Survey::take(aws, scope, definitions, clock.now()).await?;
    survey.check_lengths().map_err(StageError::from)?;
    let mut remaining = remaining_actions(plan, &survey)?;
    let mut idle = 0;
    loop {
        match apply_some(aws, clock, scope, definitions, &mut remaining, &mut report).await {
            Ok(true) => idle = 0,
            Ok(false) => return Ok(()),
            // A stale read or a lost reply: survey again.
            Err(error) if error.is_transient() && idle < MAX_IDLE => {
                idle += 1;
                clock.sleep(PAUSE).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Surveys and makes a few calls; whether actions remain.
async fn apply_some(
    aws: &Aws,
    clock: &Clock,
    scope: &Scope<'_>,
    definitions: &Definitions,
    remaining: &mut BTreeMap<ImageKey, PlannedAction>,
    report: &mut impl FnMut(&ImageKey, &Applied),
) -> Result<bool, StageError> {
    if remaining.is_empty() {
        return Ok(false);
    }
    let survey = Survey::take(aws, scope, definitions, clock.now()).await?;
    survey.check_lengths()?;
    report_finished(&survey, remaining, report);
    let is_planned = |image: &Image| {
        let action = remaining.get(&image.key);
        let disposition = survey.dispositions.get(&image.key);
        action.zip(disposition).is_some_and(|(action, disposition)| is_due(*action, disposition))
    };
    let calls = calls::due_calls(&survey, usize::MAX, MAX_CALLS, is_planned);
    if calls.is_empty() {
        return Ok(false);
    }
    for call in calls {
        let result = calls::send(aws, &call).await?;
        match (call, result) {
            (_, CallResult::Deleted { deleted, refused }) => {
                for key in keys_to_delete(remaining, &deleted) {
                    remaining.remove(&key);
                    report(&key, &Applied::Deleted);
                }
                for (digest, code) in refused {
                    for key in keys_to_delete(remaining, std::slice::from_ref(&digest)) {
                        remaining.remove(&key);
                        report(&key, &Applied::Refused(code.clone()));
                    }
                }
            }
            (Call::Archive(key), CallResult::Done) => {
                remaining.remove(&key);
                report(&key, &Applied::Archived);
            }
            (Call::Restore(key), CallResult::Done) => {
                remaining.remove(&key);
                report(&key, &Applied::Restored);
            }
            (Call::Archive(key) | Call::Restore(key), CallResult::NotFound) => {
                remaining.remove(&key);
                report(&key, &Applied::NotFound);
            }
            (Call::Mark(_) | Call::Delete { .. }, CallResult::Done | CallResult::NotFound) => {}
        }
    }
    Ok(true)
}

fn keys_to_delete(remaining: &BTreeMap<ImageKey, PlannedAction>, digests: &[String]) -> Vec<ImageKey> {
    let digests: BTreeSet<&String> = digests.iter().collect();
    let planned = |(key, action): (&ImageKey, &PlannedAction)| {
        (*action == PlannedAction::Delete && digests.contains(&key.digest)).then(|| key.clone())
    };
    remaining.iter().filter_map(planned).collect()
}

/// Removes from `remaining` the images that are finished or in use by now.
fn report_finished(
    survey: &Survey,
    remaining: &mut BTreeMap<ImageKey, PlannedAction>,
    report: &mut impl FnMut(&ImageKey, &Applied),
) {
    remaining.retain(|key, action| {
        let applied = match (survey.dispositions.get(key), *action) {
            (None, PlannedAction::Delete) => Applied::Deleted,
            (None, _) => Applied::NotFound,
            (Some(Disposition::Keep(_)), PlannedAction::Restore) => Applied::Restored,
            (
                Some(Disposition::Keep(_) | Disposition::Restore(_)),
                PlannedAction::Quarantine | PlannedAction::Delete,
            ) => Applied::InUse,
            (Some(Disposition::Remove(Next::Wait { .. })), PlannedAction::Quarantine) => Applied::Archived,
            _ => return true,
        };
        report(key, &applied);
        false
    });
}
