//! A promotion by weights: the other group is filled with the image, the load balancer's weights bring it the traffic
//! share by share, and the group before stands by until it is sure.
//!
//! Nothing of it goes on by itself: while every worker is dead, the weights stay where they are.

use std::collections::BTreeMap;

use super::showing::{self, AnalysisInput};
use super::trial::asked_for;
use super::{AGAIN, PATIENCE, decided};
use crate::aws::Aws;
use crate::engine::{FailureKind, Progress, StageError, Step, Timestamp};
use crate::evidence::predicate::Verdict;
use crate::spec::Judge;
use crate::stage::context::Cx;
use crate::stage::failure_reason::FailureReason;
use crate::stage::promote::fleet::Census;
use crate::stage::promote::judge::{self as guards, Finding, Look, Watch};
use crate::stage::promote::listener_weights::{self, Forwarding};
use crate::stage::promote::log::{Entry, Phase};
use crate::stage::promote::measure::Named;
use crate::stage::promote::observe::{self, Group, Launches};
use crate::stage::promote::pace::Pace;
use crate::stage::promote::run::Run;
use crate::stage::promote::trial::{Move, Side, Stretch, decide};
use crate::stage::promote::turns::{Pair, Route, Turns, stand_by};
use crate::stage::promote::{Inputs, Names, Promote, canary_groups, refresh};

/// Looks in a row that find other weights, sizes or versions than were set before they count as changed by someone: one may
/// be stale.
const DOUBTS: u8 = 2;

/// Both groups as they are before anything is changed.
///
/// # Errors
/// As the calls.
pub async fn turns(aws: &Aws, one: &str, other: &str) -> Result<Turns, StageError> {
    let names = [one.to_owned(), other.to_owned()];
    let groups = [observe::group(aws, one).await?, observe::group(aws, other).await?];
    let mut turns = Turns { names, groups, routes: Vec::new() };
    if let (Some(old), Some(new)) = (turns.target_group(0), turns.target_group(1)) {
        let pair = Pair { old: old.to_owned(), new: new.to_owned() };
        turns.routes = listener_weights::of(aws, &pair).await?.into_iter().map(|found| found.route).collect();
    }
    Ok(turns)
}

/// The two groups of a promotion under way.
struct Both {
    old: Group,
    new: Group,
    pair: Pair,
}

async fn both(names: &Names<'_>, aws: &Aws) -> Result<Both, StageError> {
    let gone = |name: &str| StageError::Rejected(format!("the Auto Scaling group {name} is gone"));
    let old = observe::group(aws, names.old).await?.ok_or_else(|| gone(names.old))?;
    let new = observe::group(aws, names.new).await?.ok_or_else(|| gone(names.new))?;
    let only = |group: &Group, name: &str| match group.target_groups.first() {
        Some(arn) if group.target_groups.len() == 1 => Ok(arn.clone()),
        _ => Err(StageError::Rejected(format!("{name} no longer has exactly one target group"))),
    };
    let pair = Pair { old: only(&old, names.old)?, new: only(&new, names.new)? };
    Ok(Both { old, new, pair })
}

/// Fills the other group with the image, and waits until every instance of it is well.
pub async fn fill(run: Run, looks: u16, inputs: &Inputs, cx: &Cx) -> Result<Step<Promote>, StageError> {
    let names = inputs.names(&run.plan);
    let Both { old, new, .. } = both(&names, &cx.aws).await?;
    if let Some(why) = by_hand(&run, &names, &old, None) {
        return Ok(back(run, &why));
    }
    let size = run.plan.size[0];
    let filled = launches(&new, &run.plan.template, run.to) && new.min >= size;
    // Only as long as no answer to the call was heard: later it was made, and a look that does not see it is stale.
    if !filled && looks == 0 {
        let most = old.max.max(new.max);
        listener_weights::fill(&cx.aws, names.new, (&run.plan.template, run.to), [size, most]).await?;
        let progress = progress(format!("{} is filled with {size} instances", names.new));
        return Ok(Step::Wait { state: Promote::Filling { run, looks: 1 }, again_in: AGAIN, progress });
    }
    let lacks = match Census::of(&cx.aws, new).await?.lacks(&inputs.image.image_id) {
        None if filled => return Ok(Step::Next(Promote::Shifting { run, share: 0, done: 0 })),
        None => "it is not of the size and the template version that it was given".to_owned(),
        Some(lacks) => lacks,
    };
    if looks >= PATIENCE {
        let failed = canary_groups::history(&cx.aws, names.new).await?.1;
        let failed = failed.map_or(String::new(), |failed| format!("; its last failed launch: {failed}"));
        return Ok(back(run, &format!("{} did not come up: {lacks}{failed}", names.new)));
    }
    let progress = progress(format!("waiting for {}: {lacks}", names.new));
    let state = Promote::Filling { run, looks: looks.saturating_add(1) };
    Ok(Step::Wait { state, again_in: AGAIN, progress })
}

/// Sets the next weights, one list of actions at a time.
pub async fn shift(
    run: Run,
    share: u8,
    done: u8,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let both = both(&inputs.names(&run.plan), &cx.aws).await?;
    let percent = percent(inputs, share);
    if let Some(done) = set_next(&both.pair, percent, done, &cx.aws).await? {
        return Ok(Step::Next(Promote::Shifting { run, share, done }));
    }
    let mut run = run;
    let mut since = cx.now();
    if percent < 100 {
        since = showing::first_window(asked_for(inputs)?, since);
        run.shares.push(Stretch(since, 0));
    }
    Ok(Step::Next(Promote::Serving { run, share, since, doubts: 0 }))
}

/// Sets the weights of the list of actions whose turn it is; how many are done then, and none when all were.
async fn set_next(pair: &Pair, percent: u8, done: u8, aws: &Aws) -> Result<Option<u8>, StageError> {
    let all = listener_weights::of(aws, pair).await?;
    if all.is_empty() {
        return Err(StageError::Rejected(
            "no listener forwards to the two target groups any more".to_owned(),
        ));
    }
    let Some(next) = all.get(usize::from(done)) else { return Ok(None) };
    if !next.route.gives(pair, percent) {
        next.share(aws, pair, percent).await?;
    }
    Ok(Some(done.saturating_add(1)))
}

/// One look at a share of the traffic.
pub async fn serve(
    mut run: Run,
    (share, since, doubts): (u8, Timestamp, u8),
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let names = inputs.names(&run.plan);
    let found = both(&names, &cx.aws).await?;
    let percent = percent(inputs, share);
    let weights = listener_weights::of(&cx.aws, &found.pair).await?;
    let changed = other_weights(&weights, &found.pair, percent)
        .map(|seen| format!("the weights of the load balancer were changed by someone else: {seen}"))
        .or_else(|| by_hand(&run, &names, &found.old, Some(&found.new)));
    if let Some(why) = changed {
        let doubts = doubts.saturating_add(1);
        if doubts >= DOUBTS {
            return Ok(back(run, &why));
        }
        let state = Promote::Serving { run, share, since, doubts };
        return Ok(Step::Wait { state, again_in: AGAIN, progress: progress(why) });
    }
    if let Some(why) = refreshed(&names, cx).await? {
        return Ok(back(run, &why));
    }
    let now = cx.now();
    let look = super::forward::look(inputs, cx, &Watch { seen: since, ..Watch::begin(since) }).await;
    let guard = guards::find(&inputs.promote, &look);
    let image = inputs.image.image_id.as_str();
    let mut lacks =
        Census::of(&cx.aws, found.new).await?.lacks(image).map(|what| format!("{}: {what}", names.new));
    if percent < 100 {
        let old = Census::of(&cx.aws, found.old).await?.lacks(&run.plan.old);
        lacks = lacks.or(old.map(|what| format!("{}: {what}", names.old)));
    }
    let seen = Seen { guard, lacks, pair: &found.pair, names: &names, now, since };
    let (moved, what) = if percent < 100 {
        judge(&mut run, &seen, inputs, cx).await?
    } else {
        let elapsed = now.since(since).as_secs();
        (stand_by(&inputs.promote, &seen.guard, seen.lacks.as_deref(), elapsed), String::new())
    };
    let entry = |verdict, look: Look, run: &Run| Entry {
        phase: if percent < 100 { Phase::At(share) } else { Phase::Bake },
        percent,
        verdict,
        after: u32::try_from(now.since(run.plan.began).as_secs()).unwrap_or(u32::MAX),
        alarms: look.alarms,
        numbers: Some(look.numbers),
    };
    match moved {
        Move::Hold(why) => {
            let summary = format!("{} has {percent} % of the traffic{what}; {why}", names.new);
            let state = Promote::Serving { run, share, since, doubts: 0 };
            let again_in = match &inputs.promote.judge {
                Some(judge) if percent < 100 => showing::next_window(judge, now),
                _ => Pace::of(&inputs.promote).again_in(),
            };
            let progress = Progress { percent: percent.min(99), summary, external_id: None };
            Ok(Step::Wait { state, again_in, progress })
        }
        Move::GoOn => {
            let entry = entry(Verdict::Continue, look, &run);
            run.log.push(entry);
            let text = format!("{percent} % of the traffic is let on");
            let state = if percent >= 100 {
                Promote::Emptying { run, done: 0 }
            } else {
                Promote::Shifting { run, share: share.saturating_add(1), done: 0 }
            };
            Ok(decided(state, text))
        }
        Move::RollBack(why) => {
            let entry = entry(Verdict::RollBack, look, &run);
            run.log.push(entry);
            Ok(back(run, &format!("with {percent} % of the traffic on the new image: {why}")))
        }
    }
}

/// What a look saw beside the judge's windows.
struct Seen<'a> {
    guard: Finding,
    /// What keeps either group from being whole.
    lacks: Option<String>,
    pair: &'a Pair,
    names: &'a Names<'a>,
    now: Timestamp,
    since: Timestamp,
}

/// What the judge says of the windows so far, and what follows; what it has seen, for people.
async fn judge(
    run: &mut Run,
    seen: &Seen<'_>,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<(Move, String), StageError> {
    let judge = asked_for(inputs)?;
    if let Some(last) = run.shares.last_mut() {
        *last = showing::settled(judge, last.0, seen.now);
    }
    let showing = showing(judge, run, seen.names, seen.pair, inputs);
    let shown = showing.windows(&cx.aws).await?;
    let look = showing.judge(&shown)?;
    let approval = match judge.on_inconclusive.approval_action() {
        Some(action) => Some(crate::stage::promote::approval::read(cx, action).await?),
        None => None,
    };
    let elapsed = seen.now.since(seen.since).as_secs();
    let hold = Pace::of(&inputs.promote).hold;
    let mut moved = decide(judge, &look, &seen.guard, seen.lacks.as_deref(), elapsed, approval.as_ref());
    if moved == Move::GoOn && elapsed < hold {
        moved = Move::Hold(format!("held for {hold} s"));
    }
    // A verdict on earlier shares says nothing of this one.
    if moved == Move::GoOn && run.shares.last().is_none_or(|stretch| stretch.1 == 0) {
        moved = Move::Hold("no window of this share has settled".to_owned());
    }
    run.plan.trial = Some(showing.ended(&look, &shown));
    let exposure = &look.exposure;
    Ok((moved, format!(" for {:.0} min, {:.0} requests on it", exposure.minutes, exposure.canary_requests)))
}

fn showing<'a>(
    judge: &'a Judge,
    run: &Run,
    names: &Names<'_>,
    pair: &Pair,
    inputs: &Inputs,
) -> AnalysisInput<'a> {
    let side = |group: &str, arn: &str| Named {
        group: group.to_owned(),
        instances: Vec::new(),
        target_group: arn.rsplit(':').next().unwrap_or(arn).to_owned(),
    };
    let sides = BTreeMap::from([
        (Side::Baseline, side(names.old, &pair.old)),
        (Side::Canary, side(names.new, &pair.new)),
    ]);
    let below = inputs.promote.steps.iter().filter(|share| **share < 100);
    let shares = below.map(|share| f64::from(*share) / 100.0).collect();
    AnalysisInput { judge, size: inputs.promote.size, sides, shares, stretches: run.shares.clone() }
}

/// What was judged, as it is shown once more, for the record.
pub(super) async fn again<'a>(
    run: &Run,
    judge: &'a Judge,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<AnalysisInput<'a>, StageError> {
    let names = inputs.names(&run.plan);
    let both = both(&names, &cx.aws).await?;
    Ok(showing(judge, run, &names, &both.pair, inputs))
}

/// Lets the group before go, now that the other one serves: the least size moves over, then it is emptied.
pub async fn empty(run: Run, done: u8, inputs: &Inputs, cx: &Cx) -> Result<Step<Promote>, StageError> {
    let names = inputs.names(&run.plan);
    let Both { old, new, .. } = both(&names, &cx.aws).await?;
    let emptied = old.desired == 0 && old.min == 0;
    if emptied || done >= 2 {
        return Ok(Step::Next(Promote::Confirming { run, seen: 0, looks: 0, doubt: false }));
    }
    let what = if done == 0 {
        // A look that does not see what the group was given may not see its size either.
        if new.min != old.min || !launches(&new, &run.plan.template, run.to) {
            listener_weights::floor(&cx.aws, names.new, old.min).await?;
        }
        format!("{} may be as small as {} was", names.new, names.old)
    } else {
        listener_weights::empty(&cx.aws, names.old).await?;
        format!("{} drains", names.old)
    };
    let state = Promote::Emptying { run, done: done + 1 };
    Ok(Step::Wait { state, again_in: AGAIN, progress: progress(what) })
}

/// Takes the traffic back, one list of actions at a time.
pub async fn restore(
    run: Run,
    (why, done): (FailureReason, u8),
    names: Names<'_>,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let both = both(&names, &cx.aws).await?;
    if let Some(done) = set_next(&both.pair, 0, done, &cx.aws).await? {
        return Ok(Step::Next(Promote::Restoring { run, why, done }));
    }
    Ok(Step::Next(Promote::Draining { run, why, looks: 0 }))
}

/// Reads the weights back, and lets the group with the new image go.
pub async fn drain(
    run: Run,
    (why, looks): (FailureReason, u8),
    names: Names<'_>,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let both = both(&names, &cx.aws).await?;
    let weights = listener_weights::of(&cx.aws, &both.pair).await?;
    if let Some(seen) = other_weights(&weights, &both.pair, 0) {
        let looks = looks.saturating_add(1);
        if looks >= DOUBTS {
            return Ok(Step::Next(Promote::Restoring { run, why, done: 0 }));
        }
        let state = Promote::Draining { run, why, looks };
        return Ok(Step::Wait { state, again_in: AGAIN, progress: progress(seen) });
    }
    if both.new.desired > 0 || both.new.min > 0 {
        listener_weights::empty(&cx.aws, names.new).await?;
    } else if looks.saturating_add(1) < DOUBTS {
        // That there is nothing to let go is believed when it was seen twice: one look may be stale.
        let state = Promote::Draining { run, why, looks: looks.saturating_add(1) };
        let progress = progress(format!("{} seems to be empty already", names.new));
        return Ok(Step::Wait { state, again_in: AGAIN, progress });
    }
    Ok(Step::Next(Promote::Reverted { run, why, seen: 0, looks: 0, restored: true }))
}

/// The groups of an attempt whose inputs are gone: the one that launches this attempt's version, which no other does,
/// and the one it shares the traffic with.
///
/// # Errors
/// As the calls.
pub async fn found(run: &Run, aws: &Aws) -> Result<Option<[String; 2]>, StageError> {
    let of_template = observe::launching(aws, &run.plan.template).await?;
    let Some((name, new)) = of_template.iter().find(|(_, group)| launches(group, &run.plan.template, run.to))
    else {
        return Ok(None);
    };
    let Some(arn) = new.target_groups.first() else { return Ok(None) };
    let pair = Pair { old: arn.clone(), new: arn.clone() };
    let routes = listener_weights::of(aws, &pair).await?;
    let beside = |group: &Group| {
        let named = |route: &Route| group.target_groups.iter().any(|own| route.weight(own).is_some());
        routes.iter().any(|found| named(&found.route))
    };
    let old = of_template.iter().find(|(other, group)| other != name && beside(group));
    Ok(old.map(|(old, _)| [old.clone(), name.clone()]))
}

fn percent(inputs: &Inputs, share: u8) -> u8 {
    inputs.promote.steps.get(usize::from(share)).copied().unwrap_or(100)
}

fn launches(group: &Group, template: &str, version: i64) -> bool {
    matches!(&group.launches, Launches::Template { id, version: at } if id == template && *at == version.to_string())
}

/// Why the groups are no longer what the promotion made of them.
fn by_hand(run: &Run, names: &Names<'_>, old: &Group, new: Option<&Group>) -> Option<String> {
    let plan = &run.plan;
    let changed = |name: &str| {
        Some(format!("{name} was given another launch template or version while the image was on its way"))
    };
    if !launches(old, &plan.template, plan.from) {
        return changed(names.old);
    }
    match new {
        Some(new) if !launches(new, &plan.template, run.to) => changed(names.new),
        _ => None,
    }
}

async fn refreshed(names: &Names<'_>, cx: &Cx) -> Result<Option<String>, StageError> {
    for name in [names.old, names.new] {
        let refreshes = refresh::list(&cx.aws, name).await?;
        if let Some(other) = refreshes.iter().find(|refresh| !refresh.status.is_over()) {
            return Ok(Some(format!(
                "the instance refresh {} of {name} was started by someone else",
                other.id
            )));
        }
    }
    Ok(None)
}

/// The weights that are not those that were set; none if all are.
fn other_weights(found: &[Forwarding], pair: &Pair, percent: u8) -> Option<String> {
    if found.is_empty() {
        return Some("no listener forwards to the two target groups any more".to_owned());
    }
    let other = found.iter().find(|found| !found.route.gives(pair, percent))?;
    let weight = |arn: &str| other.route.weight(arn).map_or("none".to_owned(), |weight| weight.to_string());
    Some(format!(
        "{} gives {} to the old image and {} to the new one, not {} and {percent}",
        other.route.arn,
        weight(&pair.old),
        weight(&pair.new),
        100 - percent
    ))
}

fn back(run: Run, why: &str) -> Step<Promote> {
    let state = Promote::Restoring { run, why: FailureReason::new(FailureKind::JobFailed, why), done: 0 };
    decided(state, why.to_owned())
}

fn progress(summary: String) -> Progress {
    Progress { percent: 1, summary, external_id: None }
}
