//! Carries out an approved plan, and takes single images back.

use aws_sdk_ec2::types::{ImageRecycleBinInfo, SnapshotRecycleBinInfo};

use super::plan::{Refusal, hold};
use super::quarantine::{Back, Step};
use super::survey::{Focus, Scope, Survey};
use super::{Doomed, Removed, Todo, act, advance, inventory, removal, take_back};
use crate::aws::{Aws, AwsError};
use crate::engine::{Clock, StageError};
use crate::evidence::predicate::{Aim, CleanupPlan};

/// Images that are brought further between two looks at everything.
const BATCH: usize = 10;

/// Steps of one image, and looks that showed too little: more means that something else changes it back.
const LOOKS: usize = 24;

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
    Removed(Doomed),
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
    for batch in left.chunks(BATCH) {
        carry_out(aws, clock, scope, batch, &mut tell).await?;
    }
    Ok(())
}

async fn carry_out(
    aws: &Aws,
    clock: &Clock,
    scope: &Scope<'_>,
    batch: &[(String, Aim)],
    tell: &mut impl FnMut(&str, &Done),
) -> Result<(), ApplyError> {
    let ids: Vec<String> = batch.iter().map(|(id, _)| id.clone()).collect();
    let mut queue: Vec<(Todo, Aim)> =
        batch.iter().map(|(id, aim)| (Todo { image: id.clone(), step: Step::Mark }, *aim)).collect();
    for _ in 0..LOOKS {
        if queue.is_empty() {
            return Ok(());
        }
        let survey = Survey::take(aws, scope, Focus::These(&ids), clock.now()).await?;
        survey.believed()?;
        let mut next = Vec::new();
        for (todo, aim) in queue {
            let id = todo.image.clone();
            if aim == Aim::Deregister && survey.step(&id) == Some(Step::Deregister) {
                tell(&id, &deregister(aws, &survey, &id).await?);
                continue;
            }
            // A look that shows less than was done: another one.
            let after = match advance(aws, &survey, todo.clone(), clock.now()).await {
                Err(StageError::NotYet(_)) => Some(todo),
                after => after?,
            };
            match after {
                Some(todo) if todo.step == Step::Deregister => tell(&id, &Done::Quarantined),
                Some(todo) => next.push((todo, aim)),
                None if survey.image(&id).is_none() => tell(&id, &Done::Gone),
                None if aim == Aim::Reinstate => tell(&id, &Done::Reinstated),
                None => tell(&id, &Done::Needed),
            }
        }
        queue = next;
    }
    match queue.into_iter().next() {
        Some((todo, _)) => Err(ApplyError::Stuck { image: todo.image, step: todo.step }),
        None => Ok(()),
    }
}

async fn deregister(aws: &Aws, survey: &Survey, id: &str) -> Result<Done, StageError> {
    let Some(image) = survey.image(id) else { return Ok(Done::Gone) };
    Ok(match removal::remove(aws, Doomed::new(image)).await? {
        Removed::Gone(gone) => Done::Removed(gone),
        Removed::WasGone => Done::Gone,
        Removed::Held => Done::Held,
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
            aws.ec2
                .restore_snapshot_from_recycle_bin()
                .snapshot_id(snapshot)
                .send()
                .await
                .map_err(|e| AwsError::new("ec2:RestoreSnapshotFromRecycleBin", snapshot, e))?;
            return Ok(Undone::Snapshot(snapshot.to_owned()));
        }
    }
    aws.ec2
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
