//! The trial before the refresh: two groups are made, judged side by side, and taken away again, whatever the verdict.
//!
//! Nothing of it touches production's group, and nothing of it goes on by itself: while every worker is dead the two
//! groups stand as they are.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{AGAIN, PATIENCE};
use crate::engine::{FailureKind, Progress, StageError, Step, Timestamp};
use crate::evidence::predicate::{self, PromotionOutcome, TrialVerdict};
use crate::judge::recording::Line;
use crate::judge::{Look, Verdict, Window, judge};
use crate::spec::trial::Inconclusive;
use crate::spec::{Judge, Strategy};
use crate::stage::canary::approval;
use crate::stage::canary::arms;
use crate::stage::canary::fleet::Census;
use crate::stage::canary::judge::{self as guards, Watch};
use crate::stage::canary::log::Log;
use crate::stage::canary::measure::{self, Named};
use crate::stage::canary::observe::{self, Launches};
use crate::stage::canary::refresh;
use crate::stage::canary::run::{End, Plan, Run};
use crate::stage::canary::trial::{Move, Side, Trial, decide, rules, windows};
use crate::stage::canary::{Inputs, Promote};
use crate::stage::context::Cx;
use crate::stage::why::Why;

/// Where a promotion goes once the template has its version: to the trial, if the spec asks for one.
///
/// It rests first. Whatever is done to what serves begins from a token that CodePipeline has: an action that is
/// abandoned then is undone by any worker, even if the one that began it was not heard of again.
pub fn versioned(plan: Plan, to: i64, inputs: &Inputs) -> Step<Promote> {
    let summary = format!("version {to} of {} is made; production is as it was", plan.template);
    let state = match (inputs.promote.strategy, &inputs.promote.judge) {
        (Strategy::Canary, Some(_)) => Promote::Opening { plan, to, looks: 0 },
        _ => Promote::Starting { plan, to },
    };
    Step::Wait { state, again_in: Duration::ZERO, progress: Progress { summary, ..Progress::default() } }
}

fn asked_for(inputs: &Inputs) -> Result<&Judge, StageError> {
    let judge = inputs.promote.judge.as_ref();
    judge.ok_or_else(|| StageError::Bug("a trial is under way that the spec does not ask for".into()))
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
        let why = Why::new(FailureKind::JobFailed, &why);
        return Ok(Step::Next(Promote::Closing { plan, to, done: 0, why: Some(why) }));
    }
    let mut lacks = Vec::new();
    for side in Side::BOTH {
        let name = arms::name(cx.key(), side);
        let (version, image) = match side {
            Side::Baseline => (plan.from, plan.old.as_str()),
            Side::Canary => (to, inputs.image.image_id.as_str()),
        };
        let Some(found) = observe::group(&cx.aws, &name).await? else {
            arms::create(&cx.aws, cx.key(), side, group, (&plan.template, version), judge.instances).await?;
            let progress = progress(format!("the {} of {} instances is made", side.name(), judge.instances));
            let state = Promote::Opening { plan, to, looks };
            return Ok(Step::Wait { state, again_in: AGAIN, progress });
        };
        if let Some(what) = Census::of(&cx.aws, found).await?.lacks(image) {
            lacks.push(format!("{}: {what}", side.name()));
        }
    }
    if lacks.is_empty() {
        let window = i64::from(judge.window.as_secs());
        // Windows lie on the clock's own minutes, as CloudWatch keeps its periods.
        let since = Timestamp((cx.now().0.div_euclid(window) + 1) * window);
        return Ok(Step::Next(Promote::Judging { plan, to, since }));
    }
    if looks >= PATIENCE {
        let mut what = lacks.join("; ");
        for side in Side::BOTH {
            if let (_, Some(failed)) = arms::history(&cx.aws, &arms::name(cx.key(), side)).await? {
                what = format!("{what}; the last failed launch of the {}: {failed}", side.name());
            }
        }
        let why = Why::new(FailureKind::JobFailed, &format!("the trial did not come up: {what}"));
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
        let why = Why::new(FailureKind::JobFailed, &why);
        return Ok(Step::Next(Promote::Closing { plan, to, done: 0, why: Some(why) }));
    }
    let until = settled(judge_spec, since, now);
    let shown = windows_between(judge_spec, since, until, cx).await?;
    let look = judged(judge_spec, &shown)?;
    let watch = Watch { seen: since, ..Watch::begin(since) };
    let found = guards::find(promote, &super::forward::look(inputs, cx, &watch).await);
    let whole = whole(&plan, inputs, cx).await?;
    let elapsed = now.since(since).as_secs();
    let approval = match (judge_spec.inconclusive, &judge_spec.approval) {
        (Inconclusive::Ask, Some(action)) => Some(approval::read(cx, action).await?),
        _ => None,
    };
    let ended = || Trial { since, until, verdict: look.verdict, seal: seal(judge_spec, &shown) };
    match decide(judge_spec, &look, &found, whole.as_deref(), elapsed, approval.as_ref()) {
        Move::GoOn => {
            tracing::info!(verdict = look.verdict.name(), minute = look.minute, "the trial is over");
            let plan = Plan { trial: Some(ended()), ..plan };
            Ok(Step::Next(Promote::Closing { plan, to, done: 0, why: None }))
        }
        Move::RollBack(what) => {
            let text = format!("the canary was taken back after {elapsed} s of trial: {what}");
            let plan = Plan { trial: Some(ended()), ..plan };
            let why = Some(Why::new(FailureKind::JobFailed, &text));
            Ok(Step::Next(Promote::Closing { plan, to, done: 0, why }))
        }
        Move::Hold(what) => {
            let seen = &look.exposure;
            let summary = format!(
                "{} instances of {} beside as many of {} for {:.0} min, {:.0} requests on it; {what}",
                judge_spec.instances, inputs.image.image_id, plan.old, look.minute, seen.canary_requests
            );
            let state = Promote::Judging { plan, to, since };
            // The next look is due when the next window has settled.
            let window = u64::from(judge_spec.window.as_secs());
            let again_in = Duration::from_secs(
                (window - now.0.rem_euclid(i64::try_from(window).unwrap_or(60)).unsigned_abs()).max(1),
            );
            Ok(Step::Wait { state, again_in, progress: progress(summary) })
        }
    }
}

/// A trial that is decided.
#[derive(Debug)]
pub struct Decided {
    pub plan: Plan,
    pub to: i64,
    /// Why the image is not promoted; none when it is.
    pub why: Option<Why>,
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
    let name = arms::name(cx.key(), side);
    let group = match observe::group(&cx.aws, &name).await? {
        Some(group) if group.status.is_none() => group,
        _ => return Ok(Step::Next(rest(done + 1, plan, why))),
    };
    let (done, doing) = match call {
        Call::Empty if group.desired == 0 && group.max == 0 => {
            return Ok(Step::Next(rest(done + 1, plan, why)));
        }
        Call::Empty => {
            arms::empty(&cx.aws, &name).await?;
            (done + 1, "drains")
        }
        Call::Delete => {
            let deleted = group.instances.is_empty() && arms::delete(&cx.aws, &name).await?;
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
    let run = Run { plan, to, refresh: None, log: Log::default() };
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
        let name = arms::name(cx.key(), side);
        let what = match observe::group(&cx.aws, &name).await? {
            Some(group) => Census::of(&cx.aws, group).await?.lacks(image),
            None => Some("the group is gone".to_owned()),
        };
        lacks.extend(what.map(|what| format!("{}: {what}", side.name())));
    }
    Ok((!lacks.is_empty()).then(|| lacks.join("; ")))
}

/// The end of the last window that `CloudWatch` has had time to complete.
fn settled(judge: &Judge, since: Timestamp, now: Timestamp) -> Timestamp {
    let window = i64::from(judge.window.as_secs());
    let end = (now.0 - i64::from(judge.settle.as_secs())).div_euclid(window) * window;
    Timestamp(end.max(since.0))
}

async fn windows_between(
    judge: &Judge,
    since: Timestamp,
    until: Timestamp,
    cx: &Cx,
) -> Result<Vec<Window>, StageError> {
    let apart = measure::needs_instances(judge);
    let mut sides = BTreeMap::new();
    for side in Side::BOTH {
        let group = arms::name(cx.key(), side);
        let instances = if apart { arms::history(&cx.aws, &group).await?.0 } else { Vec::new() };
        sides.insert(side, Named { group, instances });
    }
    let series = measure::read(&cx.aws, judge, &measure::asked(judge, &sides), since, until).await?;
    Ok(windows(judge, since, until, &series))
}

fn judged(spec: &Judge, shown: &[Window]) -> Result<Look, StageError> {
    judge(&rules(spec), shown).map_err(|wrong| StageError::Config(format!("promote.judge: {wrong}")))
}

/// The recording of a trial, as `bakeline judge replay` reads it.
fn recording(spec: &Judge, shown: &[Window]) -> Vec<u8> {
    let lines =
        std::iter::once(Line::Rules(Box::new(rules(spec)))).chain(shown.iter().cloned().map(Line::Window));
    let mut bytes = Vec::new();
    for line in lines {
        // Nothing of a line can fail to be JSON; a line that did would be missing, and the seal would tell.
        bytes.extend(serde_json::to_vec(&line).unwrap_or_default());
        bytes.push(b'\n');
    }
    bytes
}

fn seal(spec: &Judge, shown: &[Window]) -> u32 {
    crc32fast::hash(&recording(spec, shown))
}

/// Where the recording lies in the artifact.
pub const RECORDING: &str = "reports/rollout.jsonl";

/// A trial as it is recorded: the windows read once more, now that they cannot change, and every look at them.
#[derive(Debug)]
pub struct Recorded {
    pub recording: Vec<u8>,
    pub looks: Vec<Look>,
    /// What the statement says of it.
    pub said: predicate::Trial,
}

/// Reads an ended trial for the record.
///
/// # Errors
/// As the calls.
pub async fn record(trial: &Trial, spec: &Judge, cx: &Cx) -> Result<Recorded, StageError> {
    let shown = windows_between(spec, trial.since, trial.until, cx).await?;
    let recording = recording(spec, &shown);
    let mut judge = crate::judge::Judge::new(&rules(spec))
        .map_err(|wrong| StageError::Config(format!("promote.judge: {wrong}")))?;
    let mut looks = Vec::with_capacity(shown.len());
    for window in &shown {
        judge.observe(window);
        looks.push(judge.look());
    }
    let same = crc32fast::hash(&recording) == trial.seal
        && looks.last().map_or(Verdict::Inconclusive, |look| look.verdict) == trial.verdict;
    let last = looks.last();
    // Counts of requests, far below 2^53.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let count = |requests: Option<f64>| requests.unwrap_or(0.0).max(0.0) as u64;
    let said = predicate::Trial {
        from: trial.since.date_time(),
        until: trial.until.date_time(),
        instances: spec.instances,
        verdict: match trial.verdict {
            Verdict::Pass => TrialVerdict::Pass,
            Verdict::Inconclusive => TrialVerdict::Inconclusive,
            Verdict::Broken => TrialVerdict::Broken,
            Verdict::Fail => TrialVerdict::Fail,
        },
        reasons: last.map(|look| look.reasons.clone()).unwrap_or_default(),
        canary_requests: count(last.map(|look| look.exposure.canary_requests)),
        baseline_requests: count(last.map(|look| look.exposure.control_requests)),
        recording: RECORDING.to_owned(),
        same_numbers: same,
    };
    Ok(Recorded { recording, looks, said })
}

fn progress(summary: String) -> Progress {
    Progress { percent: 1, summary, external_id: None }
}
