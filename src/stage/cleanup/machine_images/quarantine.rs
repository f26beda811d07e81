//! The way out of use, and back: which step is next for an image, told from the image alone.
//!
//! How far an image has come is written on the image: its state, its deprecation, and a record in its tags of how it
//! was before. So any worker goes on where another stopped, and `undo` needs nothing but the image.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::image::{Image, Protection, moment};
use crate::engine::Timestamp;

/// The tag that holds the record: when, state, protection, deprecation and number of shares, with spaces between.
pub const MARK: &str = "bakeline:quarantine";

/// The tags that hold the shares: this, and this with `-1`, `-2` …
const SHARES: &str = "bakeline:quarantine-shares";

/// A tag's value has at most 256 characters, and a resource at most 50 tags.
const TAG_VALUE: usize = 256;
const TAGS: usize = 50;

/// A mark that is older than this when the image is to be disabled is made anew, so that the time an image is
/// disabled is counted from close to its beginning.
const FRESH: Duration = Duration::from_hours(1);

/// How long until another look at a protection that cools down; EC2 does not say when it ends.
const COOLING: Duration = Duration::from_hours(1);

/// How an image was before its quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub at: Timestamp,
    pub state: String,
    pub protection: Protection,
    pub deprecated: Option<Timestamp>,
    /// Account ids, `all`, and the ARNs of organizations and their units.
    pub shares: Vec<String>,
}

/// Tags of a quarantine that do not make a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("the tag {tag} cannot be read: {why}")]
pub struct Unreadable {
    pub tag: String,
    pub why: &'static str,
}

/// A step on the way out of use, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Its state, shares and protection are written into its tags.
    Mark,
    /// It is deprecated: searches no longer find it, launches go on.
    Deprecate,
    /// It is disabled: nothing can be launched from it, and it is no longer shared.
    Disable,
    /// It is deregistered and its snapshots are deleted.
    Deregister,
}

/// What is next for an image that nothing speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Step(Step),
    /// Nothing before this moment.
    Rest {
        until: Timestamp,
    },
}

/// A step back to how an image was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Back {
    Enable,
    /// The deprecation is set to this date, or lifted.
    Deprecation(Option<Timestamp>),
    /// These may launch it again.
    Share(Vec<String>),
    Protect {
        with_cooldown: bool,
    },
    /// Everything is as it was: the record is removed.
    Unmark,
}

impl Step {
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

    /// Whether anyone who uses the image notices.
    #[must_use]
    pub fn harms(self) -> bool {
        match self {
            Self::Mark | Self::Deprecate => false,
            Self::Disable | Self::Deregister => true,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|step| step.name() == text)
            .ok_or_else(|| format!("`{text}` is not a step of a cleanup"))
    }
}

/// The next step for an image that nothing speaks for. `wait` is how long it stays disabled.
///
/// # Errors
/// Its record cannot be read.
pub fn next(image: &Image, wait: Duration, now: Timestamp) -> Result<Next, Unreadable> {
    let Some(mark) = image.mark()? else { return Ok(Next::Step(Step::Mark)) };
    if image.state == "available" {
        let step = if now.since(mark.at) > FRESH {
            Step::Mark
        } else if image.is_deprecated(now.plus(FRESH)) {
            Step::Disable
        } else {
            Step::Deprecate
        };
        return Ok(Next::Step(step));
    }
    let until = mark.at.plus(wait);
    Ok(if now < until {
        Next::Rest { until }
    } else if image.protection == Protection::CoolingDown {
        Next::Rest { until: now.plus(COOLING) }
    } else {
        Next::Step(Step::Deregister)
    })
}

/// The next step back. Of an image whose shares were not asked for, none is added.
#[must_use]
pub fn back(image: &Image, mark: &Mark, now: Timestamp) -> Back {
    if image.state == "disabled" && mark.state != "disabled" {
        return Back::Enable;
    }
    // A date that has passed cannot be set again; an image deprecated before its quarantine was left so.
    let due = mark.deprecated.filter(|at| *at > now);
    let same = |a: Timestamp, b: Timestamp| a.0.div_euclid(60) == b.0.div_euclid(60);
    match (image.deprecated, mark.deprecated) {
        (Some(_), None) => return Back::Deprecation(None),
        (is, Some(_)) if due.is_some_and(|due| is.is_none_or(|is| !same(is, due))) => {
            return Back::Deprecation(due);
        }
        _ => {}
    }
    if let Some(shares) = &image.shares {
        let missing: Vec<String> = mark.shares.iter().filter(|one| !shares.contains(one)).cloned().collect();
        if !missing.is_empty() {
            return Back::Share(missing);
        }
    }
    match (mark.protection, image.protection) {
        (Protection::On { with_cooldown }, Protection::Off | Protection::CoolingDown) => {
            Back::Protect { with_cooldown }
        }
        _ => Back::Unmark,
    }
}

impl Mark {
    /// The record to be made of an image: how it is, or how it was when it was first marked.
    ///
    /// # Errors
    /// It has a record that cannot be read, or its shares were not asked for or find no room beside its own tags.
    pub fn of(image: &Image, now: Timestamp) -> Result<Self, Unreadable> {
        let cannot = |why| Unreadable { tag: SHARES.to_owned(), why };
        if let Some(before) = image.mark()? {
            return Ok(Self { at: now, ..before });
        }
        let mark = Self {
            at: now,
            state: image.state.clone(),
            protection: image.protection,
            deprecated: image.deprecated,
            shares: image.shares.clone().ok_or_else(|| cannot("who may launch the image is not known"))?,
        };
        if mark.tags().len() + image.tags.len() > TAGS {
            return Err(cannot(
                "there is no room beside the image's own tags for everyone who may launch it",
            ));
        }
        Ok(mark)
    }

    /// The record as tags.
    #[must_use]
    pub fn tags(&self) -> BTreeMap<String, String> {
        let deprecated = self.deprecated.map_or_else(|| "-".to_owned(), |at| at.to_string());
        let (state, protection, shares) = (&self.state, self.protection.name(), self.shares.len());
        let mut tags = BTreeMap::from([(
            MARK.to_owned(),
            format!("{} {state} {protection} {deprecated} {shares}", self.at),
        )]);
        let mut value = String::new();
        let mut full = Vec::new();
        for share in &self.shares {
            if !value.is_empty() && value.len() + 1 + share.len() > TAG_VALUE {
                full.push(std::mem::take(&mut value));
            }
            if !value.is_empty() {
                value.push(' ');
            }
            value.push_str(share);
        }
        if !value.is_empty() {
            full.push(value);
        }
        tags.extend(full.into_iter().enumerate().map(|(index, value)| (share_tag(index), value)));
        tags
    }

    /// Reads the record from an image's tags; none if there is none.
    ///
    /// # Errors
    /// The tags do not make a record.
    pub fn read(tags: &BTreeMap<String, String>) -> Result<Option<Self>, Unreadable> {
        let Some(text) = tags.get(MARK) else { return Ok(None) };
        let cannot = |why| Unreadable { tag: MARK.to_owned(), why };
        let parts: Vec<&str> = text.split(' ').collect();
        let &[at, state, protection, deprecated, count] = parts.as_slice() else {
            return Err(cannot("it has five parts: when, state, protection, deprecation, shares"));
        };
        let deprecated = match deprecated {
            "-" => None,
            date => Some(moment(date).ok_or_else(|| cannot("its deprecation is not a date"))?),
        };
        let shares: Vec<String> = (0..TAGS)
            .map_while(|index| tags.get(&share_tag(index)))
            .flat_map(|value| value.split(' ').map(str::to_owned))
            .collect();
        if count.parse() != Ok(shares.len()) {
            return Err(cannot("the tags beside it hold another number of shares"));
        }
        Ok(Some(Self {
            at: moment(at).ok_or_else(|| cannot("it does not begin with a date"))?,
            state: state.to_owned(),
            protection: Protection::of(Some(protection)),
            deprecated,
            shares,
        }))
    }

    /// Whether a tag belongs to a record.
    #[must_use]
    pub fn holds(tag: &str) -> bool {
        tag == MARK || tag.starts_with(SHARES)
    }
}

fn share_tag(index: usize) -> String {
    if index == 0 { SHARES.to_owned() } else { format!("{SHARES}-{index}") }
}
