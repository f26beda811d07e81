//! Helpers shared by services: errors, pagination, tags, filters, dates and number conversions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::call::ApiError;
use super::super::time::Time;

/// A resource's tags, in key order.
pub type Tags = BTreeMap<String, String>;

/// Account and Region of a resource.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub account: String,
    pub region: String,
}

impl Place {
    pub fn new(account: impl Into<String>, region: impl Into<String>) -> Self {
        Self { account: account.into(), region: region.into() }
    }

    /// Whether this is the place of this account and Region.
    #[must_use]
    pub fn holds(&self, account: &str, region: &str) -> bool {
        self.account == account && self.region == region
    }
}

/// An error of a service whose model does not list its errors (status 400 in the query protocols).
pub fn refuse(code: &str, message: impl Into<String>) -> ApiError {
    ApiError::new(code, message).with_status(400)
}

/// A tag in a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    pub key: String,
    #[serde(default)]
    pub value: Option<String>,
}

/// Adds the tags of a request to a resource's tags, replacing values of existing keys.
pub fn put_tags(into: &mut Tags, tags: &[Tag]) {
    for tag in tags {
        into.insert(tag.key.clone(), tag.value.clone().unwrap_or_default());
    }
}

/// Tags as a list of `{Key, Value}`, as every service returns them.
#[must_use]
pub fn tag_list(tags: &Tags) -> Value {
    Value::Array(tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect())
}

/// A `{Name, Values}` filter in a request: a resource must match one of the values of every filter.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Filter {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub values: Vec<String>,
}

impl Filter {
    /// Whether one of the values, with `*` and `?` as wildcards, matches the text.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        self.values.iter().any(|pattern| wildcard(pattern, text))
    }

    /// Whether the tags match this `tag:KEY` or `tag-key` filter; `None` for other filters.
    #[must_use]
    pub fn fits_tags(&self, tags: &Tags) -> Option<bool> {
        if let Some(key) = self.name.strip_prefix("tag:") {
            return Some(tags.get(key).is_some_and(|value| self.fits(value)));
        }
        (self.name == "tag-key").then(|| tags.keys().any(|key| self.fits(key)))
    }
}

/// Wildcard matching with `*` and `?`, as in EC2's filters.
#[must_use]
pub fn wildcard(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(&letter) = text.get(t) {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&wanted) if wanted == '?' || wanted == letter => {
                p += 1;
                t += 1;
            }
            _ => {
                // Backtrack: let the last star match one more character.
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                p = at + 1;
                t = from + 1;
            }
        }
    }
    pattern.get(p..).is_none_or(|rest| rest.iter().all(|c| *c == '*'))
}

/// One page of `items` and the token of the next. A token is the offset of its page.
///
/// # Errors
/// An error with this code if the token is not valid.
pub fn page<T>(
    items: Vec<T>,
    token: Option<&str>,
    size: usize,
    code: &str,
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let start = match token {
        None => 0,
        Some(token) => token
            .strip_prefix("from-")
            .and_then(|offset| offset.parse::<usize>().ok())
            .filter(|offset| *offset <= items.len())
            .ok_or_else(|| refuse(code, format!("The token '{token}' is invalid")))?,
    };
    let end = start.saturating_add(size.max(1));
    let next = (end < items.len()).then(|| format!("from-{end}"));
    Ok((items.into_iter().skip(start).take(size.max(1)).collect(), next))
}

/// Removes null members: a member without a value is absent from a response.
#[must_use]
pub fn present(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(_, member)| !member.is_null())
                .map(|(name, member)| (name, present(member)))
                .collect::<Map<String, Value>>(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(present).collect()),
        other => other,
    }
}

/// EC2's date format: `2026-01-02T03:04:05.000Z`.
#[must_use]
pub fn iso(at: Time) -> String {
    let nanos = i128::from(at.0) * 1_000_000;
    time::OffsetDateTime::from_unix_timestamp_nanos(nanos).map_or_else(
        |_| at.0.to_string(),
        |t| {
            format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
                t.year(),
                u8::from(t.month()),
                t.day(),
                t.hour(),
                t.minute(),
                t.second(),
                t.millisecond()
            )
        },
    )
}

/// Converts epoch seconds to a time.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a float cast saturates, which is right for an out-of-range date"
)]
pub fn moment(epoch_seconds: f64) -> Time {
    Time((epoch_seconds * 1000.0).round() as i64)
}

/// Converts a count to a float; counts are far below 2^53.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn float(count: usize) -> f64 {
    count as f64
}

/// `percent` percent of `of`, rounded up.
#[must_use]
pub fn percent_up(of: usize, percent: usize) -> usize {
    of.saturating_mul(percent).div_ceil(100)
}
