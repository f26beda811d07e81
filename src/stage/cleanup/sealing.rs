//! Ends a cleanup: surveys once more, signs the record and hands it over.

use std::collections::BTreeMap;

use super::container_images::{self, retention::Disposition as ContainerDisposition};
use super::machine_images::inventory;
use super::machine_images::quarantine::{Next, RECORD_TAG, RemovalStep};
use super::machine_images::removal::PendingRemoval;
use super::machine_images::survey::{Inspect, Survey};
use super::{Cleanup, Inputs, record};
use crate::engine::error::{ErrorClass, ModuleError};
use crate::engine::{Failure, Outcome, StageError, Step};
use crate::stage::context::Cx;
use crate::stage::failure_reason::FailureReason;

/// EC2 still lists an image that it deregistered: the read is stale.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("EC2 still lists {image} after deregistering it")]
struct StillListed {
    image: String,
}

impl ModuleError for StillListed {
    fn class(&self) -> ErrorClass {
        ErrorClass::NotYet
    }
}

/// Numbers of images, for the summary and the output variables.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    removed: usize,
    kept: usize,
    quarantined: usize,
    deferred: usize,
}

/// Signs and hands over what stays and what was removed.
pub async fn seal(done: Vec<PendingRemoval>, inputs: &Inputs, cx: &Cx) -> Result<Step<Cleanup>, StageError> {
    let survey = match inputs.scope() {
        Some(scope) => {
            let inspect = Inspect::Oldest(inputs.max_per_run());
            Survey::take(&cx.aws, &scope, inspect, cx.now()).await?
        }
        None => Survey::empty(cx.now()),
    };
    if let Some(removal) = done.iter().find(|done| done.deregistered && survey.image(&done.id).is_some()) {
        return Err(StillListed { image: removal.id.clone() }.into());
    }
    let containers = container_survey(inputs, cx).await?;
    let container_record = containers
        .as_ref()
        .map(|(survey, scope)| container_images::record::containers(survey, scope, cx.aws.region()));
    let times = (survey.at, cx.now());
    let removed_containers = container_record.as_ref().map_or(0, |record| record.removed.len());
    let record = record::cleanup(inputs, cx.aws.region(), Some(&survey), container_record, &done, times);
    let statement = record::hand_over(inputs, cx, &record).await?;

    let machine = machine_counts(&survey, &done);
    let mut parts = summary(machine, &format!("images of {}", inputs.release.spec.service));
    let snapshots: Vec<String> =
        done.iter().flat_map(PendingRemoval::not_deleted).cloned().map(String::from).collect();
    if !snapshots.is_empty() {
        parts.push(format!("snapshots not deleted: {}", snapshots.join(", ")));
    }
    let mut total = machine;
    if let Some((survey, _)) = &containers {
        let counts = container_counts(survey, removed_containers);
        parts.extend(summary(counts, "container images"));
        total.removed += counts.removed;
        total.quarantined += counts.quarantined;
        total.deferred += counts.deferred;
    }
    let variables = BTreeMap::from([
        ("ImagesRemoved".to_owned(), total.removed.to_string()),
        ("ImagesQuarantined".to_owned(), total.quarantined.to_string()),
        ("ImagesDeferred".to_owned(), total.deferred.to_string()),
        ("StatementDigest".to_owned(), format!("sha256:{statement}")),
    ]);
    Ok(Step::Done(Outcome::Succeeded { summary: parts.join(", "), external_id: None, variables }))
}

fn summary(counts: Counts, of: &str) -> Vec<String> {
    let Counts { removed, kept, quarantined, deferred } = counts;
    let mut parts = vec![format!("{removed} {of} removed"), format!("{kept} kept")];
    if quarantined > 0 {
        parts.push(format!("{quarantined} in quarantine"));
    }
    if deferred > 0 {
        parts.push(format!("{deferred} deferred to the next cleanup"));
    }
    parts
}

fn machine_counts(survey: &Survey, done: &[PendingRemoval]) -> Counts {
    let quarantined = survey.removable().filter(|(image, _)| image.tags.contains_key(RECORD_TAG)).count();
    let is_deferred = |next: Next| matches!(next, Next::Step(step) if step != RemovalStep::Deregister);
    Counts {
        removed: done.iter().filter(|removal| removal.deregistered).count(),
        kept: survey.images.len().saturating_sub(quarantined),
        quarantined,
        deferred: survey.removable().filter(|(_, next)| is_deferred(*next)).count(),
    }
}

fn container_counts(survey: &container_images::survey::Survey, removed: usize) -> Counts {
    use container_images::quarantine::{Next, RemovalStep};
    let mut counts = Counts { removed, ..Counts::default() };
    for disposition in survey.dispositions.values() {
        match disposition {
            ContainerDisposition::Keep(_) | ContainerDisposition::Restore(_) => counts.kept += 1,
            ContainerDisposition::Remove(Next::Wait { .. } | Next::Step(RemovalStep::Delete)) => {
                counts.quarantined += 1;
            }
            ContainerDisposition::Remove(Next::Step(RemovalStep::Mark | RemovalStep::Archive)) => {
                counts.kept += 1;
                counts.deferred += 1;
            }
        }
    }
    counts
}

type ContainerSurvey<'a> = (container_images::survey::Survey, container_images::survey::Scope<'a>);

/// Surveys the container images, if the spec has rules for them.
async fn container_survey<'a>(
    inputs: &'a Inputs,
    cx: &Cx,
) -> Result<Option<ContainerSurvey<'a>>, StageError> {
    let Some(scope) = inputs.container_scope(cx.aws.region()) else { return Ok(None) };
    let definitions = &inputs.definitions;
    let survey = container_images::survey::Survey::take(&cx.aws, &scope, definitions, cx.now()).await?;
    Ok(Some((survey, scope)))
}

/// Signs and hands over what was removed before a failure.
pub async fn seal_failed(
    done: Vec<PendingRemoval>,
    why: FailureReason,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Cleanup>, StageError> {
    // An image that was only queued is recorded if EC2 no longer lists it. If even the list cannot be read, the known
    // removals are recorded.
    let listed = inventory::images(&cx.aws, &inputs.release.spec.service).await;
    let mut removed = Vec::new();
    for removal in done {
        let is_missing =
            listed.as_ref().is_ok_and(|images| images.iter().all(|image| image.id() != removal.id));
        if removal.deregistered || is_missing {
            removed.push(PendingRemoval { deregistered: true, ..removal });
        }
    }
    let record = record::cleanup(inputs, cx.aws.region(), None, None, &removed, (inputs.at, cx.now()));
    record::hand_over(inputs, cx, &record).await?;
    let mut failure = Failure::from(why);
    failure.message = match removed.len() {
        0 => format!("no image was removed: {}", failure.message),
        count => format!("{count} images were removed before the failure: {}", failure.message),
    };
    Ok(Step::Done(Outcome::Failed(failure)))
}
