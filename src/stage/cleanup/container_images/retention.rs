//! Which container images stay and which are removed: a pure function of rules, images, references and time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::image::{Image, ImageKey, Manifest, Status, short};
use super::quarantine::{self, Next};
use super::relations::Relations;
use crate::engine::Timestamp;
use crate::spec::{ContainerImages as Rules, Span};

/// How long images wait for an index of their repository that ECR restores: it takes up to twenty minutes.
const RESTORE_WAIT: Duration = Duration::from_mins(30);

/// A reason to keep an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeepReason {
    /// It is an image of the release whose pipeline runs this cleanup.
    ThisRelease,
    /// A resource references it.
    Used { by: String },
    /// It is among the newest tagged images.
    Newest { of: u32 },
    /// It is younger than the rules require, or was restored from the archive recently.
    Younger { than: String },
    /// It was pulled recently.
    Pulled { within: String },
    /// The rules keep one of its tags.
    Tagged { tag: String },
    /// An index that stays lists it.
    InIndex { index: String },
    /// It is an index, and an image it lists is used.
    IndexOf { image: String },
    /// It refers to an image that stays: a signature, an attestation.
    RefersTo { image: String },
    /// Someone else archived it.
    ArchivedByOthers,
    /// An index that someone else archived may list it.
    MayBeInIndex { index: String },
    /// ECR is restoring it from the archive.
    Restoring,
    /// ECR reports an unknown status, or no push date.
    UnknownState,
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThisRelease => f.write_str("an image of this release"),
            Self::Used { by } => write!(f, "used by {by}"),
            Self::Newest { of } => write!(f, "among the newest {of}"),
            Self::Younger { than } => write!(f, "younger than {than}"),
            Self::Pulled { within } => write!(f, "pulled within {within}"),
            Self::Tagged { tag } => write!(f, "the rules keep its tag {tag}"),
            Self::InIndex { index } => write!(f, "part of the index {index}, which stays"),
            Self::IndexOf { image } => write!(f, "an index of {image}, which is used"),
            Self::RefersTo { image } => write!(f, "refers to {image}, which stays"),
            Self::ArchivedByOthers => f.write_str("archived by someone else"),
            Self::MayBeInIndex { index } => {
                write!(f, "the index {index}, which someone else archived, may list it")
            }
            Self::Restoring => f.write_str("being restored from the archive"),
            Self::UnknownState => f.write_str("its status or its push date is unknown"),
        }
    }
}

/// Reasons to keep images, by image.
pub type KeepReasons = BTreeMap<ImageKey, BTreeSet<KeepReason>>;

/// When each image was last marked.
pub type MarkTimes = BTreeMap<ImageKey, Timestamp>;

/// What happens to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It stays, for at least one reason.
    Keep(Vec<KeepReason>),
    /// Cleanup archived it, and there is a reason to keep it: it is restored.
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

/// Decides what happens to each image. An image stays if there is a reason to keep it or an image it belongs to.
#[must_use]
pub fn dispositions(
    rules: &Rules,
    images: &[Image],
    uses: &KeepReasons,
    marked: &MarkTimes,
    now: Timestamp,
) -> BTreeMap<ImageKey, Disposition> {
    let relations = Relations::of(images);
    let mut reasons: KeepReasons = images.iter().map(|image| (image.key.clone(), BTreeSet::new())).collect();
    for (key, because) in uses {
        if let Some(reasons) = reasons.get_mut(key) {
            reasons.extend(because.iter().cloned());
        }
    }
    let newest = newest(rules, images, &relations);
    for image in images {
        let own = reasons.entry(image.key.clone()).or_default();
        own.extend(ageless_reasons(rules, image, marked));
        if !relations.is_dependent(image) {
            own.extend(recent_reasons(rules, image, &relations, now));
            if newest.contains(&image.key) {
                own.insert(KeepReason::Newest { of: rules.keep.last });
            }
        }
    }
    propagate(images, &relations, &mut reasons);
    let unread = unread_indexes(images, marked, &reasons);
    for image in images {
        if let Some(UnreadIndex::ArchivedByOthers(index)) = unread.get(&image.key.repository)
            && let Some(own) = reasons.get_mut(&image.key).filter(|own| own.is_empty())
        {
            own.insert(KeepReason::MayBeInIndex { index: short(index).to_owned() });
        }
    }
    let wait = rules.quarantine.as_duration();
    let decide = |image: &Image| {
        let key = &image.key;
        let because: Vec<KeepReason> = reasons.get(key).into_iter().flatten().cloned().collect();
        let mark = marked.get(key).copied();
        if because.is_empty() {
            return match (unread.get(&key.repository), quarantine::next(image, mark, wait, now)) {
                (Some(UnreadIndex::Restoring), Next::Step(_)) => {
                    Disposition::Remove(Next::Wait { until: now.plus(RESTORE_WAIT) })
                }
                (_, next) => Disposition::Remove(next),
            };
        }
        if quarantine::is_ours(image, mark) {
            Disposition::Restore(because)
        } else {
            Disposition::Keep(because)
        }
    };
    images.iter().map(|image| (image.key.clone(), decide(image))).collect()
}

/// The newest tagged images of each repository.
fn newest(rules: &Rules, images: &[Image], relations: &Relations) -> BTreeSet<ImageKey> {
    let mut repositories: BTreeMap<&str, Vec<&Image>> = BTreeMap::new();
    for image in images.iter().filter(|image| !image.tags.is_empty() && !relations.is_dependent(image)) {
        repositories.entry(&image.key.repository).or_default().push(image);
    }
    let last = usize::try_from(rules.keep.last).unwrap_or(usize::MAX);
    let mut newest = BTreeSet::new();
    for mut images in repositories.into_values() {
        images.sort_by_key(|image| (Reverse(image.pushed_on), image.key.clone()));
        newest.extend(images.into_iter().take(last).map(|image| image.key.clone()));
    }
    newest
}

/// Reasons that do not depend on the image's age.
fn ageless_reasons(rules: &Rules, image: &Image, marked: &MarkTimes) -> Vec<KeepReason> {
    let mut reasons = Vec::new();
    let is_kept = |tag: &&String| rules.keep.tags.iter().any(|pattern| matches_pattern(pattern, tag));
    reasons.extend(image.tags.iter().find(is_kept).map(|tag| KeepReason::Tagged { tag: tag.clone() }));
    match image.status {
        Status::Archived if !quarantine::is_ours(image, marked.get(&image.key).copied()) => {
            reasons.push(KeepReason::ArchivedByOthers);
        }
        Status::Activating => reasons.push(KeepReason::Restoring),
        Status::Unknown => reasons.push(KeepReason::UnknownState),
        Status::Active | Status::Archived => {}
    }
    if image.pushed_on.is_none() {
        reasons.push(KeepReason::UnknownState);
    }
    reasons
}

/// Reasons that end as the image ages.
fn recent_reasons(rules: &Rules, image: &Image, relations: &Relations, now: Timestamp) -> Vec<KeepReason> {
    let is_within =
        |at: Option<Timestamp>, span: Span| at.is_some_and(|at| now.since(at) < span.as_duration());
    let mut reasons = Vec::new();
    if is_within(image.pushed_on.max(image.activated_on), rules.keep.younger_than) {
        reasons.push(KeepReason::Younger { than: rules.keep.younger_than.to_string() });
    }
    // Each survey reads the indexes, and ECR counts that as a pull. A client that pulls an index also pulls an image
    // that it lists.
    let pulled_on = match image.manifest {
        Manifest::Single => image.pulled_on,
        Manifest::Index(_) | Manifest::UnreadIndex => relations.child_pulled_on(&image.key),
    };
    if is_within(pulled_on, rules.keep.pulled_within) {
        reasons.push(KeepReason::Pulled { within: rules.keep.pulled_within.to_string() });
    }
    reasons
}

/// Keeps, with an image that stays, the images it lists and its referrers; and with an image that is used, the indexes
/// that list it.
fn propagate(images: &[Image], relations: &Relations, reasons: &mut KeepReasons) {
    let mut queue: Vec<ImageKey> =
        reasons.iter().filter(|(_, own)| !own.is_empty()).map(|(key, _)| key.clone()).collect();
    let by_key: BTreeMap<&ImageKey, &Image> = images.iter().map(|image| (&image.key, image)).collect();
    let is_use = |reason: &KeepReason| {
        matches!(reason, KeepReason::Used { .. } | KeepReason::ThisRelease | KeepReason::IndexOf { .. })
    };
    while let Some(key) = queue.pop() {
        let name = key.short().to_owned();
        let mut new: Vec<(ImageKey, KeepReason)> = Vec::new();
        if let Some(image) = by_key.get(&key) {
            let children = image.children().iter().map(|child| key.sibling(child));
            new.extend(children.map(|child| (child, KeepReason::InIndex { index: name.clone() })));
        }
        let referrers = relations.referrers_of(&key).iter();
        new.extend(referrers.map(|one| (one.clone(), KeepReason::RefersTo { image: name.clone() })));
        if reasons.get(&key).is_some_and(|own| own.iter().any(is_use)) {
            let indexes = relations.indexes_of(&key).iter();
            new.extend(indexes.map(|index| (index.clone(), KeepReason::IndexOf { image: name.clone() })));
        }
        for (to, reason) in new {
            if let Some(own) = reasons.get_mut(&to)
                && own.insert(reason)
            {
                queue.push(to);
            }
        }
    }
}

/// Why the images that an index lists are unknown.
enum UnreadIndex {
    /// Someone else archived it; its digest.
    ArchivedByOthers(String),
    /// ECR restores it, or is about to.
    Restoring,
}

/// Repositories with an index that stays and cannot be read. An index that is removed does not matter: the images it
/// lists are useless without it, or have reasons of their own.
fn unread_indexes(
    images: &[Image],
    marked: &MarkTimes,
    reasons: &KeepReasons,
) -> BTreeMap<String, UnreadIndex> {
    let mut unread = BTreeMap::new();
    for image in images.iter().filter(|image| image.manifest == Manifest::UnreadIndex) {
        let stays = reasons.get(&image.key).is_some_and(|own| !own.is_empty());
        let ours = quarantine::is_ours(image, marked.get(&image.key).copied());
        let repository = image.key.repository.clone();
        if image.status == Status::Archived && !ours {
            unread.insert(repository, UnreadIndex::ArchivedByOthers(image.key.digest.clone()));
        } else if stays {
            unread.entry(repository).or_insert(UnreadIndex::Restoring);
        }
    }
    unread
}

/// Whether a tag matches a pattern, in which `*` matches any text.
fn matches_pattern(pattern: &str, tag: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == tag };
    let Some(mut left) = tag.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = left.find(part) else { return false };
        left = left.get(at + part.len()..).unwrap_or_default();
    }
    left.ends_with(last)
}

/// Why an image is removed, for people.
#[must_use]
pub fn removal_reason(rules: &Rules) -> String {
    format!(
        "not among the newest {}, older than {}, and nothing uses it",
        rules.keep.last, rules.keep.younger_than
    )
}

#[cfg(test)]
mod tests {
    use super::matches_pattern;

    #[test]
    fn a_star_matches_any_text() {
        for (pattern, tag, expected) in [
            ("latest", "latest", true),
            ("latest", "latest-1", false),
            ("release-*", "release-1.2", true),
            ("release-*", "pre-release-1", false),
            ("*-prod", "web-prod", true),
            ("v*.*-*", "v1.2-rc", true),
            ("v*.*-*", "v1-2", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(matches_pattern(pattern, tag), expected, "{pattern} {tag}");
        }
    }
}
