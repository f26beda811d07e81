//! Conversions shared by protocols: percent encoding, base64, dates, integers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Number, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// Decodes `%41`-style escapes; `+` is a space only in forms.
#[must_use]
pub fn percent_decode(text: &str, form: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' if form => bytes.push(b' '),
            b'%' => {
                let digits = rest.clone().take(2).map(hex_digit).collect::<Option<Vec<u8>>>();
                if let Some([high, low]) = digits.as_deref() {
                    bytes.push(high * 16 + low);
                    rest.nth(1);
                } else {
                    bytes.push(b'%');
                }
            }
            other => bytes.push(other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// The pairs of a query string or form, decoded.
#[must_use]
pub fn pairs(encoded: &str) -> Vec<(String, String)> {
    encoded
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (percent_decode(name, true), percent_decode(value, true)))
        .collect()
}

#[must_use]
pub fn base64_encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

#[must_use]
pub fn base64_decode(encoded: &str) -> Option<Vec<u8>> {
    STANDARD.decode(encoded).ok()
}

/// Parses an RFC 3339 date of a query request to epoch seconds.
#[must_use]
pub fn parse_date(text: &str) -> Option<f64> {
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    #[allow(clippy::cast_precision_loss, reason = "the milliseconds of any plausible date fit into 53 bits")]
    let milliseconds = (date.unix_timestamp_nanos() / 1_000_000) as f64;
    Some(milliseconds / 1000.0)
}

/// Formats an RFC 3339 date with milliseconds, as query services return it.
#[must_use]
pub fn format_date(epoch_seconds: f64) -> Option<String> {
    let with_millis =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    date_time(epoch_seconds)?.format(with_millis).ok()
}

/// Formats a date for the HTTP `Date` header (RFC 9110, 5.6.7).
#[must_use]
pub fn http_date(epoch_seconds: f64) -> Option<String> {
    let imf = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    date_time(epoch_seconds)?.format(imf).ok()
}

/// Converts epoch seconds to a date, rounded to the millisecond.
#[must_use]
pub fn date_time(epoch_seconds: f64) -> Option<OffsetDateTime> {
    let milliseconds = (epoch_seconds * 1000.0).round();
    #[allow(clippy::cast_possible_truncation, reason = "checked to lie within the range just before")]
    let milliseconds = (milliseconds.abs() < 1e15).then_some(milliseconds as i128)?;
    OffsetDateTime::from_unix_timestamp_nanos(milliseconds * 1_000_000).ok()
}

/// A JSON number, an integer if possible; null if JSON cannot represent it.
#[must_use]
pub fn number(value: f64) -> Value {
    Number::from_f64(value).map_or(Value::Null, Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_escapes_are_decoded_and_invalid_ones_kept() {
        for (encoded, form, plain) in [
            ("a%20b", false, "a b"),
            ("a+b", false, "a+b"),
            ("a+b", true, "a b"),
            ("%c3%A4", false, "ä"),
            ("100%", false, "100%"),
            ("%zz%4", false, "%zz%4"),
        ] {
            assert_eq!(percent_decode(encoded, form), plain);
        }
    }

    #[test]
    fn dates_round_trip() {
        let at = 1_700_000_000.25;
        assert_eq!(format_date(at).as_deref(), Some("2023-11-14T22:13:20.250Z"));
        assert_eq!(parse_date("2023-11-14T22:13:20.250Z"), Some(at));
        assert_eq!(parse_date("yesterday"), None);
        assert_eq!(http_date(at).as_deref(), Some("Tue, 14 Nov 2023 22:13:20 GMT"));
        assert_eq!(format_date(f64::NAN), None);
        assert_eq!(format_date(1e300), None);
    }
}
