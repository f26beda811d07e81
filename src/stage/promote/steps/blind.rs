//! The way back of a promotion whose input artifact is gone: the group is found by what the token knows of it.

use std::collections::BTreeMap;

use super::forward::ours;
use super::{Tries, back, shares, trial, turn};
use crate::aws::AwsError;
use crate::engine::{Failure, StageError, Step};
use crate::stage::context::Cx;
use crate::stage::failure_reason::FailureReason;
use crate::stage::promote::groups::{self, Place};
use crate::stage::promote::observe::{self, Launches};
use crate::stage::promote::refresh::CapacityLimits;
use crate::stage::promote::run::Run;
use crate::stage::promote::waves::Turn;
use crate::stage::promote::{Names, Promote, RollbackTarget, not_unwinding, refresh, template};

/// Groups that are taken back at a time when the spec is gone.
const AT_ONCE: u16 = 10;

/// One move back. The end is told and not signed: there is no artifact to hand a statement over in.
pub async fn back(state: Promote, cx: &Cx) -> Result<Step<Promote>, StageError> {
    let state = match state {
        // The groups of a trial are named after the attempt alone.
        Promote::Closing { plan, to, done, why: Some(why) } => {
            let given_up = Promote::GivingUp { why: why.clone() };
            return trial::close(trial::Decided { plan, to, why: Some(why) }, done, |_| given_up, cx).await;
        }
        Promote::TakingBack { run, why, turn } => return take_waves_back(run, why, turn, cx).await,
        state @ (Promote::Restoring { .. } | Promote::Draining { .. }) => return take_back(state, cx).await,
        state => state,
    };
    let run = match &state {
        Promote::RollingBack { run, .. }
        | Promote::Cancelling { run, .. }
        | Promote::Reverted { run, .. } => run,
        Promote::Sealing { end, .. } => {
            let why = end.why.clone().map(Failure::from);
            let why = why.ok_or_else(|| not_unwinding(&state))?;
            return Ok(Step::Done(crate::engine::Outcome::Failed(why)));
        }
        Promote::GivingUp { why } => return Ok(Step::Next(Promote::GivingUp { why: why.clone() })),
        Promote::Preflight
        | Promote::Versioning { .. }
        | Promote::Opening { .. }
        | Promote::Judging { .. }
        | Promote::Closing { .. }
        | Promote::Filling { .. }
        | Promote::Shifting { .. }
        | Promote::Serving { .. }
        | Promote::Emptying { .. }
        | Promote::Restoring { .. }
        | Promote::Draining { .. }
        | Promote::Starting { .. }
        | Promote::Refreshing { .. }
        | Promote::Confirming { .. }
        | Promote::Following { .. }
        | Promote::TakingBack { .. } => return Err(not_unwinding(&state)),
    };
    let Some(group) = group_of(run, cx).await? else { return Ok(never_started(state)) };
    let image = template::image_of(&cx.aws, &run.plan.template, &run.to.to_string()).await?;
    let scene = RollbackTarget { group: &group, image: image.as_deref().unwrap_or("the new image") };
    match state {
        Promote::RollingBack { run, why } => back::roll_back(run, why, scene, cx).await,
        Promote::Cancelling { run, why } => back::cancel(run, why, scene, cx).await,
        Promote::Reverted { run, why, seen, looks, restored } => {
            back::revert(run, why, Tries { seen, looks }, restored, scene, cx).await
        }
        other => Err(not_unwinding(&other)),
    }
}

/// One move back by weights. Once the other group is let go, nothing is left that only this attempt knows.
async fn take_back(state: Promote, cx: &Cx) -> Result<Step<Promote>, StageError> {
    let (Promote::Restoring { run, why, .. } | Promote::Draining { run, why, .. }) = &state else {
        return Err(not_unwinding(&state));
    };
    let Some([old, new]) = shares::found(run, &cx.aws).await? else {
        let text = format!("no group was given the image: {}", why.text);
        return Ok(Step::Next(Promote::GivingUp { why: FailureReason::new(why.kind, &text) }));
    };
    let names = Names { old: &old, new: &new };
    let step = match state {
        Promote::Restoring { run, why, done } => shares::restore(run, (why, done), names, cx).await?,
        Promote::Draining { run, why, looks } => shares::drain(run, (why, looks), names, cx).await?,
        other => return Err(not_unwinding(&other)),
    };
    Ok(match step {
        Step::Next(Promote::Reverted { why, .. }) => Step::Next(Promote::GivingUp { why }),
        step => step,
    })
}

/// One move back of a promotion that failed in a wave. Every group whose template has a version of this attempt's is
/// looked at: those that never launched it are found as they were. Other regions are only in the spec, and are told of.
async fn take_waves_back(
    run: Run,
    why: FailureReason,
    turn: Turn,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let mut line = Vec::new();
    let mut of_template: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (name, group) in observe::all_groups(&cx.aws).await? {
        let Launches::Template { id, .. } = group.launches else { continue };
        if !of_template.contains_key(&id) {
            let made = groups::made(&cx.aws, cx.key(), &id, 1).await?;
            of_template.insert(id.clone(), made.into_iter().find_map(|made| made.image));
        }
        if let Some(Some(image)) = of_template.get(&id) {
            let place =
                Place { name, aws: cx.aws.clone(), image: image.clone(), gentle: CapacityLimits::UNKNOWN };
            line.push(place);
        }
    }
    line.sort_by(|a, b| a.name.cmp(&b.name));
    let turn = turn.through(u16::try_from(line.len()).unwrap_or(u16::MAX), true);
    let step = turn::take_back(run, why, turn, (&line, AT_ONCE), cx).await?;
    Ok(match step {
        Step::Next(Promote::Sealing { end, .. }) => {
            let why = end
                .why
                .unwrap_or_else(|| FailureReason::new(crate::engine::FailureKind::JobFailed, "turned back"));
            let text = format!("in {}: {}", cx.aws.region(), why.text);
            Step::Next(Promote::GivingUp { why: FailureReason::new(why.kind, &text) })
        }
        step => step,
    })
}

/// The group whose refresh brings this attempt's template version, which no other refresh does; none if there is no
/// such refresh.
async fn group_of(run: &Run, cx: &Cx) -> Result<Option<String>, StageError> {
    let template = run.plan.template.as_str();
    let mut groups = cx.aws.autoscaling.describe_auto_scaling_groups().into_paginator().items().send();
    while let Some(group) = groups.next().await {
        let group =
            group.map_err(|e| AwsError::new("autoscaling:DescribeAutoScalingGroups", "every group", e))?;
        let launches = group.launch_template().and_then(|launches| launches.launch_template_id());
        let Some(name) = group.auto_scaling_group_name().filter(|_| launches == Some(template)) else {
            continue;
        };
        if ours(&refresh::list(&cx.aws, name).await?, template, run.to).is_some() {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

fn never_started(state: Promote) -> Step<Promote> {
    let why = match state {
        Promote::RollingBack { why, .. }
        | Promote::Cancelling { why, .. }
        | Promote::Reverted { why, .. } => why,
        other => return Step::Next(other),
    };
    let text = format!("no instance refresh was started: {}", why.text);
    Step::Next(Promote::GivingUp { why: FailureReason::new(why.kind, &text) })
}
