//! The steps of the cleanup machine for container images: a survey, then at most one call.

use std::time::Duration;

use super::calls::{self, Call, CallResult};
use super::image::ImageKey;
use super::marks::{self, Trim};
use super::retention::{KeepReason, KeepReasons};
use super::survey::Survey;
use crate::engine::{Progress, StageError, Step};
use crate::spec::ContainerImages as Rules;
use crate::stage::cleanup::machine_images::removal::PendingRemoval;
use crate::stage::cleanup::{Cleanup, Inputs};
use crate::stage::context::Cx;
use crate::stage::handover::Release;

/// Maximum number of calls of one action, each after a survey of its own. The next cleanup continues.
const MAX_CALLS: u8 = 120;

/// Reasons to keep the container images of a release in a region.
#[must_use]
pub fn release_images(release: &Release, region: &str) -> KeepReasons {
    let mut reasons = KeepReasons::new();
    for image in release.chain.containers().iter().filter(|image| image.region == region) {
        let key = ImageKey::new(image.repository.as_str(), format!("sha256:{}", image.digest));
        reasons.entry(key).or_default().insert(KeepReason::ThisRelease);
    }
    reasons
}

/// The next call of the action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextAction {
    Trim(Trim),
    Call(Call),
}

/// Decides on the next call of an action that has made `calls` of them; `None` if there is none. Pure.
#[must_use]
pub fn decide(survey: &Survey, rules: &Rules, calls: u8) -> Option<NextAction> {
    // Marks of images that an earlier cleanup deleted are trimmed first: afterwards, a marked image that no longer
    // exists was deleted by this action.
    if calls == 0
        && let Some(trim) = marks::trim(&survey.marks, &survey.images, &rules.repositories, survey.at)
    {
        return Some(NextAction::Trim(trim));
    }
    let max_marked = usize::try_from(rules.max_per_run).unwrap_or(usize::MAX);
    calls::due_calls(survey, max_marked, 1, |_| true).pop().map(NextAction::Call)
}

/// Makes the next call for the container images.
///
/// # Errors
/// As the calls; or a list is too short.
pub async fn advance(
    done: Vec<PendingRemoval>,
    calls: u8,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Cleanup>, StageError> {
    let finish = |done| Ok(Step::Next(Cleanup::Reaping { done, searches: 0, recent: Vec::new() }));
    let Some(scope) = inputs.container_scope(cx.aws.region()).filter(|_| calls < MAX_CALLS) else {
        return finish(done);
    };
    let survey = Survey::take(&cx.aws, &scope, &inputs.definitions, cx.now()).await?;
    survey.save_lengths(&cx.aws).await?;
    let call = match decide(&survey, scope.rules, calls) {
        None => return finish(done),
        Some(NextAction::Trim(trim)) => {
            calls::trim_marks(&cx.aws, &trim).await?;
            return Ok(Step::Next(Cleanup::ContainerImages { done, calls }));
        }
        // A pause before the first call: until the token counts it, a marked image that no longer exists counts as
        // deleted by an earlier cleanup.
        Some(NextAction::Call(_)) if calls == 0 => {
            let removable = survey.removable().count();
            let summary =
                format!("{removable} of {} container images are to be removed", survey.images.len());
            let progress = Progress { percent: 70, summary, external_id: None };
            let state = Cleanup::ContainerImages { done, calls: 1 };
            return Ok(Step::Wait { state, again_in: Duration::from_secs(1), progress });
        }
        Some(NextAction::Call(call)) => call,
    };
    match calls::send(&cx.aws, &call).await? {
        // ECR refuses all of them, and would refuse them again.
        CallResult::Deleted { deleted, .. } if deleted.is_empty() => finish(done),
        CallResult::Deleted { .. } | CallResult::Done | CallResult::NotFound => {
            Ok(Step::Next(Cleanup::ContainerImages { done, calls: calls + 1 }))
        }
    }
}
