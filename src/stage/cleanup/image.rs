//! An image as cleanup sees it.

use std::collections::BTreeMap;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::quarantine::{Mark, Unreadable};
use crate::engine::Timestamp;
use crate::engine::key::tag;
use crate::evidence::ImageIdentity;

/// An image of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub identity: ImageIdentity,
    /// `available`, `disabled`, `pending`, `failed`, …
    pub state: String,
    pub protection: Protection,
    /// From when it is deprecated, if a date is set.
    pub deprecated: Option<Timestamp>,
    /// When it was last launched, as far as AWS tells: a day late, and not at all for images launched long ago.
    pub launched: Option<Timestamp>,
    /// Everyone may launch it.
    pub public: bool,
    /// Who else may launch it; none while that was not asked.
    pub shares: Option<Vec<String>>,
    /// The snapshots behind it.
    pub snapshots: Vec<String>,
    /// The sizes of its volumes together. Its snapshots take up at most as much.
    pub gib: u64,
    pub tags: BTreeMap<String, String>,
}

/// Deregistration protection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    #[default]
    Off,
    On {
        with_cooldown: bool,
    },
    /// Turned off less than a day ago, and still in force.
    CoolingDown,
}

impl Protection {
    /// From EC2's spelling. One that is not known holds the image.
    #[must_use]
    pub fn of(text: Option<&str>) -> Self {
        match text {
            None | Some("disabled") => Self::Off,
            Some("enabled-with-cooldown") => Self::On { with_cooldown: true },
            Some("disabled-with-cooldown") => Self::CoolingDown,
            Some(_) => Self::On { with_cooldown: false },
        }
    }

    /// EC2's spelling.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "disabled",
            Self::On { with_cooldown: true } => "enabled-with-cooldown",
            Self::On { with_cooldown: false } => "enabled-without-cooldown",
            Self::CoolingDown => "disabled-with-cooldown",
        }
    }
}

/// What a pin says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pin {
    ForEver,
    Until(Timestamp),
}

impl Image {
    #[must_use]
    pub fn id(&self) -> &str {
        &self.identity.image_id
    }

    /// When it was made; none when `CreationDate` is not a date.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        moment(&self.identity.creation_date)
    }

    /// Whether instances could be launched from it, at once or after enabling it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self.state.as_str(), "available" | "disabled")
    }

    #[must_use]
    pub fn is_deprecated(&self, now: Timestamp) -> bool {
        self.deprecated.is_some_and(|at| at <= now)
    }

    #[must_use]
    pub fn channel(&self) -> &str {
        self.tags.get(tag::CHANNEL).map_or("", String::as_str)
    }

    /// The pin. A value that is no date pins for ever.
    #[must_use]
    pub fn pin(&self) -> Option<Pin> {
        self.tags.get(tag::KEEP).map(|value| moment(value).map_or(Pin::ForEver, Pin::Until))
    }

    #[must_use]
    pub fn is_released(&self) -> bool {
        self.tags.contains_key(tag::DISCARD)
    }

    #[must_use]
    pub fn promoted(&self) -> Option<Timestamp> {
        self.tags.get(tag::PROMOTED_ON).and_then(|value| moment(value))
    }

    #[must_use]
    pub fn named_until(&self) -> Option<Timestamp> {
        self.tags.get(tag::EVIDENCE_UNTIL).and_then(|value| moment(value))
    }

    /// The record of its quarantine.
    ///
    /// # Errors
    /// There are tags of a quarantine that do not make a record.
    pub fn mark(&self) -> Result<Option<Mark>, Unreadable> {
        Mark::read(&self.tags)
    }
}

/// A date as AWS and our tags write it.
#[must_use]
pub fn moment(text: &str) -> Option<Timestamp> {
    let date = OffsetDateTime::parse(text, &Rfc3339).ok()?;
    Some(Timestamp(date.unix_timestamp()))
}
