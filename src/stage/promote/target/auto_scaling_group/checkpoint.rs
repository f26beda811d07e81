//! The checkpoints of an instance refresh: which one is reached, and when it is judged. Pure.

use serde::{Deserialize, Serialize};

use super::timing::Timing;
use crate::engine::Timestamp;
use crate::stage::promote::analysis::guards::Due;
use crate::stage::promote::log::Phase;
use crate::stage::promote::settings::Settings;

/// The checkpoint that an instance refresh has reached, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointWatch {
    pub phase: Phase,
    /// The phase began at this moment or later: AWS's delay is counted from here.
    pub since: Timestamp,
    /// The phase began at this moment or earlier: datapoints count from here.
    pub seen: Timestamp,
    /// The analysis let the deployment continue past this phase.
    pub judged: bool,
    /// The last poll.
    pub polled: Timestamp,
}

/// How far the refresh is, as AWS reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshProgress {
    /// Replacing instances, or holding at a checkpoint; `PercentageComplete`.
    To(u8),
    /// Every instance is replaced, and AWS's `BakeTime` runs.
    Soaking,
    /// The refresh ended as successful.
    Ended,
}

impl CheckpointWatch {
    /// The watch at the start of a refresh.
    #[must_use]
    pub fn begin(now: Timestamp) -> Self {
        Self { phase: Phase::Before, since: now, seen: now, judged: false, polled: now }
    }

    /// The last phase that `progress` has reached.
    #[must_use]
    pub fn position(settings: &Settings, progress: RefreshProgress) -> Phase {
        match progress {
            RefreshProgress::Soaking | RefreshProgress::Ended => Phase::Soak,
            RefreshProgress::To(percent) => {
                let reached = settings.steps.iter().rposition(|checkpoint| percent >= *checkpoint);
                // The spec has at most 20 checkpoints.
                reached.and_then(|index| u8::try_from(index).ok()).map_or(Phase::Before, Phase::Step)
            }
        }
    }

    /// The watch after another poll. A phase is followed by the next one only once it was judged, or had nothing to judge.
    #[must_use]
    pub fn advance(self, settings: &Settings, progress: RefreshProgress, now: Timestamp) -> Self {
        let position = Self::position(settings, progress);
        if position <= self.phase || !(self.judged || self.phase == Phase::Before) {
            return Self { polled: now, ..self };
        }
        let alone = Timing::of(settings).soak_has_enough_datapoints(&settings.limits);
        let seen = match (position, progress) {
            (Phase::Soak, _) if !alone => self.seen,
            // The soak began and ended between two polls: the datapoints since the last poll must do.
            (_, RefreshProgress::Ended) => self.polled,
            _ => now,
        };
        Self { phase: position, since: self.polled, seen, judged: false, polled: now }
    }

    /// The watch after its phase was judged and continues.
    #[must_use]
    pub fn passed(self, settings: &Settings, now: Timestamp) -> Self {
        let last = matches!(self.phase, Phase::Step(index) if usize::from(index) + 1 == settings.steps.len());
        let keeps = last && !Timing::of(settings).soak_has_enough_datapoints(&settings.limits);
        Self { judged: true, seen: if keeps { self.seen } else { now }, ..self }
    }

    /// Whether a decision on the phase is due.
    #[must_use]
    pub fn due(&self, settings: &Settings, progress: RefreshProgress, now: Timestamp) -> Due {
        if self.judged || self.phase == Phase::Before {
            return Due::NotYet;
        }
        let timing = Timing::of(settings);
        let length = if self.phase == Phase::Soak { timing.soak } else { timing.hold };
        let gone = Self::position(settings, progress) > self.phase || progress == RefreshProgress::Ended;
        if gone || now.since(self.since).as_secs() >= length + timing.grace {
            Due::Last
        } else if now.since(self.seen).as_secs() >= length {
            Due::Ready
        } else {
            Due::NotYet
        }
    }

    /// Seconds until the next poll that can change something, at most [`Timing::poll`].
    #[must_use]
    pub fn next_poll(&self, settings: &Settings, now: Timestamp) -> u64 {
        let timing = Timing::of(settings);
        if self.judged || self.phase == Phase::Before {
            return timing.poll;
        }
        let length = if self.phase == Phase::Soak { timing.soak } else { timing.hold };
        let held = now.since(self.seen).as_secs();
        if held < length { (length - held).min(timing.poll) } else { timing.poll }.max(1)
    }
}
