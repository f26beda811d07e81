//! Instance refresh: its states, and the decisions of each reconciliation.

mod status;

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::cloudwatch::{AlarmState, alarm_state};
use super::super::support::percent_up;
use super::config::Config;
use super::groups::Group;
use super::keeping::is_ready;
use super::members::{Lifecycle, MadeBy, Member};
use super::preferences::{Preferences, Reluctant};
use super::rolling::Situation;

pub use status::Status;

/// The time that a refresh is `Pending` before it begins.
const BEGINS_AFTER: Duration = Duration::from_secs(2);
/// A refresh without progress for this long fails.
const STALLS_AFTER: Duration = Duration::from_hours(1);
/// The maximum duration of a refresh.
const LONGEST: Duration = Duration::from_hours(14 * 24);

/// An instance refresh.
#[derive(Clone, Debug)]
pub struct Refresh {
    pub id: String,
    pub status: Status,
    pub reason: Option<String>,
    pub entered: Time,
    pub started: Option<Time>,
    pub ended: Option<Time>,
    /// `None` if the refresh replaces instances without changing the group's configuration.
    pub desired: Option<Config>,
    /// The number of instances to replace, at the start.
    pub total: usize,
    /// The number of replaced instances whose replacements are in service and warmed up.
    pub completed: usize,
    pub rollback: Option<Rollback>,
    pub(super) preferences: Preferences,
    /// The configuration to refresh to; `saved` is the one to roll back to.
    pub(super) goal: Config,
    pub(super) saved: Config,
    /// Ignored alarms: in ALARM at the start and ever since.
    pub(super) excused: BTreeSet<String>,
    pub(super) next_checkpoint: usize,
    pub(super) hold_until: Option<Time>,
    pub(super) bake_until: Option<Time>,
    pub(super) progress_at: Time,
    /// Whether the process `InstanceRefresh` was suspended at the last reconciliation.
    pub(super) paused: bool,
    pub(super) wait_for_transitions: bool,
}

/// `RollbackDetails`, with the data for the rollback's progress.
#[derive(Clone, Debug)]
pub struct Rollback {
    pub reason: String,
    pub started: Time,
    pub percent: usize,
    pub to_update: usize,
    /// The number of instances to roll back at the start; `left` is the number remaining.
    pub total: usize,
    pub left: usize,
}

/// The changes that a refresh requests from its group.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// The target number of live instances.
    pub target: usize,
    pub terminate: Vec<String>,
    pub look_again: Option<Time>,
}

impl Wish {
    fn again(&mut self, at: Time) {
        self.look_again = Some(self.look_again.map_or(at, |planned| planned.min(at)));
    }
}

/// Advances the active refresh, if there is one.
pub(super) fn step(world: &World, group: &mut Group, now: Time) -> Wish {
    let mut wish = Wish { target: group.desired, ..Wish::default() };
    if let Some(mut refresh) = group.refreshes.pop_if(|r| r.status.is_active()) {
        refresh.look(world, group, now, &mut wish);
        group.refreshes.push(refresh);
    }
    wish
}

impl Refresh {
    /// The configuration of instances launched while this refresh is active.
    pub(super) fn launches_from(&self) -> &Config {
        match self.status {
            Status::RollbackInProgress | Status::Cancelling => &self.saved,
            _ => &self.goal,
        }
    }

    /// The `MadeBy` of instances launched while this refresh is active.
    pub(super) fn makes(&self) -> Option<MadeBy> {
        let back = match self.status {
            Status::Pending | Status::InProgress | Status::Baking => false,
            Status::RollbackInProgress => true,
            _ => return None,
        };
        Some(MadeBy { refresh: self.id.clone(), back })
    }

    pub(super) fn watches_alarms(&self) -> bool {
        !self.preferences.alarms.is_empty()
    }

    /// `PercentageComplete`: rises towards 100, and falls back towards 0 during a rollback.
    pub(super) fn percent(&self) -> usize {
        match &self.rollback {
            Some(rollback) if self.status != Status::RollbackFailed || rollback.total > 0 => {
                (rollback.percent * rollback.left).checked_div(rollback.total).unwrap_or(0)
            }
            _ => (self.completed * 100).checked_div(self.total).unwrap_or(match self.status {
                Status::Successful | Status::Baking => 100,
                _ => 0,
            }),
        }
    }

    pub(super) fn to_update(&self) -> usize {
        self.rollback.as_ref().map_or(self.total - self.completed.min(self.total), |r| r.left)
    }

    fn look(&mut self, world: &World, group: &mut Group, now: Time, wish: &mut Wish) {
        if self.status == Status::Pending {
            let begin = self.entered + BEGINS_AFTER;
            if now < begin {
                wish.again(begin);
                return;
            }
            self.begin(world, group, now);
        }
        if let Some(alarm) = self.ringing(world, group) {
            self.fail(group, now, format!("The alarm {alarm} went into the ALARM state."));
        }
        match self.status {
            Status::InProgress | Status::RollbackInProgress => self.roll(world, group, now, wish),
            Status::Baking => match self.bake_until {
                Some(until) if now < until => wish.again(until),
                _ => self.succeed(group, now),
            },
            Status::Cancelling => {
                let moving = group.members.values().any(|m| m.lifecycle == Lifecycle::Pending);
                if !moving || !self.wait_for_transitions {
                    self.end(Status::Cancelled, now, "Cancelled due to user request.");
                }
            }
            _ => {}
        }
    }

    fn begin(&mut self, world: &World, group: &Group, now: Time) {
        self.status = Status::InProgress;
        self.started = Some(now);
        self.progress_at = now;
        self.total = group.members.values().filter(|m| self.is_stale(world, group, m)).count();
    }

    /// The alarm that fails the refresh. Alarms are not watched during a rollback.
    fn ringing(&mut self, world: &World, group: &Group) -> Option<String> {
        if !matches!(self.status, Status::InProgress | Status::Baking) {
            return None;
        }
        let rings = |name: &String| alarm_state(world, &group.place, name) == Some(AlarmState::Alarm);
        self.excused.retain(&rings);
        self.preferences.alarms.iter().find(|name| rings(name) && !self.excused.contains(*name)).cloned()
    }

    /// Whether the refresh, or its rollback, must replace this instance.
    fn is_stale(&self, world: &World, group: &Group, member: &Member) -> bool {
        if member.lifecycle == Lifecycle::Terminating {
            return false;
        }
        let ours =
            |back: bool| member.made_by.as_ref().is_some_and(|m| m.refresh == self.id && m.back == back);
        if self.status == Status::RollbackInProgress {
            return ours(false);
        }
        let ignored = (member.protected && self.preferences.protected == Reluctant::Ignore)
            || (member.lifecycle == Lifecycle::Standby && self.preferences.standby == Reluctant::Ignore);
        let matches = || self.preferences.skip_matching && matches_goal(world, group, &self.goal, member);
        !(ours(false) || ignored || matches())
    }

    /// Whether the refresh waits for a stale instance: it is protected or in standby, and the preference is `Wait`.
    fn waits_for(&self, member: &Member) -> bool {
        (member.protected && self.preferences.protected == Reluctant::Wait)
            || (member.lifecycle == Lifecycle::Standby && self.preferences.standby == Reluctant::Wait)
    }

    fn roll(&mut self, world: &World, group: &mut Group, now: Time, wish: &mut Wish) {
        if group.suspends("InstanceRefresh") {
            self.paused = true;
            wish.target = group.desired.max(group.live());
            return;
        }
        if std::mem::take(&mut self.paused) {
            // The time of a suspension does not count as time without progress.
            self.progress_at = now;
        }
        if let Some(hold) = self.hold_until {
            if now < hold {
                wish.again(hold);
                return;
            }
            self.hold_until = None;
            self.reason = None;
            self.progress_at = now;
            if self.next_checkpoint >= self.preferences.checkpoints.len() {
                // The last checkpoint is below 100: the remaining instances are not replaced.
                self.complete(group, now, wish);
                return;
            }
        }
        let view = self.survey(world, group, now, wish);
        // Warm-up does not count as time without progress, unless an instance never completes it.
        let stalled = self.progress_at + STALLS_AFTER + self.preferences.warmup;
        if now >= stalled || self.started.is_some_and(|s| now >= s + LONGEST) {
            self.fail(group, now, view.stalled_because());
            wish.again(now + BEGINS_AFTER);
            return;
        }
        wish.again(stalled);
        if view.now.stale <= view.now.keep && view.unready == 0 && view.now.live >= group.desired {
            if view.now.stale == 0 || self.preferences.checkpoints.is_empty() {
                self.complete(group, now, wish);
            } else {
                self.reach_checkpoint(view.now.stale, now, wish);
            }
            return;
        }
        if group.suspends("Launch") || group.suspends("Terminate") {
            wish.target = group.desired.max(group.live());
            return;
        }
        let next = self.preferences.limits.next(view.now);
        wish.terminate.extend(view.stale_unready.into_iter().take(next.terminate_unready));
        wish.terminate.extend(view.stale_ready.into_iter().take(next.terminate_ready));
        wish.target = next.target;
    }

    /// Counts the group's instances and records progress.
    fn survey(&mut self, world: &World, group: &Group, now: Time, wish: &mut Wish) -> View {
        let mut view = View::default();
        let mut order: Vec<&Member> = group.members.values().collect();
        order.sort_by_key(|m| (m.joined, &m.id));
        for member in order {
            let ready = is_ready(world, group, member, self.preferences.warmup, now);
            view.now.ready += usize::from(ready);
            view.now.live += usize::from(member.is_live());
            if self.is_stale(world, group, member) {
                view.now.stale += 1;
                if self.waits_for(member) {
                    view.waiting += 1;
                } else if ready {
                    view.stale_ready.push(member.id.clone());
                } else {
                    view.stale_unready.push(member.id.clone());
                }
            } else if member.is_live() && self.makes() == member.made_by && !ready {
                view.unready += 1;
                let warm = member.in_service.map(|since| since + self.preferences.warmup);
                if let Some(warm) = warm.filter(|warm| *warm > now) {
                    wish.again(warm);
                }
            }
        }
        view.now.desired = group.desired;
        view.now.stale_ready = view.stale_ready.len();
        view.now.stale_unready = view.stale_unready.len();
        if let Some(rollback) = &mut self.rollback {
            if view.now.stale < rollback.left {
                self.progress_at = now;
            }
            rollback.left = view.now.stale.min(rollback.total);
        } else {
            let completed = self.total.saturating_sub(view.now.stale).saturating_sub(view.unready);
            if completed > self.completed {
                self.completed = completed;
                self.progress_at = now;
            }
            let checkpoint = self.preferences.checkpoints.get(self.next_checkpoint);
            view.now.keep = checkpoint.map_or(0, |percent| self.total - percent_up(self.total, *percent));
        }
        view
    }

    fn reach_checkpoint(&mut self, stale: usize, now: Time, wish: &mut Wish) {
        let done = self.total - stale.min(self.total);
        let checkpoints = &self.preferences.checkpoints;
        let mut reached = 0;
        while let Some(percent) =
            checkpoints.get(self.next_checkpoint).filter(|p| percent_up(self.total, **p) <= done)
        {
            reached = *percent;
            self.next_checkpoint += 1;
        }
        let hold = now + self.preferences.checkpoint_delay;
        self.hold_until = Some(hold);
        self.reason = Some(format!(
            "The checkpoint at {reached}% has been reached. Waiting for {} seconds before continuing.",
            self.preferences.checkpoint_delay.as_secs()
        ));
        wish.again(hold);
    }

    /// Ends the refresh or rollback: every instance is replaced.
    fn complete(&mut self, group: &mut Group, now: Time, wish: &mut Wish) {
        if self.status == Status::RollbackInProgress {
            self.end(
                Status::RollbackSuccessful,
                now,
                "The group was rolled back to its previous configuration.",
            );
        } else if self.preferences.bake.is_zero() {
            self.succeed(group, now);
        } else {
            let until = now + self.preferences.bake;
            self.status = Status::Baking;
            self.bake_until = Some(until);
            wish.again(until);
        }
    }

    /// Marks the refresh successful. The group adopts the desired configuration only now.
    fn succeed(&mut self, group: &mut Group, now: Time) {
        if let Some(desired) = &self.desired {
            group.config = desired.clone();
        }
        self.status = Status::Successful;
        self.reason = None;
        self.ended = Some(now);
    }

    fn end(&mut self, status: Status, now: Time, reason: &str) {
        self.status = status;
        self.reason = Some(reason.to_owned());
        self.ended = Some(now);
        self.hold_until = None;
    }

    /// Fails the refresh, or starts the rollback if `AutoRollback` is on.
    fn fail(&mut self, group: &Group, now: Time, reason: String) {
        if self.status == Status::RollbackInProgress {
            self.end(Status::RollbackFailed, now, &reason);
        } else if self.preferences.auto_rollback {
            self.turn_back(group, now, reason);
        } else {
            self.end(Status::Failed, now, &reason);
        }
    }

    /// Starts the rollback. The caller has checked that the refresh can be rolled back.
    pub(super) fn turn_back(&mut self, group: &Group, now: Time, reason: String) {
        let made = Some(MadeBy { refresh: self.id.clone(), back: false });
        let total = group
            .members
            .values()
            .filter(|m| m.lifecycle != Lifecycle::Terminating && m.made_by == made)
            .count();
        self.rollback = Some(Rollback {
            percent: self.percent(),
            to_update: self.to_update(),
            reason: reason.clone(),
            started: now,
            total,
            left: total,
        });
        self.status = Status::RollbackInProgress;
        self.reason = Some(reason);
        self.hold_until = None;
        self.progress_at = now;
    }
}

/// The observed state of the group.
#[derive(Debug)]
struct View {
    now: Situation,
    /// The number of live instances of this refresh or rollback that are not ready yet.
    unready: usize,
    /// The number of stale instances that the refresh waits for.
    waiting: usize,
    stale_ready: Vec<String>,
    stale_unready: Vec<String>,
}

impl Default for View {
    fn default() -> Self {
        let now =
            Situation { desired: 0, live: 0, ready: 0, stale: 0, stale_ready: 0, stale_unready: 0, keep: 0 };
        Self { now, unready: 0, waiting: 0, stale_ready: Vec::new(), stale_unready: Vec::new() }
    }
}

impl View {
    fn stalled_because(&self) -> String {
        if self.waiting > 0 {
            format!(
                "The refresh waited one hour for {} instance(s) that are in standby or protected from scale in.",
                self.waiting
            )
        } else {
            format!(
                "The refresh made no progress for one hour: {} new instance(s) not healthy, {} still to replace.",
                self.unready, self.now.stale
            )
        }
    }
}

/// Whether an instance already matches the configuration of the refresh.
fn matches_goal(world: &World, group: &Group, goal: &Config, member: &Member) -> bool {
    let Ok(resolved) = goal.launch_spec(world, &group.place) else { return false };
    let kind = resolved.spec.instance_type.as_ref().is_none_or(|kind| *kind == member.instance_type);
    kind && resolved.template == member.template && goal.launch_configuration == member.launch_configuration
}
