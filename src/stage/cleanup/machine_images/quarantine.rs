//! The steps that take a machine image out of use and back, derived from the image alone.
//!
//! The image itself stores how far it has come: in its state, in its deprecation and in a record in its tags of how it
//! was before. Any worker continues where another stopped, and `bakeline cleanup undo` needs nothing but the image.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::image::{Image, Protection};
use crate::engine::Timestamp;
use crate::stage::aws_view::dates;

/// The tag that holds the record: format version, time, state, protection, deprecation date and number of shares,
/// separated by spaces.
pub const RECORD_TAG: &str = "bakeline:quarantine";

/// The first word of the record.
const RECORD_VERSION: &str = "v1";

/// The tags that list whom the image was shared with: this one, and this one with `-1`, `-2` …
const SHARES_TAG: &str = "bakeline:quarantine-shares";

/// EC2's maximum length of a tag value.
const MAX_TAG_VALUE: usize = 256;

/// EC2's maximum number of tags of a resource.
const MAX_TAGS: usize = 50;

/// The maximum age of a record when the image is disabled. An older record is renewed, so that the quarantine is counted
/// from about the moment the image is disabled.
const MAX_RECORD_AGE: Duration = Duration::from_hours(1);

/// How often a protection that cools down is checked; EC2 does not say when it ends.
const COOLDOWN_CHECK: Duration = Duration::from_hours(1);

/// How an image was before its quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineRecord {
    pub recorded_on: Timestamp,
    pub state: String,
    pub protection: Protection,
    pub deprecated_on: Option<Timestamp>,
    /// Account ids, `all`, and ARNs of organizations and organizational units.
    pub shared_with: Vec<String>,
}

/// Why a record of the quarantine cannot be read or made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum RecordError {
    #[error("the tag {RECORD_TAG} does not begin with {RECORD_VERSION}")]
    Version,
    #[error(
        "the tag {RECORD_TAG} does not have six words: version, time, state, protection, deprecation, shares"
    )]
    Words,
    #[error("the tag {RECORD_TAG} has no date where its time belongs")]
    Time,
    #[error("the tag {RECORD_TAG} has no date where its deprecation belongs")]
    Deprecation,
    #[error("the tag {RECORD_TAG} names another number of shares than the tags {SHARES_TAG} list")]
    ShareCount,
    #[error("who may launch the image was not read")]
    SharesUnread,
    #[error("the image has no room for the tags {SHARES_TAG} beside its own: EC2 allows {MAX_TAGS}")]
    TooManyTags,
}

/// A step towards removal, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RemovalStep {
    /// Write the image's state, launch permissions and protection into its tags.
    Mark,
    /// Deprecate it: searches omit it, launches continue.
    Deprecate,
    /// Disable it: no instance can be launched from it, and EC2 ends its shares.
    Disable,
    /// Deregister it and delete its snapshots.
    Deregister,
}

/// What is due for an image that nothing keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Step(RemovalStep),
    /// Nothing before this time.
    Wait {
        until: Timestamp,
    },
}

/// A step that restores an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UndoStep {
    Enable,
    /// Set the deprecation to this date, or remove it.
    SetDeprecation(Option<Timestamp>),
    /// Let these launch it again.
    Share(Vec<String>),
    Protect {
        with_cooldown: bool,
    },
    /// Remove the record: the image is as it was.
    RemoveRecord,
}

/// A text that names no step.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a removal step; use mark, deprecate, disable or deregister")]
pub struct UnknownStep {
    pub text: String,
}

impl RemovalStep {
    pub const ALL: [Self; 4] = [Self::Mark, Self::Deprecate, Self::Disable, Self::Deregister];

    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mark => "mark",
            Self::Deprecate => "deprecate",
            Self::Disable => "disable",
            Self::Deregister => "deregister",
        }
    }
}

impl fmt::Display for RemovalStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for RemovalStep {
    type Err = UnknownStep;

    fn from_str(text: &str) -> Result<Self, UnknownStep> {
        let found = Self::ALL.into_iter().find(|step| step.name() == text);
        found.ok_or_else(|| UnknownStep { text: text.to_owned() })
    }
}

/// The next step for an image that nothing keeps. `quarantine` is how long it stays disabled.
///
/// # Errors
/// Its record is damaged.
pub fn next(image: &Image, quarantine: Duration, now: Timestamp) -> Result<Next, RecordError> {
    let Some(record) = image.quarantine_record()? else { return Ok(Next::Step(RemovalStep::Mark)) };
    if image.state == "available" {
        let step = if now.since(record.recorded_on) > MAX_RECORD_AGE {
            RemovalStep::Mark
        } else if image.is_deprecated(now.plus(MAX_RECORD_AGE)) {
            RemovalStep::Disable
        } else {
            RemovalStep::Deprecate
        };
        return Ok(Next::Step(step));
    }
    let until = record.recorded_on.plus(quarantine);
    Ok(if now < until {
        Next::Wait { until }
    } else if image.protection == Protection::CoolingDown {
        Next::Wait { until: now.plus(COOLDOWN_CHECK) }
    } else {
        Next::Step(RemovalStep::Deregister)
    })
}

/// The next step that restores an image. Shares are added only if the image's launch permissions were read.
#[must_use]
pub fn next_undo(image: &Image, record: &QuarantineRecord, now: Timestamp) -> UndoStep {
    if image.state == "disabled" && record.state != "disabled" {
        return UndoStep::Enable;
    }
    // EC2 accepts no past date; the quarantine did not change the date of an image that was deprecated before.
    let due = record.deprecated_on.filter(|at| *at > now);
    let same_minute = |a: Timestamp, b: Timestamp| a.0.div_euclid(60) == b.0.div_euclid(60);
    match (image.deprecated_on, record.deprecated_on) {
        (Some(_), None) => return UndoStep::SetDeprecation(None),
        (is, Some(_)) if due.is_some_and(|due| is.is_none_or(|is| !same_minute(is, due))) => {
            return UndoStep::SetDeprecation(due);
        }
        _ => {}
    }
    if let Some(shared_with) = &image.shared_with {
        let missing = record.shared_with.iter().filter(|one| !shared_with.contains(one));
        let missing: Vec<String> = missing.cloned().collect();
        if !missing.is_empty() {
            return UndoStep::Share(missing);
        }
    }
    match (record.protection, image.protection) {
        (Protection::On { with_cooldown }, Protection::Off | Protection::CoolingDown) => {
            UndoStep::Protect { with_cooldown }
        }
        _ => UndoStep::RemoveRecord,
    }
}

impl Image {
    /// How the image was before its quarantine; `None` if it is not in quarantine.
    ///
    /// # Errors
    /// The quarantine tags are damaged.
    pub fn quarantine_record(&self) -> Result<Option<QuarantineRecord>, RecordError> {
        QuarantineRecord::parse(&self.tags)
    }
}

impl QuarantineRecord {
    /// The record to write: how the image is now, or how its existing record says it was.
    ///
    /// # Errors
    /// Its record is damaged, its launch permissions were not read, or the tags do not fit beside its own.
    pub fn of(image: &Image, now: Timestamp) -> Result<Self, RecordError> {
        if let Some(before) = image.quarantine_record()? {
            return Ok(Self { recorded_on: now, ..before });
        }
        let record = Self {
            recorded_on: now,
            state: image.state.clone(),
            protection: image.protection,
            deprecated_on: image.deprecated_on,
            shared_with: image.shared_with.clone().ok_or(RecordError::SharesUnread)?,
        };
        if record.tags().len() + image.tags.len() > MAX_TAGS {
            return Err(RecordError::TooManyTags);
        }
        Ok(record)
    }

    /// The record as tags.
    #[must_use]
    pub fn tags(&self) -> BTreeMap<String, String> {
        let (at, state, protection) = (self.recorded_on, &self.state, self.protection.name());
        let deprecated = self.deprecated_on.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let text =
            format!("{RECORD_VERSION} {at} {state} {protection} {deprecated} {}", self.shared_with.len());
        let mut tags = BTreeMap::from([(RECORD_TAG.to_owned(), text)]);
        let mut value = String::new();
        let mut values = Vec::new();
        for share in &self.shared_with {
            if !value.is_empty() && value.len() + 1 + share.len() > MAX_TAG_VALUE {
                values.push(std::mem::take(&mut value));
            }
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str(share);
        }
        if !value.is_empty() {
            values.push(value);
        }
        tags.extend(values.into_iter().enumerate().map(|(index, value)| (shares_tag(index), value)));
        tags
    }

    /// Parses the record from an image's tags; `None` if there is none.
    ///
    /// # Errors
    /// The tags are damaged.
    pub fn parse(tags: &BTreeMap<String, String>) -> Result<Option<Self>, RecordError> {
        let Some(text) = tags.get(RECORD_TAG) else { return Ok(None) };
        let words: Vec<&str> = text.split(' ').collect();
        if words.first() != Some(&RECORD_VERSION) {
            return Err(RecordError::Version);
        }
        let &[_, at, state, protection, deprecated, count] = words.as_slice() else {
            return Err(RecordError::Words);
        };
        let deprecated_on = match deprecated {
            "-" => None,
            date => Some(dates::parse(date).ok_or(RecordError::Deprecation)?),
        };
        let shared_with: Vec<String> = (0..MAX_TAGS)
            .map_while(|index| tags.get(&shares_tag(index)))
            .flat_map(|value| value.split(' ').map(str::to_owned))
            .collect();
        if count.parse() != Ok(shared_with.len()) {
            return Err(RecordError::ShareCount);
        }
        Ok(Some(Self {
            recorded_on: dates::parse(at).ok_or(RecordError::Time)?,
            state: state.to_owned(),
            protection: Protection::of(Some(protection)),
            deprecated_on,
            shared_with,
        }))
    }

    /// Whether a tag belongs to a record.
    #[must_use]
    pub fn is_record_tag(tag: &str) -> bool {
        tag == RECORD_TAG || tag.starts_with(SHARES_TAG)
    }
}

fn shares_tag(index: usize) -> String {
    if index == 0 { SHARES_TAG.to_owned() } else { format!("{SHARES_TAG}-{index}") }
}
