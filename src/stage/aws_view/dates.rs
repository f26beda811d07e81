//! Dates as AWS's text members and bakeline's tags write them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::engine::Timestamp;

/// Parses an RFC 3339 date; `None` if the text is none.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(Timestamp(date.unix_timestamp()))
}
