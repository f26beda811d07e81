//! The signed record of a cleanup: what stays and why, what was removed.

use super::Inputs;
use super::machine_images::image::Image;
use super::machine_images::quarantine::{Next, RECORD_TAG};
use super::machine_images::removal::PendingRemoval;
use super::machine_images::retention::{self, Disposition};
use super::machine_images::survey::Survey;
use crate::digest::Sha256;
use crate::engine::{StageError, Timestamp};
use crate::evidence::Stage;
use crate::evidence::predicate::{Cleanup, ContainerCleanup, KeptImage, RemovedImage};
use crate::stage::context::Cx;
use crate::stage::handover;

/// Path of the report in the artifact.
pub const REPORT: &str = crate::evidence::layout::CLEANUP_REPORT;

/// The record. Without a survey some list could not be read, and only earlier removals are recorded.
#[must_use]
pub fn cleanup(
    inputs: &Inputs,
    region: &str,
    survey: Option<&Survey>,
    containers: Option<ContainerCleanup>,
    removals: &[PendingRemoval],
    (observed_on, finished_on): (Timestamp, Timestamp),
) -> Cleanup {
    let was_tried = |id: &str| removals.iter().any(|removal| removal.id == id);
    let kept = survey.into_iter().flat_map(|survey| {
        survey.images.iter().filter(|image| !was_tried(image.id())).filter_map(|image| {
            let disposition = survey.dispositions.get(image.id())?;
            Some(KeptImage { image: image.identity.clone(), reasons: reasons(disposition, image) })
        })
    });
    let removed = removals.iter().map(|removal| {
        let retained = survey.map(|survey| survey.retained_snapshots_of(removal)).unwrap_or_default();
        RemovedImage {
            image: removal.identity(&inputs.account, region),
            reason: inputs.rules.machine_images.as_ref().map(retention::removal_reason).unwrap_or_default(),
            deregistered: removal.deregistered,
            snapshots: removal.outcomes(&retained),
        }
    });
    Cleanup {
        service: inputs.release.spec.service.clone(),
        policy: serde_json::to_value(&inputs.rules).unwrap_or_default(),
        complete: survey.is_some(),
        observed_on: observed_on.date_time(),
        finished_on: finished_on.date_time(),
        kept: kept.collect(),
        removed: removed.collect(),
        containers,
    }
}

/// Why an image is not removed.
fn reasons(disposition: &Disposition, image: &Image) -> Vec<String> {
    match disposition {
        Disposition::Keep(reasons) => reasons.iter().map(ToString::to_string).collect(),
        Disposition::Restore(reasons) => {
            let restore = "cleanup restores it from quarantine".to_owned();
            std::iter::once(restore).chain(reasons.iter().map(ToString::to_string)).collect()
        }
        Disposition::Remove(Next::Wait { until }) => vec![format!("in quarantine until {until}")],
        Disposition::Remove(Next::Step(_)) if image.tags.contains_key(RECORD_TAG) => {
            vec!["in quarantine, deferred to the next cleanup".to_owned()]
        }
        Disposition::Remove(Next::Step(_)) => {
            vec!["deferred to the next cleanup: max_per_run limits this one".to_owned()]
        }
    }
}

/// Signs the record and writes it with its report into the output artifact; the digest of the statement.
///
/// # Errors
/// As [`handover::hand_over`].
pub async fn hand_over(inputs: &Inputs, cx: &Cx, record: &Cleanup) -> Result<Sha256, StageError> {
    let mut artifact = inputs.release.artifact.clone();
    let report = serde_json::to_vec_pretty(record).map_err(StageError::bug)?;
    artifact.files.insert(REPORT.to_owned(), report);
    let subjects = inputs.release.subjects();
    let valid_for = inputs.release.spec.evidence.valid_for.as_duration();
    handover::hand_over_about(cx, Stage::Cleanup, subjects, record, artifact, valid_for).await
}
