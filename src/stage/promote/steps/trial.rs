//! The trial before the refresh: two groups are made, judged side by side, and taken away again, whatever the verdict.
//!
//! Nothing of it touches production's group, and nothing of it goes on by itself: while every worker is dead the two
//! groups stand as they are.

use std::collections::BTreeMap;

use super::showing::{self, AnalysisInput};
use super::{AGAIN, PATIENCE, decided};
use crate::engine::{FailureKind, Progress, StageError, Step, Timestamp};
use crate::evidence::predicate::PromotionOutcome;
use crate::spec::{GroupWay, Judge};
use crate::stage::context::Cx;
use crate::stage::failure_reason::FailureReason;
use crate::stage::promote::approval;
use crate::stage::promote::canary_groups;
use crate::stage::promote::fleet::Census;
use crate::stage::promote::judge::{self as guards, Watch};
use crate::stage::promote::measure::{self, Named};
use crate::stage::promote::observe::{self, Launches};
use crate::stage::promote::refresh;
use crate::stage::promote::run::{End, Plan, Run};
use crate::stage::promote::trial::{Move, Side, Stretch, Trial, decide};
use crate::stage::promote::{Inputs, Promote};

/// Where a promotion goes once the template has its version: to the trial or the other group, if the spec asks for one.
///
/// It rests first. Whatever is done to what serves begins from a token that CodePipeline has: an action that is
/// abandoned then is undone by any worker, even if the one that began it was not heard of again.
pub fn versioned(plan: Plan, to: i64, inputs: &Inputs) -> Step<Promote> {
    let made = format!("version {to} of {} is made; production is as it was", plan.template);
    let state = match (inputs.promote.way, &inputs.promote.judge) {
        (GroupWay::CanaryThenRolling, Some(_)) => Promote::Opening { plan, to, looks: 0 },
        (GroupWay::BlueGreen, Some(_)) => Promote::Filling { run: Run::begin(plan, to), looks: 0 },
        _ => Promote::Starting { plan, to },
    };
    decided(state, made)
}

pub(super) fn asked_for(inputs: &Inputs) -> Result<&Judge, StageError> {
    let judge = inputs.promote.judge.as_ref();
    judge.ok_or_else(|| StageError::Bug("a trial is under way that the spec does not ask for".into()))
}

/// The two sides of a trial, as the judge is shown them.
async fn showing<'a>(
    (judge, size): (&'a Judge, u32),
    stretch: Stretch,
    cx: &Cx,
) -> Result<AnalysisInput<'a>, StageError> {
    let apart = measure::needs_instances(judge);
    let mut sides = BTreeMap::new();
    for side in Side::BOTH {
        let group = canary_groups::name(cx.key(), side);
        let instances = if apart { canary_groups::history(&cx.aws, &group).await?.0 } else { Vec::new() };
        sides.insert(side, Named { group, instances, target_group: String::new() });
    }
    // The sides are of one size, so each is planned half of their traffic.
    Ok(AnalysisInput { judge, size, sides, shares: vec![0.5], stretches: vec![stretch] })
}

/// An ended trial as it is shown once more, for the record.
pub(super) async fn again<'a>(
    trial: &Trial,
    (judge, size): (&'a Judge, u32),
    cx: &Cx,
) -> Result<AnalysisInput<'a>, StageError> {
    showing((judge, size), Stretch::between(judge, trial.since, trial.until), cx).await
}

/// Makes the two groups, one a look, and waits until every instance of both serves.
pub async fn open(
    plan: Plan,
    to: i64,
    looks: u16,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let judge = asked_for(inputs)?;
    let group = &inputs.promote.group;
    if let Some(why) = disturbed(&plan, inputs, cx).await? {
        let why = FailureReason::new(FailureKind::JobFailed, &why);
        return Ok(Step::Next(Promote::Closing { plan, to, done: 0, why: Some(why) }));
    }
    let mut lacks = Vec::new();
    for side in Side::BOTH {
        let name = canary_groups::name(cx.key(), side);
        let (version, image) = match side {
            Side::Baseline => (plan.from, plan.old.as_str()),
            Side::Canary => (to, inputs.image.image_id.as_str()),
        };
        let Some(found) = observe::group(&cx.aws, &name).await? else {
            canary_groups::create(&cx.aws, cx.key(), side, group, (&plan.template, version), inputs.promote.size)
                .await?;
            let progress = progress(format!("the {} of {} instances is made", side.name(), inputs.promote.size));
            let state = Promote::Opening { plan, to, looks };
            return Ok(Step::Wait { state, again_in: AGAIN, progress });
        };
        if let Some(what) = Census::of(&cx.aws, found).await?.lacks(image) {
            lacks.push(format!("{}: {what}", side.name()));
        }
    }
    if lacks.is_empty() {
        let since = showing::first_window(judge, cx.now());
        return Ok(Step::Next(Promote::Judging { plan, to, since }));
    }
    if looks >= PATIENCE {
        let mut what = lacks.join("; ");
        for side in Side::BOTH {
            if let (_, Some(failed)) =
                canary_groups::history(&cx.aws, &canary_groups::name(cx.key(), side)).await?
            {
                what = format!("{what}; the last failed launch of the {}: {failed}", side.name());
            }
        }
        let why = FailureReason::new(FailureKind::JobFailed, &format!("the trial did not come up: {what}"));
        return Ok(Step::Next(Promote::Closing { plan, to, done: 0, why: Some(why) }));
    }
    let state = Promote::Opening { plan, to, looks: looks.saturating_add(1) };
    Ok(Step::Wait { state, again_in: AGAIN, progress: progress(format!("waiting for {}", lacks.join("; "))) })
}

/// One look of the judge.
pub async fn look(
    plan: Plan,
    to: i64,
    since: Timestamp,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let judge_spec = asked_for(inputs)?;
    let promote = &inputs.promote;
    let now = cx.now();
    if let Some(why) = disturbed(&plan, inputs, cx).await? {
        let why = FailureReason::new(FailureKind::JobFailed, &why);
        return Ok(Step::Next(Promote::Closing { plan, to, done: 0, why: Some(why) }));
    }
    let stretch = showing::settled(judge_spec, since, now);
    let showing = showing((judge_spec, inputs.promote.size), stretch, cx).await?;
    let shown = showing.windows(&cx.aws).await?;
    let look = showing.judge(&shown)?;
    let watch = Watch { seen: since, ..Watch::begin(since) };
    let found = guards::find(promote, &super::forward::look(inputs, cx, &watch).await);
    let whole = whole(&plan, inputs, cx).await?;
    let elapsed = now.since(since).as_secs();
    let approval = match judge_spec.on_inconclusive.approval_action() {
        Some(action) => Some(approval::read(cx, action).await?),
        None => None,
    };
    let ended = || showing.ended(&look, &shown);
    match decide(judge_spec, &look, &found, whole.as_deref(), elapsed, approval.as_ref()) {
        Move::GoOn => {
            tracing::info!(verdict = look.verdict.name(), minute = look.minute, "the trial is over");
            let plan = Plan { trial: Some(ended()), ..plan };
            let state = Promote::Closing { plan, to, done: 0, why: None };
            Ok(decided(state, "the image has passed its trial".to_owned()))
        }
        Move::RollBack(what) => {
            let text = format!("the canary was taken back after {elapsed} s of trial: {what}");
            let plan = Plan { trial: Some(ended()), ..plan };
            let why = Some(FailureReason::new(FailureKind::JobFailed, &text));
            Ok(decided(Promote::Closing { plan, to, done: 0, why }, text))
        }
        Move::Hold(what) => {
            let seen = &look.exposure;
            let summary = format!(
                "{} instances of {} beside as many of {} for {:.0} min, {:.0} requests on it; {what}",
                inputs.promote.size, inputs.image.image_id, plan.old, look.minute, seen.canary_requests
            );
            let state = Promote::Judging { plan, to, since };
            Ok(Step::Wait {
                state,
                again_in: showing::next_window(judge_spec, now),
                progress: progress(summary),
            })
        }
    }
}

/// A trial that is decided.
#[derive(Debug)]
pub struct Decided {
    pub plan: Plan,
    pub to: i64,
    /// Why the image is not promoted; none when it is.
    pub why: Option<FailureReason>,
}

/// The calls that take the groups away, in order: first the instances, which drain, then the groups.
const CALLS: [(Side, Call); 4] = [
    (Side::Canary, Call::Empty),
    (Side::Baseline, Call::Empty),
    (Side::Canary, Call::Delete),
    (Side::Baseline, Call::Delete),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Empty,
    Delete,
}

/// Takes the two groups away, one call a look. `after` is where it goes once they are gone.
pub async fn close(
    decided: Decided,
    done: u8,
    after: impl FnOnce(Decided) -> Promote,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let Some(&(side, call)) = CALLS.get(usize::from(done)) else {
        return Ok(Step::Next(after(decided)));
    };
    let Decided { plan, to, why } = decided;
    let rest = |done, plan, why| Promote::Closing { plan, to, done, why };
    let name = canary_groups::name(cx.key(), side);
    let group = match observe::group(&cx.aws, &name).await? {
        Some(group) if group.status.is_none() => group,
        _ => return Ok(Step::Next(rest(done + 1, plan, why))),
    };
    let (done, doing) = match call {
        Call::Empty if group.desired == 0 && group.max == 0 => {
            return Ok(Step::Next(rest(done + 1, plan, why)));
        }
        Call::Empty => {
            canary_groups::empty(&cx.aws, &name).await?;
            (done + 1, "drains")
        }
        // The look that found nothing to empty was stale.
        Call::Delete if group.desired > 0 || group.max > 0 => {
            let emptied = CALLS.iter().position(|of| *of == (side, Call::Empty)).unwrap_or(0);
            return Ok(Step::Next(rest(u8::try_from(emptied).unwrap_or(0), plan, why)));
        }
        Call::Delete => {
            let deleted = group.instances.is_empty() && canary_groups::delete(&cx.aws, &name).await?;
            if deleted { (done + 1, "is deleted") } else { (done, "drains") }
        }
    };
    let progress = progress(format!("the {} {doing}", side.name()));
    Ok(Step::Wait { state: rest(done, plan, why), again_in: AGAIN, progress })
}

/// Where a decided trial goes once its groups are gone.
pub fn after(decided: Decided, inputs: &Inputs, cx: &Cx) -> Promote {
    let Decided { plan, to, why } = decided;
    let Some(why) = why else { return Promote::Starting { plan, to } };
    let run = Run::begin(plan, to);
    if inputs.promote.judge.is_none() {
        // Only a spec that was changed under way has no judge here.
        let end = End { outcome: PromotionOutcome::Failed, why: Some(why), fleet: [0; 3], at: cx.now() };
        return Promote::Sealing { run, end };
    }
    Promote::Reverted { run, why, seen: 0, looks: 0, restored: true }
}

/// Why production is no longer what the trial was opened for, if it is not.
async fn disturbed(plan: &Plan, inputs: &Inputs, cx: &Cx) -> Result<Option<String>, StageError> {
    let name = &inputs.promote.group;
    let Some(group) = observe::group(&cx.aws, name).await? else {
        return Ok(Some(format!("the Auto Scaling group {name} is gone")));
    };
    let still = matches!(&group.launches, Launches::Template { id, version }
        if *id == plan.template && *version == plan.from.to_string());
    if !still {
        return Ok(Some(format!(
            "{name} was given another launch template or version while the canary was on trial"
        )));
    }
    let refreshes = refresh::list(&cx.aws, name).await?;
    Ok(refreshes.iter().find(|refresh| !refresh.status.is_over()).map(|other| {
        format!(
            "the instance refresh {} of {name} was started by someone else; it is {}",
            other.id,
            other.status.name()
        )
    }))
}

/// What keeps either side from being wholly in service, as it was when the windows began.
async fn whole(plan: &Plan, inputs: &Inputs, cx: &Cx) -> Result<Option<String>, StageError> {
    let mut lacks = Vec::new();
    for side in Side::BOTH {
        let image = match side {
            Side::Baseline => plan.old.as_str(),
            Side::Canary => inputs.image.image_id.as_str(),
        };
        let name = canary_groups::name(cx.key(), side);
        let what = match observe::group(&cx.aws, &name).await? {
            Some(group) => Census::of(&cx.aws, group).await?.lacks(image),
            None => Some("the group is gone".to_owned()),
        };
        lacks.extend(what.map(|what| format!("{}: {what}", side.name())));
    }
    Ok((!lacks.is_empty()).then(|| lacks.join("; ")))
}

fn progress(summary: String) -> Progress {
    Progress { percent: 1, summary, external_id: None }
}
