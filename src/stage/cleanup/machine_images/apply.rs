//! Applies the machine images of an approved plan.

use std::time::Duration;

use super::advance::advance;
use super::plan::{Refusal, remaining_actions};
use super::quarantine::RemovalStep;
use super::queue::QueuedImage;
use super::removal::{self, Deregistration, PendingRemoval};
use super::survey::{Inspect, Scope, Survey};
use crate::aws::Aws;
use crate::engine::{Clock, StageError};
use crate::evidence::predicate::{CleanupPlan, PlannedAction};

/// Images that are changed together, each step after one survey for all of them.
const BATCH: usize = 10;

/// Maximum number of surveys for one batch. An image that needs more is changed by something else at the same time.
const MAX_SURVEYS: usize = 24;

/// Pause after a stale read or a call without a reply.
const PAUSE: Duration = Duration::from_secs(5);

/// Why a plan was not applied to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error("{image} does not get past the step to {step} within {MAX_SURVEYS} attempts")]
    Stuck { image: String, step: RemovalStep },
}

/// What was done with an image of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    Quarantined,
    Restored,
    Deregistered(PendingRemoval),
    /// EC2 refuses to deregister it.
    Refused,
    /// It no longer exists.
    NotFound,
    /// A resource started to use it while the plan was applied: it was left, or restored.
    InUse,
}

/// Does what the plan says, nothing else, and reports each image once it is done. Everything is read before the first
/// change and again before each step.
///
/// # Errors
/// The plan is refused, or a call failed. Changes made before remain; the same plan may be applied again and continues.
pub async fn apply(
    aws: &Aws,
    clock: &Clock,
    scope: &Scope<'_>,
    plan: &CleanupPlan,
    here: (&str, &str),
    mut report: impl FnMut(&str, &Applied),
) -> Result<(), ApplyError> {
    let planned: Vec<String> = plan
        .images
        .iter()
        .filter(|planned| planned.action.changes_image())
        .map(|planned| planned.image.image_id.clone())
        .collect();
    let survey = Survey::take(aws, scope, Inspect::Only(&planned), clock.now()).await?;
    survey.check_lengths().map_err(StageError::from)?;
    let remaining = remaining_actions(plan, &survey, here)?;
    for planned in plan.images.iter().filter(|planned| planned.action == PlannedAction::Deregister) {
        if survey.image(&planned.image.image_id).is_none()
            && let Some(removal) = delete_snapshots(aws, &survey, PendingRemoval::of_plan(planned)).await?
        {
            report(&planned.image.image_id, &Applied::Deregistered(removal));
        }
    }
    for batch in remaining.chunks(BATCH) {
        apply_batch(aws, clock, scope, batch, &mut report).await?;
    }
    Ok(())
}

/// Deletes the remaining snapshots of an image that an interrupted run deregistered without them; `None` if there are
/// none.
async fn delete_snapshots(
    aws: &Aws,
    survey: &Survey,
    removal: PendingRemoval,
) -> Result<Option<PendingRemoval>, StageError> {
    let retained = survey.retained_snapshots_of(&removal);
    if retained.is_empty() {
        return Ok(None);
    }
    let mut removal = removal::adopt(aws, removal, &retained).await?;
    if removal.is_finished() {
        return Ok(None);
    }
    while !removal.is_finished() {
        removal = removal::delete_next(aws, removal, &retained).await?;
    }
    Ok(Some(removal))
}

/// An image of the plan whose action is under way.
struct Ongoing {
    queued: QueuedImage,
    action: PlannedAction,
    /// Set once deregistration was requested: the reply may be lost, or snapshots may remain.
    removal: Option<PendingRemoval>,
}

impl Ongoing {
    /// The result for a deregistered image; `None` while snapshots remain to be deleted.
    fn deregistered(&mut self, removal: PendingRemoval) -> Option<Applied> {
        if removal.is_finished() {
            return Some(Applied::Deregistered(removal));
        }
        self.removal = Some(removal);
        None
    }
}

async fn apply_batch(
    aws: &Aws,
    clock: &Clock,
    scope: &Scope<'_>,
    batch: &[(String, PlannedAction)],
    report: &mut impl FnMut(&str, &Applied),
) -> Result<(), ApplyError> {
    let ids: Vec<String> = batch.iter().map(|(id, _)| id.clone()).collect();
    let first = |(id, action): &(String, PlannedAction)| {
        let queued = QueuedImage { image: id.clone(), step: RemovalStep::Mark };
        Ongoing { queued, action: *action, removal: None }
    };
    let mut queue: Vec<Ongoing> = batch.iter().map(first).collect();
    let mut transient = None;
    for _ in 0..MAX_SURVEYS {
        if queue.is_empty() {
            return Ok(());
        }
        if transient.take().is_some() {
            clock.sleep(PAUSE).await;
        }
        let survey = match Survey::take(aws, scope, Inspect::Only(&ids), clock.now()).await {
            Err(error) if error.is_transient() => {
                transient = Some(error);
                continue;
            }
            survey => survey?,
        };
        survey.check_lengths().map_err(StageError::from)?;
        let mut next = Vec::new();
        for mut ongoing in queue {
            match apply_step(aws, &survey, &mut ongoing, clock).await {
                Ok(Some(applied)) => report(&ongoing.queued.image, &applied),
                Ok(None) => next.push(ongoing),
                // A stale read or a lost reply: survey again.
                Err(error) if error.is_transient() => {
                    transient = Some(error);
                    next.push(ongoing);
                }
                Err(error) => return Err(error.into()),
            }
        }
        queue = next;
    }
    match (transient, queue.into_iter().next()) {
        (_, None) => Ok(()),
        (Some(error), _) => Err(error.into()),
        (None, Some(Ongoing { queued, .. })) => {
            Err(ApplyError::Stuck { image: queued.image, step: queued.step })
        }
    }
}

/// Takes the next step of an image's action; the result once the action is done.
async fn apply_step(
    aws: &Aws,
    survey: &Survey,
    ongoing: &mut Ongoing,
    clock: &Clock,
) -> Result<Option<Applied>, StageError> {
    let id = ongoing.queued.image.clone();
    let Some(image) = survey.image(&id) else {
        let Some(removal) = ongoing.removal.clone() else { return Ok(Some(Applied::NotFound)) };
        let retained = survey.retained_snapshots_of(&removal);
        let removal = if removal.deregistered {
            removal::delete_next(aws, removal, &retained).await?
        } else {
            removal::adopt(aws, removal, &retained).await?
        };
        return Ok(ongoing.deregistered(removal));
    };
    if ongoing.action == PlannedAction::Deregister && survey.step(&id) == Some(RemovalStep::Deregister) {
        let removal = PendingRemoval::new(image);
        let requested = ongoing.removal.replace(removal.clone());
        let retained = survey.retained_snapshots(image);
        return Ok(match (removal::deregister(aws, removal, &retained).await?, requested) {
            (Deregistration::Done(removal), _) => ongoing.deregistered(removal),
            (Deregistration::NotFound, Some(removal)) => {
                ongoing.deregistered(removal::adopt(aws, removal, &retained).await?)
            }
            (Deregistration::NotFound, None) => Some(Applied::NotFound),
            (Deregistration::Refused, _) => Some(Applied::Refused),
        });
    }
    Ok(match advance(aws, survey, ongoing.queued.clone(), clock.now()).await? {
        Some(queued) if queued.step == RemovalStep::Deregister => Some(Applied::Quarantined),
        Some(queued) => {
            ongoing.queued = queued;
            None
        }
        None if ongoing.action == PlannedAction::Restore => Some(Applied::Restored),
        None => Some(Applied::InUse),
    })
}
