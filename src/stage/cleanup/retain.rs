//! Which images stay and which go: a pure function of the rules, the images, what uses them, and the time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::engine::Timestamp;
use crate::evidence::ImageIdentity;
use crate::spec::Cleanup as Rules;

/// An image of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    pub identity: ImageIdentity,
    /// `available`, `disabled`, `pending`, `failed`, …
    pub state: String,
    /// Deregistration protection is on, in any form.
    pub protected: bool,
    /// The snapshots behind it.
    pub snapshots: Vec<String>,
}

impl Image {
    #[must_use]
    pub fn id(&self) -> &str {
        &self.identity.image_id
    }

    /// When it was made; none when `CreationDate` is not a date.
    #[must_use]
    pub fn created(&self) -> Option<Timestamp> {
        let date = OffsetDateTime::parse(&self.identity.creation_date, &Rfc3339).ok()?;
        Some(Timestamp(date.unix_timestamp()))
    }

    /// Whether instances could be launched from it, at once or after enabling it.
    fn is_usable(&self) -> bool {
        matches!(self.state.as_str(), "available" | "disabled")
    }
}

/// What makes an image stay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is the image of the release whose pipeline runs this cleanup.
    ThisRelease,
    /// The group runs it, or launches it.
    Current { group: String },
    /// The group ran it before this release.
    Previous { group: String },
    /// An instance refresh brings it or goes back to it.
    InRefresh { refresh: String },
    /// It is among the newest.
    Newest { of: u32 },
    /// It is younger than the rules allow to remove.
    Young { than: String },
    /// Something uses it.
    Referenced { by: String, seen: Seen },
    /// It is still being made.
    Pending,
    /// Its deregistration protection is on.
    Protected,
    /// Its age is not known.
    NoDate,
}

/// Who knows of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// Our own inventory and EC2, or a kind that only one of them looks at.
    Agreed,
    /// Our own inventory, of a kind that EC2 looks at too and did not name.
    InventoryAlone,
    /// EC2, of a kind that our inventory looks at too and did not find.
    Ec2Alone,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThisRelease => f.write_str("the image of this release"),
            Self::Current { group } => write!(f, "current in {group}"),
            Self::Previous { group } => write!(f, "ran in {group} before this release"),
            Self::InRefresh { refresh } => write!(f, "part of the instance refresh {refresh}"),
            Self::Newest { of } => write!(f, "among the newest {of}"),
            Self::Young { than } => write!(f, "younger than {than}"),
            Self::Referenced { by, seen } => match seen {
                Seen::Agreed => write!(f, "used by {by}"),
                Seen::InventoryAlone => write!(f, "used by {by} (not named by DescribeImageReferences)"),
                Seen::Ec2Alone => write!(f, "used by {by} (named by DescribeImageReferences alone)"),
            },
            Self::Pending => f.write_str("still pending"),
            Self::Protected => f.write_str("protected from deregistration"),
            Self::NoDate => f.write_str("its creation date cannot be read"),
        }
    }
}

/// Reasons to keep, by image id.
pub type Uses = BTreeMap<String, BTreeSet<Reason>>;

/// What becomes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays, for at least one reason.
    Keep(Vec<Reason>),
    /// It goes.
    Remove,
}

/// The judgement of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    pub image: &'a Image,
    pub fate: Fate,
}

/// Judges every image. An image stays if anything speaks for it, and goes otherwise.
#[must_use]
pub fn retain<'a>(rules: &Rules, images: &'a [Image], uses: &Uses, now: Timestamp) -> Vec<Verdict<'a>> {
    let mut by_age: Vec<&Image> =
        images.iter().filter(|image| image.is_usable() && image.created().is_some()).collect();
    // The newest first; ids decide between images of one moment, so that the same list gives the same answer.
    by_age.sort_by(|a, b| b.created().cmp(&a.created()).then_with(|| a.id().cmp(b.id())));
    let count = usize::try_from(rules.keep_last).unwrap_or(usize::MAX);
    let newest: BTreeSet<&str> = by_age.iter().take(count).map(|image| image.id()).collect();
    let judge = |image: &'a Image| {
        let mut reasons: BTreeSet<Reason> = uses.get(image.id()).cloned().unwrap_or_default();
        if newest.contains(image.id()) {
            reasons.insert(Reason::Newest { of: rules.keep_last });
        }
        match image.created() {
            None => {
                reasons.insert(Reason::NoDate);
            }
            Some(created) if now.since(created) < rules.keep_younger_than.as_duration() => {
                reasons.insert(Reason::Young { than: rules.keep_younger_than.to_string() });
            }
            Some(_) => {}
        }
        if image.state == "pending" {
            reasons.insert(Reason::Pending);
        }
        if image.protected {
            reasons.insert(Reason::Protected);
        }
        let fate = if reasons.is_empty() { Fate::Remove } else { Fate::Keep(reasons.into_iter().collect()) };
        Verdict { image, fate }
    };
    images.iter().map(judge).collect()
}

/// Why an image goes.
#[must_use]
pub fn removal(rules: &Rules) -> String {
    format!(
        "not among the newest {}, older than {}, and nothing uses it",
        rules.keep_last, rules.keep_younger_than
    )
}
