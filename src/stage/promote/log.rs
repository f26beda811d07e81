//! The decisions of a promotion, small enough to travel in a continuation token.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::evidence::predicate::Verdict;

/// Where in an instance refresh a decision was made. The order is that of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// No checkpoint is reached yet.
    Before,
    /// The checkpoint at this place in the spec is reached.
    At(u8),
    /// Everything is replaced; the whole fleet is watched.
    Bake,
    /// In the wave at this place in the spec.
    Wave(u8),
}

/// An alarm's state, as one letter in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmLetter {
    Ok,
    Alarm,
    InsufficientData,
    /// The alarm no longer exists.
    Gone,
    /// The alarms could not be read.
    Unread,
}

impl AlarmLetter {
    const ALL: [(Self, char, &'static str); 5] = [
        (Self::Ok, 'O', "OK"),
        (Self::Alarm, 'A', "ALARM"),
        (Self::InsufficientData, 'I', "INSUFFICIENT_DATA"),
        (Self::Gone, 'G', "GONE"),
        (Self::Unread, 'U', "UNREAD"),
    ];

    /// The state as `CloudWatch` writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(state, ..)| *state == self).map_or("UNREAD", |(_, _, name)| name)
    }

    fn letter(self) -> char {
        Self::ALL.iter().find(|(state, ..)| *state == self).map_or('U', |(_, letter, _)| *letter)
    }

    fn of(letter: char) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == letter).map(|(state, ..)| *state)
    }
}

/// What a metric came to: the mean of its datapoints since the hold began, to six digits, which is the number
/// the judgement was made on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// None when there was no datapoint, or not all that should be there could be read.
    pub value: Option<f64>,
    pub samples: u32,
}

impl Number {
    /// Rounds to the six digits that are judged and recorded. What is not finite is no number.
    #[must_use]
    pub fn rounded(value: Option<f64>, samples: u32) -> Self {
        let value =
            value.filter(|value| value.is_finite()).and_then(|value| format!("{value:.5e}").parse().ok());
        Self { value, samples }
    }
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Entry {
    pub phase: Phase,
    /// The share of the fleet on the new image, 0 to 100.
    pub percent: u8,
    pub verdict: Verdict,
    /// Seconds since the promotion began.
    pub after: u32,
    /// In the order of the spec.
    pub alarms: Vec<AlarmLetter>,
    /// In the order of the spec; none when a later decision needed the room.
    pub numbers: Option<Vec<Number>>,
}

impl fmt::Display for Entry {
    /// `25:30:c:1800:OO:0.35x12,-x0`: phase, percent, verdict, seconds, alarms, numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase {
            Phase::Before => write!(f, "-")?,
            Phase::At(index) => write!(f, "{index}")?,
            Phase::Bake => write!(f, "b")?,
            Phase::Wave(index) => write!(f, "w{index}")?,
        }
        let verdict = match self.verdict {
            Verdict::Continue => 'c',
            Verdict::Wait => 'w',
            Verdict::RollBack => 'r',
        };
        write!(f, ":{}:{verdict}:{}:", self.percent, self.after)?;
        for alarm in &self.alarms {
            write!(f, "{}", alarm.letter())?;
        }
        let Some(numbers) = &self.numbers else { return f.write_str(":~") };
        for (index, number) in numbers.iter().enumerate() {
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
        if numbers.is_empty() { f.write_str(":") } else { Ok(()) }
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
            "b" => Phase::Bake,
            wave if wave.starts_with('w') => {
                let index = wave.strip_prefix('w').unwrap_or_default();
                Phase::Wave(index.parse().map_err(|_| refuse())?)
            }
            index => Phase::At(index.parse().map_err(|_| refuse())?),
        };
        let percent = next()?.parse().map_err(|_| refuse())?;
        let verdict = match next()? {
            "c" => Verdict::Continue,
            "w" => Verdict::Wait,
            "r" => Verdict::RollBack,
            _ => return Err(refuse()),
        };
        let after = next()?.parse().map_err(|_| refuse())?;
        let alarms = next()?.chars().map(AlarmLetter::of).collect::<Option<_>>().ok_or_else(refuse)?;
        let numbers = match next()? {
            "~" => None,
            "" => Some(Vec::new()),
            list => Some(list.split(',').map(number).collect::<Option<_>>().ok_or_else(refuse)?),
        };
        if parts.next().is_some() {
            return Err(refuse());
        }
        Ok(Self { phase, percent, verdict, after, alarms, numbers })
    }
}

fn number(text: &str) -> Option<Number> {
    let (value, samples) = text.split_once('x')?;
    let value = match value {
        "-" => None,
        value => Some(value.parse().ok().filter(|value: &f64| value.is_finite())?),
    };
    Some(Number { value, samples: samples.parse().ok()? })
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
    /// Room for the log in a token, in bytes of JSON: 22 decisions on ten alarms without their numbers fit.
    pub const ROOM: usize = 860;

    /// Adds a decision. When the log outgrows its room, the oldest numbers go; the decisions stay.
    pub fn push(&mut self, entry: Entry) {
        self.0.push(entry);
        while self.length() > Self::ROOM {
            let Some(oldest) = self.0.iter_mut().find(|entry| entry.numbers.is_some()) else { break };
            oldest.numbers = None;
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
