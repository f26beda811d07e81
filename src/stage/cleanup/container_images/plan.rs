//! The container images of a plan, and whether it may still be applied. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::image::{Image, ImageKey};
use super::quarantine::{Next, RemovalStep};
use super::record::identity;
use super::relations::Relations;
use super::retention::{self, Disposition, KeepReason};
use super::survey::{Scope, Survey};
use crate::evidence::predicate::{PlannedAction, PlannedContainer};

/// Why a plan is not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("images of the plan are in use by now: {}", in_use(.images))]
    NowInUse { images: BTreeMap<ImageKey, Vec<KeepReason>> },
    #[error("{image} was restored from the archive after the plan was made")]
    Restored { image: ImageKey },
}

fn in_use(images: &BTreeMap<ImageKey, Vec<KeepReason>>) -> String {
    let one = |(image, reasons): (&ImageKey, &Vec<KeepReason>)| {
        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        format!("{image} ({})", reasons.join("; "))
    };
    images.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// The planned images that follow from a survey, oldest first.
#[must_use]
pub fn planned_images(survey: &Survey, scope: &Scope<'_>, region: &str) -> Vec<PlannedContainer> {
    let max = usize::try_from(scope.rules.max_per_run).unwrap_or(usize::MAX);
    let chosen = images_to_archive(survey, max);
    let planned = survey.images.iter().map(|image| PlannedContainer {
        image: identity(image, scope.account, region),
        pushed_on: image.pushed_on.map(|at| at.to_string()),
        action: planned_action(survey, image, &chosen),
        reasons: reasons(survey, scope, image),
        bytes: image.bytes,
    });
    planned.collect()
}

/// The images that this plan archives: the oldest, and the images of an index only with the index.
fn images_to_archive(survey: &Survey, max: usize) -> BTreeSet<ImageKey> {
    let relations = Relations::of(&survey.images);
    let due = || {
        survey
            .removable()
            .filter(|(_, next)| matches!(next, Next::Step(RemovalStep::Mark | RemovalStep::Archive)))
    };
    let mut chosen = BTreeSet::new();
    for in_no_index in [true, false] {
        for (image, _) in due() {
            let indexes = relations.indexes_of(&image.key);
            let fits =
                indexes.is_empty() == in_no_index && indexes.iter().all(|index| chosen.contains(index));
            if fits && chosen.len() < max {
                chosen.insert(image.key.clone());
            }
        }
    }
    chosen
}

fn planned_action(survey: &Survey, image: &Image, chosen: &BTreeSet<ImageKey>) -> PlannedAction {
    match survey.dispositions.get(&image.key) {
        None | Some(Disposition::Keep(_)) => PlannedAction::Keep,
        Some(Disposition::Restore(_)) => PlannedAction::Restore,
        Some(Disposition::Remove(Next::Wait { .. })) => PlannedAction::Wait,
        Some(Disposition::Remove(Next::Step(RemovalStep::Delete))) => PlannedAction::Delete,
        Some(Disposition::Remove(Next::Step(RemovalStep::Mark | RemovalStep::Archive))) => {
            if chosen.contains(&image.key) { PlannedAction::Quarantine } else { PlannedAction::Deferred }
        }
    }
}

fn reasons(survey: &Survey, scope: &Scope<'_>, image: &Image) -> Vec<String> {
    match survey.dispositions.get(&image.key) {
        None => Vec::new(),
        Some(Disposition::Keep(reasons) | Disposition::Restore(reasons)) => {
            reasons.iter().map(ToString::to_string).collect()
        }
        Some(Disposition::Remove(Next::Wait { until })) => vec![format!("in quarantine until {until}")],
        Some(Disposition::Remove(Next::Step(_))) => vec![retention::removal_reason(scope.rules)],
    }
}

/// The actions of a plan that remain to be done, given a new survey. The machine images' part of the plan has checked
/// its expiry, account and region.
///
/// # Errors
/// An image that the plan changes is in use by now, or was restored.
pub fn remaining_actions(
    plan: &[PlannedContainer],
    survey: &Survey,
) -> Result<BTreeMap<ImageKey, PlannedAction>, Refusal> {
    let (mut remaining, mut in_use) = (BTreeMap::new(), BTreeMap::new());
    for planned in plan.iter().filter(|planned| planned.action.changes_image()) {
        let key = ImageKey::new(planned.image.repository.as_str(), planned.image.digest.as_str());
        let Some(disposition) = survey.dispositions.get(&key) else { continue };
        match (planned.action, disposition) {
            (
                PlannedAction::Quarantine | PlannedAction::Delete,
                Disposition::Keep(reasons) | Disposition::Restore(reasons),
            ) => {
                in_use.insert(key, reasons.clone());
            }
            (
                PlannedAction::Delete,
                Disposition::Remove(Next::Step(RemovalStep::Mark | RemovalStep::Archive)),
            ) => return Err(Refusal::Restored { image: key }),
            // An image that was archived meanwhile is as far as the plan says.
            _ if is_due(planned.action, disposition) => {
                remaining.insert(key, planned.action);
            }
            _ => {}
        }
    }
    if in_use.is_empty() { Ok(remaining) } else { Err(Refusal::NowInUse { images: in_use }) }
}

/// Whether a planned action still requires a call for an image with this disposition.
#[must_use]
pub fn is_due(action: PlannedAction, disposition: &Disposition) -> bool {
    matches!(
        (action, disposition),
        (PlannedAction::Restore, Disposition::Restore(_))
            | (PlannedAction::Delete, Disposition::Remove(Next::Step(RemovalStep::Delete)))
            | (
                PlannedAction::Quarantine,
                Disposition::Remove(Next::Step(RemovalStep::Mark | RemovalStep::Archive))
            )
    )
}
