//! What a cleanup says of itself when it is over.

use super::Inputs;
use super::image::Image;
use super::quarantine::{MARK, Next};
use super::removal::PendingRemoval;
use super::retain::{self, Disposition};
use super::survey::Survey;
use crate::engine::{StageError, Timestamp};
use crate::evidence::Stage;
use crate::evidence::predicate::{Cleanup, ContainerCleanup, KeptImage, RemovedImage};
use crate::stage::context::Cx;
use crate::stage::handover;

/// Where the cleanup report lies in the artifact.
pub const REPORT: &str = crate::evidence::layout::CLEANUP_REPORT;

/// The record. Without a survey not every list could be read, and only what was removed before that is told.
#[must_use]
pub fn cleanup(
    inputs: &Inputs,
    region: &str,
    survey: Option<&Survey>,
    containers: Option<ContainerCleanup>,
    doomed: &[PendingRemoval],
    (looked, now): (Timestamp, Timestamp),
) -> Cleanup {
    let tried = |id: &str| doomed.iter().any(|doomed| doomed.id == id);
    let kept = survey.into_iter().flat_map(|survey| {
        survey.images.iter().filter(|image| !tried(image.id())).filter_map(|image| {
            let fate = survey.fates.get(image.id())?;
            Some(KeptImage { image: image.identity.clone(), reasons: reasons(fate, image) })
        })
    });
    let account = &inputs.account;
    let removed = doomed.iter().map(|doomed| RemovedImage {
        image: doomed.identity(account, region),
        reason: inputs.rules.machine_images.as_ref().map(retain::removal).unwrap_or_default(),
        gone: doomed.gone,
        snapshots: doomed.outcomes(&survey.map(|survey| survey.held_of(doomed)).unwrap_or_default()),
    });
    Cleanup {
        service: inputs.release.spec.service.clone(),
        policy: serde_json::to_value(&inputs.rules).unwrap_or_default(),
        complete: survey.is_some(),
        looked_on: looked.date_time(),
        finished_on: now.date_time(),
        kept: kept.collect(),
        removed: removed.collect(),
        containers,
    }
}

/// Why an image is still there.
fn reasons(fate: &Disposition, image: &Image) -> Vec<String> {
    match fate {
        Disposition::Keep(reasons) => reasons.iter().map(ToString::to_string).collect(),
        Disposition::Reinstate(reasons) => {
            let back = "it is brought back from quarantine".to_owned();
            std::iter::once(back).chain(reasons.iter().map(ToString::to_string)).collect()
        }
        Disposition::Go(Next::Rest { until }) => vec![format!("in quarantine until {until}")],
        Disposition::Go(Next::Step(_)) if image.tags.contains_key(MARK) => {
            vec!["in quarantine, and left for the next cleanup".to_owned()]
        }
        Disposition::Go(Next::Step(_)) => {
            vec!["left for the next cleanup: one takes steps with only so many".to_owned()]
        }
    }
}

/// Signs the record and hands it over with its report.
///
/// # Errors
/// As [`handover::hand_over`].
pub async fn hand_over(inputs: &Inputs, cx: &Cx, record: &Cleanup) -> Result<(), StageError> {
    let mut artifact = inputs.release.artifact.clone();
    let report = serde_json::to_vec_pretty(record)
        .map_err(|error| StageError::Bug(format!("the cleanup cannot be written as JSON: {error}")))?;
    artifact.files.insert(REPORT.to_owned(), report);
    let subjects = inputs.release.subjects();
    let valid_for = inputs.release.spec.evidence.valid_for.as_duration();
    handover::hand_over_about(cx, Stage::Cleanup, subjects, record, artifact, valid_for).await?;
    Ok(())
}
