//! The last word of a cleanup: what stays, what is in quarantine, and what went.

use std::collections::BTreeMap;

use super::inventory;
use super::quarantine::{MARK, Next, Step as Way};
use super::survey::{Focus, Survey};
use super::{Cleanup, Inputs, PendingRemoval, containers, record};
use crate::engine::{Failure, Outcome, StageError, Step};
use crate::evidence::predicate::ContainerCleanup;
use crate::stage::context::Cx;
use crate::stage::failure_reason::FailureReason;

/// Hands over what stays and what went.
pub async fn seal(done: Vec<PendingRemoval>, inputs: &Inputs, cx: &Cx) -> Result<Step<Cleanup>, StageError> {
    let survey = match inputs.scope() {
        Some(scope) => Survey::take(&cx.aws, &scope, Focus::Oldest(inputs.most()), cx.now()).await?,
        None => Survey::empty(cx.now()),
    };
    if let Some(there) = done.iter().find(|doomed| doomed.gone && survey.image(&doomed.id).is_some()) {
        return Err(StageError::NotYet(format!("{} is deregistered and still listed", there.id)));
    }
    let containers = containers(inputs, cx).await?;
    let looked = (survey.at, cx.now());
    let record = record::cleanup(inputs, cx.aws.region(), Some(&survey), containers.clone(), &done, looked);
    record::hand_over(inputs, cx, &record).await?;
    let gone = done.iter().filter(|doomed| doomed.gone).count();
    let resting = survey.leaving().filter(|(image, _)| image.tags.contains_key(MARK)).count();
    let left = survey
        .leaving()
        .filter(|(_, next)| matches!(next, Next::Step(step) if *step != Way::Deregister))
        .count();
    let service = &inputs.release.spec.service;
    let mut parts = vec![
        format!("{gone} images of {service} removed"),
        format!("{} kept", survey.images.len().saturating_sub(resting)),
    ];
    if resting > 0 {
        parts.push(format!("{resting} in quarantine"));
    }
    if left > 0 {
        parts.push(format!("{left} left for the next cleanup"));
    }
    let snapshots: Vec<String> =
        done.iter().flat_map(PendingRemoval::left_over).cloned().map(String::from).collect();
    if !snapshots.is_empty() {
        parts.push(format!("snapshots not deleted: {}", snapshots.join(", ")));
    }
    if let Some(containers) = &containers {
        let (gone, kept) = (containers.removed.len(), containers.kept.len());
        parts.push(format!("{gone} container images removed, {kept} still there"));
    }
    let summary = parts.join(", ");
    let variables = BTreeMap::from([
        ("Removed".to_owned(), gone.to_string()),
        ("Quarantined".to_owned(), resting.to_string()),
        ("Left".to_owned(), left.to_string()),
    ]);
    Ok(Step::Done(Outcome::Succeeded { summary, external_id: None, variables }))
}

/// What stays and what went of the container images, if the rules speak of any.
async fn containers(inputs: &Inputs, cx: &Cx) -> Result<Option<ContainerCleanup>, StageError> {
    let Some(rules) = &inputs.rules.container_images else { return Ok(None) };
    let scope = containers::steps::scope(rules, inputs, cx.aws.region());
    let survey = containers::survey::Survey::take(&cx.aws, &scope, &inputs.definitions, cx.now()).await?;
    Ok(Some(containers::record::containers(&survey, &scope, cx.aws.region())))
}

/// Hands over what went before something failed.
pub async fn seal_failed(
    done: Vec<PendingRemoval>,
    why: FailureReason,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Cleanup>, StageError> {
    let mut told = Vec::new();
    // What was still in the queue is told only if it is gone; if even that cannot be read, what is known is told.
    let listed = inventory::images(&cx.aws, &inputs.release.spec.service).await;
    for doomed in done {
        let missing = listed.as_ref().is_ok_and(|images| images.iter().all(|image| image.id() != doomed.id));
        if doomed.gone || missing {
            told.push(PendingRemoval { gone: true, ..doomed });
        }
    }
    let record = record::cleanup(inputs, cx.aws.region(), None, None, &told, (inputs.at, cx.now()));
    record::hand_over(inputs, cx, &record).await?;
    let mut failure = Failure::from(why);
    failure.message = match told.len() {
        0 => format!("nothing was removed: {}", failure.message),
        count => format!("{count} images were removed before this: {}", failure.message),
    };
    Ok(Step::Done(Outcome::Failed(failure)))
}
