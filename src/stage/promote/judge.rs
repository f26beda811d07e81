//! The judgement of a promotion: pure functions of the spec, what was seen, and the time.

use serde::{Deserialize, Serialize};

use super::log::{AlarmLetter, Number, Phase};
use super::pace::Pace;
use crate::engine::Timestamp;
use crate::evidence::predicate::Verdict;
use crate::spec::{GroupPromotion, Limit};

/// The numbers and alarms of one look, in the order of the spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    pub alarms: Vec<AlarmLetter>,
    pub numbers: Vec<Number>,
}

/// What a look says of the fleet, whatever the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Every alarm is OK and every metric keeps its bounds with enough datapoints.
    Good,
    /// Something is wrong, each thing in a sentence.
    Bad(Vec<String>),
    /// Nothing is wrong, and something is not known.
    Unknown(Vec<String>),
}

/// Whether a verdict is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The hold has not passed.
    NotYet,
    /// The hold has passed; missing data may still come.
    Ripe,
    /// The last look before the refresh goes on by itself, or a look after it did.
    Final,
}

/// Holds a look against the spec.
#[must_use]
pub fn find(promote: &GroupPromotion, look: &Look) -> Finding {
    let (mut bad, mut unknown) = (Vec::new(), Vec::new());
    for (index, name) in promote.alarms.iter().enumerate() {
        match look.alarms.get(index).copied().unwrap_or(AlarmLetter::Unread) {
            AlarmLetter::Ok => {}
            AlarmLetter::Alarm => bad.push(format!("the alarm {name} is in ALARM")),
            AlarmLetter::InsufficientData => unknown.push(format!("the alarm {name} has insufficient data")),
            AlarmLetter::Gone => unknown.push(format!("the alarm {name} no longer exists")),
            AlarmLetter::Unread => unknown.push(format!("the alarm {name} could not be read")),
        }
    }
    for (index, metric) in promote.limits.iter().enumerate() {
        let number = look.numbers.get(index).copied().unwrap_or(Number { value: None, samples: 0 });
        match (number.value, number.samples >= metric.min_datapoints) {
            (Some(value), true) => bad.extend(breach(metric, value)),
            (Some(_), false) => unknown.push(format!(
                "{} has {} of the {} datapoints it needs",
                metric.name, number.samples, metric.min_datapoints
            )),
            (None, _) => unknown.push(format!("{} has no complete data", metric.name)),
        }
    }
    if !bad.is_empty() {
        Finding::Bad(bad)
    } else if !unknown.is_empty() {
        Finding::Unknown(unknown)
    } else {
        Finding::Good
    }
}

/// How a value leaves its metric's bounds. A value that is not a number keeps none.
#[must_use]
pub fn breach(metric: &Limit, value: f64) -> Option<String> {
    let name = &metric.name;
    match (metric.max, metric.min) {
        (Some(most), _) if value.is_nan() || value > most => {
            Some(format!("{name} is {value}; at most {most} passes"))
        }
        (_, Some(least)) if value.is_nan() || value < least => {
            Some(format!("{name} is {value}; at least {least} passes"))
        }
        _ => None,
    }
}

/// What follows from a finding at a time.
#[must_use]
pub fn verdict(finding: &Finding, due: Due) -> Verdict {
    match (finding, due) {
        (Finding::Bad(_), _) | (Finding::Unknown(_), Due::Final) => Verdict::RollBack,
        (Finding::Good, Due::Ripe | Due::Final) => Verdict::Continue,
        (Finding::Good, Due::NotYet) | (Finding::Unknown(_), Due::NotYet | Due::Ripe) => Verdict::Wait,
    }
}

/// A finding in one sentence.
#[must_use]
pub fn reason(finding: &Finding) -> String {
    match finding {
        Finding::Good => "every alarm is OK and every metric keeps its bounds".to_owned(),
        Finding::Bad(what) => what.join("; "),
        Finding::Unknown(what) => {
            format!("inconclusive, and nothing is promoted on missing data: {}", what.join("; "))
        }
    }
}

/// Where a watched refresh stands, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    pub phase: Phase,
    /// The phase began no earlier than this: when AWS's delay ends is reckoned from here.
    pub since: Timestamp,
    /// The phase began no later than this: datapoints count from here.
    pub seen: Timestamp,
    /// The phase was let on.
    pub judged: bool,
    /// The last look.
    pub looked: Timestamp,
}

/// How far AWS says the refresh has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progressed {
    /// Replacing instances, or holding at a checkpoint; `PercentageComplete`.
    To(u8),
    /// Everything is replaced and the bake time runs.
    Baking,
    /// The refresh has ended as successful.
    Over,
}

impl Watch {
    /// At the start of a refresh.
    #[must_use]
    pub fn begin(now: Timestamp) -> Self {
        Self { phase: Phase::Before, since: now, seen: now, judged: false, looked: now }
    }

    /// The furthest phase that `progress` has reached.
    #[must_use]
    pub fn position(promote: &GroupPromotion, progress: Progressed) -> Phase {
        match progress {
            Progressed::Baking | Progressed::Over => Phase::Bake,
            Progressed::To(percent) => {
                let reached = promote.steps.iter().rposition(|checkpoint| percent >= *checkpoint);
                // The spec has at most 20 checkpoints.
                reached.and_then(|index| u8::try_from(index).ok()).map_or(Phase::Before, Phase::At)
            }
        }
    }

    /// The watch after another look: a phase that was let on, or had nothing to judge, gives way to the next.
    #[must_use]
    pub fn advance(self, promote: &GroupPromotion, progress: Progressed, now: Timestamp) -> Self {
        let position = Self::position(promote, progress);
        if position <= self.phase || !(self.judged || self.phase == Phase::Before) {
            return Self { looked: now, ..self };
        }
        let alone = Pace::of(promote).bake_stands_alone(&promote.limits);
        let seen = match (position, progress) {
            (Phase::Bake, _) if !alone => self.seen,
            // The bake time came and went between two looks: what was measured since the last one must do.
            (_, Progressed::Over) => self.looked,
            _ => now,
        };
        Self { phase: position, since: self.looked, seen, judged: false, looked: now }
    }

    /// The watch once its phase is let on.
    #[must_use]
    pub fn let_on(self, promote: &GroupPromotion, now: Timestamp) -> Self {
        let last =
            matches!(self.phase, Phase::At(index) if usize::from(index) + 1 == promote.steps.len());
        let keeps = last && !Pace::of(promote).bake_stands_alone(&promote.limits);
        Self { judged: true, seen: if keeps { self.seen } else { now }, ..self }
    }

    /// Whether a verdict on the phase is due.
    #[must_use]
    pub fn due(&self, promote: &GroupPromotion, progress: Progressed, now: Timestamp) -> Due {
        if self.judged || self.phase == Phase::Before {
            return Due::NotYet;
        }
        let pace = Pace::of(promote);
        let length = if self.phase == Phase::Bake { pace.bake } else { pace.hold };
        let gone = Self::position(promote, progress) > self.phase || progress == Progressed::Over;
        if gone || now.since(self.since).as_secs() >= length + pace.grace {
            Due::Final
        } else if now.since(self.seen).as_secs() >= length {
            Due::Ripe
        } else {
            Due::NotYet
        }
    }

    /// Seconds until the next look that can change something, at most `look`.
    #[must_use]
    pub fn next_look(&self, promote: &GroupPromotion, now: Timestamp) -> u64 {
        let pace = Pace::of(promote);
        if self.judged || self.phase == Phase::Before {
            return pace.look;
        }
        let length = if self.phase == Phase::Bake { pace.bake } else { pace.hold };
        let held = now.since(self.seen).as_secs();
        if held < length { (length - held).min(pace.look) } else { pace.look }.max(1)
    }
}
