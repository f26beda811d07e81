//! The end: the statement is signed and handed over, whatever the outcome.

use std::collections::BTreeMap;

use super::showing::{self, RECORDING, Recorded};
use super::{shares, trial};
use crate::engine::{Failure, FailureKind, Outcome, StageError, Step};
use crate::evidence::predicate::{Fleet, Promotion, PromotionOutcome};
use crate::evidence::{ImageIdentity, Stage};
use crate::stage::context::Cx;
use crate::stage::handover;
use crate::stage::promote::check::Check;
use crate::stage::promote::groups;
use crate::stage::promote::observe::{self, Life};
use crate::stage::promote::preflight::World;
use crate::stage::promote::record::{self, REPORT, Surroundings};
use crate::stage::promote::report::{self, PAGE};
use crate::stage::promote::run::{End, Run};
use crate::stage::promote::{Inputs, Promote};

/// Hands over the statement of a promotion past its preflight.
pub async fn seal(run: Run, end: End, inputs: &Inputs, cx: &Cx) -> Result<Step<Promote>, StageError> {
    let group = observe::group(&cx.aws, &inputs.promote.group).await?;
    let previous = observe::image(&cx.aws, &run.plan.old).await?.map(|image| image.identity);
    let account = group.map_or_else(|| inputs.image.account.clone(), |group| group.account);
    let names = inputs.names(&run.plan);
    let around = Surroundings {
        promote: &inputs.promote,
        group: if end.outcome == PromotionOutcome::Promoted { names.new } else { names.old },
        account: &account,
        region: cx.aws.region(),
        image: &inputs.image.image_id,
        previous: previous.as_ref(),
    };
    let recorded = match (&run.plan.trial, &inputs.promote.judge) {
        (Some(ended), Some(judge)) => {
            let shown = match inputs.promote.alternate {
                Some(_) => shares::again(&run, judge, inputs, cx).await?,
                None => trial::again(ended, (judge, inputs.promote.size), cx).await?,
            };
            Some(showing::record(ended, &shown, &cx.aws).await?)
        }
        _ => None,
    };
    let mut record = record::promotion(&around, &run, &end);
    record.waves = groups::read_back(inputs).await?;
    hand_over(inputs, cx, record, recorded).await?;
    Ok(Step::Done(outcome(&run, end, inputs)))
}

fn outcome(run: &Run, end: End, inputs: &Inputs) -> Outcome {
    let image = &inputs.image.image_id;
    let group = inputs.names(&run.plan).new;
    if let Some(why) = end.why {
        return Outcome::Failed(why.into());
    }
    if end.outcome != PromotionOutcome::Promoted {
        return Outcome::Failed(Failure::new(
            FailureKind::JobFailed,
            format!("{image} was not promoted to {group}"),
        ));
    }
    let mut variables = BTreeMap::from([
        ("ImageId".to_owned(), image.clone()),
        ("LaunchTemplateVersion".to_owned(), run.to.to_string()),
    ]);
    if let Some(refresh) = &run.refresh {
        variables.insert("InstanceRefreshId".to_owned(), refresh.clone());
    }
    let who = match inputs.promote.groups() {
        1 => format!("{group} runs"),
        groups => format!("{group} and {} groups after it run", groups - 1),
    };
    let summary = format!("{who} {image} on {} instances, each healthy", end.fleet().in_service);
    Outcome::Succeeded { summary, external_id: run.refresh.clone(), variables }
}

/// Hands over what a preflight saw that does not hold, and fails. Nothing was changed.
pub async fn refuse(
    inputs: &Inputs,
    cx: &Cx,
    world: &World,
    checks: &[Check],
) -> Result<Step<Promote>, StageError> {
    let broken: Vec<&Check> = checks.iter().filter(|check| !check.holds).collect();
    let what: Vec<String> =
        broken.iter().map(|check| format!("{} ({})", check.observed, check.hint)).collect();
    let message =
        format!("nothing was changed, because it could not be undone or judged: {}", what.join("; "));
    let configuration = broken.iter().any(|check| check.kind == FailureKind::ConfigurationError);
    let kind = if configuration { FailureKind::ConfigurationError } else { FailureKind::JobFailed };
    let account =
        world.group.as_ref().map_or_else(|| inputs.image.account.clone(), |group| group.account.clone());
    let previous: Option<&ImageIdentity> = world.previous.as_ref().map(|image| &image.identity);
    let around = Surroundings {
        promote: &inputs.promote,
        group: &inputs.promote.group,
        account: &account,
        region: cx.aws.region(),
        image: &inputs.image.image_id,
        previous,
    };
    let fleet = world.group.as_ref().map(|group| {
        let in_service = group.instances.iter().filter(|instance| instance.life == Life::InService);
        let healthy = in_service.clone().filter(|instance| instance.healthy).count();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        Fleet { in_service: count(in_service.count()), on_new_image: 0, healthy: count(healthy) }
    });
    let record = record::refusal(&around, checks, &message, fleet, (inputs.at, cx.now()));
    hand_over(inputs, cx, record, None).await?;
    Ok(Step::Done(Outcome::Failed(Failure::new(kind, message))))
}

async fn hand_over(
    inputs: &Inputs,
    cx: &Cx,
    mut record: Promotion,
    recorded: Option<Recorded>,
) -> Result<(), StageError> {
    let mut artifact = inputs.release.artifact.clone();
    let mut looks = Vec::new();
    if let Some(recorded) = recorded {
        record.trial = Some(recorded.said);
        looks = recorded.looks;
        artifact.files.insert(RECORDING.to_owned(), recorded.recording);
    }
    let page = report::page(&record, &inputs.image.image_id, &looks)
        .map_err(|error| StageError::Bug(format!("the promotion's page cannot be written: {error}")))?;
    artifact.files.insert(PAGE.to_owned(), page.into_bytes());
    let report = serde_json::to_vec_pretty(&record)
        .map_err(|error| StageError::Bug(format!("the promotion cannot be written as JSON: {error}")))?;
    artifact.files.insert(REPORT.to_owned(), report);
    let images = std::slice::from_ref(&inputs.image);
    let valid_for = inputs.release.spec.evidence.valid_for.as_duration();
    handover::hand_over(cx, Stage::Promote, images, &record, artifact, valid_for).await?;
    Ok(())
}
