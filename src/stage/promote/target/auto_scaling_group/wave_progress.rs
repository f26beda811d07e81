//! The progress of a wave: when its groups are updated, and when a decision on it is due. Pure.
//!
//! The token names no group: the spec's order, two counters and the state of the few groups under way are enough.

use serde::{Deserialize, Serialize};

use super::progress::{CONFIRMATIONS, MAX_POLLS};
use super::timing::Timing;
use crate::engine::Timestamp;
use crate::stage::aws_view::instance_refreshes::{Refresh, Status};
use crate::stage::promote::analysis::guards::Due;
use crate::stage::promote::settings::Settings;

/// The progress of a promotion in its waves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaveProgress {
    /// Index of the wave in the spec.
    pub wave: u8,
    /// Groups before this wave, the first one included.
    pub before: u16,
    /// Groups of the wave that were seen wholly on the image, in the order of the spec.
    pub done: u16,
    /// Groups of the wave whose refresh was started. That of the next group may have been.
    pub begun: u16,
    /// The last poll at which everything was known and healthy; at first, the beginning of the wave.
    pub good: Timestamp,
    /// Since when the whole wave is on the image, and holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Timestamp>,
    /// Polls in a row that found the whole wave on the image.
    pub seen: u8,
    /// Polls in a row that found a group not ready, and nothing under way that would change that.
    pub polls: u16,
}

impl WaveProgress {
    /// At the beginning of a wave that `before` groups precede.
    #[must_use]
    pub fn at(wave: u8, before: u16, now: Timestamp) -> Self {
        Self { wave, before, done: 0, begun: 0, good: now, whole: None, seen: 0, polls: 0 }
    }

    /// Groups that may have been given the image, the first one included.
    #[must_use]
    pub fn reached(&self) -> u16 {
        self.before.saturating_add(self.begun).saturating_add(1)
    }

    /// The moment from which datapoints count: since the whole wave holds, or the length of a hold before now.
    #[must_use]
    pub fn since(&self, settings: &Settings, now: Timestamp) -> Timestamp {
        let hold = i64::try_from(Timing::of(settings).hold).unwrap_or(i64::MAX);
        self.whole.unwrap_or(Timestamp(now.0.saturating_sub(hold)))
    }

    /// Whether a decision on the wave is due.
    #[must_use]
    pub fn due(&self, settings: &Settings, now: Timestamp) -> Due {
        let timing = Timing::of(settings);
        let since = |then: Timestamp| now.since(then).as_secs();
        let due = match self.whole {
            Some(whole) if since(whole) >= timing.hold + timing.grace => Due::Last,
            Some(whole) if since(whole) >= timing.hold => Due::Ready,
            // AWS continues past a checkpoint after hold, grace and margin: the refresh is stopped before that.
            None if since(self.good) >= timing.hold + timing.grace => Due::Blind,
            _ => Due::NotYet,
        };
        match due {
            // A wave passes only after it was seen whole often enough, however long it holds.
            Due::Ready if self.seen < CONFIRMATIONS => Due::NotYet,
            Due::Last if self.seen < CONFIRMATIONS => Due::Blind,
            due => due,
        }
    }

    /// The progress after a poll of a wave of `size` groups. `found`: the groups under way by name, in the order of the
    /// spec; once the wave is whole, those that are not ready.
    #[must_use]
    pub fn after(mut self, size: u16, found: &[(&str, GroupProgress)], now: Timestamp) -> WavePoll {
        if let Some((name, why)) = found.iter().find_map(|(name, progress)| match progress {
            GroupProgress::Failed(why) => Some((name, why)),
            GroupProgress::Updated | GroupProgress::Updating | GroupProgress::NotReady(_) => None,
        }) {
            return WavePoll::Failed(format!("{name}: {why}"));
        }
        let not_ready = found.iter().find_map(|(name, progress)| match progress {
            GroupProgress::NotReady(what) => Some(format!("{name}: {what}")),
            GroupProgress::Updated | GroupProgress::Updating | GroupProgress::Failed(_) => None,
        });
        self.polls = if not_ready.is_some() { self.polls.saturating_add(1) } else { 0 };
        if let Some(what) = not_ready.as_ref().filter(|_| self.polls >= MAX_POLLS) {
            return WavePoll::Failed(format!("a group is not wholly on the image and healthy: {what}"));
        }
        if self.whole.is_some() {
            self.seen = if not_ready.is_some() { 0 } else { self.seen.saturating_add(1) };
            return WavePoll::Continue(self, not_ready.unwrap_or_else(|| "the whole wave holds".to_owned()));
        }
        let updated = found.iter().take_while(|(_, progress)| *progress == GroupProgress::Updated).count();
        self.done = self.done.saturating_add(u16::try_from(updated).unwrap_or(u16::MAX));
        if self.done >= size {
            self.whole = Some(now);
        }
        let updating = found.iter().filter(|(_, progress)| *progress == GroupProgress::Updating).count();
        WavePoll::Continue(self, not_ready.unwrap_or_else(|| format!("{updating} groups under way")))
    }
}

/// The result of a poll of a wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WavePoll {
    /// The progress after the poll, and what the wave does, for people.
    Continue(WaveProgress, String),
    /// A group does not get to the new image, for this reason.
    Failed(String),
}

/// The progress of one group of a wave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupProgress {
    /// Wholly on the image, and healthy.
    Updated,
    /// Its instance refresh is under way.
    Updating,
    /// Not wholly on the image, or not healthy, and nothing is under way that would change that.
    NotReady(String),
    /// It does not get to the image.
    Failed(String),
}

/// The progress of a group, from its newest refresh, and from why its fleet is not ready when no refresh is under way.
#[must_use]
pub fn group_progress(
    newest: Option<&Refresh>,
    not_ready: Option<String>,
    began: Timestamp,
) -> GroupProgress {
    let Some(not_ready) = not_ready else { return GroupProgress::Updated };
    // A refresh that ended before this promotion began says nothing of it. A pending one has no start time yet.
    let recent =
        |refresh: &&Refresh| refresh.started >= began.0 || refresh.started == 0 && !refresh.status.is_over();
    match newest.filter(recent) {
        Some(refresh) => match refresh.status {
            Status::Pending | Status::InProgress | Status::Baking | Status::Unknown => {
                GroupProgress::Updating
            }
            Status::Successful => GroupProgress::NotReady(not_ready),
            Status::Cancelling
            | Status::RollbackInProgress
            | Status::Failed
            | Status::Cancelled
            | Status::RollbackSuccessful
            | Status::RollbackFailed => {
                let reason = &refresh.reason;
                GroupProgress::Failed(format!("AWS ended its refresh ({}): {reason}", refresh.status.name()))
            }
        },
        None => GroupProgress::NotReady(not_ready),
    }
}
