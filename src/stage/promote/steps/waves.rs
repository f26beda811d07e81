//! The groups that follow the first: begun one after another, watched a few at a time, and held together.

use super::forward::{look_since, ours, read_preflight_state};
use super::{decided, progress};
use crate::engine::{FailureKind, StageError, Step, Timestamp};
use crate::evidence::predicate::{PromotionOutcome, Verdict};
use crate::spec;
use crate::stage::context::Cx;
use crate::stage::failure_reason::FailureReason;
use crate::stage::promote::fleet::Census;
use crate::stage::promote::groups;
use crate::stage::promote::judge::{self, Finding, Look};
use crate::stage::promote::log::{Entry, Phase};
use crate::stage::promote::observe::{self, Group, Launches};
use crate::stage::promote::pace::Pace;
use crate::stage::promote::preflight::{self as checks, number};
use crate::stage::promote::run::{End, Run};
use crate::stage::promote::template::{self, Mark};
use crate::stage::promote::waves::{Cursor, Stands, Then, Turn, decide, stands};
use crate::stage::promote::{Inputs, Promote, RegionContext, refresh};

/// One move in a wave: the next group is begun while there is room, or those under way are looked at.
pub async fn follow(run: Run, at: Cursor, inputs: &Inputs, cx: &Cx) -> Result<Step<Promote>, StageError> {
    let (wave, there) = inputs.wave(at.wave)?;
    let under_way = at.begun.saturating_sub(at.done);
    match wave.groups.get(usize::from(at.begun)) {
        Some(name) if at.whole.is_none() && under_way < wave.max_concurrent => {
            let promote = inputs.promote.of(wave, name);
            let begun = begin(&promote, there, cx).await?;
            let at = if begun { Cursor { begun: at.begun + 1, ..at } } else { at };
            Ok(Step::Next(Promote::Following { run, cursor: at }))
        }
        _ => watch(run, at, (wave, there), inputs, cx).await,
    }
}

/// Begins with a group, or finds it begun; `false` when it made the template version and has to come again.
async fn begin(promote: &spec::GroupPromotion, there: &RegionContext, cx: &Cx) -> Result<bool, StageError> {
    let (aws, name, image) = (&there.aws, promote.group.as_str(), there.image.image_id.as_str());
    let group = observe::group(aws, name).await?;
    let (template, from) = launched(name, group.as_ref())?;
    let made = groups::made(aws, cx.key(), &template, from).await?;
    if let Some(other) = made.iter().find(|made| made.image.as_deref() != Some(image)) {
        return Err(StageError::Rejected(format!(
            "version {} of {template} says it was made by this action and launches {}, not {image}",
            other.version,
            other.image.as_deref().unwrap_or("no image")
        )));
    }
    let refreshes = refresh::list(aws, name).await?;
    let is_begun =
        made.iter().any(|made| made.version == from || ours(&refreshes, &template, made.version).is_some());
    if is_begun {
        return Ok(true);
    }
    let world = read_preflight_state(promote, Some(image), (None, group), aws, cx.now()).await?;
    let idle = world.refreshes.iter().all(|refresh| refresh.status.is_over());
    if idle && world.template_image.as_deref() == Some(image) {
        // A release that is promoted again.
        return Ok(true);
    }
    let unfit: Vec<String> = checks::check(promote, &there.image, &world)
        .iter()
        .filter(|check| !check.holds)
        .map(|check| format!("{} ({})", check.observed, check.hint))
        .collect();
    if !unfit.is_empty() {
        return Err(StageError::Rejected(format!("{name} cannot follow: {}", unfit.join("; "))));
    }
    if let Some(made) = made.iter().find(|made| made.mark.from == from) {
        refresh::start(aws, promote, &template, made.version).await?;
        return Ok(true);
    }
    let old = world.template_image.unwrap_or_default();
    let token = cx.key().client_token(&groups::following(&template, from));
    template::create(aws, &template, &Mark { token: token.into(), from, old }, image).await?;
    Ok(false)
}

/// The template a group launches from, and the version by number.
fn launched(name: &str, group: Option<&Group>) -> Result<(String, i64), StageError> {
    let gone = || StageError::Rejected(format!("the Auto Scaling group {name} is gone"));
    match &group.ok_or_else(gone)?.launches {
        Launches::Template { id, version } => {
            let number = number(version).ok_or_else(|| {
                StageError::Rejected(format!("{name} launches version {version} of {id}, which is no number"))
            })?;
            Ok((id.clone(), number))
        }
        Launches::Mixed | Launches::Configuration(_) | Launches::Nothing => {
            Err(StageError::Rejected(format!("{name} launches from no launch template any more")))
        }
    }
}

/// One look at the groups under way, or at the whole wave once it is there, and what follows.
async fn watch(
    mut run: Run,
    at: Cursor,
    (wave, there): (&spec::GroupWave, &RegionContext),
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let size = u16::try_from(wave.groups.len()).unwrap_or(u16::MAX);
    let found = match at.whole {
        Some(_) => held(wave, there).await?,
        None => under_way(&run, at, wave, there).await?,
    };
    let promote = inputs.promote.of(wave, wave.groups.first().map_or("", String::as_str));
    let now = cx.now();
    let look = look_since(&promote, &there.aws, at.seen_since(&promote, now), now).await;
    let finding = judge::find(&promote, &look);
    match decide(&promote, at, size, &found, &finding, now) {
        Then::Look(at, doing) => Ok(again(run, at, &doing, &finding, (inputs, &promote, size))),
        Then::Passed => {
            run.log.push(entry(&run, (at, inputs), Verdict::Continue, look, now));
            pass(run, at, size, inputs, cx).await
        }
        Then::TurnBack(reason) => {
            run.log.push(entry(&run, (at, inputs), Verdict::RollBack, look, now));
            let text =
                format!("in wave {} of {}: {reason}", u16::from(at.wave) + 1, inputs.promote.waves.len());
            let why = FailureReason::new(FailureKind::JobFailed, &text);
            Ok(decided(Promote::TakingBack { run, why, turn: Turn::of(at.reached()) }, text))
        }
    }
}

/// How each group stands that was begun and not seen whole yet.
async fn under_way<'w>(
    run: &Run,
    at: Cursor,
    wave: &'w spec::GroupWave,
    there: &RegionContext,
) -> Result<Vec<(&'w str, Stands)>, StageError> {
    let range = usize::from(at.done)..usize::from(at.begun).min(wave.groups.len());
    let names = wave.groups.get(range).unwrap_or_default();
    let mut groups = groups::groups(&there.aws, names).await?;
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let Some(group) = groups.remove(name) else {
            found.push((name.as_str(), Stands::Lost("it is gone".to_owned())));
            continue;
        };
        let newest = refresh::newest(&there.aws, name).await?;
        let lacks = match &newest {
            Some(refresh) if !refresh.status.is_over() => Some(String::new()),
            _ => Census::of(&there.aws, group).await?.lacks(&there.image.image_id),
        };
        found.push((name.as_str(), stands(newest.as_ref(), lacks, run.plan.began)));
    }
    Ok(found)
}

/// The groups of a whole wave that are not well.
async fn held<'w>(wave: &'w spec::GroupWave, there: &RegionContext) -> Result<Vec<(&'w str, Stands)>, StageError> {
    let standings = groups::standings(&there.aws, &wave.groups, &there.image.image_id).await?;
    let lacking =
        wave.groups.iter().zip(standings).filter_map(|(name, standing)| {
            standing.lacks.map(|lacks| (name.as_str(), Stands::Lacking(lacks)))
        });
    Ok(lacking.collect())
}

fn again(
    run: Run,
    at: Cursor,
    doing: &str,
    finding: &Finding,
    (inputs, promote, size): (&Inputs, &spec::GroupPromotion, u16),
) -> Step<Promote> {
    let max = inputs.promote.waves.get(usize::from(at.wave)).map_or(1, |wave| wave.max_concurrent);
    let room = at.begun.saturating_sub(at.done) < max && at.begun < size;
    if room && at.whole.is_none() {
        return Step::Next(Promote::Following { run, cursor: at });
    }
    let percent = share(at, inputs).min(99);
    let health = match finding {
        Finding::Good => String::new(),
        Finding::Bad(what) | Finding::Unknown(what) => format!("; {}", what.join("; ")),
    };
    let summary = format!(
        "wave {} of {}: {} of {size} groups done, {doing}{health}",
        u16::from(at.wave) + 1,
        inputs.promote.waves.len(),
        at.done
    );
    let again_in = Pace::of(promote).again_in();
    let progress = progress(&run, percent, summary);
    Step::Wait { state: Promote::Following { run, cursor: at }, again_in, progress }
}

/// Goes on to the next wave, or to the end.
async fn pass(
    run: Run,
    at: Cursor,
    size: u16,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let next = usize::from(at.wave) + 1;
    if next < inputs.promote.waves.len() {
        let at = Cursor::at(at.wave.saturating_add(1), at.before.saturating_add(size), cx.now());
        return Ok(Step::Next(Promote::Following { run, cursor: at }));
    }
    let first = Census::take(&cx.aws, &inputs.promote.group).await?.tally(&inputs.image.image_id);
    let waves = groups::read_back(inputs).await?;
    let fleets = waves.iter().flat_map(|wave| &wave.groups).map(|group| &group.fleet);
    let fleet = groups::sum(fleets.chain([&first]));
    let end = End { outcome: PromotionOutcome::Promoted, why: None, fleet, at: cx.now() };
    Ok(Step::Next(Promote::Sealing { run, end }))
}

fn entry(run: &Run, (at, inputs): (Cursor, &Inputs), verdict: Verdict, look: Look, now: Timestamp) -> Entry {
    let after = u32::try_from(now.since(run.plan.began).as_secs()).unwrap_or(u32::MAX);
    let percent = share(at, inputs);
    let (alarms, numbers) = (look.alarms, Some(look.numbers));
    Entry { phase: Phase::Wave(at.wave), percent, verdict, after, alarms, numbers }
}

/// The groups that are wholly on the image, in percent of all.
fn share(at: Cursor, inputs: &Inputs) -> u8 {
    let there = usize::from(at.before) + usize::from(at.done);
    u8::try_from(there * 100 / inputs.promote.groups().max(1)).unwrap_or(100)
}
