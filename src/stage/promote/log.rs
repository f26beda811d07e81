//! The log of decisions, small enough to travel in a continuation token.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::evidence::predicate::DecisionAction;
use crate::stage::aws_view::alarms::AlarmState;
use crate::stage::aws_view::metric_data::MetricValue;

/// The phase of a deployment in which a decision was made. The order is that of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Before the first step.
    Before,
    /// The step at this index of the spec is reached.
    Step(u8),
    /// Every unit runs the new version: the soak.
    Soak,
    /// The wave at this index of the spec.
    Wave(u8),
}

impl Phase {
    /// The phase in words: `at the step of 25 %`.
    #[must_use]
    pub fn place(self, settings: &Settings) -> String {
        match self {
            Self::Before => "before the first step".to_owned(),
            Self::Step(index) => format!("at the step of {} %", settings.percent(index)),
            Self::Soak => "in the soak".to_owned(),
            Self::Wave(index) => format!("in wave {}", u16::from(index) + 1),
        }
    }
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Entry {
    pub phase: Phase,
    /// The share of units or traffic on the new version, 0 to 100.
    pub percent: u8,
    pub action: DecisionAction,
    /// Seconds since the promotion began.
    pub after: u32,
    /// In the order of the spec.
    pub alarms: Vec<AlarmState>,
    /// In the order of the spec; none when a later decision needed the room.
    pub values: Option<Vec<MetricValue>>,
}

impl fmt::Display for Entry {
    /// `25:30:c:1800:OO:0.35x12,-x0`: phase, percent, action, seconds, alarms, values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase {
            Phase::Before => write!(f, "-")?,
            Phase::Step(index) => write!(f, "{index}")?,
            Phase::Soak => write!(f, "s")?,
            Phase::Wave(index) => write!(f, "w{index}")?,
        }
        let action = match self.action {
            DecisionAction::Continue => 'c',
            DecisionAction::Wait => 'w',
            DecisionAction::RollBack => 'r',
        };
        write!(f, ":{}:{action}:{}:", self.percent, self.after)?;
        for alarm in &self.alarms {
            write!(f, "{}", alarm.letter())?;
        }
        let Some(values) = &self.values else { return f.write_str(":~") };
        for (index, number) in values.iter().enumerate() {
            f.write_str(if index == 0 { ":" } else { "," })?;
            match number.value {
                Some(value) => {
                    let (plain, scientific) = (format!("{value}"), format!("{value:e}"));
                    f.write_str(if plain.len() <= scientific.len() { &plain } else { &scientific })?;
                }
                None => f.write_str("-")?,
            }
            write!(f, "x{}", number.samples)?;
        }
        if values.is_empty() { f.write_str(":") } else { Ok(()) }
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = || format!("`{text}` is not a decision");
        let mut parts = text.split(':');
        let mut next = || parts.next().ok_or_else(refuse);
        let phase = match next()? {
            "-" => Phase::Before,
            "s" => Phase::Soak,
            wave if wave.starts_with('w') => {
                let index = wave.strip_prefix('w').unwrap_or_default();
                Phase::Wave(index.parse().map_err(|_| refuse())?)
            }
            index => Phase::Step(index.parse().map_err(|_| refuse())?),
        };
        let percent = next()?.parse().map_err(|_| refuse())?;
        let action = match next()? {
            "c" => DecisionAction::Continue,
            "w" => DecisionAction::Wait,
            "r" => DecisionAction::RollBack,
            _ => return Err(refuse()),
        };
        let after = next()?.parse().map_err(|_| refuse())?;
        let alarms = next()?.chars().map(AlarmState::of).collect::<Option<_>>().ok_or_else(refuse)?;
        let values = match next()? {
            "~" => None,
            "" => Some(Vec::new()),
            list => Some(list.split(',').map(number).collect::<Option<_>>().ok_or_else(refuse)?),
        };
        if parts.next().is_some() {
            return Err(refuse());
        }
        Ok(Self { phase, percent, action, after, alarms, values })
    }
}

fn number(text: &str) -> Option<MetricValue> {
    let (value, samples) = text.split_once('x')?;
    let value = match value {
        "-" => None,
        value => Some(value.parse().ok().filter(|value: &f64| value.is_finite())?),
    };
    Some(MetricValue { value, samples: samples.parse().ok()? })
}

impl From<Entry> for String {
    fn from(entry: Entry) -> Self {
        entry.to_string()
    }
}

impl TryFrom<String> for Entry {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// The decisions so far, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Log(Vec<Entry>);

impl Log {
    /// Room for the log in a token, in bytes of JSON: 20 decisions on ten alarms fit without their values.
    pub const ROOM: usize = 660;

    /// Adds a decision. When the log is longer than its room, the oldest values are removed; the decisions stay.
    pub fn push(&mut self, entry: Entry) {
        self.0.push(entry);
        while self.length() > Self::ROOM {
            let Some(oldest) = self.0.iter_mut().find(|entry| entry.values.is_some()) else { break };
            oldest.values = None;
        }
        while self.length() > Self::ROOM && self.0.len() > 1 {
            self.0.remove(0);
        }
    }

    /// Bytes of JSON: every entry in quotes with a comma, in brackets. No character of an entry is escaped.
    fn length(&self) -> usize {
        self.0.iter().map(|entry| entry.to_string().len() + 3).sum::<usize>() + 1
    }

    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.0
    }
}
