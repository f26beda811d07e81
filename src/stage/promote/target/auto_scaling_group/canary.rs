//! A canary analysis before the rolling deployment: two groups are created, compared, and deleted again, whatever the
//! verdict. Production's own group does not change, and nothing continues by itself while no worker runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::canary_groups;
use super::progress::{MAX_POLLS, POLL, progress, wrong_direction};
use super::rolling::read_group;
use super::rollout::{Plan, Rollout};
use super::template_version;
use crate::aws::auto_scaling;
use crate::engine::{StageError, Timestamp};
use crate::stage::aws_view::canary_groups::launch_history;
use crate::stage::aws_view::fleet::FleetView;
use crate::stage::aws_view::groups::{self, LaunchSource};
use crate::stage::aws_view::instance_refreshes;
use crate::stage::context::Cx;
use crate::stage::promote::analysis::cloudwatch::{SideNames, needs_instances};
use crate::stage::promote::analysis::guards::{Due, Guards};
use crate::stage::promote::analysis::input::{Sides, first_window, next_window};
use crate::stage::promote::analysis::windows::Side;
use crate::stage::promote::inputs::Inputs;
use crate::stage::promote::target::{Abandon, Advance, Hold, ReadBack, Rollback};

/// A canary analysis, between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Canary {
    /// Every check of the preflight passed. The template version may exist already.
    Versioning { plan: Plan },
    /// The template version exists. The two groups may have been created, and are not both in service yet: `polls`
    /// found something missing.
    Launching { rollout: Rollout, polls: u16 },
    /// Canary and baseline serve side by side. They are compared by their windows from `since` on.
    Judging { rollout: Rollout, since: Timestamp },
    /// The analysis is decided. `done` of the calls that delete the two groups were made, and the next one may have been.
    Removing { rollout: Rollout, done: u8 },
    /// The two groups are deleted. Production is as it was.
    Removed { rollout: Rollout },
}

impl Canary {
    /// The rollout, once the template version exists.
    #[must_use]
    pub fn rollout(&self) -> Option<&Rollout> {
        match self {
            Self::Versioning { .. } => None,
            Self::Launching { rollout, .. }
            | Self::Judging { rollout, .. }
            | Self::Removing { rollout, .. }
            | Self::Removed { rollout } => Some(rollout),
        }
    }

    /// One step forward.
    ///
    /// # Errors
    /// A call failed.
    pub async fn advance(self, inputs: &Inputs, cx: &Cx) -> Result<Advance<Self>, StageError> {
        match self {
            Self::Versioning { plan } => {
                template_version::advance(plan, |rollout| Self::Launching { rollout, polls: 0 }, inputs, cx)
                    .await
            }
            Self::Launching { rollout, polls } => launch(rollout, polls, inputs, cx).await,
            Self::Judging { rollout, since } => poll(rollout, since, inputs, cx).await,
            Self::Removing { rollout, done } => Ok(match remove(rollout, done, cx).await? {
                Rollback::Next(state) => Advance::Next(state),
                Rollback::Wait(state, again_in, progress) => Advance::Wait(state, again_in, progress),
                Rollback::Irreversible(state, _) | Rollback::Done(state, _) => Advance::Done(state),
            }),
            done @ Self::Removed { .. } => Ok(Advance::Done(done)),
        }
    }

    /// The state after the analysis passed.
    #[must_use]
    pub fn passed(self) -> Self {
        match self {
            Self::Judging { rollout, .. } => Self::Removing { rollout, done: 0 },
            other => other,
        }
    }

    /// The state from which the two groups are deleted.
    #[must_use]
    pub fn abandon(self) -> Abandon<Self> {
        match self {
            Self::Versioning { .. } => Abandon::Nothing,
            // Calls that were made are found made: each group is read again.
            Self::Launching { rollout, .. }
            | Self::Judging { rollout, .. }
            | Self::Removing { rollout, .. } => Abandon::RollBack(Self::Removing { rollout, done: 0 }),
            Self::Removed { .. } => Abandon::RollBack(self),
        }
    }

    /// One step of the rollback. The groups are named after the execution, so it needs no inputs.
    ///
    /// # Errors
    /// A call failed.
    pub async fn roll_back(self, cx: &Cx) -> Result<Rollback<Self>, StageError> {
        match self {
            Self::Removing { rollout, done } => remove(rollout, done, cx).await,
            done @ Self::Removed { .. } => Ok(Rollback::Done(done, None)),
            other => Err(wrong_direction(&other)),
        }
    }

    /// Reads that production runs the previous image. None without inputs, which name production's group.
    ///
    /// # Errors
    /// A read failed.
    pub async fn read_back(&self, inputs: Option<&Inputs>, cx: &Cx) -> Result<Option<ReadBack>, StageError> {
        let (Some(rollout), Some(inputs)) = (self.rollout(), inputs) else { return Ok(None) };
        let image = &inputs.subject.machine_image()?.image_id;
        let group = &inputs.settings.group;
        read_group(&cx.aws, group, &rollout.plan.old, image, false).await.map(Some)
    }

    /// The two sides of the analysis.
    ///
    /// # Errors
    /// The launch history of a group could not be read.
    pub async fn metric_sides(inputs: &Inputs, cx: &Cx) -> Result<Option<Sides>, StageError> {
        let Some(judge) = &inputs.settings.judge else { return Ok(None) };
        let needs_instances = needs_instances(judge);
        let mut names = BTreeMap::new();
        for side in Side::BOTH {
            let group = canary_groups::name(cx.key(), side);
            let instances =
                if needs_instances { launch_history(&cx.aws, &group).await?.0 } else { Vec::new() };
            names.insert(side, SideNames { group, instances, target_group: String::new() });
        }
        // The two sides have the same size, so each gets half of their requests.
        Ok(Some(Sides { names, size: inputs.settings.size, shares: vec![0.5] }))
    }
}

/// The template version and the image of a side.
fn version_of<'a>(
    side: Side,
    rollout: &'a Rollout,
    inputs: &'a Inputs,
) -> Result<(i64, &'a str), StageError> {
    Ok(match side {
        Side::Baseline => (rollout.plan.from, rollout.plan.old.as_str()),
        Side::Canary => (rollout.to, inputs.subject.machine_image()?.image_id.as_str()),
    })
}

/// Creates the two groups, one a poll, and waits until every instance of both is in service.
async fn launch(
    rollout: Rollout,
    polls: u16,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Advance<Canary>, StageError> {
    let (production, size) = (&inputs.settings.group, inputs.settings.size);
    if let Some(why) = changed_by_others(&rollout, inputs, cx).await? {
        return Ok(Advance::Failed(Canary::Launching { rollout, polls }, why));
    }
    let mut missing = Vec::new();
    for side in Side::BOTH {
        let name = canary_groups::name(cx.key(), side);
        let (version, image) = version_of(side, &rollout, inputs)?;
        let Some(found) = groups::group(&cx.aws, &name).await? else {
            let template = (rollout.plan.template.as_str(), version);
            canary_groups::create(&cx.aws, cx.key(), side, production, template, size).await?;
            let progress = progress(format!("the {} of {} instances is created", side.name(), size));
            return Ok(Advance::Wait(Canary::Launching { rollout, polls }, POLL, progress));
        };
        if let Some(what) = FleetView::of_group(&cx.aws, found).await?.not_ready(image) {
            missing.push(format!("{}: {what}", side.name()));
        }
    }
    if missing.is_empty() {
        let since = first_window(inputs.judge()?, cx.now());
        return Ok(Advance::Next(Canary::Judging { rollout, since }));
    }
    if polls >= MAX_POLLS {
        let mut what = missing.join("; ");
        for side in Side::BOTH {
            let (_, failed) = launch_history(&cx.aws, &canary_groups::name(cx.key(), side)).await?;
            if let Some(failed) = failed {
                what = format!("{what}; the last failed launch of the {}: {failed}", side.name());
            }
        }
        let why = format!("canary and baseline did not come into service: {what}");
        return Ok(Advance::Failed(Canary::Launching { rollout, polls }, why));
    }
    let state = Canary::Launching { rollout, polls: polls.saturating_add(1) };
    Ok(Advance::Wait(state, POLL, progress(format!("waiting for {}", missing.join("; ")))))
}

/// One poll of the two groups under comparison.
async fn poll(
    rollout: Rollout,
    since: Timestamp,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Advance<Canary>, StageError> {
    let (judge, settings, now) = (inputs.judge()?, &inputs.settings, cx.now());
    if let Some(why) = changed_by_others(&rollout, inputs, cx).await? {
        return Ok(Advance::Failed(Canary::Judging { rollout, since }, why));
    }
    let hold = Hold {
        phase: None,
        percent: 1,
        place: format!("in the canary analysis, after {} s", now.since(since).as_secs()),
        doing: format!(
            "{} instances of {} beside {} of {}",
            settings.size, inputs.subject, settings.size, rollout.plan.old
        ),
        since,
        due: Due::Ready,
        guards: Guards {
            aws: cx.aws.clone(),
            alarms: settings.alarms.clone(),
            limits: settings.limits.clone(),
        },
        compare: true,
        not_ready: not_ready(&rollout, inputs, cx).await?,
        ended: None,
        poll: next_window(judge, now),
        progress: (1, None),
    };
    Ok(Advance::Paused(Canary::Judging { rollout, since }, Box::new(hold)))
}

/// The calls that delete the two groups, in order: first both are emptied, so that connections drain, then deleted.
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

/// Deletes the two groups, one call a poll.
async fn remove(rollout: Rollout, done: u8, cx: &Cx) -> Result<Rollback<Canary>, StageError> {
    let Some(&(side, call)) = CALLS.get(usize::from(done)) else {
        return Ok(Rollback::Done(Canary::Removed { rollout }, None));
    };
    let after = |done| Canary::Removing { rollout, done };
    let name = canary_groups::name(cx.key(), side);
    let group = match groups::group(&cx.aws, &name).await? {
        Some(group) if group.status.is_none() => group,
        _ => return Ok(Rollback::Next(after(done + 1))),
    };
    let (done, doing) = match call {
        Call::Empty if group.desired == 0 && group.max == 0 => return Ok(Rollback::Next(after(done + 1))),
        Call::Empty => {
            auto_scaling::empty(&cx.aws, &name).await?;
            (done + 1, "drains")
        }
        // The read that found the group empty was stale.
        Call::Delete if group.desired > 0 || group.max > 0 => {
            let emptied = CALLS.iter().position(|of| *of == (side, Call::Empty)).unwrap_or(0);
            return Ok(Rollback::Next(after(u8::try_from(emptied).unwrap_or(0))));
        }
        Call::Delete => {
            let deleted = group.instances.is_empty() && auto_scaling::delete(&cx.aws, &name).await?;
            if deleted { (done + 1, "is deleted") } else { (done, "drains") }
        }
    };
    Ok(Rollback::Wait(after(done), POLL, progress(format!("the {} {doing}", side.name()))))
}

/// How someone else changed production during the analysis, if someone did.
async fn changed_by_others(
    rollout: &Rollout,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Option<String>, StageError> {
    let (plan, name) = (&rollout.plan, &inputs.settings.group);
    let Some(group) = groups::group(&cx.aws, name).await? else {
        return Ok(Some(format!("the Auto Scaling group {name} does not exist any more")));
    };
    let unchanged = matches!(&group.launch_source, LaunchSource::Template { id, version }
        if *id == plan.template && *version == plan.from.to_string());
    if !unchanged {
        return Ok(Some(format!(
            "someone else gave {name} another launch template or version during the canary analysis"
        )));
    }
    let refreshes = instance_refreshes::list(&cx.aws, name).await?;
    Ok(refreshes.iter().find(|refresh| !refresh.status.is_over()).map(|other| {
        format!(
            "the instance refresh {} of {name} was started by someone else; its status is {}",
            other.id,
            other.status.name()
        )
    }))
}

/// Why the two sides are not wholly in service, as they were when the windows began.
async fn not_ready(rollout: &Rollout, inputs: &Inputs, cx: &Cx) -> Result<Option<String>, StageError> {
    let mut missing = Vec::new();
    for side in Side::BOTH {
        let (_, image) = version_of(side, rollout, inputs)?;
        let what = match groups::group(&cx.aws, &canary_groups::name(cx.key(), side)).await? {
            Some(group) => FleetView::of_group(&cx.aws, group).await?.not_ready(image),
            None => Some("the group does not exist any more".to_owned()),
        };
        missing.extend(what.map(|what| format!("{}: {what}", side.name())));
    }
    Ok((!missing.is_empty()).then(|| missing.join("; ")))
}
