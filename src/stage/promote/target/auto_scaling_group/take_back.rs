//! Restores every group of a promotion that failed in a wave, the last one first.

use super::created_versions::{self, was_refreshed};
use super::instance_refresh::{self, Requested};
use super::progress::{MAX_POLLS, POLL};
use super::wave_groups::WaveGroup;
use super::wave_rollback::{RollbackAction, TakeBack, rollback_action};
use crate::engine::{Progress, StageError};
use crate::stage::aws_view::fleet::FleetView;
use crate::stage::aws_view::groups::{self, LaunchSource};
use crate::stage::aws_view::launch_templates::number;
use crate::stage::aws_view::{instance_refreshes, launch_templates};
use crate::stage::context::Cx;
use crate::stage::promote::target::Rollback;

/// One step: the rollback of the next group is requested while there is room, or the groups under way are polled. The
/// state is the progress, and whether every group is restored or skipped.
///
/// # Errors
/// A call failed.
pub async fn step(
    progress: TakeBack,
    groups: &[WaveGroup],
    max_concurrent: u16,
    cx: &Cx,
) -> Result<Rollback<(TakeBack, bool)>, StageError> {
    let reached = usize::from(progress.reached).min(groups.len());
    // The last one first: the harm is there.
    let nth = |nth: u16| reached.checked_sub(usize::from(nth) + 1).and_then(|index| groups.get(index));
    let has_room = progress.begun.saturating_sub(progress.done) < max_concurrent;
    if let Some(next) = nth(progress.begun).filter(|_| has_room) {
        // Whatever one call does not do, a later one does: the group is polled again.
        restore(next, cx).await?;
        let progress = TakeBack { begun: progress.begun + 1, ..progress };
        return Ok(Rollback::Next((progress, false)));
    }
    if nth(progress.done).is_none() {
        return Ok(Rollback::Done((progress, true), None));
    }
    let (mut done, mut in_order, mut waiting) = (progress.done, true, Vec::new());
    for index in progress.done..progress.begun {
        let Some(group) = nth(index) else { break };
        match restore(group, cx).await? {
            Restored::Done if in_order => done += 1,
            Restored::Done => {}
            Restored::Requested => return Ok(Rollback::Next((progress, false))),
            Restored::Waiting(what) => {
                in_order = false;
                waiting.push(format!("{}: {what}", group.name));
            }
        }
    }
    let polls = if done > progress.done { 0 } else { progress.polls.saturating_add(1) };
    let mut progress = TakeBack { done, polls, ..progress };
    if progress.polls >= MAX_POLLS * 3 {
        // The first one in order keeps all others waiting: it is skipped, and the read-back shows it.
        progress = TakeBack { done: progress.done + 1, polls: 0, ..progress };
    }
    if done > 0 && waiting.is_empty() {
        return Ok(Rollback::Next((progress, false)));
    }
    let percent = u8::try_from(usize::from(done) * 100 / reached.max(1)).unwrap_or(100).min(99);
    let what = waiting.into_iter().next().unwrap_or_default();
    let summary = format!("{done} of {reached} groups are restored; {what}");
    let shown = Progress { percent, summary, external_id: None };
    Ok(Rollback::Wait((progress, false), POLL, shown))
}

/// The result of one poll of a group.
enum Restored {
    /// It is restored, or skipped.
    Done,
    /// A rollback or a refresh was requested.
    Requested,
    Waiting(String),
}

/// Reads a group, and requests what restores it, if anything does.
async fn restore(of: &WaveGroup, cx: &Cx) -> Result<Restored, StageError> {
    let (aws, name) = (&of.aws, of.name.as_str());
    let Some(group) = groups::group(aws, name).await? else { return Ok(Restored::Done) };
    let LaunchSource::Template { id, version } = group.launch_source.clone() else {
        return Ok(Restored::Done);
    };
    let Some(launches) = number(&version) else { return Ok(Restored::Done) };
    let refreshes = instance_refreshes::list(aws, name).await?;
    // A version of this promotion may be newer than the one that the group launches, or be the one that it launches.
    let created = created_versions::read(aws, cx.key(), &id, launches).await?;
    let was_restored = refreshes.first().is_some_and(|refresh| refresh.status.is_over())
        && was_refreshed(&refreshes, &created, &id)
        && created.iter().all(|created| created.version != launches);
    let not_ready = if was_restored {
        let image = launch_templates::image_of(aws, &id, &version).await?.unwrap_or_default();
        FleetView::of_group(aws, group.clone()).await?.not_ready(&image)
    } else {
        None
    };
    match rollback_action(&group, &refreshes, &created, not_ready.as_deref()) {
        RollbackAction::Restored => Ok(Restored::Done),
        RollbackAction::Skip(why) => {
            tracing::warn!(group = name, why, "the group is left as it is");
            Ok(Restored::Done)
        }
        RollbackAction::Wait(what) => Ok(Restored::Waiting(what)),
        RollbackAction::RollBack => match instance_refresh::roll_back(aws, name).await? {
            Requested::Accepted => Ok(Restored::Requested),
            Requested::ReadAgain => Ok(Restored::Waiting("its refresh is ending".to_owned())),
            Requested::Irreversible => {
                instance_refresh::cancel(aws, name).await?;
                Ok(Restored::Requested)
            }
        },
        RollbackAction::Refresh(template, to) => {
            instance_refresh::start_restore(aws, name, (&template, to), of.limits).await?;
            Ok(Restored::Requested)
        }
    }
}
