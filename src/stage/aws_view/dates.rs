//! Dates as AWS's text members and bakeline's tags write them.

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use crate::engine::Timestamp;

/// Parses an RFC 3339 date; `None` if the text is none.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(Timestamp(date.unix_timestamp()))
}

/// Parses a date without a time, such as `2026-12-31`, or an RFC 3339 date: its end. A day ends at midnight UTC.
#[must_use]
pub fn end_of(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let day = Date::parse(text, format_description!("[year]-[month]-[day]")).ok();
    match day {
        Some(day) => Some(Timestamp(day.next_day()?.midnight().assume_utc().unix_timestamp())),
        None => parse(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_utc_and_a_moment_when_it_is() {
        for (text, end) in [
            ("2025-12-31", parse("2026-01-01T00:00:00Z")),
            (" 2024-02-28 ", parse("2024-02-29T00:00:00Z")),
            ("2025-12-31T12:00:00+01:00", parse("2025-12-31T11:00:00Z")),
            ("2025-02-30", None),
            ("2025-12", None),
            ("forever", None),
            ("true", None),
            ("", None),
        ] {
            assert_eq!(end_of(text), end, "{text:?}");
        }
    }
}
