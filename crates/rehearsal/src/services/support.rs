//! Shared parts of several services: errors, pagination, tags, filters, dates and number conversions.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::call::ApiError;
use super::super::time::Time;

/// A resource's tags, in key order.
pub type Tags = BTreeMap<String, String>;

/// Account and Region: what every resource belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub account: String,
    pub region: String,
}

impl Place {
    pub fn new(account: impl Into<String>, region: impl Into<String>) -> Self {
        Self { account: account.into(), region: region.into() }
    }

    /// Whether something with this account and Region lies here.
    #[must_use]
    pub fn holds(&self, account: &str, region: &str) -> bool {
        self.account == account && self.region == region
    }
}

/// A refusal of a service whose errors the model does not list (the query protocols answer 400).
pub fn refuse(code: &str, message: impl Into<String>) -> ApiError {
    ApiError::new(code, message).with_status(400)
}

/// One `{Key, Value}` of a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    pub key: String,
    #[serde(default)]
    pub value: Option<String>,
}

/// Enters request tags into a resource's tags; a later value replaces an earlier one.
pub fn put_tags(into: &mut Tags, tags: &[Tag]) {
    for tag in tags {
        into.insert(tag.key.clone(), tag.value.clone().unwrap_or_default());
    }
}

/// Tags as the list of `{Key, Value}` every service answers.
#[must_use]
pub fn tag_list(tags: &Tags) -> Value {
    Value::Array(tags.iter().map(|(key, value)| json!({ "Key": key, "Value": value })).collect())
}

/// One `{Name, Values}` filter of a request: the values are alternatives, filters add up.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Filter {
    #[serde(default)]
    pub name: String,
    #[serde(default)]
    pub values: Vec<String>,
}

impl Filter {
    /// Whether one of the values, with `*` and `?` as wildcards, fits the text.
    #[must_use]
    pub fn fits(&self, text: &str) -> bool {
        self.values.iter().any(|pattern| wildcard(pattern, text))
    }

    /// Judges the filters every taggable resource knows: `tag:KEY` and `tag-key`. `None` for other names.
    #[must_use]
    pub fn fits_tags(&self, tags: &Tags) -> Option<bool> {
        if let Some(key) = self.name.strip_prefix("tag:") {
            return Some(tags.get(key).is_some_and(|value| self.fits(value)));
        }
        (self.name == "tag-key").then(|| tags.keys().any(|key| self.fits(key)))
    }
}

/// Shell-like matching with `*` and `?`, as EC2's filters do it.
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
                // Let the last star swallow one letter more.
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
/// `code` when the token was not one of ours.
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

/// Drops members that are null: a model member that has no value is absent.
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

/// `2026-01-02T03:04:05.000Z`, the form of EC2's date strings.
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

/// A moment given in epoch seconds.
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a float cast saturates, which is what a hostile date deserves"
)]
pub fn moment(epoch_seconds: f64) -> Time {
    Time((epoch_seconds * 1000.0).round() as i64)
}

/// A count as a float; counts here stay far below 2^53.
#[must_use]
#[allow(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub fn float(count: usize) -> f64 {
    count as f64
}

/// `percent` per cent of `of`, rounded up.
#[must_use]
pub fn percent_up(of: usize, percent: usize) -> usize {
    of.saturating_mul(percent).div_ceil(100)
}
