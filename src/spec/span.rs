//! Durations in a spec: `90s`, `15m`, `2h`, `14d`.

use std::{borrow::Cow, fmt, str::FromStr, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A whole number of seconds, minutes, hours or days, from one second to 3650 days.
///
/// `60m` equals `1h`. A span is printed in the largest unit that divides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    seconds: u32,
}

/// Why a text is not a [`Span`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// Not a number directly followed by a unit.
    #[error("`{0}` is not a duration: expected a whole number and a unit, such as 90s, 15m, 2h or 14d")]
    Shape(String),
    /// Zero, or more than [`Span::MAX`].
    #[error("`{0}` is out of bounds: expected at least 1s and at most 3650d")]
    Bounds(String),
}

impl Span {
    /// Pattern of a span, an ECMA 262 regular expression. It does not check bounds.
    pub const PATTERN: &str = "^[1-9][0-9]{0,8}[smhd]$";
    /// Form of a span, in words.
    pub const FORM: &str = "a whole number and a unit (s, m, h or d)";
    /// The longest span, ten years of 365 days.
    pub const MAX: Self = Self { seconds: 3650 * 86_400 };
    const UNITS: [(u32, char); 4] = [(86_400, 'd'), (3_600, 'h'), (60, 'm'), (1, 's')];

    /// A span of some seconds: zero becomes one second, too many become [`Span::MAX`].
    #[must_use]
    pub const fn from_secs(seconds: u32) -> Self {
        if seconds == 0 {
            Self { seconds: 1 }
        } else if seconds > Self::MAX.seconds {
            Self::MAX
        } else {
            Self { seconds }
        }
    }

    /// Length in seconds, never zero.
    #[must_use]
    pub const fn as_secs(self) -> u32 {
        self.seconds
    }

    /// Length as a [`Duration`].
    #[must_use]
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.seconds as u64)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let shape = || SpanError::Shape(text.chars().take(64).collect());
        let unit = text.chars().next_back().ok_or_else(shape)?;
        let (unit_seconds, _) =
            Self::UNITS.into_iter().find(|&(_, letter)| letter == unit).ok_or_else(shape)?;
        let digits = text.strip_suffix(unit).unwrap_or_default();
        if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(shape());
        }
        let count: u32 = digits.parse().map_err(|_| shape())?;
        let bounds = || SpanError::Bounds(text.to_owned());
        let seconds = count.checked_mul(unit_seconds).ok_or_else(bounds)?;
        if seconds == 0 || seconds > Self::MAX.seconds {
            return Err(bounds());
        }
        if digits.starts_with('0') {
            return Err(shape());
        }
        Ok(Self { seconds })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit_seconds, letter) = Self::UNITS
            .into_iter()
            .find(|&(unit_seconds, _)| self.seconds.is_multiple_of(unit_seconds))
            .unwrap_or((1, 's'));
        write!(out, "{}{letter}", self.seconds / unit_seconds)
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.as_duration()
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": format!("Duration: {}.", Self::FORM),
            "examples": ["90s", "15m", "2h", "14d"],
            "pattern": Self::PATTERN,
            "x-at-most": Self::MAX.to_string(),
        })
    }
}
