//! The way back: a build found and cancelled, and what it left removed.

use super::{Bake, Inputs, LOOK_EVERY, Of, RECALLS, Stand, build, judge, leftovers, start};
use crate::aws::AwsError;
use crate::engine::key::tag;
use crate::engine::{Failure, Outcome, Progress, StageError, Step};
use crate::spec::ImageCopy;
use crate::stage::Cx;

/// The build that this attempt started, if it did.
pub async fn recall(
    inputs: &Inputs,
    cx: &Cx,
    parent: Option<&str>,
) -> Result<Result<Option<String>, AwsError>, StageError> {
    Ok(match (&inputs.of, parent) {
        (Of::Pipeline(arn), _) => build::recall(cx, arn).await,
        // No build is started before the parent image is known.
        (Of::Recipe(_), None) => Ok(None),
        (Of::Recipe(plan), Some(parent)) => {
            let (key, value) = if plan.is_shared() {
                (tag::BAKE_KEY, start::bake_key(inputs, plan, parent).await?)
            } else {
                (tag::ATTEMPT, cx.key().attempt_id.clone())
            };
            build::recall_recipe(cx, &plan.named(parent).image, key, &value).await
        }
    })
}

pub fn recalling(
    found: Result<Option<String>, AwsError>,
    looks: u8,
    parent: Option<String>,
    why: Failure,
) -> Result<Step<Bake>, StageError> {
    match found {
        Ok(Some(image)) => Ok(Step::Next(Bake::Cancelling { image, why })),
        Ok(None) if looks + 1 >= RECALLS => Ok(Step::Done(Outcome::Failed(why))),
        Ok(None) => {
            let progress =
                Progress { summary: "looking for a build to cancel".into(), ..Progress::default() };
            Ok(Step::Wait {
                state: Bake::Recalling { looks: looks + 1, parent, why },
                again_in: LOOK_EVERY,
                progress,
            })
        }
        Err(error) if error.class.is_transient() => Err(error.into()),
        Err(error) => Ok(failed(why, Some(format!("whether a build was started is not known: {error}")))),
    }
}

pub async fn cancelling(
    account: &str,
    cx: &Cx,
    image: String,
    why: Failure,
) -> Result<Step<Bake>, StageError> {
    let build = build::read(&build::get(cx, &image).await?, account);
    if judge::stand(&build.status) != Stand::Going {
        return Ok(Step::Next(Bake::Removing { image, looks: 0, gone: 0, why }));
    }
    build::cancel(cx, &image).await?;
    Ok(Step::Next(Bake::Stopping { image, why }))
}

pub async fn stopping(account: &str, cx: &Cx, image: String, why: Failure) -> Result<Step<Bake>, StageError> {
    let build = build::read(&build::get(cx, &image).await?, account);
    if judge::stand(&build.status) != Stand::Going {
        return Ok(Step::Next(Bake::Removing { image, looks: 0, gone: 0, why }));
    }
    let summary = format!("cancelling the build: {}", build.status.to_lowercase());
    let progress = Progress { percent: 0, summary, external_id: Some(image.clone()) };
    Ok(Step::Wait { state: Bake::Stopping { image, why }, again_in: LOOK_EVERY, progress })
}

/// Removes one image of the build at a time. That no more are there is believed after several looks: a copy that was
/// on its way may appear late.
pub async fn removing(
    account: &str,
    expected: &[ImageCopy],
    cx: &Cx,
    image: String,
    looks: u8,
    gone: u16,
    mut why: Failure,
) -> Result<Step<Bake>, StageError> {
    let found = build::get(cx, &image).await?;
    let build = build::read(&found, account);
    // Other releases may have taken the image of a build that carries the key by which they find it.
    let shared = found.tags.as_ref().is_some_and(|tags| tags.contains_key(tag::BAKE_KEY));
    if shared && judge::stand(&build.status) == Stand::Available {
        return Ok(Step::Next(Bake::Leaving { image, why }));
    }
    let expected = expected.iter().map(|copy| copy.region.clone());
    let regions = leftovers::regions(cx, &found, &build, expected);
    let left = leftovers::find(cx, &image, &found, &build, &regions).await?;
    let Some(next) = left.first() else {
        if looks + 1 >= RECALLS {
            let foreign = judge::foreign(&build, account);
            let removed = (gone > 0).then(|| format!("{gone} of the build's images were removed"));
            let remark: Vec<String> = removed.into_iter().chain(foreign).collect();
            return Ok(failed(why, (!remark.is_empty()).then(|| remark.join("; "))));
        }
        let summary = "looking for images that the build left".to_owned();
        let progress = Progress { percent: 0, summary, external_id: Some(image.clone()) };
        let state = Bake::Removing { image, looks: looks + 1, gone, why };
        return Ok(Step::Wait { state, again_in: LOOK_EVERY, progress });
    };
    let stays = leftovers::remove(cx, next).await?;
    if !stays.is_empty() {
        why.message = format!("{}; {}", why.message, stays.join("; "));
        why = why.for_token();
    }
    Ok(Step::Next(Bake::Removing { image, looks: 0, gone: gone.saturating_add(1), why }))
}

/// Nothing is undone here, so a look that fails takes nothing from the reason.
pub async fn leaving(account: &str, cx: &Cx, image: &str, why: Failure) -> Step<Bake> {
    let remains = match build::get(cx, image).await {
        Ok(found) => judge::remains(&build::read(&found, account)),
        Err(error) => Some(format!("the images of build {image} remain ({error})")),
    };
    failed(why, remains)
}

fn failed(mut why: Failure, remark: Option<String>) -> Step<Bake> {
    if let Some(remark) = remark {
        why.message = format!("{}; {remark}", why.message);
    }
    Step::Done(Outcome::Failed(why))
}
