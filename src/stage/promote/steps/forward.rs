//! The way forward: prove, make the version, start the refresh, watch it, confirm the end.

use super::trial::versioned;
use super::{AGAIN, Tries, count, progress, refuse};
use crate::aws::Aws;
use crate::engine::{FailureKind, StageError, Step, Timestamp};
use crate::evidence::predicate::{PromotionOutcome, Verdict};
use crate::stage::context::Cx;
use crate::stage::failure_reason::FailureReason;
use crate::stage::promote::fleet::Census;
use crate::stage::promote::groups::{self, FIRST};
use crate::stage::promote::judge::{self, Due, Finding, Look, Progressed, Watch};
use crate::stage::promote::log::{AlarmLetter, Entry, Number, Phase};
use crate::stage::promote::observe::{self, Group, Launches};
use crate::stage::promote::pace::Pace;
use crate::stage::promote::preflight::{self as checks, World};
use crate::stage::promote::refresh::{self, Refresh, Status};
use crate::stage::promote::run::{End, Plan, Run};
use crate::stage::promote::template::{self, Mark};
use crate::stage::promote::turns::Turns;
use crate::stage::promote::waves::Cursor;
use crate::stage::promote::{Inputs, Promote};

/// Proves that the change can be made and undone.
pub async fn preflight(inputs: &Inputs, cx: &Cx) -> Result<Step<Promote>, StageError> {
    let promote = &inputs.promote;
    let image = inputs.image.image_id.as_str();
    let (turns, group) = standing(promote, &cx.aws).await?;
    let swapped = turns.as_ref().and_then(Turns::serving) == Some(1);
    if let Some(Group { launches: Launches::Template { id, .. }, .. }) = &group
        && let Some((to, mark)) = template::ours(&cx.aws, id, &cx.key().client_token(FIRST), image).await?
    {
        // An earlier run of this very slice got past its preflight; what it proved stands.
        let size = group.as_ref().map_or([0; 2], |group| [group.desired, group.max]);
        let plan = Plan {
            template: id.clone(),
            from: mark.from,
            old: mark.old,
            size,
            began: inputs.at,
            trial: None,
            swapped,
        };
        return Ok(versioned(plan, to, inputs));
    }
    let world = read_preflight_state(promote, Some(image), (turns, group), &cx.aws, cx.now()).await?;
    if let Some(run) = already(inputs, cx, &world).await? {
        return Ok(Step::Next(Promote::Confirming { run, seen: 0, looks: 0, doubt: false }));
    }
    let checks = checks::check(promote, &inputs.image, &world);
    match plan(inputs, &world) {
        Some(plan) if checks.iter().all(|check| check.holds) => Ok(Step::Next(Promote::Versioning { plan })),
        _ => refuse(inputs, cx, &world, &checks).await,
    }
}

/// The group that serves, and with `blue_green` both that take turns. As long as it is not clear which of them serves, it
/// is the one that the spec names first.
pub async fn standing(
    promote: &crate::spec::GroupPromotion,
    aws: &Aws,
) -> Result<(Option<Turns>, Option<Group>), StageError> {
    let Some(other) = &promote.alternate else {
        return Ok((None, observe::group(aws, &promote.group).await?));
    };
    let turns = super::shares::turns(aws, &promote.group, other).await?;
    let [one, other] = turns.groups.clone();
    let group = if turns.serving() == Some(1) { other } else { one };
    Ok((Some(turns), group))
}

/// Reads what a preflight judges; `image` is the one to promote, if there is one yet.
pub async fn read_preflight_state(
    promote: &crate::spec::GroupPromotion,
    image: Option<&str>,
    (turns, group): (Option<Turns>, Option<Group>),
    aws: &Aws,
    now: Timestamp,
) -> Result<World, StageError> {
    let mut world = World::default();
    if let Some(image) = image {
        world.image = observe::image(aws, image).await?;
    }
    world.turns = turns;
    let Some(group) = group else { return Ok(world) };
    if let Launches::Template { id, version } = &group.launches
        && checks::number(version).is_some()
    {
        world.template_image = template::image_of(aws, id, version).await?;
        if let Some(old) = world.template_image.as_deref().filter(|image| image.starts_with("ami-")) {
            world.previous = observe::image(aws, old).await?;
        }
    }
    for name in [Some(&promote.group), promote.alternate.as_ref()].into_iter().flatten() {
        world.refreshes.extend(refresh::list(aws, name).await?);
    }
    world.alarms = observe::alarms(aws, &promote.alarms).await?;
    for arn in &group.target_groups {
        world.targets.insert(arn.clone(), observe::targets(aws, arn).await?);
    }
    // Metrics that may not be read must come out now, not as missing data with the change half made.
    for metric in &promote.limits {
        let from = Timestamp(now.0.saturating_sub(3 * i64::from(metric.period().as_secs()) + 600));
        crate::stage::promote::metrics::read(aws, metric, from, now).await?;
    }
    world.group = Some(group);
    for wave in &promote.waves {
        let aws = wave.region.as_deref().map_or_else(|| aws.clone(), |region| aws.in_region(region));
        let mut found = groups::groups(&aws, &wave.groups).await?;
        let group = |name: &String| (name.clone(), found.remove(name));
        world.following.extend(wave.groups.iter().map(group));
    }
    Ok(world)
}

fn plan(inputs: &Inputs, world: &World) -> Option<Plan> {
    let group = world.group.as_ref()?;
    let Launches::Template { id, version } = &group.launches else { return None };
    Some(Plan {
        template: id.clone(),
        from: checks::number(version)?,
        old: world.template_image.clone()?,
        size: [group.desired, group.max],
        began: inputs.at,
        trial: None,
        swapped: world.turns.as_ref().and_then(Turns::serving) == Some(1),
    })
}

/// A run without a refresh, when the group's template launches the image already and every instance runs it: a
/// release that is promoted again.
async fn already(inputs: &Inputs, cx: &Cx, world: &World) -> Result<Option<Run>, StageError> {
    let image = inputs.image.image_id.as_str();
    let Some(plan) = plan(inputs, world) else { return Ok(None) };
    if world.turns.is_some() {
        return already_taken_over(inputs, cx, world, plan).await;
    }
    if plan.old != image || world.refreshes.iter().any(|refresh| !refresh.status.is_over()) {
        return Ok(None);
    }
    let census = Census::take(&cx.aws, &inputs.promote.group).await?;
    if census.lacks(image).is_some() {
        return Ok(None);
    }
    Ok(Some(Run::begin(plan.clone(), plan.from)))
}

/// As [`already`], of two groups that take turns: the one that serves is then the one that took over.
async fn already_taken_over(
    inputs: &Inputs,
    cx: &Cx,
    world: &World,
    plan: Plan,
) -> Result<Option<Run>, StageError> {
    let image = inputs.image.image_id.as_str();
    let serving = inputs.names(&plan).old.to_owned();
    let well = plan.old == image
        && world.turns.as_ref().is_some_and(|turns| turns.checks().iter().all(|check| check.holds))
        && Census::take(&cx.aws, &serving).await?.lacks(image).is_none();
    let to = plan.from;
    Ok(well.then(|| Run::begin(Plan { swapped: !plan.swapped, ..plan }, to)))
}

/// Makes the template version with the new image, or finds it made.
pub async fn version(plan: Plan, inputs: &Inputs, cx: &Cx) -> Result<Step<Promote>, StageError> {
    let image = inputs.image.image_id.as_str();
    let token = cx.key().client_token(FIRST);
    if let Some((to, _)) = template::ours(&cx.aws, &plan.template, &token, image).await? {
        return Ok(versioned(plan, to, inputs));
    }
    let mark = Mark { token: token.into(), from: plan.from, old: plan.old.clone() };
    let to = template::create(&cx.aws, &plan.template, &mark, image).await?;
    Ok(versioned(plan, to, inputs))
}

/// Starts the refresh, or finds it started. The version is this attempt's alone, so a refresh that brings it is
/// this attempt's, whatever became of it.
pub async fn start(plan: Plan, to: i64, inputs: &Inputs, cx: &Cx) -> Result<Step<Promote>, StageError> {
    let group = &inputs.promote.group;
    let refreshes = refresh::list(&cx.aws, group).await?;
    let id = if let Some(refresh) = ours(&refreshes, &plan.template, to) {
        refresh.id.clone()
    } else if let Some(other) = refreshes.iter().find(|refresh| !refresh.status.is_over()) {
        return Err(StageError::Rejected(format!(
            "the instance refresh {} of {group} was started by someone else after the preflight; it is {}",
            other.id,
            other.status.name()
        )));
    } else {
        refresh::start(&cx.aws, &inputs.promote, &plan.template, to).await?
    };
    let run = Run { refresh: Some(id), ..Run::begin(plan, to) };
    Ok(Step::Next(Promote::Refreshing { run, watch: Watch::begin(cx.now()) }))
}

/// The newest refresh that brings a version.
pub(super) fn ours<'a>(refreshes: &'a [Refresh], template: &str, version: i64) -> Option<&'a Refresh> {
    let version = version.to_string();
    refreshes
        .iter()
        .find(|refresh| refresh.brings.as_ref().is_some_and(|(id, at)| id == template && *at == version))
}

/// One look at the refresh, the fleet, the alarms and the metrics, and what follows.
pub async fn watch(
    mut run: Run,
    watch: Watch,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let promote = &inputs.promote;
    let Some(id) = run.refresh.clone() else {
        return Err(StageError::Bug("a refresh is watched that was not started".into()));
    };
    let refresh = refresh::find(&cx.aws, &promote.group, &id).await?;
    let group = observe::group(&cx.aws, &promote.group).await?;
    let share = group.as_ref().map_or(0, |group| group.share_of(&run.plan.template, run.to));
    let now = cx.now();
    let progressed = match refresh.status {
        Status::Pending | Status::InProgress | Status::Unknown => Progressed::To(refresh.percent),
        Status::Baking => Progressed::Baking,
        Status::Successful => Progressed::Over,
        Status::Cancelling
        | Status::RollbackInProgress
        | Status::Failed
        | Status::Cancelled
        | Status::RollbackSuccessful
        | Status::RollbackFailed => {
            let look = look(inputs, cx, &watch).await;
            if let found @ Finding::Bad(_) = judge::find(promote, &look) {
                run.log.push(entry(&run, &watch, share, Verdict::RollBack, look, now));
                return Ok(Step::Next(turned(run, share, &judge::reason(&found))));
            }
            let text = format!("AWS ended the refresh ({}): {}", refresh.status.name(), refresh.reason);
            return Ok(Step::Next(Promote::RollingBack {
                run,
                why: FailureReason::new(FailureKind::JobFailed, &text),
            }));
        }
    };
    let watch = watch.advance(promote, progressed, now);
    let due = watch.due(promote, progressed, now);
    let look = look(inputs, cx, &watch).await;
    let found = judge::find(promote, &look);
    let over = progressed == Progressed::Over;
    match judge::verdict(&found, due) {
        Verdict::Continue => {
            run.log.push(entry(&run, &watch, share, Verdict::Continue, look, now));
            Ok(Step::Next(Promote::Refreshing { run, watch: watch.let_on(promote, now) }))
        }
        Verdict::RollBack if over => {
            // AWS rolls back only what is in progress: the image stays, and the promotion has failed.
            run.log.push(entry(&run, &watch, share, Verdict::RollBack, look, now));
            Ok(Step::Next(Promote::Confirming { run, seen: 0, looks: 0, doubt: true }))
        }
        Verdict::RollBack => {
            run.log.push(entry(&run, &watch, share, Verdict::RollBack, look, now));
            Ok(Step::Next(turned(run, share, &judge::reason(&found))))
        }
        Verdict::Wait if over && watch.judged => {
            Ok(Step::Next(Promote::Confirming { run, seen: 0, looks: 0, doubt: false }))
        }
        Verdict::Wait => {
            let summary = summary(inputs, &refresh, &watch, due, &found, share);
            let again_in = std::time::Duration::from_secs(watch.next_look(promote, now));
            let progress = progress(&run, refresh.percent, summary);
            Ok(Step::Wait { state: Promote::Refreshing { run, watch }, again_in, progress })
        }
    }
}

/// The numbers of now. What cannot be read is not known; it never counts as good.
pub(super) async fn look(inputs: &Inputs, cx: &Cx, watch: &Watch) -> Look {
    look_since(&inputs.promote, &cx.aws, watch.seen, cx.now()).await
}

/// The alarms of now, and the numbers since a moment.
pub(super) async fn look_since(
    promote: &crate::spec::GroupPromotion,
    aws: &Aws,
    since: Timestamp,
    now: Timestamp,
) -> Look {
    let alarms = observe::alarms(aws, &promote.alarms).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the alarms could not be read");
        vec![AlarmLetter::Unread; promote.alarms.len()]
    });
    let mut numbers = Vec::with_capacity(promote.limits.len());
    for metric in &promote.limits {
        let number = crate::stage::promote::metrics::read(aws, metric, since, now).await;
        numbers.push(number.unwrap_or_else(|error| {
            tracing::warn!(%error, metric = metric.name, "the metric could not be read");
            Number { value: None, samples: 0 }
        }));
    }
    Look { alarms, numbers }
}

fn entry(
    run: &Run,
    watch: &Watch,
    percent: u8,
    verdict: Verdict,
    look: Look,
    now: crate::engine::Timestamp,
) -> Entry {
    let after = u32::try_from(now.since(run.plan.began).as_secs()).unwrap_or(u32::MAX);
    Entry { phase: watch.phase, percent, verdict, after, alarms: look.alarms, numbers: Some(look.numbers) }
}

fn turned(run: Run, share: u8, reason: &str) -> Promote {
    let text = format!("with {share} % of the fleet on the new image: {reason}");
    Promote::RollingBack { run, why: FailureReason::new(FailureKind::JobFailed, &text) }
}

fn place(phase: Phase, promote: &crate::spec::GroupPromotion) -> String {
    match phase {
        Phase::Before => "before the first checkpoint".to_owned(),
        Phase::At(index) => {
            let percent = promote.steps.get(usize::from(index)).copied().unwrap_or(100);
            format!("at the checkpoint of {percent} %")
        }
        Phase::Bake => "with the whole fleet replaced".to_owned(),
        Phase::Wave(wave) => format!("in wave {}", u16::from(wave) + 1),
    }
}

fn summary(
    inputs: &Inputs,
    refresh: &Refresh,
    watch: &Watch,
    due: Due,
    found: &Finding,
    share: u8,
) -> String {
    let promote = &inputs.promote;
    let pace = Pace::of(promote);
    let runs = format!("{share} % of {} runs {}", promote.group, inputs.image.image_id);
    let length = if watch.phase == Phase::Bake { pace.bake } else { pace.hold };
    let until = watch.seen.plus(std::time::Duration::from_secs(length));
    let doing = match (watch.phase, watch.judged, due) {
        (Phase::Before, ..) => "replacing instances".to_owned(),
        (_, true, _) => format!("let on {}", place(watch.phase, promote)),
        (_, false, Due::NotYet) => format!("held {} until {until}", place(watch.phase, promote)),
        (_, false, Due::Ripe | Due::Final) => {
            format!("held {}, waiting for data", place(watch.phase, promote))
        }
    };
    let health = match found {
        Finding::Good => "; all good".to_owned(),
        // Right after a phase began there is no data yet; that says something only when a verdict is due.
        Finding::Unknown(_) if due == Due::NotYet => String::new(),
        Finding::Bad(what) | Finding::Unknown(what) => format!("; {}", what.join("; ")),
    };
    format!("{runs}; {doing} ({}){health}", refresh.status.name())
}

/// Reads the fleet back once the image has taken over.
pub async fn confirm(
    run: Run,
    tries: Tries,
    doubt: bool,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let image = inputs.image.image_id.as_str();
    let census = Census::take(&cx.aws, inputs.names(&run.plan).new).await?;
    let tally = census.tally(image);
    let fleet = [tally.in_service, tally.on_new_image, tally.healthy];
    let lacks = census.lacks(image);
    let tries = if lacks.is_none() { tries.good() } else { tries.bad() };
    let fail = |text: String| FailureReason::new(FailureKind::JobFailed, &text);
    let why = match &lacks {
        None if tries.is_sure() && doubt => Some(fail(format!(
            "the refresh ended as successful before it could be judged, and AWS rolls back nothing that has ended; {}",
            count(image, fleet)
        ))),
        None if tries.is_sure() => None,
        Some(lacks) if tries.is_out_of_patience() => Some(fail(format!(
            "the image has taken over, and the fleet is not wholly on it and healthy: {lacks}; {}",
            count(image, fleet)
        ))),
        lacks => {
            let what = lacks.as_ref().map_or("all good".to_owned(), ToString::to_string);
            let progress = progress(&run, 99, format!("reading the fleet back: {what}"));
            let Tries { seen, looks } = tries;
            return Ok(Step::Wait {
                state: Promote::Confirming { run, seen, looks, doubt },
                again_in: AGAIN,
                progress,
            });
        }
    };
    if why.is_none() && !inputs.promote.waves.is_empty() {
        return Ok(Step::Next(Promote::Following { run, cursor: Cursor::at(0, 1, cx.now()) }));
    }
    let outcome = if why.is_none() { PromotionOutcome::Promoted } else { PromotionOutcome::Failed };
    Ok(Step::Next(Promote::Sealing { run, end: End { outcome, why, fleet, at: cx.now() } }))
}
