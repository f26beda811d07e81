//! Waits for the build: its progress, the retry of a failed distribution, and the availability of its images.

use aws_sdk_imagebuilder::types as wire;

use super::super::build::status::{self, Build, BuildPhase};
use super::super::build::{calls, log_link};
use super::super::error::BakeError;
use super::super::images::availability::{Availability, CONFIRMING_READS};
use super::super::inputs::{Inputs, current_output, expected_output};
use super::super::provenance;
use super::super::state::{Bake, LastProgress};
use super::{BUILD_POLL_INTERVAL, POLL_INTERVAL};
use crate::engine::{Progress, StageError, Step};
use crate::stage::Cx;

/// Polls the build until it ends.
pub async fn wait_for_build(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    last_progress: Option<LastProgress>,
    retries: u8,
) -> Result<Step<Bake>, StageError> {
    let found = calls::get(cx, &image).await?;
    let build = calls::read(&found, &inputs.account);
    match BuildPhase::of(&build.status) {
        BuildPhase::Running => {
            running(inputs, cx, image, &found, &build.status, last_progress, retries).await
        }
        BuildPhase::Available => {
            expected_output(inputs, cx, &build, &image)?;
            // The images of a build older than this action are settled: one read is enough.
            let seen = if is_older(inputs, found.date_created.as_deref()) { CONFIRMING_READS - 1 } else { 0 };
            Ok(Step::Next(Bake::Confirming { image, seen }))
        }
        BuildPhase::Ended => {
            // A read right after a retry may be stale and show the failure from before: read once more.
            if retries > 0 {
                let now = calls::read(&calls::get(cx, &image).await?, &inputs.account);
                if BuildPhase::of(&now.status) != BuildPhase::Ended {
                    return Err(BakeError::RetryNotVisible { build: image, status: now.status }.into());
                }
            }
            ended(inputs, cx, image, &found, &build, last_progress, retries)
        }
    }
}

/// Whether a build is older than this action. A build that no other release can share is never older, even if the clocks differ.
pub fn is_older(inputs: &Inputs, created: Option<&str>) -> bool {
    inputs.build_from.is_shared() && provenance::is_before(created, inputs.began.date_time())
}

async fn running(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    found: &wire::Image,
    status: &str,
    last_progress: Option<LastProgress>,
    retries: u8,
) -> Result<Step<Bake>, StageError> {
    let (mut progress, fingerprint) = calls::progress(cx, &image, status).await;
    let last_progress = last_progress
        .filter(|last| last.fingerprint == fingerprint)
        .unwrap_or(LastProgress { fingerprint, since: cx.now() });
    let stalled = cx.now().since(last_progress.since);
    if let Some(limit) = inputs.bake.progress_timeout.filter(|limit| stalled > limit.as_duration()) {
        return Err(BakeError::NoProgress {
            build: image,
            seconds: stalled.as_secs(),
            last: progress.summary,
            limit: limit.to_string(),
        }
        .into());
    }
    if let Some(link) = log_link::log_link(&image, found.name.as_deref()) {
        progress.summary = format!("{}\nlog: {link}", progress.summary);
    }
    let state = Bake::Building { image, last_progress: Some(last_progress), retries };
    Ok(Step::Wait { state, again_in: BUILD_POLL_INTERVAL, progress })
}

fn ended(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    found: &wire::Image,
    build: &Build,
    last_progress: Option<LastProgress>,
    retries: u8,
) -> Result<Step<Bake>, StageError> {
    if status::failed_in_distribution(build) {
        let is_stale = |last: LastProgress| {
            last.fingerprint == 0 && cx.now().since(last.since) < status::RETRY_VISIBLE_AFTER
        };
        if retries > 0 && last_progress.is_some_and(is_stale) {
            return Err(BakeError::RetryNotVisible { build: image, status: build.status.clone() }.into());
        }
        if retries < status::MAX_RETRIES {
            return Ok(Step::Next(Bake::Retrying { image, retries }));
        }
    }
    // Another release that shared the build cancelled it. This one starts a new build.
    if inputs.build_from.is_shared() && build.status == "CANCELLED" {
        // A container recipe does not name the digest of its parent image.
        if found.container_recipe.is_some() {
            return Ok(Step::Next(Bake::ResolvingParent));
        }
        let parent = found.image_recipe.as_ref().and_then(|recipe| recipe.parent_image.clone());
        if let Some(parent) = parent {
            return Ok(Step::Next(Bake::StartingBuild { parent }));
        }
    }
    let log = log_link::log_link(&image, found.name.as_deref());
    let log = log.map(|link| format!("; log: {link}")).unwrap_or_default();
    Err(BakeError::BuildFailed { summary: format!("{}{log}", status::failure_summary(&image, build)) }.into())
}

/// Retries the failed distribution of a build. Each retry has a client token of its own, so a repeated call retries
/// once.
pub async fn retry(inputs: &Inputs, cx: &Cx, image: String, retries: u8) -> Result<Step<Bake>, StageError> {
    let build = calls::read(&calls::get(cx, &image).await?, &inputs.account);
    // Fingerprint 0 marks progress that no read has shown since the retry: the next reads may be stale.
    let last_progress = Some(LastProgress { fingerprint: 0, since: cx.now() });
    if BuildPhase::of(&build.status) != BuildPhase::Ended {
        // The read that showed a failure was stale, or the response to the call was lost.
        return Ok(Step::Next(Bake::Building { image, last_progress, retries: retries.max(1) }));
    }
    let retries = retries.saturating_add(1);
    calls::retry(cx, &image, retries).await?;
    Ok(Step::Next(Bake::Building { image, last_progress, retries }))
}

/// Polls the images until several reads in a row find all of them available.
pub async fn confirm_images(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    seen: u8,
) -> Result<Step<Bake>, StageError> {
    let output = current_output(inputs, cx, &image).await?;
    let (seen, summary) = match output.availability(cx).await? {
        Availability::Available if seen + 1 >= CONFIRMING_READS => {
            return Ok(Step::Next(Bake::CheckingGates { image, since: cx.now() }));
        }
        Availability::Available => {
            (seen + 1, format!("images available, read {} of {CONFIRMING_READS}", seen + 1))
        }
        Availability::Pending(reason) => (0, reason),
        Availability::Unusable(reason) => return Err(BakeError::ImageUnusable { reason }.into()),
    };
    let progress = Progress { percent: 97, summary, external_id: Some(image.clone()) };
    Ok(Step::Wait { state: Bake::Confirming { image, seen }, again_in: POLL_INTERVAL, progress })
}
