//! Which machine images stay and which are removed: a pure function of rules, images, references and time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::image::{Image, KeepTag, Protection};
use super::quarantine::{self, Next, QuarantineRecord, RecordError};
use crate::engine::Timestamp;
use crate::spec::{MachineImages as Rules, SharedImages, Span};

/// Images per channel that stay because they were promoted last: the current one and the one to roll back to.
const PROMOTED_LAST: usize = 2;

/// A reason to keep an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeepReason {
    /// It is the image of the release whose pipeline runs this cleanup.
    ThisRelease,
    /// The Auto Scaling group runs or launches it.
    Current { group: String },
    /// The target ran it before this release.
    Previous { target: String },
    /// An active instance refresh deploys it.
    InRefresh { refresh: String },
    /// It is one of the two that were promoted last.
    PromotedLast,
    /// It was promoted recently.
    Promoted { within: String },
    /// It is among the newest of its channel.
    Newest { of: u32 },
    /// It is younger than the rules require.
    Younger { than: String },
    /// It was launched recently.
    Launched { within: String },
    /// A signed statement about it has not expired.
    Evidence { until: Timestamp },
    /// It has the tag `bakeline:keep`.
    KeepTag { until: Option<Timestamp> },
    /// Everyone may launch it.
    Public,
    /// Other accounts may launch it.
    Shared { with: usize },
    /// A resource references it.
    Referenced { by: String, agreement: Agreement },
    /// EC2 is still creating it.
    Pending,
    /// Its deregistration protection is on.
    Protected,
    /// Its age is unknown.
    UnknownAge,
    /// The record of its quarantine cannot be read or made.
    Record(RecordError),
}

/// Whether bakeline's inventory and EC2's `DescribeImageReferences` both report a reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Agreement {
    /// Both do; or EC2 was not asked, or does not report this kind.
    Agreed,
    /// EC2 reports this kind, and not this reference.
    InventoryOnly,
    /// The inventory covers every kind that EC2 reports, and misses this reference.
    Ec2Only,
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThisRelease => f.write_str("the image of this release"),
            Self::Current { group } => write!(f, "current in {group}"),
            Self::Previous { target } => write!(f, "ran in {target} before this release"),
            Self::InRefresh { refresh } => write!(f, "part of the instance refresh {refresh}"),
            Self::PromotedLast => write!(f, "one of the last {PROMOTED_LAST} promoted"),
            Self::Promoted { within } => write!(f, "promoted within {within}"),
            Self::Newest { of } => write!(f, "among the newest {of}"),
            Self::Younger { than } => write!(f, "younger than {than}"),
            Self::Launched { within } => write!(f, "launched within {within}"),
            Self::Evidence { until } => write!(f, "a signed statement names it until {until}"),
            Self::KeepTag { until: None } => f.write_str("tagged bakeline:keep"),
            Self::KeepTag { until: Some(until) } => write!(f, "tagged bakeline:keep until {until}"),
            Self::Public => f.write_str("public"),
            Self::Shared { with } => write!(f, "shared with {with} other accounts or organizations"),
            Self::Referenced { by, agreement } => match agreement {
                Agreement::Agreed => write!(f, "used by {by}"),
                Agreement::InventoryOnly => {
                    write!(f, "used by {by} (not reported by DescribeImageReferences)")
                }
                Agreement::Ec2Only => write!(f, "used by {by} (reported by DescribeImageReferences only)"),
            },
            Self::Pending => f.write_str("still pending"),
            Self::Protected => f.write_str("protected from deregistration"),
            Self::UnknownAge => f.write_str("its creation date cannot be read"),
            Self::Record(error) => write!(f, "cleanup cannot record how it was: {error}"),
        }
    }
}

/// Reasons to keep images, by image id.
pub type KeepReasons = BTreeMap<String, BTreeSet<KeepReason>>;

/// What happens to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It stays, for at least one reason.
    Keep(Vec<KeepReason>),
    /// It is in quarantine, and there is a reason to keep it: it is restored.
    Restore(Vec<KeepReason>),
    /// Nothing keeps it.
    Remove(Next),
}

impl Disposition {
    /// The reasons to keep the image.
    #[must_use]
    pub fn reasons(&self) -> &[KeepReason] {
        match self {
            Self::Keep(reasons) | Self::Restore(reasons) => reasons,
            Self::Remove(_) => &[],
        }
    }
}

/// Decides what happens to each image, by image id. `uses` are the reasons that do not follow from the image itself.
#[must_use]
pub fn dispositions(
    rules: &Rules,
    images: &[Image],
    uses: &KeepReasons,
    now: Timestamp,
) -> BTreeMap<String, Disposition> {
    let newest = newest(rules, images);
    let promoted_last = promoted_last(images);
    let decide = |image: &Image| {
        let mut reasons = uses.get(image.id()).cloned().unwrap_or_default();
        reasons.extend(ageless_reasons(rules, image, now));
        if promoted_last.contains(image.id()) {
            reasons.insert(KeepReason::PromotedLast);
        }
        if !image.is_discarded() {
            if let Some(of) = newest.get(image.id()) {
                reasons.insert(KeepReason::Newest { of: *of });
            }
            reasons.extend(recent_reasons(rules, image, now));
        }
        (image.id().to_owned(), disposition(rules, image, reasons, now))
    };
    images.iter().map(decide).collect()
}

fn disposition(
    rules: &Rules,
    image: &Image,
    mut reasons: BTreeSet<KeepReason>,
    now: Timestamp,
) -> Disposition {
    let in_quarantine = match image.quarantine_record() {
        Ok(record) => record.is_some(),
        Err(error) => {
            reasons.insert(KeepReason::Record(error));
            false
        }
    };
    if reasons.is_empty()
        && image.shared_with.is_some()
        && let Err(error) = QuarantineRecord::of(image, now)
    {
        reasons.insert(KeepReason::Record(error));
    }
    match quarantine::next(image, rules.quarantine.as_duration(), now) {
        Ok(next) if reasons.is_empty() => Disposition::Remove(next),
        _ if in_quarantine => Disposition::Restore(reasons.into_iter().collect()),
        _ => Disposition::Keep(reasons.into_iter().collect()),
    }
}

/// The newest images of each channel, with how many of it are kept.
fn newest<'a>(rules: &Rules, images: &'a [Image]) -> BTreeMap<&'a str, u32> {
    let mut channels: BTreeMap<(&str, &str, &str), Vec<&Image>> = BTreeMap::new();
    for image in images.iter().filter(|image| image.is_usable() && image.created().is_some()) {
        let identity = &image.identity;
        channels.entry((&identity.region, &identity.account, image.channel())).or_default().push(image);
    }
    let mut newest = BTreeMap::new();
    for ((region, account, channel), mut images) in channels {
        // Ids decide between images of the same moment: the same images always give the same result.
        images.sort_by_cached_key(|image| (Reverse(image.created()), image.id()));
        let last = rules.keep_of(region, account, channel).last;
        let count = usize::try_from(last).unwrap_or(usize::MAX);
        newest.extend(images.into_iter().take(count).map(|image| (image.id(), last)));
    }
    newest
}

/// The images of each channel that were promoted last.
fn promoted_last(images: &[Image]) -> BTreeSet<&str> {
    let mut channels: BTreeMap<&str, Vec<(Timestamp, &str)>> = BTreeMap::new();
    for image in images {
        if let Some(at) = image.promoted_on() {
            channels.entry(image.channel()).or_default().push((at, image.id()));
        }
    }
    channels
        .into_values()
        .flat_map(|mut images| {
            images.sort_unstable();
            images.into_iter().rev().take(PROMOTED_LAST).map(|(_, id)| id)
        })
        .collect()
}

/// Reasons that do not depend on the image's age.
fn ageless_reasons(rules: &Rules, image: &Image, now: Timestamp) -> Vec<KeepReason> {
    let mut reasons = Vec::new();
    match image.keep_tag() {
        Some(KeepTag::Forever) => reasons.push(KeepReason::KeepTag { until: None }),
        Some(KeepTag::Until(until)) if until > now => {
            reasons.push(KeepReason::KeepTag { until: Some(until) });
        }
        Some(KeepTag::Until(_)) | None => {}
    }
    if let Some(until) = image.evidence_until().filter(|until| *until > now) {
        reasons.push(KeepReason::Evidence { until });
    }
    if image.public {
        reasons.push(KeepReason::Public);
    }
    // EC2 ended the shares of an image in quarantine: the record lists them.
    let recorded = image.quarantine_record().ok().flatten().map_or(0, |record| record.shared_with.len());
    let with = image.shared_with.as_ref().map_or(0, Vec::len).max(recorded);
    if with > 0 && rules.shared_images == SharedImages::Keep {
        reasons.push(KeepReason::Shared { with });
    }
    if image.state == "pending" {
        reasons.push(KeepReason::Pending);
    }
    if matches!(image.protection, Protection::On { .. }) {
        reasons.push(KeepReason::Protected);
    }
    if image.created().is_none() {
        reasons.push(KeepReason::UnknownAge);
    }
    reasons
}

/// Reasons that end as the image ages.
fn recent_reasons(rules: &Rules, image: &Image, now: Timestamp) -> Vec<KeepReason> {
    let identity = &image.identity;
    let keep = rules.keep_of(&identity.region, &identity.account, image.channel());
    let is_within =
        |at: Option<Timestamp>, span: Span| at.is_some_and(|at| now.since(at) < span.as_duration());
    let mut reasons = Vec::new();
    if is_within(image.created(), keep.younger_than) {
        reasons.push(KeepReason::Younger { than: keep.younger_than.to_string() });
    }
    if is_within(image.promoted_on(), keep.promoted_within) {
        reasons.push(KeepReason::Promoted { within: keep.promoted_within.to_string() });
    }
    // A missing date proves nothing: only a recent launch is a reason, and only one to keep.
    if is_within(image.launched_on, keep.launched_within) {
        reasons.push(KeepReason::Launched { within: keep.launched_within.to_string() });
    }
    reasons
}

/// Why an image is removed, for people.
#[must_use]
pub fn removal_reason(rules: &Rules) -> String {
    format!(
        "not among the newest {}, older than {}, and nothing uses it",
        rules.keep.last, rules.keep.younger_than
    )
}
