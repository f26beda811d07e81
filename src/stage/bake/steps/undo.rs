//! Undoes a bake: finds the build, cancels it and removes its images.

use super::super::build::status::{self, BuildPhase};
use super::super::build::{calls, find, remove_images as unwanted};
use super::super::inputs::{BuildFrom, Inputs};
use super::super::state::Bake;
use super::POLL_INTERVAL;
use super::start_build::bake_key;
use crate::aws::AwsError;
use crate::engine::key::tag;
use crate::engine::{Failure, Outcome, Progress, StageError, Step};
use crate::spec::ImageCopy;
use crate::stage::Cx;

/// Reads in a row that must find nothing before the stage relies on there being nothing: lists of Image Builder, EC2
/// and ECR are eventually consistent.
const EMPTY_READS: u8 = 3;

/// The build that this attempt started; none if there is none.
pub async fn started_build(
    inputs: &Inputs,
    cx: &Cx,
    parent: Option<&str>,
) -> Result<Result<Option<String>, AwsError>, StageError> {
    Ok(match (&inputs.build_from, parent) {
        (BuildFrom::ImagePipeline(arn), _) => find::pipeline_build(cx, arn).await,
        // No build is started before the parent image is resolved.
        (BuildFrom::Recipe(_), None) => Ok(None),
        (BuildFrom::Recipe(plan), Some(parent)) => {
            let (key, value) = if plan.is_shared() {
                (tag::BAKE_KEY, bake_key(inputs, plan, parent).await?)
            } else {
                (tag::ATTEMPT, cx.key().attempt_id.clone())
            };
            find::recipe_build(cx, &plan.version_on(parent).image_arn, key, &value).await
        }
    })
}

/// Continues with the cancellation of the build that was found, or searches again.
pub fn find_build(
    found: Result<Option<String>, AwsError>,
    empty_reads: u8,
    parent: Option<String>,
    reason: Failure,
) -> Result<Step<Bake>, StageError> {
    match found {
        Ok(Some(image)) => Ok(Step::Next(Bake::UndoCancelling { image, reason })),
        Ok(None) if empty_reads + 1 >= EMPTY_READS => Ok(Step::Done(Outcome::Failed(reason))),
        Ok(None) => {
            let progress =
                Progress { summary: "looking for a build to cancel".into(), ..Progress::default() };
            let state = Bake::UndoFindingBuild { empty_reads: empty_reads + 1, parent, reason };
            Ok(Step::Wait { state, again_in: POLL_INTERVAL, progress })
        }
        Err(error) if error.class.is_transient() => Err(error.into()),
        Err(error) => Ok(failed(reason, Some(format!("a build may be running: {error}")))),
    }
}

/// Requests the cancellation of a running build.
pub async fn cancel(
    account: &str,
    cx: &Cx,
    image: String,
    reason: Failure,
) -> Result<Step<Bake>, StageError> {
    let build = calls::read(&calls::get(cx, &image).await?, account);
    if BuildPhase::of(&build.status) != BuildPhase::Running {
        return Ok(Step::Next(Bake::UndoRemovingImages { image, empty_reads: 0, removed: 0, reason }));
    }
    calls::cancel(cx, &image).await?;
    Ok(Step::Next(Bake::UndoConfirmingCancellation { image, reason }))
}

/// Waits until the build has ended.
pub async fn confirm_cancellation(
    account: &str,
    cx: &Cx,
    image: String,
    reason: Failure,
) -> Result<Step<Bake>, StageError> {
    let build = calls::read(&calls::get(cx, &image).await?, account);
    if BuildPhase::of(&build.status) != BuildPhase::Running {
        return Ok(Step::Next(Bake::UndoRemovingImages { image, empty_reads: 0, removed: 0, reason }));
    }
    let summary = format!("cancelling the build: {}", build.status.to_lowercase());
    let progress = Progress { percent: 0, summary, external_id: Some(image.clone()) };
    let state = Bake::UndoConfirmingCancellation { image, reason };
    Ok(Step::Wait { state, again_in: POLL_INTERVAL, progress })
}

/// Removes one image of the build in each step. Several reads in a row must find no other: a copy that was under way
/// may appear late.
pub async fn remove_images(
    account: &str,
    expected: &[ImageCopy],
    cx: &Cx,
    image: String,
    empty_reads: u8,
    removed: u16,
    mut reason: Failure,
) -> Result<Step<Bake>, StageError> {
    let found = calls::get(cx, &image).await?;
    let build = calls::read(&found, account);
    // Other releases may use the image of a build that has a bake key.
    let shared = found.tags.as_ref().is_some_and(|tags| tags.contains_key(tag::BAKE_KEY));
    if shared && BuildPhase::of(&build.status) == BuildPhase::Available {
        return Ok(Step::Next(Bake::UndoKeepingImages { image, reason }));
    }
    let expected = expected.iter().map(|copy| copy.region.clone());
    let regions = unwanted::regions(cx, &found, &build, expected);
    let remaining = unwanted::find(cx, &image, &found, &build, &regions).await?;
    let Some(next) = remaining.first() else {
        if empty_reads + 1 >= EMPTY_READS {
            let elsewhere = status::images_in_other_accounts(&build, account);
            let removed = (removed > 0).then(|| format!("{removed} of the build's images were removed"));
            let remark: Vec<String> = removed.into_iter().chain(elsewhere).collect();
            return Ok(failed(reason, (!remark.is_empty()).then(|| remark.join("; "))));
        }
        let summary = "looking for images of the build to remove".to_owned();
        let progress = Progress { percent: 0, summary, external_id: Some(image.clone()) };
        let state = Bake::UndoRemovingImages { image, empty_reads: empty_reads + 1, removed, reason };
        return Ok(Step::Wait { state, again_in: POLL_INTERVAL, progress });
    };
    let kept = unwanted::remove(cx, next).await?;
    if !kept.is_empty() {
        reason.message = format!("{}; {}", reason.message, kept.join("; "));
        reason = reason.for_token();
    }
    Ok(Step::Next(Bake::UndoRemovingImages {
        image,
        empty_reads: 0,
        removed: removed.saturating_add(1),
        reason,
    }))
}

/// Ends the action and names the images that stay. A failed read does not hide the reason of the failure.
pub async fn keep_images(account: &str, cx: &Cx, image: &str, reason: Failure) -> Step<Bake> {
    let remaining = match calls::get(cx, image).await {
        Ok(found) => status::remaining_images(&calls::read(&found, account)),
        Err(error) => Some(format!("the images of build {image} remain ({error})")),
    };
    failed(reason, remaining)
}

fn failed(mut reason: Failure, remark: Option<String>) -> Step<Bake> {
    if let Some(remark) = remark {
        reason.message = format!("{}; {remark}", reason.message);
    }
    Step::Done(Outcome::Failed(reason))
}
