//! Carries out an approved plan, and takes single images back.

use std::time::Duration;

use aws_sdk_ec2::types::{ImageRecycleBinInfo, SnapshotRecycleBinInfo};

use super::plan::{Refusal, hold};
use super::quarantine::{Back, Step};
use super::survey::{Focus, Scope, Survey};
use super::{PendingRemoval, Removed, Todo, act, advance, inventory, removal, take_back};
use crate::aws::{Aws, AwsError};
use crate::engine::{Clock, StageError};
use crate::evidence::predicate::{Aim, CleanupPlan};

/// Images that are brought further between two looks at everything.
const BATCH: usize = 10;

/// Steps of one image, and looks that showed too little: more means that something else changes it back.
const LOOKS: usize = 24;

/// Steps back that an image can need, its snapshots from the Recycle Bin included, and looks that showed too little.
const STEPS_BACK: usize = 96;

/// How long until another look after one that showed too little, or a call that had no answer.
const PAUSE: Duration = Duration::from_secs(5);

/// Why a plan was not carried out to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Stage(#[from] StageError),
    #[error("{image} does not come further than to {step}")]
    Stuck { image: String, step: Step },
}

/// What became of an image of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    Quarantined,
    Reinstated,
    Removed(PendingRemoval),
    /// EC2 holds it.
    Held,
    /// It was gone.
    Gone,
    /// It has become needed while the plan was carried out, and was left or brought back.
    Needed,
}

/// Does exactly what the plan says, and tells of each image once it is done. Everything is looked at first, and again
/// after every ten images.
///
/// # Errors
/// The plan does not hold any more, or a call did not succeed. What was done before stays done, and the same plan may
/// be carried out again: it goes on.
pub async fn apply(
    aws: &Aws,
    clock: &Clock,
    scope: &Scope<'_>,
    plan: &CleanupPlan,
    here: (&str, &str),
    mut tell: impl FnMut(&str, &Done),
) -> Result<(), ApplyError> {
    let planned: Vec<String> = plan
        .images
        .iter()
        .filter(|planned| planned.aim.acts())
        .map(|planned| planned.image.image_id.clone())
        .collect();
    let survey = Survey::take(aws, scope, Focus::These(&planned), clock.now()).await?;
    survey.believed()?;
    let left = hold(plan, &survey, here)?;
    for planned in plan.images.iter().filter(|planned| planned.aim == Aim::Deregister) {
        if survey.image(&planned.image.image_id).is_none()
            && let Some(gone) = go_on(aws, &survey, PendingRemoval::of_plan(planned)).await?
        {
            tell(&planned.image.image_id, &Done::Removed(gone));
        }
    }
    for batch in left.chunks(BATCH) {
        carry_out(aws, clock, scope, batch, &mut tell).await?;
    }
    Ok(())
}

/// Deletes what snapshots are still to go of an image that is gone, if the call that took it away had to leave them;
/// none when there is nothing to do.
async fn go_on(aws: &Aws, survey: &Survey, doomed: PendingRemoval) -> Result<Option<PendingRemoval>, StageError> {
    let held = survey.held_of(&doomed);
    if held.is_empty() {
        return Ok(None);
    }
    let mut doomed = removal::adopt(aws, doomed, &held).await?;
    if doomed.is_over() {
        return Ok(None);
    }
    while !doomed.is_over() {
        doomed = removal::delete_next(aws, doomed, &held).await?;
    }
    Ok(Some(doomed))
}

/// An image of a plan on its way.
struct Going {
    todo: Todo,
    aim: Aim,
    /// It was asked to go, and the answer was lost, or snapshots of it are still to go.
    asked: Option<PendingRemoval>,
}

impl Going {
    /// The image is gone; none while snapshots of it are still to go.
    fn is_gone(&mut self, doomed: PendingRemoval) -> Option<Done> {
        if doomed.is_over() {
            return Some(Done::Removed(doomed));
        }
        self.asked = Some(doomed);
        None
    }
}

async fn carry_out(
    aws: &Aws,
    clock: &Clock,
    scope: &Scope<'_>,
    batch: &[(String, Aim)],
    tell: &mut impl FnMut(&str, &Done),
) -> Result<(), ApplyError> {
    let ids: Vec<String> = batch.iter().map(|(id, _)| id.clone()).collect();
    let first = |(id, aim): &(String, Aim)| {
        let todo = Todo { image: id.clone(), step: Step::Mark };
        Going { todo, aim: *aim, asked: None }
    };
    let mut queue: Vec<Going> = batch.iter().map(first).collect();
    let mut fault = None;
    for _ in 0..LOOKS {
        if queue.is_empty() {
            return Ok(());
        }
        if fault.take().is_some() {
            clock.sleep(PAUSE).await;
        }
        let survey = match Survey::take(aws, scope, Focus::These(&ids), clock.now()).await {
            Err(error) if error.is_transient() => {
                fault = Some(error);
                continue;
            }
            survey => survey?,
        };
        survey.believed()?;
        let mut next = Vec::new();
        for mut going in queue {
            match further(aws, &survey, &mut going, clock).await {
                Ok(Some(done)) => tell(&going.todo.image, &done),
                Ok(None) => next.push(going),
                // A look that shows less than was done, or an answer that was lost: another look.
                Err(error) if error.is_transient() => {
                    fault = Some(error);
                    next.push(going);
                }
                Err(error) => return Err(error.into()),
            }
        }
        queue = next;
    }
    match (fault, queue.into_iter().next()) {
        (_, None) => Ok(()),
        (Some(fault), _) => Err(fault.into()),
        (None, Some(Going { todo, .. })) => Err(ApplyError::Stuck { image: todo.image, step: todo.step }),
    }
}

/// Brings an image of a plan one step further; what became of it once it has come as far as the plan says.
async fn further(
    aws: &Aws,
    survey: &Survey,
    going: &mut Going,
    clock: &Clock,
) -> Result<Option<Done>, StageError> {
    let id = going.todo.image.clone();
    let Some(image) = survey.image(&id) else {
        let Some(doomed) = going.asked.clone() else { return Ok(Some(Done::Gone)) };
        let held = survey.held_of(&doomed);
        let doomed = if doomed.gone {
            removal::delete_next(aws, doomed, &held).await?
        } else {
            removal::adopt(aws, doomed, &held).await?
        };
        return Ok(going.is_gone(doomed));
    };
    if going.aim == Aim::Deregister && survey.step(&id) == Some(Step::Deregister) {
        let doomed = PendingRemoval::new(image);
        let asked = going.asked.replace(doomed.clone());
        let held = survey.held(image);
        return Ok(match (removal::remove(aws, doomed, &held).await?, asked) {
            (Removed::Gone(gone), _) => going.is_gone(gone),
            (Removed::WasGone, Some(doomed)) => going.is_gone(removal::adopt(aws, doomed, &held).await?),
            (Removed::WasGone, None) => Some(Done::Gone),
            (Removed::Held, _) => Some(Done::Held),
        });
    }
    Ok(match advance(aws, survey, going.todo.clone(), clock.now()).await? {
        Some(todo) if todo.step == Step::Deregister => Some(Done::Quarantined),
        Some(todo) => {
            going.todo = todo;
            None
        }
        None if going.aim == Aim::Reinstate => Some(Done::Reinstated),
        None => Some(Done::Needed),
    })
}

/// What was done to bring an image back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// A snapshot came back from the Recycle Bin.
    Snapshot(String),
    /// The image came back from the Recycle Bin.
    Restored,
    Step(Back),
}

/// Takes an image all the way back, and tells of each step. A call that had no answer is looked after, not sent again.
///
/// # Errors
/// As [`undo`]; or the image does not come back.
pub async fn bring_back(
    aws: &Aws,
    clock: &Clock,
    id: &str,
    mut tell: impl FnMut(&Undone),
) -> Result<(), StageError> {
    let mut last = None;
    for _ in 0..STEPS_BACK {
        match undo(aws, clock, id).await {
            Ok(None) => return Ok(()),
            Ok(Some(undone)) => tell(&undone),
            Err(error) if error.is_transient() => last = Some(error),
            Err(error) => return Err(error),
        }
        clock.sleep(PAUSE).await;
    }
    Err(last.unwrap_or_else(|| StageError::Rejected(format!("{id} does not come back"))))
}

/// Takes one image one step back; none when it is as it was before its quarantine.
///
/// # Errors
/// As the calls; or there is no such image, neither in the account nor in the Recycle Bin.
pub async fn undo(aws: &Aws, clock: &Clock, id: &str) -> Result<Option<Undone>, StageError> {
    let Some(mut image) = inventory::image(aws, id).await? else {
        return from_bin(aws, id).await.map(Some);
    };
    if image.state != "disabled" {
        image.shares = act::shares(aws, id).await?;
    }
    Ok(take_back(aws, &image, clock.now()).await?.map(Undone::Step))
}

/// One step out of the Recycle Bin: the snapshots first, since an image is not restored without them.
async fn from_bin(aws: &Aws, id: &str) -> Result<Undone, StageError> {
    if bin_image(aws, id).await?.is_none() {
        return Err(StageError::Rejected(format!(
            "there is no image {id} in {}, and none in its Recycle Bin: it cannot be brought back",
            aws.region()
        )));
    }
    let mut pages = aws.ec2.list_snapshots_in_recycle_bin().into_paginator().items().send();
    while let Some(snapshot) = pages.next().await {
        let snapshot: SnapshotRecycleBinInfo =
            snapshot.map_err(|e| AwsError::new("ec2:ListSnapshotsInRecycleBin", id, e))?;
        // Both ways to make an image write its id into the description of its snapshots.
        let of_image = snapshot.description().is_some_and(|text| text.contains(id));
        if let (true, Some(snapshot)) = (of_image, snapshot.snapshot_id()) {
            aws.once
                .ec2
                .restore_snapshot_from_recycle_bin()
                .snapshot_id(snapshot)
                .send()
                .await
                .map_err(|e| AwsError::new("ec2:RestoreSnapshotFromRecycleBin", snapshot, e))?;
            return Ok(Undone::Snapshot(snapshot.to_owned()));
        }
    }
    aws.once
        .ec2
        .restore_image_from_recycle_bin()
        .image_id(id)
        .send()
        .await
        .map_err(|e| AwsError::new("ec2:RestoreImageFromRecycleBin", id, e))?;
    Ok(Undone::Restored)
}

/// What the Recycle Bin holds of an image.
///
/// # Errors
/// As the call.
pub async fn bin_image(aws: &Aws, id: &str) -> Result<Option<ImageRecycleBinInfo>, StageError> {
    let mut pages = aws.ec2.list_images_in_recycle_bin().image_ids(id).into_paginator().items().send();
    while let Some(image) = pages.next().await {
        let image = image.map_err(|e| AwsError::new("ec2:ListImagesInRecycleBin", id, e))?;
        if image.image_id() == Some(id) {
            return Ok(Some(image));
        }
    }
    Ok(None)
}
