//! Durations in scenario files: `42ms`, `40s`, `25m`, `2h`, `7d`.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

/// A whole number of milliseconds, seconds, minutes, hours or days, from zero to 3650 days.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Span {
    milliseconds: u64,
}

/// The error of a text that is not a [`Span`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    #[error("`{0}` is not a duration: expected a whole number and a unit, such as 42ms, 40s, 25m, 2h or 7d")]
    Shape(String),
    #[error("`{0}` is too long: expected at most 3650d")]
    TooLong(String),
}

impl Span {
    const PATTERN: &str = "^(0|[1-9][0-9]{0,11})(ms|s|m|h|d)$";
    const MAX_MILLISECONDS: u64 = 3650 * 86_400_000;
    /// The units, longest first: `ms` must be tried before `m` and `s`.
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self {
            milliseconds: if milliseconds > Self::MAX_MILLISECONDS {
                Self::MAX_MILLISECONDS
            } else {
                milliseconds
            },
        }
    }

    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self::from_millis(seconds.saturating_mul(1_000))
    }

    #[must_use]
    pub const fn from_mins(minutes: u64) -> Self {
        Self::from_millis(minutes.saturating_mul(60_000))
    }

    /// The same length as a [`Duration`].
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let shape = || SpanError::Shape(text.chars().take(64).collect());
        let (digits, unit) = Self::UNITS
            .into_iter()
            .find_map(|(unit, milliseconds)| text.strip_suffix(unit).map(|digits| (digits, milliseconds)))
            .ok_or_else(shape)?;
        let leading_zero = digits.len() > 1 && digits.starts_with('0');
        if digits.is_empty() || leading_zero || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(shape());
        }
        let too_long = || SpanError::TooLong(text.chars().take(64).collect());
        let count: u64 = digits.parse().map_err(|_| too_long())?;
        match count.checked_mul(unit) {
            Some(milliseconds) if milliseconds <= Self::MAX_MILLISECONDS => Ok(Self { milliseconds }),
            _ => Err(too_long()),
        }
    }
}

impl TryFrom<String> for Span {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        text.parse()
    }
}

impl From<Span> for Duration {
    fn from(span: Span) -> Self {
        span.duration()
    }
}

impl fmt::Display for Span {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let largest = Self::UNITS.into_iter().rev().find(|(_, unit)| self.milliseconds.is_multiple_of(*unit));
        let (name, unit) = largest.filter(|_| self.milliseconds > 0).unwrap_or(("s", 1_000));
        write!(out, "{}{name}", self.milliseconds / unit)
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A length of time: a whole number and a unit (ms, s, m, h or d).",
            "examples": ["42ms", "40s", "25m", "2h", "7d"],
            "pattern": Self::PATTERN,
        })
    }
}

/// A [`Span`], or the word `never`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum SpanOrNever {
    After(Span),
    Never,
}

impl SpanOrNever {
    /// The duration; `None` for `never`.
    #[must_use]
    pub fn duration(self) -> Option<Duration> {
        match self {
            Self::After(span) => Some(span.duration()),
            Self::Never => None,
        }
    }
}

impl TryFrom<String> for SpanOrNever {
    type Error = SpanError;

    fn try_from(text: String) -> Result<Self, SpanError> {
        if text == "never" { Ok(Self::Never) } else { text.parse().map(Self::After) }
    }
}

impl fmt::Display for SpanOrNever {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(span) => span.fmt(out),
            Self::Never => out.write_str("never"),
        }
    }
}

impl JsonSchema for SpanOrNever {
    fn schema_name() -> Cow<'static, str> {
        "SpanOrNever".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let span = generator.subschema_for::<Span>();
        json_schema!({ "anyOf": [span, { "const": "never" }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_prints_in_the_largest_unit_that_divides_it() {
        for (text, printed) in [
            ("42ms", "42ms"),
            ("60s", "1m"),
            ("25m", "25m"),
            ("48h", "2d"),
            ("0s", "0s"),
            ("1500ms", "1500ms"),
        ] {
            assert_eq!(text.parse::<Span>().map(|span| span.to_string()), Ok(printed.to_owned()), "{text}");
        }
    }

    #[test]
    fn invalid_durations_are_rejected() {
        for text in ["", "5", "m", "5 m", "-1s", "05m", "5M", "1.5h", "never", "5mm"] {
            assert_eq!(text.parse::<Span>(), Err(SpanError::Shape(text.into())), "{text}");
        }
        for text in ["3651d", "99999999999999999999s"] {
            assert_eq!(text.parse::<Span>(), Err(SpanError::TooLong(text.into())), "{text}");
        }
    }

    #[test]
    fn never_is_accepted_where_it_is_allowed() {
        assert_eq!(SpanOrNever::try_from("never".to_owned()), Ok(SpanOrNever::Never));
        assert_eq!(SpanOrNever::try_from("2s".to_owned()), Ok(SpanOrNever::After(Span::from_secs(2))));
        assert!(SpanOrNever::try_from("always".to_owned()).is_err());
    }
}
