//! The container images of a plan, and whether it may still be carried out. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::image::{Image, Key};
use super::quarantine::{Next, Step};
use super::record::named;
use super::retain::{self, Disposition, Family, Reason};
use super::survey::{Scope, Survey};
use crate::evidence::predicate::{Aim, PlannedContainer};

/// Why a plan is not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("since the plan was made, {}", told(.changes))]
    Changed { changes: BTreeMap<Key, Vec<Reason>> },
    #[error("since the plan was made, {image} came back from the archive")]
    Undone { image: Key },
}

fn told(changes: &BTreeMap<Key, Vec<Reason>>) -> String {
    let one = |(image, reasons): (&Key, &Vec<Reason>)| {
        let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
        format!("{image} has become needed ({})", reasons.join("; "))
    };
    changes.iter().map(one).collect::<Vec<_>>().join(", and ")
}

/// The images that follow from a survey, oldest first.
#[must_use]
pub fn draw(survey: &Survey, scope: &Scope<'_>, region: &str) -> Vec<PlannedContainer> {
    let most = usize::try_from(scope.rules.max_per_run).unwrap_or(usize::MAX);
    let chosen = chosen(survey, most);
    let planned = survey.images.iter().map(|image| PlannedContainer {
        image: named(image, scope.account, region),
        pushed_on: image.pushed.map(|at| at.to_string()),
        aim: aim(survey, image, &chosen),
        reasons: reasons(survey, scope, image),
        bytes: image.bytes,
    });
    planned.collect()
}

/// The images that go into the archive: the oldest, and what an index names only with the index.
fn chosen(survey: &Survey, most: usize) -> BTreeSet<Key> {
    let family = Family::of(&survey.images);
    let stepping =
        || survey.leaving().filter(|(_, next)| matches!(next, Next::Step(Step::Mark | Step::Archive)));
    let mut chosen = BTreeSet::new();
    for of_none in [true, false] {
        for (image, _) in stepping() {
            let lists = family.lists(&image.key);
            let follows = lists.is_empty() == of_none && lists.iter().all(|list| chosen.contains(list));
            if follows && chosen.len() < most {
                chosen.insert(image.key.clone());
            }
        }
    }
    chosen
}

fn aim(survey: &Survey, image: &Image, chosen: &BTreeSet<Key>) -> Aim {
    match survey.fates.get(&image.key) {
        None | Some(Disposition::Keep(_)) => Aim::Keep,
        Some(Disposition::Reinstate(_)) => Aim::Reinstate,
        Some(Disposition::Go(Next::Rest { .. })) => Aim::Rest,
        Some(Disposition::Go(Next::Step(Step::Delete))) => Aim::Delete,
        Some(Disposition::Go(Next::Step(Step::Mark | Step::Archive))) if chosen.contains(&image.key) => {
            Aim::Quarantine
        }
        Some(Disposition::Go(Next::Step(Step::Mark | Step::Archive))) => Aim::Later,
    }
}

fn reasons(survey: &Survey, scope: &Scope<'_>, image: &Image) -> Vec<String> {
    match survey.fates.get(&image.key) {
        None => Vec::new(),
        Some(Disposition::Keep(reasons) | Disposition::Reinstate(reasons)) => {
            reasons.iter().map(ToString::to_string).collect()
        }
        Some(Disposition::Go(Next::Rest { until })) => vec![format!("in quarantine until {until}")],
        Some(Disposition::Go(Next::Step(_))) => vec![retain::removal(scope.rules)],
    }
}

/// What a plan still asks to be done, given how everything looks now. That it has not expired and is of here, the
/// machine images' part has said.
///
/// # Errors
/// An image it acts on has become needed, or came back.
pub fn hold(plan: &[PlannedContainer], survey: &Survey) -> Result<BTreeMap<Key, Aim>, Refusal> {
    let (mut left, mut changes) = (BTreeMap::new(), BTreeMap::new());
    for planned in plan.iter().filter(|planned| planned.aim.acts()) {
        let key = Key::new(planned.image.repository.as_str(), planned.image.digest.as_str());
        let Some(fate) = survey.fates.get(&key) else { continue };
        match (planned.aim, fate) {
            (Aim::Quarantine | Aim::Delete, Disposition::Keep(reasons) | Disposition::Reinstate(reasons)) => {
                changes.insert(key, reasons.clone());
            }
            (Aim::Delete, Disposition::Go(Next::Step(Step::Mark | Step::Archive))) => {
                return Err(Refusal::Undone { image: key });
            }
            // What went into the archive meanwhile has come as far as the plan says.
            _ if asks(planned.aim, fate) => {
                left.insert(key, planned.aim);
            }
            _ => {}
        }
    }
    if changes.is_empty() { Ok(left) } else { Err(Refusal::Changed { changes }) }
}

/// Whether an aim still asks for a step with an image of this fate.
#[must_use]
pub fn asks(aim: Aim, fate: &Disposition) -> bool {
    matches!(
        (aim, fate),
        (Aim::Reinstate, Disposition::Reinstate(_))
            | (Aim::Delete, Disposition::Go(Next::Step(Step::Delete)))
            | (Aim::Quarantine, Disposition::Go(Next::Step(Step::Mark | Step::Archive)))
    )
}
