//! A blue/green deployment: the alternate group is filled with the image, the weights of the load balancer shift the
//! traffic to it step by step, and the group that served stays whole until the soak has passed.
//!
//! Nothing continues by itself: while no worker runs, the weights stay as they are.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::discover;
use super::group_traffic::{self as traffic, Both, launches};
use super::listener_weights;
use super::progress::{CONFIRMATIONS, MAX_POLLS, POLL, progress, wrong_direction};
use super::rolling::read_group;
use super::rollout::{GroupNames, Plan, Rollout};
use super::template_version;
use super::timing::Timing;
use crate::aws::auto_scaling;
use crate::engine::{StageError, Timestamp};
use crate::stage::aws_view::canary_groups::launch_history;
use crate::stage::aws_view::fleet::FleetView;
use crate::stage::context::Cx;
use crate::stage::promote::analysis::cloudwatch::SideNames;
use crate::stage::promote::analysis::guards::{Due, Guards};
use crate::stage::promote::analysis::input::{Sides, first_window, next_window};
use crate::stage::promote::analysis::windows::Side;
use crate::stage::promote::inputs::Inputs;
use crate::stage::promote::log::Phase;
use crate::stage::promote::settings::Settings;
use crate::stage::promote::target::{Abandon, Advance, Hold, ReadBack, Rollback, Version};

/// A blue/green deployment, between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum BlueGreen {
    /// Every check of the preflight passed. The template version may exist already.
    Versioning { plan: Plan },
    /// The template version exists. The alternate group may launch it already, in the size of the other one, and does so
    /// once `polls` is not 0: that many polls found it not wholly healthy. The traffic is as it was.
    Filling { rollout: Rollout, polls: u16 },
    /// The alternate group is healthy, or the step before passed. `done` listeners and rules have the weights of the step
    /// at this index of the spec, and the next one may have them.
    Shifting { rollout: Rollout, share: u8, done: u8 },
    /// Every listener and rule has the weights of the step, or `doubts` polls in a row found others. The step is judged
    /// from `since` on. At 100 % the group that served is still whole.
    Serving {
        rollout: Rollout,
        share: u8,
        since: Timestamp,
        #[serde(default)]
        doubts: u8,
    },
    /// The soak passed. `done` of the two calls that scale the group in that served were made.
    Emptying { rollout: Rollout, done: u8 },
    /// The group that served is scaled in.
    Emptied { rollout: Rollout },
    /// The deployment failed. `done` listeners and rules give all traffic to the group that served.
    Restoring { rollout: Rollout, done: u8 },
    /// Every listener and rule gave all traffic to the group that served; `polls` found otherwise. The alternate group may
    /// have been scaled in already.
    Draining { rollout: Rollout, polls: u8 },
    /// The group that served has all traffic, and the alternate group is scaled in.
    Restored { rollout: Rollout },
}

impl BlueGreen {
    /// The rollout, once the template version exists.
    #[must_use]
    pub fn rollout(&self) -> Option<&Rollout> {
        match self {
            Self::Versioning { .. } => None,
            Self::Filling { rollout, .. }
            | Self::Shifting { rollout, .. }
            | Self::Serving { rollout, .. }
            | Self::Emptying { rollout, .. }
            | Self::Emptied { rollout }
            | Self::Restoring { rollout, .. }
            | Self::Draining { rollout, .. }
            | Self::Restored { rollout } => Some(rollout),
        }
    }

    /// One step forward.
    ///
    /// # Errors
    /// A call failed.
    pub async fn advance(self, inputs: &Inputs, cx: &Cx) -> Result<Advance<Self>, StageError> {
        match self {
            Self::Versioning { plan } => {
                template_version::advance(plan, |rollout| Self::Filling { rollout, polls: 0 }, inputs, cx)
                    .await
            }
            Self::Filling { rollout, polls } => fill(rollout, polls, inputs, cx).await,
            Self::Shifting { rollout, share, done } => shift(rollout, share, done, inputs, cx).await,
            Self::Serving { rollout, share, since, doubts } => {
                serve(rollout, (share, since, doubts), inputs, cx).await
            }
            Self::Emptying { rollout, done } => empty(rollout, done, inputs, cx).await,
            done @ Self::Emptied { .. } => Ok(Advance::Done(done)),
            other @ (Self::Restoring { .. } | Self::Draining { .. } | Self::Restored { .. }) => {
                Err(wrong_direction(&other))
            }
        }
    }

    /// The state after the step, or the soak, passed.
    #[must_use]
    pub fn passed(self, settings: &Settings) -> Self {
        match self {
            Self::Serving { rollout, share, .. } if settings.percent(share) >= 100 => {
                Self::Emptying { rollout, done: 0 }
            }
            Self::Serving { rollout, share, .. } => {
                Self::Shifting { rollout, share: share.saturating_add(1), done: 0 }
            }
            other => other,
        }
    }

    /// The state from which the traffic is shifted back.
    #[must_use]
    pub fn abandon(self) -> Abandon<Self> {
        match self {
            Self::Versioning { .. } => Abandon::Nothing,
            Self::Filling { rollout, .. }
            | Self::Shifting { rollout, .. }
            | Self::Serving { rollout, .. } => Abandon::RollBack(Self::Restoring { rollout, done: 0 }),
            Self::Emptying { .. } | Self::Emptied { .. } => Abandon::TooLate(self),
            Self::Restoring { .. } | Self::Draining { .. } | Self::Restored { .. } => Abandon::RollBack(self),
        }
    }

    /// One step of the rollback.
    ///
    /// # Errors
    /// A call failed.
    pub async fn roll_back(self, inputs: Option<&Inputs>, cx: &Cx) -> Result<Rollback<Self>, StageError> {
        let rollout = match &self {
            Self::Restoring { rollout, .. } | Self::Draining { rollout, .. } => rollout.clone(),
            Self::Restored { .. } => return Ok(Rollback::Done(self, None)),
            other => return Err(wrong_direction(other)),
        };
        let found = match inputs {
            Some(inputs) => {
                let names = rollout.plan.groups(&inputs.settings);
                Some([names.old.to_owned(), names.new.to_owned()])
            }
            None => discover::pair_of(&rollout, cx).await?,
        };
        let Some([old, new]) = found else {
            let note = "no group was given the image".to_owned();
            return Ok(Rollback::Done(Self::Restored { rollout }, Some(note)));
        };
        let names = GroupNames { old: &old, new: &new };
        match self {
            Self::Restoring { done, .. } => restore(rollout, done, names, cx).await,
            Self::Draining { polls, .. } => drain(rollout, polls, names, cx).await,
            other => Err(wrong_direction(&other)),
        }
    }

    /// Reads which image the group runs that is to serve. None without inputs, which name the groups.
    ///
    /// # Errors
    /// A read failed.
    pub async fn read_back(
        &self,
        version: Version,
        inputs: Option<&Inputs>,
        cx: &Cx,
    ) -> Result<Option<ReadBack>, StageError> {
        let (Some(rollout), Some(inputs)) = (self.rollout(), inputs) else { return Ok(None) };
        let names = rollout.plan.groups(&inputs.settings);
        let image = inputs.subject.machine_image()?.image_id.as_str();
        let (group, expected) = match version {
            Version::New => (names.new, image),
            Version::Previous => (names.old, rollout.plan.old.as_str()),
        };
        read_group(&cx.aws, group, expected, image, false).await.map(Some)
    }

    /// The two sides of the comparison: the two groups, by their target groups.
    ///
    /// # Errors
    /// A read failed.
    pub async fn metric_sides(&self, inputs: &Inputs, cx: &Cx) -> Result<Option<Sides>, StageError> {
        let Some(rollout) = self.rollout() else { return Ok(None) };
        let names = rollout.plan.groups(&inputs.settings);
        let Both { pair, .. } = traffic::read(names, &cx.aws).await?;
        let side = |group: &str, arn: &str| SideNames {
            group: group.to_owned(),
            instances: Vec::new(),
            target_group: arn.rsplit(':').next().unwrap_or(arn).to_owned(),
        };
        let names = BTreeMap::from([
            (Side::Baseline, side(names.old, &pair.old)),
            (Side::Canary, side(names.new, &pair.new)),
        ]);
        let below = inputs.settings.steps.iter().filter(|percent| **percent < 100);
        let shares = below.map(|percent| f64::from(*percent) / 100.0).collect();
        Ok(Some(Sides { names, size: inputs.settings.size, shares }))
    }
}

/// Fills the alternate group with the image, and waits until every instance of it is healthy.
async fn fill(
    rollout: Rollout,
    polls: u16,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Advance<BlueGreen>, StageError> {
    let names = rollout.plan.groups(&inputs.settings);
    let Both { old, new, .. } = traffic::read(names, &cx.aws).await?;
    if let Some(why) = traffic::changed_template(&rollout, names, &old, None) {
        return Ok(Advance::Failed(BlueGreen::Filling { rollout, polls }, why));
    }
    let size = rollout.plan.size[0];
    let template = (rollout.plan.template.as_str(), rollout.to);
    let filled = launches(&new, template.0, template.1) && new.min >= size;
    // Only until an answer to the call was received: after that, a read that does not show it is stale.
    if !filled && polls == 0 {
        let max = old.max.max(new.max);
        auto_scaling::fill(&cx.aws, names.new, template, [size, max]).await?;
        let progress = progress(format!("{} is filled with {size} instances", names.new));
        return Ok(Advance::Wait(BlueGreen::Filling { rollout, polls: 1 }, POLL, progress));
    }
    let image = inputs.subject.machine_image()?.image_id.as_str();
    let missing = match FleetView::of_group(&cx.aws, new).await?.not_ready(image) {
        None if filled => return Ok(Advance::Next(BlueGreen::Shifting { rollout, share: 0, done: 0 })),
        None => "its size or template version is not what was set".to_owned(),
        Some(missing) => missing,
    };
    if polls >= MAX_POLLS {
        let failed = launch_history(&cx.aws, names.new).await?.1;
        let failed = failed.map_or(String::new(), |failed| format!("; its last failed launch: {failed}"));
        let why = format!("{} did not become healthy: {missing}{failed}", names.new);
        return Ok(Advance::Failed(BlueGreen::Filling { rollout, polls }, why));
    }
    let progress = progress(format!("waiting for {}: {missing}", names.new));
    let state = BlueGreen::Filling { rollout, polls: polls.saturating_add(1) };
    Ok(Advance::Wait(state, POLL, progress))
}

/// Sets the weights of the step, one listener or rule at a time.
async fn shift(
    rollout: Rollout,
    share: u8,
    done: u8,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Advance<BlueGreen>, StageError> {
    let both = traffic::read(rollout.plan.groups(&inputs.settings), &cx.aws).await?;
    let percent = inputs.settings.percent(share);
    if let Some(done) = traffic::set_next(&both.pair, percent, done, &cx.aws).await? {
        return Ok(Advance::Next(BlueGreen::Shifting { rollout, share, done }));
    }
    let now = cx.now();
    let since = if percent < 100 { first_window(inputs.judge()?, now) } else { now };
    Ok(Advance::Next(BlueGreen::Serving { rollout, share, since, doubts: 0 }))
}

/// One poll of a step, or of the soak.
async fn serve(
    rollout: Rollout,
    (share, since, doubts): (u8, Timestamp, u8),
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Advance<BlueGreen>, StageError> {
    let settings = &inputs.settings;
    let names = rollout.plan.groups(settings);
    let found = traffic::read(names, &cx.aws).await?;
    let percent = settings.percent(share);
    let weights = listener_weights::read(&cx.aws, &found.pair).await?;
    let changed = traffic::other_weights(&weights, &found.pair, percent)
        .map(|seen| format!("someone else changed the weights of the load balancer: {seen}"))
        .or_else(|| traffic::changed_template(&rollout, names, &found.old, Some(&found.new)));
    if let Some(why) = changed {
        let doubts = doubts.saturating_add(1);
        let state = BlueGreen::Serving { rollout, share, since, doubts };
        return Ok(if doubts >= CONFIRMATIONS {
            Advance::Failed(state, why)
        } else {
            Advance::Wait(state, POLL, progress(why))
        });
    }
    let state = BlueGreen::Serving { rollout: rollout.clone(), share, since, doubts: 0 };
    if let Some(why) = traffic::other_refresh(names, &cx.aws).await? {
        return Ok(Advance::Failed(state, why));
    }
    let now = cx.now();
    let image = inputs.subject.machine_image()?.image_id.as_str();
    let new = FleetView::of_group(&cx.aws, found.new).await?.not_ready(image);
    let mut not_ready = new.map(|what| format!("{}: {what}", names.new));
    if percent < 100 {
        let old = FleetView::of_group(&cx.aws, found.old).await?.not_ready(&rollout.plan.old);
        not_ready = not_ready.or(old.map(|what| format!("{}: {what}", names.old)));
    }
    let timing = Timing::of(settings);
    let elapsed = now.since(since).as_secs();
    let hold = Hold {
        phase: Some(if percent < 100 { Phase::Step(share) } else { Phase::Soak }),
        percent,
        place: format!("with {percent} % of the traffic on the new image"),
        doing: format!("{} has {percent} % of the traffic", names.new),
        since,
        due: due(percent, elapsed, &timing),
        guards: Guards {
            aws: cx.aws.clone(),
            alarms: settings.alarms.clone(),
            limits: settings.limits.clone(),
        },
        compare: percent < 100,
        not_ready,
        ended: None,
        poll: match &settings.judge {
            Some(judge) if percent < 100 => next_window(judge, now),
            _ => timing.again_in(),
        },
        progress: (percent.min(99), None),
    };
    Ok(Advance::Paused(state, Box::new(hold)))
}

/// Whether a decision is due so many seconds after a step began. Below 100 % the judge says for how long it may be
/// inconclusive; at 100 % nothing is left to compare, so the soak has an end.
fn due(percent: u8, elapsed: u64, timing: &Timing) -> Due {
    let length = if percent < 100 { timing.hold } else { timing.soak };
    if elapsed < length {
        Due::NotYet
    } else if percent < 100 || elapsed < length + timing.grace {
        Due::Ready
    } else {
        Due::Last
    }
}

/// Scales the group in that served: its minimum size moves to the other group, then it is emptied.
async fn empty(
    rollout: Rollout,
    done: u8,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Advance<BlueGreen>, StageError> {
    let names = rollout.plan.groups(&inputs.settings);
    let Both { old, new, .. } = traffic::read(names, &cx.aws).await?;
    let emptied = old.desired == 0 && old.min == 0;
    if emptied || done >= 2 {
        return Ok(Advance::Next(BlueGreen::Emptied { rollout }));
    }
    let summary = if done == 0 {
        // A read that does not show the template version may not show the size either.
        if new.min != old.min || !launches(&new, &rollout.plan.template, rollout.to) {
            auto_scaling::set_min_size(&cx.aws, names.new, old.min).await?;
        }
        format!("{} gets the minimum size of {}", names.new, names.old)
    } else {
        auto_scaling::scale_in(&cx.aws, names.old).await?;
        format!("{} drains", names.old)
    };
    Ok(Advance::Wait(BlueGreen::Emptying { rollout, done: done + 1 }, POLL, progress(summary)))
}

/// Gives all traffic to the group that served, one listener or rule at a time.
async fn restore(
    rollout: Rollout,
    done: u8,
    names: GroupNames<'_>,
    cx: &Cx,
) -> Result<Rollback<BlueGreen>, StageError> {
    let both = traffic::read(names, &cx.aws).await?;
    Ok(Rollback::Next(match traffic::set_next(&both.pair, 0, done, &cx.aws).await? {
        Some(done) => BlueGreen::Restoring { rollout, done },
        None => BlueGreen::Draining { rollout, polls: 0 },
    }))
}

/// Reads the weights back, and scales the group with the new image in.
async fn drain(
    rollout: Rollout,
    polls: u8,
    names: GroupNames<'_>,
    cx: &Cx,
) -> Result<Rollback<BlueGreen>, StageError> {
    let both = traffic::read(names, &cx.aws).await?;
    let weights = listener_weights::read(&cx.aws, &both.pair).await?;
    let again = polls.saturating_add(1);
    if let Some(seen) = traffic::other_weights(&weights, &both.pair, 0) {
        if again >= CONFIRMATIONS {
            return Ok(Rollback::Next(BlueGreen::Restoring { rollout, done: 0 }));
        }
        return Ok(Rollback::Wait(BlueGreen::Draining { rollout, polls: again }, POLL, progress(seen)));
    }
    if both.new.desired > 0 || both.new.min > 0 {
        auto_scaling::scale_in(&cx.aws, names.new).await?;
    } else if again < CONFIRMATIONS {
        // One read that shows an empty group may be stale.
        let progress = progress(format!("{} seems to be empty already", names.new));
        return Ok(Rollback::Wait(BlueGreen::Draining { rollout, polls: again }, POLL, progress));
    }
    Ok(Rollback::Next(BlueGreen::Restored { rollout }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soak_has_an_end_and_a_compared_step_ends_by_the_judge_alone() {
        let timing = Timing { poll: 15, grace: 120, margin: 60, hold: 60, soak: 600 };
        let table = [
            (25, 59, Due::NotYet),
            (25, 60, Due::Ready),
            (25, 9_999, Due::Ready),
            (100, 599, Due::NotYet),
            (100, 600, Due::Ready),
            (100, 719, Due::Ready),
            (100, 720, Due::Last),
        ];
        for (percent, elapsed, expected) in table {
            assert_eq!(due(percent, elapsed, &timing), expected, "{percent} % after {elapsed} s");
        }
    }
}
