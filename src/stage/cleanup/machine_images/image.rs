//! A machine image of the service, with everything that retention and quarantine depend on.

use std::collections::BTreeMap;

use crate::engine::Timestamp;
use crate::engine::key::tag;
use crate::evidence::ImageIdentity;
use crate::stage::aws_view::dates;

/// An image of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub identity: ImageIdentity,
    /// `available`, `disabled`, `pending`, `failed`, …
    pub state: String,
    pub protection: Protection,
    /// The deprecation date, if one is set.
    pub deprecated_on: Option<Timestamp>,
    /// The last launch that EC2 reports: with a delay of 24 hours, and not for launches of long ago.
    pub launched_on: Option<Timestamp>,
    /// Whether everyone may launch it.
    pub public: bool,
    /// Who else may launch it; `None` until the launch permissions are read.
    pub shared_with: Option<Vec<String>>,
    /// The snapshots of its volumes.
    pub snapshots: Vec<String>,
    /// Total size of its volumes in GiB, an upper bound for its snapshots.
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
    /// Turned off less than a day ago, and still in effect.
    CoolingDown,
}

impl Protection {
    /// From EC2's value. An unknown value counts as protected.
    #[must_use]
    pub fn of(text: Option<&str>) -> Self {
        match text {
            None | Some("disabled") => Self::Off,
            Some("enabled-with-cooldown") => Self::On { with_cooldown: true },
            Some("disabled-with-cooldown") => Self::CoolingDown,
            Some(_) => Self::On { with_cooldown: false },
        }
    }

    /// EC2's value.
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

/// The tag `bakeline:keep`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepTag {
    Forever,
    Until(Timestamp),
}

impl Image {
    #[must_use]
    pub fn id(&self) -> &str {
        &self.identity.image_id
    }

    /// When it was created; `None` if `CreationDate` is not a date.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        dates::parse(&self.identity.creation_date)
    }

    /// Whether instances can be launched from it, possibly after enabling it.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        matches!(self.state.as_str(), "available" | "disabled")
    }

    #[must_use]
    pub fn is_deprecated(&self, now: Timestamp) -> bool {
        self.deprecated_on.is_some_and(|at| at <= now)
    }

    #[must_use]
    pub fn channel(&self) -> &str {
        self.tags.get(tag::CHANNEL).map_or("", String::as_str)
    }

    /// The tag `bakeline:keep`. A day keeps the image to its end, in UTC; a value that is no date keeps it forever.
    #[must_use]
    pub fn keep_tag(&self) -> Option<KeepTag> {
        self.tags.get(tag::KEEP).map(|value| dates::end_of(value).map_or(KeepTag::Forever, KeepTag::Until))
    }

    /// Whether ages and counts do not keep the image: the tag `bakeline:discard`.
    #[must_use]
    pub fn is_discarded(&self) -> bool {
        self.tags.contains_key(tag::DISCARD)
    }

    /// When the image was last promoted.
    #[must_use]
    pub fn promoted_on(&self) -> Option<Timestamp> {
        self.tags.get(tag::PROMOTED_ON).and_then(|value| dates::parse(value))
    }

    /// When the last signed statement about the image expires.
    #[must_use]
    pub fn evidence_until(&self) -> Option<Timestamp> {
        self.tags.get(tag::EVIDENCE_UNTIL).and_then(|value| dates::parse(value))
    }
}
