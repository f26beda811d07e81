//! Metric alarms and their evaluation each minute.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{Place, Tags};
use super::MINUTE_MS;
use super::composite::Rule;
use super::query::{Query, series};

/// The state of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmState {
    Ok,
    Alarm,
    InsufficientData,
}

impl AlarmState {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }

    /// Parses the name of a state.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Ok, Self::Alarm, Self::InsufficientData].into_iter().find(|s| s.name() == name)
    }
}

/// An alarm.
#[derive(Clone, Debug)]
pub struct Alarm {
    pub name: String,
    pub state: AlarmState,
    pub reason: String,
    pub updated: Time,
    pub transitioned: Time,
    pub configured: Time,
    /// A state that a fixture holds the alarm in, regardless of its metric.
    pub held: Option<AlarmState>,
    /// The request's members, as describe calls return them.
    pub(super) members: Value,
    pub(super) tags: Tags,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Metric(Box<Watch>),
    Composite(Rule),
}

/// The condition of a metric alarm.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    pub queries: Vec<Query>,
    /// The id of the query that the alarm evaluates.
    pub watched: String,
    /// In seconds.
    pub period: i64,
    pub evaluation_periods: usize,
    pub datapoints_to_alarm: usize,
    pub comparison: Comparison,
    pub threshold: f64,
    pub missing: Missing,
    /// Values of past periods by their start: a cache.
    pub windows: BTreeMap<i64, Option<f64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Comparison {
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "GreaterThanThreshold" => Self::Greater,
            "GreaterThanOrEqualToThreshold" => Self::GreaterOrEqual,
            "LessThanThreshold" => Self::Less,
            "LessThanOrEqualToThreshold" => Self::LessOrEqual,
            _ => return None,
        })
    }

    fn breaches(self, value: f64, threshold: f64) -> bool {
        match self {
            Self::Greater => value > threshold,
            Self::GreaterOrEqual => value >= threshold,
            Self::Less => value < threshold,
            Self::LessOrEqual => value <= threshold,
        }
    }
}

/// `TreatMissingData`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// `missing`: missing datapoints are unknown.
    Unknown,
    Ignore,
    Breaching,
    NotBreaching,
}

impl Missing {
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "missing" => Self::Unknown,
            "ignore" => Self::Ignore,
            "breaching" => Self::Breaching,
            "notBreaching" => Self::NotBreaching,
            _ => return None,
        })
    }
}

/// The number of datapoints read beyond the evaluation periods, to replace missing ones.
const LOOKED_BACK: usize = 2;

impl Alarm {
    pub(super) fn forget_windows(&mut self) {
        if let Kind::Metric(watch) = &mut self.kind {
            watch.windows.clear();
        }
    }
}

/// Evaluates an alarm from its latest datapoints, newest first, including missing ones. Returns `None` to keep the
/// state. As in CloudWatch, real datapoints in the evaluation range are used first; the treatment of missing data
/// applies only if there are too few.
pub(super) fn judge(
    points: &[Option<bool>],
    evaluation_periods: usize,
    datapoints_to_alarm: usize,
    missing: Missing,
) -> Option<AlarmState> {
    let real: Vec<bool> = points.iter().flatten().copied().take(evaluation_periods).collect();
    let breaching = real.iter().filter(|b| **b).count();
    let lacking = evaluation_periods - real.len();
    let decide = |alarm: bool| Some(if alarm { AlarmState::Alarm } else { AlarmState::Ok });
    if lacking == 0 || breaching >= datapoints_to_alarm {
        return decide(breaching >= datapoints_to_alarm);
    }
    match missing {
        Missing::Breaching => decide(breaching + lacking >= datapoints_to_alarm),
        Missing::NotBreaching => decide(false),
        Missing::Unknown if real.is_empty() => Some(AlarmState::InsufficientData),
        // Only real datapoints decide: ALARM if every one of them breaches.
        Missing::Unknown => decide(breaching == real.len()),
        Missing::Ignore if breaching < real.len() => decide(false),
        Missing::Ignore => None,
    }
}

/// Evaluates every alarm at the end of a minute. Returns whether any state changed.
pub(super) fn evaluate_all(world: &mut World, at: Time) -> bool {
    let keys: Vec<(Place, String)> = world.cloudwatch.alarms.keys().cloned().collect();
    let mut changed = false;
    for key in &keys {
        let Some(alarm) = world.cloudwatch.alarms.get(key) else { continue };
        if let (None, Kind::Metric(watch)) = (alarm.held, &alarm.kind) {
            let (fresh, verdict) = look(world, &key.0, watch, at);
            let Some(alarm) = world.cloudwatch.alarms.get_mut(key) else { continue };
            if let Kind::Metric(watch) = &mut alarm.kind {
                watch.windows.extend(fresh);
                let oldest = at.0 - MINUTE_MS - watch.span();
                watch.windows = watch.windows.split_off(&oldest);
            }
            if let Some(state) = verdict {
                changed |= alarm.enter(state, at, "Threshold evaluated");
            }
        }
    }
    changed | evaluate_composites(world, at)
}

/// Evaluates composite alarms when their children change, repeatedly, since they may be children themselves.
pub(super) fn evaluate_composites(world: &mut World, at: Time) -> bool {
    let mut changed = false;
    for _ in 0..world.cloudwatch.alarms.len() {
        let verdicts: Vec<((Place, String), AlarmState)> = world
            .cloudwatch
            .alarms
            .iter()
            .filter_map(|(key, alarm)| match (&alarm.kind, alarm.held) {
                (Kind::Composite(rule), None) => {
                    let holds = rule.holds(&|name: &str| alarm_state(world, &key.0, name));
                    Some((key.clone(), if holds { AlarmState::Alarm } else { AlarmState::Ok }))
                }
                _ => None,
            })
            .collect();
        let mut again = false;
        for (key, state) in verdicts {
            if let Some(alarm) = world.cloudwatch.alarms.get_mut(&key) {
                again |= alarm.enter(state, at, "Children evaluated");
            }
        }
        changed |= again;
        if !again {
            break;
        }
    }
    changed
}

impl Watch {
    /// The length of the evaluation range in milliseconds.
    fn span(&self) -> i64 {
        let windows = i64::try_from(self.evaluation_periods + LOOKED_BACK).unwrap_or(i64::MAX);
        windows.saturating_mul(self.period.max(60)).saturating_mul(1000)
    }
}

/// Computes the values of new periods and evaluates the alarm.
fn look(
    world: &World,
    here: &Place,
    watch: &Watch,
    at: Time,
) -> (BTreeMap<i64, Option<f64>>, Option<AlarmState>) {
    let step = watch.period.max(60) * 1000;
    let mut fresh = BTreeMap::new();
    let mut points = Vec::with_capacity(watch.evaluation_periods + LOOKED_BACK);
    let mut start = at.0;
    for _ in 0..watch.evaluation_periods + LOOKED_BACK {
        start -= step;
        let value = if let Some(value) = watch.windows.get(&start) {
            *value
        } else {
            let values = series(world, here, &watch.queries, &watch.watched, &[start], step / 1000);
            let value = values.ok().and_then(|v| v.get(&start).copied());
            fresh.insert(start, value);
            value
        };
        points.push(value.map(|v| watch.comparison.breaches(v, watch.threshold)));
    }
    (fresh, judge(&points, watch.evaluation_periods, watch.datapoints_to_alarm, watch.missing))
}

impl Alarm {
    /// Sets the state. Returns whether it changed.
    pub(super) fn enter(&mut self, state: AlarmState, at: Time, reason: &str) -> bool {
        if self.state == state {
            return false;
        }
        self.state = state;
        self.updated = at;
        self.transitioned = at;
        self.reason = format!("{reason}: the alarm is now {}", state.name());
        true
    }
}

/// The state of an alarm by name or ARN; `None` if it does not exist.
pub fn alarm_state(world: &World, here: &Place, name: &str) -> Option<AlarmState> {
    let name = name.split_once(":alarm:").map_or(name, |(_, name)| name);
    world.cloudwatch.alarms.get(&(here.clone(), name.to_owned())).map(|alarm| alarm.state)
}
