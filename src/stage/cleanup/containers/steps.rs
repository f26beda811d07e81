//! The cleanup stage's way through the container images: a look at everything, and one call.

use std::time::Duration;

use super::act::{self, Act, Acted};
use super::image::Key;
use super::marks::{self, Trim};
use super::retain::{Reason, Uses};
use super::survey::{Scope, Survey};
use crate::engine::{Progress, StageError, Step};
use crate::spec::ContainerImages as Rules;
use crate::stage::cleanup::{Cleanup, Inputs, PendingRemoval};
use crate::stage::context::Cx;

/// Calls that one action makes, each after a look of its own. What is left is taken up by the next cleanup.
const TRIES: u8 = 120;

/// Whose container images a cleanup is about, and what its release says of them.
#[must_use]
pub fn scope<'a>(rules: &'a Rules, inputs: &'a Inputs, region: &str) -> Scope<'a> {
    let mut known = Uses::new();
    for image in inputs.release.chain.containers().iter().filter(|image| image.region == region) {
        let key = Key::new(image.repository.as_str(), format!("sha256:{}", image.digest));
        known.entry(key).or_default().insert(Reason::ThisRelease);
    }
    Scope { rules, account: &inputs.account, known }
}

/// What is to be done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    Trim(Trim),
    Act(Act),
}

/// The next call of an action that has made `tries` of them, if there is one more to make. Pure.
#[must_use]
pub fn decide(survey: &Survey, rules: &Rules, tries: u8) -> Option<Move> {
    // What an earlier cleanup took away is forgotten first: from then on, what is marked and gone is this one's.
    if tries == 0
        && let Some(trim) = marks::trim(&survey.marks, &survey.images, &rules.repositories, survey.at)
    {
        return Some(Move::Trim(trim));
    }
    let most = usize::try_from(rules.max_per_run).unwrap_or(usize::MAX);
    act::next(survey, most, 1, |_| true).pop().map(Move::Act)
}

/// Brings the container images one call further.
///
/// # Errors
/// As the calls; or a list is not believed.
pub async fn further(
    done: Vec<PendingRemoval>,
    tries: u8,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Cleanup>, StageError> {
    let over = |done| Ok(Step::Next(Cleanup::Reaping { done, tries: 0, asked: Vec::new() }));
    let Some(rules) = inputs.rules.container_images.as_ref().filter(|_| tries < TRIES) else { return over(done) };
    let scope = scope(rules, inputs, cx.aws.region());
    let survey = Survey::take(&cx.aws, &scope, &inputs.definitions, cx.now()).await?;
    survey.settle(&cx.aws).await?;
    let next = match decide(&survey, rules, tries) {
        None => return over(done),
        Some(Move::Trim(trim)) => {
            act::trim(&cx.aws, &trim).await?;
            return Ok(Step::Next(Cleanup::Containers { done, tries }));
        }
        // A wait, not a next: what is marked and gone is an earlier cleanup's until this is in the token.
        Some(Move::Act(_)) if tries == 0 => {
            let leaving = survey.leaving().count();
            let summary = format!("{leaving} of {} container images are to go", survey.images.len());
            let progress = Progress { percent: 70, summary, external_id: None };
            let state = Cleanup::Containers { done, tries: 1 };
            return Ok(Step::Wait { state, again_in: Duration::from_secs(1), progress });
        }
        Some(Move::Act(next)) => next,
    };
    match act::act(&cx.aws, &next).await? {
        // Held, all of them, and held at the next look too.
        Acted::Deleted { gone, .. } if gone.is_empty() => over(done),
        Acted::Deleted { .. } | Acted::Done | Acted::Gone => {
            Ok(Step::Next(Cleanup::Containers { done, tries: tries + 1 }))
        }
    }
}
