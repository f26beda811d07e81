//! The rollback of an instance refresh: by AWS, or by cancelling it when AWS does not roll it back.

use super::created_versions::refresh_of;
use super::discover;
use super::instance_refresh::{self, Requested};
use super::progress::{POLL, wrong_direction};
use super::rolling::Rolling;
use super::rollout::Rollout;
use crate::engine::{Progress, StageError};
use crate::stage::aws_view::instance_refreshes::{self as refreshes, Refresh, Status};
use crate::stage::context::Cx;
use crate::stage::promote::inputs::Inputs;
use crate::stage::promote::target::Rollback;

impl Rolling {
    /// One step of the rollback.
    ///
    /// # Errors
    /// A call failed.
    pub async fn roll_back(self, inputs: Option<&Inputs>, cx: &Cx) -> Result<Rollback<Self>, StageError> {
        let (mut rollout, cancel) = match self {
            Self::RollingBack { rollout } => (rollout, false),
            Self::Cancelling { rollout } => (rollout, true),
            done @ Self::RolledBack { .. } => return Ok(Rollback::Done(done, None)),
            other => return Err(wrong_direction(&other)),
        };
        let group = match inputs {
            Some(inputs) => Some(inputs.settings.group.clone()),
            None => discover::group_of(&rollout, cx).await?,
        };
        let Some(group) = group else {
            let note = Some("no instance refresh was started".to_owned());
            return Ok(Rollback::Done(Self::RolledBack { rollout, restored: true }, note));
        };
        let refresh = match find(&mut rollout, &group, cx).await? {
            Some(refresh) if !refresh.status.is_over() => refresh,
            refresh => return Ok(ended(rollout, refresh.as_ref())),
        };
        let underway = matches!(refresh.status, Status::Pending | Status::InProgress | Status::Baking);
        if cancel && underway {
            instance_refresh::cancel(&cx.aws, &group).await?;
        } else if underway && instance_refresh::roll_back(&cx.aws, &group).await? == Requested::Irreversible {
            let note = format!("AWS does not roll {} back, so it is cancelled", refresh.id);
            return Ok(Rollback::Irreversible(Self::Cancelling { rollout }, note));
        }
        let summary = if cancel {
            format!("cancelling the instance refresh of {group}")
        } else {
            format!("rolling {group} back to {}", rollout.plan.old)
        };
        let progress = Progress { percent: refresh.percent, summary, external_id: rollout.refresh.clone() };
        let state = if cancel { Self::Cancelling { rollout } } else { Self::RollingBack { rollout } };
        Ok(Rollback::Wait(state, POLL, progress))
    }
}

/// This attempt's instance refresh as it is now; none when it was never started.
async fn find(rollout: &mut Rollout, group: &str, cx: &Cx) -> Result<Option<Refresh>, StageError> {
    if let Some(id) = &rollout.refresh {
        return Ok(Some(refreshes::find(&cx.aws, group, id).await?));
    }
    let found = refreshes::list(&cx.aws, group).await?;
    let found = refresh_of(&found, &rollout.plan.template, rollout.to).cloned();
    rollout.refresh = found.as_ref().map(|refresh| refresh.id.clone());
    Ok(found)
}

fn ended(rollout: Rollout, refresh: Option<&Refresh>) -> Rollback<Rolling> {
    let restored = refresh.is_none_or(|refresh| refresh.status == Status::RollbackSuccessful);
    let note = refresh.filter(|_| !restored).map(|refresh| {
        format!("the instance refresh ended as {}: {}", refresh.status.name(), refresh.reason)
    });
    Rollback::Done(Rolling::RolledBack { rollout, restored }, note)
}
