//! Which images stay and which go: a pure function of the rules, the images, what uses them, and the time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::image::{Image, Pin, Protection};
use super::quarantine::{self, Mark, Next, Unreadable};
use crate::engine::Timestamp;
use crate::spec::{MachineImages as Rules, SharedImages};

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
    /// It is one of the two that were promoted last: the current one and the one to go back to.
    PromotedLast,
    /// It was promoted not long ago.
    Promoted { within: String },
    /// It is among the newest of its channel.
    Newest { of: u32 },
    /// It is younger than the rules allow to remove.
    Young { than: String },
    /// It was launched not long ago.
    Launched { within: String },
    /// A signed statement that has not expired speaks of it.
    Named { until: Timestamp },
    /// Someone pinned it by tag.
    Pinned { until: Option<Timestamp> },
    /// Everyone may launch it.
    Public,
    /// Other accounts may launch it.
    Shared { with: usize },
    /// Something uses it.
    Referenced { by: String, seen: Seen },
    /// It is still being made.
    Pending,
    /// Its deregistration protection is on.
    Protected,
    /// Its age is not known.
    NoDate,
    /// The record of its quarantine cannot be read or made.
    NoRecord(Unreadable),
}

/// Who knows of a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Seen {
    /// Our own inventory and EC2, or a kind that only one of them looks at.
    Agreed,
    /// Our own inventory, of a kind that EC2 looks at too and did not name.
    InventoryAlone,
    /// EC2, and our inventory, which looks at every kind that EC2 names, did not find it.
    Ec2Alone,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThisRelease => f.write_str("the image of this release"),
            Self::Current { group } => write!(f, "current in {group}"),
            Self::Previous { group } => write!(f, "ran in {group} before this release"),
            Self::InRefresh { refresh } => write!(f, "part of the instance refresh {refresh}"),
            Self::PromotedLast => f.write_str("one of the two promoted last"),
            Self::Promoted { within } => write!(f, "promoted within {within}"),
            Self::Newest { of } => write!(f, "among the newest {of}"),
            Self::Young { than } => write!(f, "younger than {than}"),
            Self::Launched { within } => write!(f, "launched within {within}"),
            Self::Named { until } => write!(f, "named by a statement until {until}"),
            Self::Pinned { until: None } => f.write_str("pinned"),
            Self::Pinned { until: Some(until) } => write!(f, "pinned until {until}"),
            Self::Public => f.write_str("public"),
            Self::Shared { with } => write!(f, "shared with {with} other accounts or organizations"),
            Self::Referenced { by, seen } => match seen {
                Seen::Agreed => write!(f, "used by {by}"),
                Seen::InventoryAlone => write!(f, "used by {by} (not named by DescribeImageReferences)"),
                Seen::Ec2Alone => write!(f, "used by {by} (named by DescribeImageReferences alone)"),
            },
            Self::Pending => f.write_str("still pending"),
            Self::Protected => f.write_str("protected from deregistration"),
            Self::NoDate => f.write_str("its creation date cannot be read"),
            Self::NoRecord(why) => write!(f, "no record can be kept of how it was: {why}"),
        }
    }
}

/// Reasons to keep, by image id.
pub type Uses = BTreeMap<String, BTreeSet<Reason>>;

/// What becomes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It stays, for at least one reason.
    Keep(Vec<Reason>),
    /// It is in quarantine, and something speaks for it: it is brought back.
    Reinstate(Vec<Reason>),
    /// Nothing speaks for it.
    Go(Next),
}

impl Disposition {
    /// Everything that speaks for the image.
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        match self {
            Self::Keep(reasons) | Self::Reinstate(reasons) => reasons,
            Self::Go(_) => &[],
        }
    }
}

/// The judgement of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<'a> {
    pub image: &'a Image,
    pub fate: Disposition,
}

/// Judges every image. An image stays if anything speaks for it, and goes otherwise.
#[must_use]
pub fn retain<'a>(rules: &Rules, images: &'a [Image], uses: &Uses, now: Timestamp) -> Vec<Verdict<'a>> {
    let newest = newest(rules, images);
    let last = promoted_last(images);
    let judge = |image: &'a Image| {
        let mut reasons: BTreeSet<Reason> = uses.get(image.id()).cloned().unwrap_or_default();
        reasons.extend(held(rules, image, now));
        if last.contains(image.id()) {
            reasons.insert(Reason::PromotedLast);
        }
        if !image.is_released() {
            if let Some(of) = newest.get(image.id()) {
                reasons.insert(Reason::Newest { of: *of });
            }
            reasons.extend(recent(rules, image, now));
        }
        Verdict { image, fate: fate(rules, image, reasons, now) }
    };
    images.iter().map(judge).collect()
}

fn fate(rules: &Rules, image: &Image, mut reasons: BTreeSet<Reason>, now: Timestamp) -> Disposition {
    let marked = match image.mark() {
        Ok(mark) => mark.is_some(),
        Err(why) => {
            reasons.insert(Reason::NoRecord(why));
            false
        }
    };
    if reasons.is_empty()
        && image.shares.is_some()
        && let Err(why) = Mark::of(image, now)
    {
        reasons.insert(Reason::NoRecord(why));
    }
    match quarantine::next(image, rules.quarantine.as_duration(), now) {
        Ok(next) if reasons.is_empty() => Disposition::Go(next),
        _ if marked => Disposition::Reinstate(reasons.into_iter().collect()),
        _ => Disposition::Keep(reasons.into_iter().collect()),
    }
}

/// The newest of each channel, with how many are kept of it.
fn newest<'a>(rules: &Rules, images: &'a [Image]) -> BTreeMap<&'a str, u32> {
    let mut channels: BTreeMap<(&str, &str, &str), Vec<&Image>> = BTreeMap::new();
    for image in images.iter().filter(|image| image.is_usable() && image.created().is_some()) {
        let identity = &image.identity;
        channels.entry((&identity.region, &identity.account, image.channel())).or_default().push(image);
    }
    let mut newest = BTreeMap::new();
    for ((region, account, channel), mut line) in channels {
        // The newest first; ids decide between images of one moment, so that the same list gives the same answer.
        line.sort_by_cached_key(|image| (Reverse(image.created()), image.id()));
        let last = rules.keep_of(region, account, channel).last;
        let count = usize::try_from(last).unwrap_or(usize::MAX);
        newest.extend(line.into_iter().take(count).map(|image| (image.id(), last)));
    }
    newest
}

/// The two images of each channel that were promoted last.
fn promoted_last(images: &[Image]) -> BTreeSet<&str> {
    let mut channels: BTreeMap<&str, Vec<(Timestamp, &str)>> = BTreeMap::new();
    for image in images {
        if let Some(at) = image.promoted() {
            channels.entry(image.channel()).or_default().push((at, image.id()));
        }
    }
    channels
        .into_values()
        .flat_map(|mut line| {
            line.sort_unstable();
            line.into_iter().rev().take(2).map(|(_, id)| id)
        })
        .collect()
}

/// What holds an image whatever its age.
fn held(rules: &Rules, image: &Image, now: Timestamp) -> Vec<Reason> {
    let mut reasons = Vec::new();
    match image.pin() {
        Some(Pin::ForEver) => reasons.push(Reason::Pinned { until: None }),
        Some(Pin::Until(until)) if until > now => reasons.push(Reason::Pinned { until: Some(until) }),
        Some(Pin::Until(_)) | None => {}
    }
    if let Some(until) = image.named_until().filter(|until| *until > now) {
        reasons.push(Reason::Named { until });
    }
    if image.public {
        reasons.push(Reason::Public);
    }
    // Of an image in quarantine, those who could launch it before.
    let recorded = image.mark().ok().flatten().map_or(0, |mark| mark.shares.len());
    let with = image.shares.as_ref().map_or(0, Vec::len).max(recorded);
    if with > 0 && rules.shared_images == SharedImages::Keep {
        reasons.push(Reason::Shared { with });
    }
    if image.state == "pending" {
        reasons.push(Reason::Pending);
    }
    if matches!(image.protection, Protection::On { .. }) {
        reasons.push(Reason::Protected);
    }
    if image.created().is_none() {
        reasons.push(Reason::NoDate);
    }
    reasons
}

/// What holds an image because of its age.
fn recent(rules: &Rules, image: &Image, now: Timestamp) -> Vec<Reason> {
    let identity = &image.identity;
    let keep = rules.keep_of(&identity.region, &identity.account, image.channel());
    let within = |at: Option<Timestamp>, span: crate::spec::Span| {
        at.is_some_and(|at| now.since(at) < span.as_duration())
    };
    let mut reasons = Vec::new();
    if within(image.created(), keep.younger_than) {
        reasons.push(Reason::Young { than: keep.younger_than.to_string() });
    }
    if within(image.promoted(), keep.promoted_within) {
        reasons.push(Reason::Promoted { within: keep.promoted_within.to_string() });
    }
    // Absent says nothing: only a date that is there is a reason, and only one to keep.
    if within(image.launched, keep.launched_within) {
        reasons.push(Reason::Launched { within: keep.launched_within.to_string() });
    }
    reasons
}

/// Why an image goes.
#[must_use]
pub fn removal(rules: &Rules) -> String {
    format!(
        "not among the newest {}, older than {}, and nothing uses it",
        rules.keep.last, rules.keep.younger_than
    )
}
