//! A plan that someone approves, and whether it may still be carried out. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use super::image::Image;
use super::quarantine::{MARK, Next, Step};
use super::retain::{self, Disposition, Reason};
use super::snapshots;
use super::survey::{Scope, Survey};
use crate::engine::Timestamp;
use crate::evidence::predicate::{Aim, CleanupPlan, PlannedImage};

/// Why a plan is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the plan expired at {at}; make a new one")]
    Expired { at: String },
    #[error("the plan is of account {account} in {region}, and this is {here}")]
    Elsewhere { account: String, region: String, here: String },
    #[error("since the plan was made, {}", told(.changes))]
    Changed { changes: BTreeMap<String, Vec<Reason>> },
    #[error("since the plan was made, {image} was brought back: its next step is to {step}")]
    Undone { image: String, step: Step },
}

fn told(changes: &BTreeMap<String, Vec<Reason>>) -> String {
    let mut lines = Vec::new();
    for (image, reasons) in changes {
        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        lines.push(format!("{image} has become needed ({})", reasons.join("; ")));
    }
    lines.join(", and ")
}

/// What is about to happen to an image.
#[must_use]
pub fn aim(survey: &Survey, image: &Image) -> Aim {
    match survey.fates.get(image.id()) {
        None | Some(Disposition::Keep(_)) => Aim::Keep,
        Some(Disposition::Reinstate(_)) => Aim::Reinstate,
        Some(Disposition::Go(Next::Rest { .. })) => Aim::Rest,
        Some(Disposition::Go(Next::Step(_))) => match survey.step(image.id()) {
            None => Aim::Later,
            Some(Step::Deregister) => Aim::Deregister,
            Some(Step::Mark | Step::Deprecate | Step::Disable) => Aim::Quarantine,
        },
    }
}

/// The plan that follows from a survey.
#[must_use]
pub fn draw(
    survey: &Survey,
    scope: &Scope<'_>,
    (account, region): (&str, &str),
    valid_for: Duration,
    price: Option<f64>,
) -> CleanupPlan {
    let images = survey.by_age().into_iter().map(|image| PlannedImage {
        image: image.identity.clone(),
        aim: aim(survey, image),
        reasons: reasons(survey, scope, image),
        snapshots: image.snapshots.clone(),
        gib: image.gib,
    });
    CleanupPlan {
        service: scope.service.to_owned(),
        account: account.to_owned(),
        region: region.to_owned(),
        policy: serde_json::to_value(scope.policy).unwrap_or_default(),
        group: scope.group.map(str::to_owned),
        planned_on: survey.at.date_time(),
        expires_on: survey.at.plus(valid_for).date_time(),
        price_per_gib_month: price,
        images: images.collect(),
        containers: Vec::new(),
    }
}

fn reasons(survey: &Survey, scope: &Scope<'_>, image: &Image) -> Vec<String> {
    match survey.fates.get(image.id()) {
        None => Vec::new(),
        Some(Disposition::Keep(reasons) | Disposition::Reinstate(reasons)) => {
            reasons.iter().map(ToString::to_string).collect()
        }
        Some(Disposition::Go(Next::Rest { until })) => vec![format!("in quarantine until {until}")],
        Some(Disposition::Go(Next::Step(step))) => {
            let mut reasons = vec![retain::removal(scope.rules)];
            if image.tags.contains_key(MARK) {
                reasons.push(format!("in quarantine; next it is to {step}"));
            }
            for (snapshot, users) in survey.held(image) {
                reasons.push(format!("its snapshot {snapshot} stays, {}", snapshots::why(&users)));
            }
            reasons
        }
    }
}

/// What a plan still asks to be done, given how everything looks now: ids, each with its aim.
///
/// # Errors
/// The plan has expired or is of elsewhere, or an image it acts on has become needed.
pub fn hold(
    plan: &CleanupPlan,
    survey: &Survey,
    (account, region): (&str, &str),
) -> Result<Vec<(String, Aim)>, Refusal> {
    if survey.at.date_time() >= plan.expires_on {
        let at = Timestamp(plan.expires_on.unix_timestamp()).to_string();
        return Err(Refusal::Expired { at });
    }
    if (plan.account.as_str(), plan.region.as_str()) != (account, region) {
        let here = format!("{account} in {region}");
        return Err(Refusal::Elsewhere { account: plan.account.clone(), region: plan.region.clone(), here });
    }
    let (mut left, mut changes) = (Vec::new(), BTreeMap::new());
    for planned in plan.images.iter().filter(|planned| planned.aim.acts()) {
        let id = planned.image.image_id.as_str();
        // An image of another name or age under the same id is another image: there is none, but it costs nothing.
        let there = survey.image(id).filter(|image| image.identity == planned.image);
        let Some(fate) = there.and_then(|_| survey.fates.get(id)) else { continue };
        match (planned.aim, fate) {
            (
                Aim::Quarantine | Aim::Deregister,
                Disposition::Keep(reasons) | Disposition::Reinstate(reasons),
            ) => {
                changes.insert(id.to_owned(), reasons.clone());
            }
            (Aim::Deregister, Disposition::Go(Next::Step(step))) if *step != Step::Deregister => {
                return Err(Refusal::Undone { image: id.to_owned(), step: *step });
            }
            (Aim::Reinstate, Disposition::Reinstate(_))
            | (Aim::Deregister, Disposition::Go(Next::Step(Step::Deregister)))
            | (Aim::Quarantine, Disposition::Go(Next::Step(Step::Mark | Step::Deprecate | Step::Disable))) => {
                left.push((id.to_owned(), planned.aim));
            }
            // It has come as far as the plan says or further, or is kept already and was to be brought back.
            _ => {}
        }
    }
    if changes.is_empty() { Ok(left) } else { Err(Refusal::Changed { changes }) }
}
