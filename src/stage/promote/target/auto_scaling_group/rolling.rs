//! A rolling deployment: an instance refresh of the group, held at checkpoints.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::checkpoint::{CheckpointWatch, RefreshProgress};
use super::created_versions::refresh_of;
use super::discover;
use super::error::GroupError;
use super::instance_refresh;
use super::progress::wrong_direction;
use super::rollout::{Plan, Rollout};
use super::template_version;
use super::timing::Timing;
use crate::engine::{StageError, Timestamp};
use crate::stage::aws_view::fleet::FleetView;
use crate::stage::aws_view::groups;
use crate::stage::aws_view::instance_refreshes::{self as refreshes, Refresh, Status};
use crate::stage::context::Cx;
use crate::stage::promote::analysis::guards::{Due, Guards};
use crate::stage::promote::inputs::Inputs;
use crate::stage::promote::log::Phase;
use crate::stage::promote::settings::Settings;
use crate::stage::promote::target::{Abandon, Advance, Ended, Hold, ReadBack, Version};

/// A rolling deployment, between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Rolling {
    /// Every check of the preflight passed. The template version may exist already.
    Versioning { plan: Plan },
    /// The template version exists, and a canary analysis, if there was one, passed and its groups are deleted. The
    /// instance refresh may have been started already.
    Starting { rollout: Rollout },
    /// The instance refresh was started. AWS replaces instances and holds at checkpoints.
    Refreshing { rollout: Rollout, watch: CheckpointWatch },
    /// The instance refresh was successful, or was not needed.
    Refreshed { rollout: Rollout },
    /// The deployment failed. AWS is to roll the instance refresh back, or does so.
    RollingBack { rollout: Rollout },
    /// AWS does not roll the instance refresh back. It is to be cancelled, or is being cancelled.
    Cancelling { rollout: Rollout },
    /// The instance refresh ended and was not successful. `restored`: AWS reports that its rollback was successful.
    RolledBack { rollout: Rollout, restored: bool },
}

impl Rolling {
    /// The rollout, once the template version exists.
    #[must_use]
    pub fn rollout(&self) -> Option<&Rollout> {
        match self {
            Self::Versioning { .. } => None,
            Self::Starting { rollout }
            | Self::Refreshing { rollout, .. }
            | Self::Refreshed { rollout }
            | Self::RollingBack { rollout }
            | Self::Cancelling { rollout }
            | Self::RolledBack { rollout, .. } => Some(rollout),
        }
    }

    /// One step forward.
    ///
    /// # Errors
    /// A call failed; [`StageError::Rejected`] when someone else started an instance refresh.
    pub async fn advance(self, inputs: &Inputs, cx: &Cx) -> Result<Advance<Self>, StageError> {
        match self {
            Self::Versioning { plan } => {
                template_version::advance(plan, |rollout| Self::Starting { rollout }, inputs, cx).await
            }
            Self::Starting { rollout } => start(rollout, inputs, cx).await,
            Self::Refreshing { rollout, watch } => poll(rollout, watch, inputs, cx).await,
            done @ Self::Refreshed { .. } => Ok(Advance::Done(done)),
            other @ (Self::RollingBack { .. } | Self::Cancelling { .. } | Self::RolledBack { .. }) => {
                Err(wrong_direction(&other))
            }
        }
    }

    /// The state after the checkpoint was judged and continues.
    #[must_use]
    pub fn passed(self, settings: &Settings, now: Timestamp) -> Self {
        match self {
            Self::Refreshing { rollout, watch } => {
                Self::Refreshing { rollout, watch: watch.passed(settings, now) }
            }
            other => other,
        }
    }

    /// The state from which the deployment is rolled back.
    #[must_use]
    pub fn abandon(self) -> Abandon<Self> {
        match self {
            Self::Versioning { .. } => Abandon::Nothing,
            // The refresh may have been started by a call whose answer was lost.
            Self::Starting { rollout } | Self::Refreshing { rollout, .. } => {
                Abandon::RollBack(Self::RollingBack { rollout })
            }
            Self::Refreshed { .. } => Abandon::TooLate(self),
            Self::RollingBack { .. } | Self::Cancelling { .. } | Self::RolledBack { .. } => {
                Abandon::RollBack(self)
            }
        }
    }

    /// Reads which image the group runs.
    ///
    /// # Errors
    /// A read failed.
    pub async fn read_back(
        &self,
        version: Version,
        inputs: Option<&Inputs>,
        cx: &Cx,
    ) -> Result<Option<ReadBack>, StageError> {
        let Some(rollout) = self.rollout() else { return Ok(None) };
        let (group, image) = match inputs {
            Some(inputs) => (inputs.settings.group.clone(), inputs.subject.machine_image()?.image_id.clone()),
            None => match discover::group_of(rollout, cx).await? {
                Some(group) => (group, discover::image_of(rollout, cx).await?),
                None => return Ok(None),
            },
        };
        let settled = matches!(self, Self::RolledBack { restored: false, .. });
        let expected = if version == Version::New { &image } else { &rollout.plan.old };
        Ok(Some(read_group(&cx.aws, &group, expected, &image, settled).await?))
    }
}

/// Reads whether a group runs the `expected` image; `new` is the image that is promoted.
///
/// # Errors
/// A read failed; [`StageError::Rejected`] when the group does not exist.
pub async fn read_group(
    aws: &crate::aws::Aws,
    group: &str,
    expected: &str,
    new: &str,
    settled: bool,
) -> Result<ReadBack, StageError> {
    let fleet = FleetView::read(aws, group).await?;
    let units = fleet.units(new);
    let not_ready = fleet.not_ready(expected);
    let summary = match &not_ready {
        None => format!("{group} runs {expected} on {} instances", units.total),
        Some(what) => format!("{group} is not wholly on {expected} and healthy: {what}"),
    };
    Ok(ReadBack { units, not_ready, settled, summary })
}

/// Starts the instance refresh, or finds it started. The template version belongs to this attempt alone, so a refresh
/// to it is this attempt's.
async fn start(rollout: Rollout, inputs: &Inputs, cx: &Cx) -> Result<Advance<Rolling>, StageError> {
    let group = &inputs.settings.group;
    let found = refreshes::list(&cx.aws, group).await?;
    let id = if let Some(refresh) = refresh_of(&found, &rollout.plan.template, rollout.to) {
        refresh.id.clone()
    } else if let Some(other) = found.iter().find(|refresh| !refresh.status.is_over()) {
        let (refresh, status) = (other.id.clone(), other.status.name().to_owned());
        return Err(GroupError::OthersRefresh { refresh, group: group.clone(), status }.into());
    } else {
        instance_refresh::start(&cx.aws, &inputs.settings, &rollout.plan.template, rollout.to).await?
    };
    let rollout = Rollout { refresh: Some(id), ..rollout };
    Ok(Advance::Next(Rolling::Refreshing { rollout, watch: CheckpointWatch::begin(cx.now()) }))
}

/// One poll of the instance refresh.
async fn poll(
    rollout: Rollout,
    watch: CheckpointWatch,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Advance<Rolling>, StageError> {
    let settings = &inputs.settings;
    let Some(id) = rollout.refresh.clone() else {
        return Err(GroupError::RefreshNotStarted { group: settings.group.clone() }.into());
    };
    let refresh = refreshes::find(&cx.aws, &settings.group, &id).await?;
    let group = groups::group(&cx.aws, &settings.group).await?;
    let percent = group.as_ref().map_or(0, |group| group.share_of(&rollout.plan.template, rollout.to));
    let now = cx.now();
    let (progress, ended) = match refresh.status {
        Status::Pending | Status::InProgress | Status::Unknown => {
            (Some(RefreshProgress::To(refresh.percent)), None)
        }
        Status::Baking => (Some(RefreshProgress::Soaking), None),
        Status::Successful => (Some(RefreshProgress::Ended), Some(Ended::Completed)),
        Status::Cancelling
        | Status::RollbackInProgress
        | Status::Failed
        | Status::Cancelled
        | Status::RollbackSuccessful
        | Status::RollbackFailed => {
            let name = refresh.status.name();
            (
                None,
                Some(Ended::Failed(format!("AWS ended the instance refresh ({name}): {}", refresh.reason))),
            )
        }
    };
    let (watch, due) = match progress {
        Some(progress) => {
            let watch = watch.advance(settings, progress, now);
            (watch, watch.due(settings, progress, now))
        }
        None => (watch, Due::NotYet),
    };
    if ended == Some(Ended::Completed) && watch.judged {
        return Ok(Advance::Done(Rolling::Refreshed { rollout }));
    }
    let hold = Hold {
        phase: Some(watch.phase),
        percent,
        place: format!("with {percent} % of {} on the new image", settings.group),
        doing: doing(inputs, &refresh, &watch, due, percent),
        since: watch.seen,
        due,
        guards: Guards {
            aws: cx.aws.clone(),
            alarms: settings.alarms.clone(),
            limits: settings.limits.clone(),
        },
        compare: false,
        not_ready: None,
        ended,
        poll: Duration::from_secs(watch.next_poll(settings, now)),
        progress: (refresh.percent, rollout.refresh.clone()),
    };
    Ok(Advance::Paused(Rolling::Refreshing { rollout, watch }, Box::new(hold)))
}

/// What the refresh does now, for people.
fn doing(inputs: &Inputs, refresh: &Refresh, watch: &CheckpointWatch, due: Due, percent: u8) -> String {
    let settings = &inputs.settings;
    let timing = Timing::of(settings);
    let length = if watch.phase == Phase::Soak { timing.soak } else { timing.hold };
    let until = watch.seen.plus(Duration::from_secs(length));
    let place = watch.phase.place(settings);
    let doing = match (watch.phase, watch.judged, due) {
        (Phase::Before, ..) => "replacing instances".to_owned(),
        (_, true, _) => format!("continued {place}"),
        (_, false, Due::NotYet | Due::Blind) => format!("holding {place} until {until}"),
        (_, false, Due::Ready | Due::Last) => format!("holding {place}, waiting for data"),
    };
    let status = refresh.status.name();
    format!("{percent} % of {} runs {}; {doing} ({status})", settings.group, inputs.subject)
}
