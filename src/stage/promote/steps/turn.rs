//! Takes the image back from every group of a promotion that failed in a wave.

use super::{AGAIN, PATIENCE, progress};
use crate::engine::{StageError, Step};
use crate::evidence::predicate::PromotionOutcome;
use crate::stage::context::Cx;
use crate::stage::failure_reason::FailureReason;
use crate::stage::promote::fleet::Census;
use crate::stage::promote::groups::{self, Place, Standing};
use crate::stage::promote::observe::{self, Launches};
use crate::stage::promote::preflight::number;
use crate::stage::promote::refresh::{self, Asked};
use crate::stage::promote::run::{End, Run};
use crate::stage::promote::waves::{Back, Turn, given, way_back};
use crate::stage::promote::{Promote, template};

/// One move back: the next group is asked for while there is room, or those under way are looked at.
pub async fn take_back(
    run: Run,
    why: FailureReason,
    turn: Turn,
    (line, at_once): (&[Place], u16),
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let reached = usize::from(turn.reached).min(line.len());
    // The last one first: it is where the harm is.
    let place = |nth: u16| reached.checked_sub(usize::from(nth) + 1).and_then(|index| line.get(index));
    if let Some(next) = place(turn.begun).filter(|_| turn.begun.saturating_sub(turn.done) < at_once) {
        // Asked or not, it is looked at again; what one look cannot do, a later one does.
        move_back(next, cx).await?;
        let turn = Turn { begun: turn.begun + 1, ..turn };
        return Ok(Step::Next(Promote::TakingBack { run, why, turn }));
    }
    if place(turn.done).is_none() {
        return over(run, &why, line.get(..reached).unwrap_or_default(), cx).await;
    }
    let (mut done, mut in_order, mut moving) = (turn.done, true, Vec::new());
    for nth in turn.done..turn.begun {
        let Some(place) = place(nth) else { break };
        match move_back(place, cx).await? {
            Moved::RegionContext if in_order => done += 1,
            Moved::RegionContext => {}
            Moved::Asked => return Ok(Step::Next(Promote::TakingBack { run, why, turn })),
            Moved::Waits(what) => {
                in_order = false;
                moving.push(format!("{}: {what}", place.name));
            }
        }
    }
    let mut turn =
        Turn { looks: if done > turn.done { 0 } else { turn.looks.saturating_add(1) }, done, ..turn };
    if turn.looks >= PATIENCE * 3 {
        // The first in order keeps all others waiting: it is left, and the end will tell.
        turn = Turn { done: turn.done + 1, looks: 0, ..turn };
    }
    if done > 0 && moving.is_empty() {
        return Ok(Step::Next(Promote::TakingBack { run, why, turn }));
    }
    let percent = u8::try_from(usize::from(done) * 100 / reached.max(1)).unwrap_or(100).min(99);
    let what = moving.into_iter().next().unwrap_or_default();
    let summary = format!("{done} of {reached} groups are back; {what}: {}", why.text);
    let progress = progress(&run, percent, summary);
    Ok(Step::Wait { state: Promote::TakingBack { run, why, turn }, again_in: AGAIN, progress })
}

/// What became of a group at one look.
enum Moved {
    /// It is back, or is left.
    RegionContext,
    /// AWS was asked for something.
    Asked,
    Waits(String),
}

/// Looks at a group and asks AWS for what takes it further back, if anything does.
async fn move_back(place: &Place, cx: &Cx) -> Result<Moved, StageError> {
    let (aws, name) = (&place.aws, place.name.as_str());
    let Some(group) = observe::group(aws, name).await? else { return Ok(Moved::RegionContext) };
    let Launches::Template { id, version } = group.launches.clone() else { return Ok(Moved::RegionContext) };
    let Some(launches) = number(&version) else { return Ok(Moved::RegionContext) };
    let refreshes = refresh::list(aws, name).await?;
    // Ours may be newer than what the group launches, or be what it launches.
    let made = groups::made(aws, cx.key(), &id, launches).await?;
    let is_back = refreshes.first().is_some_and(|refresh| refresh.status.is_over())
        && given(&refreshes, &made, &id)
        && made.iter().all(|made| made.version != launches);
    let lacks = if is_back {
        let image = template::image_of(aws, &id, &version).await?.unwrap_or_default();
        Census::of(aws, group.clone()).await?.lacks(&image)
    } else {
        None
    };
    match way_back(&group, &refreshes, &made, lacks.as_deref()) {
        Back::Whole => Ok(Moved::RegionContext),
        Back::Leave(why) => {
            tracing::warn!(group = name, why, "the group is left as it is");
            Ok(Moved::RegionContext)
        }
        Back::Moving(what) => Ok(Moved::Waits(what)),
        Back::RollBack => match refresh::roll_back(aws, name).await? {
            Asked::Begun => Ok(Moved::Asked),
            Asked::LookAgain => Ok(Moved::Waits("its refresh is ending".to_owned())),
            Asked::Irreversible => {
                refresh::cancel(aws, name).await?;
                Ok(Moved::Asked)
            }
        },
        Back::Refresh(template, to) => {
            refresh::start_back(aws, name, (&template, to), place.gentle).await?;
            Ok(Moved::Asked)
        }
    }
}

/// Reads every group back that may have been given the image, and says what happened.
async fn over(run: Run, why: &FailureReason, line: &[Place], cx: &Cx) -> Result<Step<Promote>, StageError> {
    let mut standings: Vec<(&str, Standing)> = Vec::with_capacity(line.len());
    // Groups of one region and image are read together.
    let alike = |a: &Place, b: &Place| a.aws.region() == b.aws.region() && a.image == b.image;
    for places in line.chunk_by(alike) {
        let Some(first) = places.first() else { continue };
        let names: Vec<String> = places.iter().map(|place| place.name.clone()).collect();
        let found = groups::standings(&first.aws, &names, &first.image).await?;
        standings.extend(places.iter().map(|place| place.name.as_str()).zip(found));
    }
    let still: Vec<&str> = standings
        .iter()
        .filter(|(_, standing)| standing.fleet.on_new_image > 0)
        .map(|(name, _)| *name)
        .collect();
    let (outcome, text) = if still.is_empty() {
        let count = standings.len();
        (
            PromotionOutcome::RolledBack,
            format!("no instance of the {count} groups runs the image any more: {}", why.text),
        )
    } else {
        let shown = still.iter().take(5).copied().collect::<Vec<_>>().join(", ");
        let more = still.len().saturating_sub(5);
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        (PromotionOutcome::Failed, format!("{shown}{more} could not be taken back: {}", why.text))
    };
    let fleet = groups::sum(standings.iter().map(|(_, standing)| &standing.fleet));
    let end = End { outcome, why: Some(FailureReason::new(why.kind, &text)), fleet, at: cx.now() };
    Ok(Step::Next(Promote::Sealing { run, end }))
}
