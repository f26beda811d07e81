//! A plan for machine images that a person approves, and whether it may still be applied. Pure.

use std::collections::BTreeMap;

use super::image::Image;
use super::quarantine::{Next, RECORD_TAG, RemovalStep};
use super::retention::{self, Disposition, KeepReason};
use super::snapshots;
use super::survey::{Scope, Survey};
use crate::engine::Timestamp;
use crate::evidence::predicate::{CleanupPlan, PlannedAction, PlannedImage};

/// Why a plan is not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the plan expired at {at}")]
    Expired { at: String },
    #[error("the plan is for account {account} in {region}, and the credentials are for {here}")]
    OtherAccount { account: String, region: String, here: String },
    #[error("images of the plan are in use by now: {}", in_use(.images))]
    NowInUse { images: BTreeMap<String, Vec<KeepReason>> },
    #[error("{image} was restored after the plan was made: its next step would be to {step}")]
    Restored { image: String, step: RemovalStep },
}

fn in_use(images: &BTreeMap<String, Vec<KeepReason>>) -> String {
    let one = |(image, reasons): (&String, &Vec<KeepReason>)| {
        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        format!("{image} ({})", reasons.join("; "))
    };
    images.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// What cleanup is about to do with an image.
#[must_use]
pub fn planned_action(survey: &Survey, image: &Image) -> PlannedAction {
    match survey.dispositions.get(image.id()) {
        None | Some(Disposition::Keep(_)) => PlannedAction::Keep,
        Some(Disposition::Restore(_)) => PlannedAction::Restore,
        Some(Disposition::Remove(Next::Wait { .. })) => PlannedAction::Wait,
        Some(Disposition::Remove(Next::Step(_))) => match survey.step(image.id()) {
            None => PlannedAction::Deferred,
            Some(RemovalStep::Deregister) => PlannedAction::Deregister,
            Some(RemovalStep::Mark | RemovalStep::Deprecate | RemovalStep::Disable) => {
                PlannedAction::Quarantine
            }
        },
    }
}

/// The planned images that follow from a survey, oldest first.
#[must_use]
pub fn planned_images(survey: &Survey, scope: &Scope<'_>) -> Vec<PlannedImage> {
    let planned = |image: &Image| PlannedImage {
        image: image.identity.clone(),
        action: planned_action(survey, image),
        reasons: reasons(survey, scope, image),
        snapshots: image.snapshots.clone(),
        gib: image.gib,
    };
    survey.by_age().into_iter().map(planned).collect()
}

fn reasons(survey: &Survey, scope: &Scope<'_>, image: &Image) -> Vec<String> {
    match survey.dispositions.get(image.id()) {
        None => Vec::new(),
        Some(Disposition::Keep(reasons) | Disposition::Restore(reasons)) => {
            reasons.iter().map(ToString::to_string).collect()
        }
        Some(Disposition::Remove(Next::Wait { until })) => vec![format!("in quarantine until {until}")],
        Some(Disposition::Remove(Next::Step(step))) => {
            let mut reasons = vec![retention::removal_reason(scope.rules)];
            if image.tags.contains_key(RECORD_TAG) {
                reasons.push(format!("in quarantine; the next step is to {step}"));
            }
            for (snapshot, resources) in survey.retained_snapshots(image) {
                reasons.push(format!("its snapshot {snapshot} stays, {}", snapshots::reason(&resources)));
            }
            reasons
        }
    }
}

/// Checks that a plan has not expired and is for this account and region.
///
/// # Errors
/// It has expired, or is for another account or region.
pub fn check_validity(
    plan: &CleanupPlan,
    now: Timestamp,
    (account, region): (&str, &str),
) -> Result<(), Refusal> {
    if now.date_time() >= plan.expires_on {
        let at = Timestamp(plan.expires_on.unix_timestamp()).to_string();
        return Err(Refusal::Expired { at });
    }
    if (plan.account.as_str(), plan.region.as_str()) != (account, region) {
        let here = format!("{account} in {region}");
        return Err(Refusal::OtherAccount {
            account: plan.account.clone(),
            region: plan.region.clone(),
            here,
        });
    }
    Ok(())
}

/// The actions of a plan that remain to be done, given a new survey: image ids with their actions.
///
/// # Errors
/// As [`check_validity`]; or an image that the plan changes is in use by now.
pub fn remaining_actions(
    plan: &CleanupPlan,
    survey: &Survey,
    here: (&str, &str),
) -> Result<Vec<(String, PlannedAction)>, Refusal> {
    check_validity(plan, survey.at, here)?;
    let (mut remaining, mut in_use) = (Vec::new(), BTreeMap::new());
    for planned in plan.images.iter().filter(|planned| planned.action.changes_image()) {
        let id = planned.image.image_id.as_str();
        // EC2 does not reuse ids; should it ever, the identity tells the images apart.
        let found = survey.image(id).filter(|image| image.identity == planned.image);
        let Some(disposition) = found.and_then(|_| survey.dispositions.get(id)) else { continue };
        match (planned.action, disposition) {
            (
                PlannedAction::Quarantine | PlannedAction::Deregister,
                Disposition::Keep(reasons) | Disposition::Restore(reasons),
            ) => {
                in_use.insert(id.to_owned(), reasons.clone());
            }
            (PlannedAction::Deregister, Disposition::Remove(Next::Step(step)))
                if *step != RemovalStep::Deregister =>
            {
                return Err(Refusal::Restored { image: id.to_owned(), step: *step });
            }
            (PlannedAction::Restore, Disposition::Restore(_))
            | (PlannedAction::Deregister, Disposition::Remove(Next::Step(RemovalStep::Deregister)))
            | (
                PlannedAction::Quarantine,
                Disposition::Remove(Next::Step(
                    RemovalStep::Mark | RemovalStep::Deprecate | RemovalStep::Disable,
                )),
            ) => remaining.push((id.to_owned(), planned.action)),
            // The action is done already, or the image that was to be restored is in use.
            _ => {}
        }
    }
    if in_use.is_empty() { Ok(remaining) } else { Err(Refusal::NowInUse { images: in_use }) }
}
