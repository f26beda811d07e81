//! The way back: roll back, or cancel when AWS will not, and read back what the fleet runs.

use super::forward::ours;
use super::{AGAIN, Tries, count, progress};
use crate::engine::{StageError, Step};
use crate::evidence::predicate::PromotionOutcome;
use crate::stage::context::Cx;
use crate::stage::failure_reason::FailureReason;
use crate::stage::promote::fleet::Census;
use crate::stage::promote::refresh::{self, Asked, Refresh, Status};
use crate::stage::promote::run::{End, Run};
use crate::stage::promote::{Promote, RollbackTarget};

/// Our refresh as it is now; none when it was never started.
async fn find(run: &mut Run, scene: RollbackTarget<'_>, cx: &Cx) -> Result<Option<Refresh>, StageError> {
    let group = scene.group;
    if let Some(id) = &run.refresh {
        return Ok(Some(refresh::find(&cx.aws, group, id).await?));
    }
    let refreshes = refresh::list(&cx.aws, group).await?;
    let found = ours(&refreshes, &run.plan.template, run.to).cloned();
    run.refresh = found.as_ref().map(|refresh| refresh.id.clone());
    Ok(found)
}

fn over(run: Run, why: FailureReason, refresh: Option<&Refresh>) -> Step<Promote> {
    let status = refresh.map(|refresh| refresh.status);
    let restored = matches!(status, None | Some(Status::RollbackSuccessful));
    let why = match refresh {
        Some(refresh) if !restored => {
            let name = refresh.status.name();
            FailureReason::new(
                why.kind,
                &format!("{}; the refresh ended as {name}: {}", why.text, refresh.reason),
            )
        }
        _ => why,
    };
    Step::Next(Promote::Reverted { run, why, seen: 0, looks: 0, restored })
}

/// Has the refresh rolled back.
pub async fn roll_back(
    mut run: Run,
    why: FailureReason,
    scene: RollbackTarget<'_>,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let Some(refresh) = find(&mut run, scene, cx).await? else { return Ok(over(run, why, None)) };
    if refresh.status.is_over() {
        return Ok(over(run, why, Some(&refresh)));
    }
    let group = scene.group;
    let back = match refresh.status {
        Status::Pending | Status::InProgress | Status::Baking => refresh::roll_back(&cx.aws, group).await?,
        _ => Asked::LookAgain,
    };
    if back == Asked::Irreversible {
        let text = format!("{}; AWS will not roll {} back, so it is cancelled", why.text, refresh.id);
        return Ok(Step::Next(Promote::Cancelling { run, why: FailureReason::new(why.kind, &text) }));
    }
    let progress =
        progress(&run, refresh.percent, format!("rolling {group} back to {}: {}", run.plan.old, why.text));
    Ok(Step::Wait { state: Promote::RollingBack { run, why }, again_in: AGAIN, progress })
}

/// Has the refresh cancelled.
pub async fn cancel(
    mut run: Run,
    why: FailureReason,
    scene: RollbackTarget<'_>,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let Some(refresh) = find(&mut run, scene, cx).await? else { return Ok(over(run, why, None)) };
    if refresh.status.is_over() {
        return Ok(over(run, why, Some(&refresh)));
    }
    let group = scene.group;
    if matches!(refresh.status, Status::Pending | Status::InProgress | Status::Baking) {
        refresh::cancel(&cx.aws, group).await?;
    }
    let progress =
        progress(&run, refresh.percent, format!("cancelling the refresh of {group}: {}", why.text));
    Ok(Step::Wait { state: Promote::Cancelling { run, why }, again_in: AGAIN, progress })
}

/// Reads the fleet back after a refresh that did not succeed.
pub async fn revert(
    run: Run,
    why: FailureReason,
    tries: Tries,
    restored: bool,
    scene: RollbackTarget<'_>,
    cx: &Cx,
) -> Result<Step<Promote>, StageError> {
    let old = run.plan.old.as_str();
    let census = Census::take(&cx.aws, scene.group).await?;
    let tally = census.tally(scene.image);
    let fleet = [tally.in_service, tally.on_new_image, tally.healthy];
    let lacks = census.lacks(old);
    let tries = if lacks.is_none() { tries.good() } else { tries.bad() };
    let (outcome, text) = match &lacks {
        None if tries.is_sure() => {
            let on_old = tally.in_service;
            (PromotionOutcome::RolledBack, format!("the fleet runs {old} ({on_old} instances): {}", why.text))
        }
        // Without a successful rollback there is nothing to wait for.
        Some(lacks) if tries.is_out_of_patience() || !restored => (
            PromotionOutcome::Failed,
            format!("the fleet is not wholly on {old}: {lacks}; {}; {}", count(scene.image, fleet), why.text),
        ),
        lacks => {
            let what = lacks.as_ref().map_or("all good".to_owned(), ToString::to_string);
            let progress = progress(&run, 99, format!("reading the fleet back on {old}: {what}"));
            let Tries { seen, looks } = tries;
            let state = Promote::Reverted { run, why, seen, looks, restored };
            return Ok(Step::Wait { state, again_in: AGAIN, progress });
        }
    };
    let why = Some(FailureReason::new(why.kind, &text));
    Ok(Step::Next(Promote::Sealing { run, end: End { outcome, why, fleet, at: cx.now() } }))
}
