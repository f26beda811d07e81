//! Which container images stay and which go: a pure function of the rules, the images, what uses them, and the time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use super::image::{Image, Key, Manifest, Status, short};
use super::quarantine::{self, Next};
use crate::engine::Timestamp;
use crate::spec::ContainerImages as Rules;

/// How long until another look where an index is on its way back from the archive: ECR takes up to twenty minutes.
const COMING_BACK: Duration = Duration::from_mins(30);

/// What makes an image stay.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is an image of the release whose pipeline runs this cleanup.
    ThisRelease,
    /// Something uses it.
    Used { by: String },
    /// It is among the newest that have a tag.
    Newest { of: u32 },
    /// It is younger than the rules allow to remove, or came back from the archive not long ago.
    Young { than: String },
    /// It was pulled not long ago.
    Pulled { within: String },
    /// It has a tag that the rules keep.
    Tagged { tag: String },
    /// An index that stays names it.
    PartOf { index: String },
    /// It is an index, and an image it names is used.
    Names { image: String },
    /// It is about an image that stays.
    About { image: String },
    /// Someone else put it into the archive, where it lies.
    ArchivedByOthers,
    /// An index that someone else put into the archive may name it.
    MayBePartOf { index: String },
    /// It is on its way back from the archive.
    Returning,
    /// ECR says of it what this program does not know, or not when it was pushed.
    NotUnderstood,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ThisRelease => f.write_str("an image of this release"),
            Self::Used { by } => write!(f, "used by {by}"),
            Self::Newest { of } => write!(f, "among the newest {of}"),
            Self::Young { than } => write!(f, "younger than {than}"),
            Self::Pulled { within } => write!(f, "pulled within {within}"),
            Self::Tagged { tag } => write!(f, "its tag {tag} is kept"),
            Self::PartOf { index } => write!(f, "part of the index {index}, which stays"),
            Self::Names { image } => write!(f, "an index of {image}, which is used"),
            Self::About { image } => write!(f, "about {image}, which stays"),
            Self::ArchivedByOthers => f.write_str("put into the archive by someone else"),
            Self::MayBePartOf { index } => {
                write!(f, "the index {index}, which someone else put into the archive, may name it")
            }
            Self::Returning => f.write_str("on its way back from the archive"),
            Self::NotUnderstood => f.write_str("its status or its date cannot be read"),
        }
    }
}

/// Reasons to keep, by image.
pub type Uses = BTreeMap<Key, BTreeSet<Reason>>;

/// When each image was last marked.
pub type Marked = BTreeMap<Key, Timestamp>;

/// What becomes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// It stays, for at least one reason.
    Keep(Vec<Reason>),
    /// We put it into the archive, and something speaks for it: it is brought back.
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

/// Judges every image. One stays if anything speaks for it or for what it belongs to, and goes otherwise.
#[must_use]
pub fn retain(
    rules: &Rules,
    images: &[Image],
    uses: &Uses,
    marked: &Marked,
    now: Timestamp,
) -> BTreeMap<Key, Disposition> {
    let family = Family::of(images);
    let mut reasons: Uses = images.iter().map(|image| (image.key.clone(), BTreeSet::new())).collect();
    for (key, because) in uses {
        if let Some(reasons) = reasons.get_mut(key) {
            reasons.extend(because.iter().cloned());
        }
    }
    let newest = newest(rules, images, &family);
    for image in images {
        let own = reasons.entry(image.key.clone()).or_default();
        own.extend(held(rules, image, marked));
        if !family.is_member(image) {
            own.extend(recent(rules, image, &family, now));
            if newest.contains(&image.key) {
                own.insert(Reason::Newest { of: rules.keep.last });
            }
        }
    }
    spread(images, &family, &mut reasons);
    let hiding = hidden(images, marked, &reasons);
    for image in images {
        if let Some(Hiding::Others(index)) = hiding.get(&image.key.repository)
            && let Some(own) = reasons.get_mut(&image.key).filter(|own| own.is_empty())
        {
            own.insert(Reason::MayBePartOf { index: short(index).to_owned() });
        }
    }
    let wait = rules.quarantine.as_duration();
    let fate = |image: &Image| {
        let key = &image.key;
        let because: Vec<Reason> = reasons.get(key).into_iter().flatten().cloned().collect();
        let mark = marked.get(key).copied();
        if because.is_empty() {
            return match (hiding.get(&key.repository), quarantine::next(image, mark, wait, now)) {
                (Some(Hiding::Returning), Next::Step(_)) => {
                    Disposition::Go(Next::Rest { until: now.plus(COMING_BACK) })
                }
                (_, next) => Disposition::Go(next),
            };
        }
        if quarantine::is_ours(image, mark) {
            Disposition::Reinstate(because)
        } else {
            Disposition::Keep(because)
        }
    };
    images.iter().map(|image| (image.key.clone(), fate(image))).collect()
}

/// Which images belong to others of their repository.
#[derive(Debug)]
pub struct Family {
    /// The indexes that name an image.
    lists: BTreeMap<Key, Vec<Key>>,
    /// What is about an image that is there.
    about: BTreeMap<Key, Vec<Key>>,
    /// When the images of an index were last pulled.
    pulled: BTreeMap<Key, Timestamp>,
}

impl Family {
    #[must_use]
    pub fn of(images: &[Image]) -> Self {
        let there: BTreeMap<&Key, &Image> = images.iter().map(|image| (&image.key, image)).collect();
        let mut family = Self { lists: BTreeMap::new(), about: BTreeMap::new(), pulled: BTreeMap::new() };
        for image in images {
            for child in image.children() {
                let child = image.key.sibling(child);
                if let Some(pulled) = there.get(&child).and_then(|child| child.pulled) {
                    let last = family.pulled.entry(image.key.clone()).or_insert(pulled);
                    *last = pulled.max(*last);
                }
                family.lists.entry(child).or_default().push(image.key.clone());
            }
            if let Some(subject) = image.about().map(|subject| image.key.sibling(&subject))
                && there.contains_key(&subject)
                && subject != image.key
            {
                family.about.entry(subject).or_default().push(image.key.clone());
            }
        }
        family
    }

    /// Indexes that name this image.
    #[must_use]
    pub fn lists(&self, key: &Key) -> &[Key] {
        self.lists.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether an image stays or goes with others, whatever its age.
    fn is_member(&self, image: &Image) -> bool {
        let about = image.about().map(|subject| image.key.sibling(&subject));
        self.lists.contains_key(&image.key)
            || about.is_some_and(|subject| {
                self.about.get(&subject).is_some_and(|about| about.contains(&image.key))
            })
    }
}

/// The newest of each repository that have a tag.
fn newest(rules: &Rules, images: &[Image], family: &Family) -> BTreeSet<Key> {
    let mut repositories: BTreeMap<&str, Vec<&Image>> = BTreeMap::new();
    for image in images.iter().filter(|image| !image.tags.is_empty() && !family.is_member(image)) {
        repositories.entry(&image.key.repository).or_default().push(image);
    }
    let last = usize::try_from(rules.keep.last).unwrap_or(usize::MAX);
    let mut newest = BTreeSet::new();
    for mut line in repositories.into_values() {
        line.sort_by_key(|image| (Reverse(image.pushed), image.key.clone()));
        newest.extend(line.into_iter().take(last).map(|image| image.key.clone()));
    }
    newest
}

/// What holds an image whatever its age.
fn held(rules: &Rules, image: &Image, marked: &Marked) -> Vec<Reason> {
    let mut reasons = Vec::new();
    let kept = image.tags.iter().find(|tag| rules.keep.tags.iter().any(|pattern| fits(pattern, tag)));
    reasons.extend(kept.map(|tag| Reason::Tagged { tag: tag.clone() }));
    match image.status {
        Status::Archived if !quarantine::is_ours(image, marked.get(&image.key).copied()) => {
            reasons.push(Reason::ArchivedByOthers);
        }
        Status::Activating => reasons.push(Reason::Returning),
        Status::Unknown => reasons.push(Reason::NotUnderstood),
        Status::Active | Status::Archived => {}
    }
    if image.pushed.is_none() {
        reasons.push(Reason::NotUnderstood);
    }
    reasons
}

/// What holds an image because of its age.
fn recent(rules: &Rules, image: &Image, family: &Family, now: Timestamp) -> Vec<Reason> {
    let within = |at: Option<Timestamp>, span: crate::spec::Span| {
        at.is_some_and(|at| now.since(at) < span.as_duration())
    };
    let mut reasons = Vec::new();
    if within(image.pushed.max(image.activated), rules.keep.younger_than) {
        reasons.push(Reason::Young { than: rules.keep.younger_than.to_string() });
    }
    // Reading an index is a pull, and each look reads it. Whoever pulls one goes on to pull an image it names.
    let pulled = match image.manifest {
        Manifest::Single => image.pulled,
        Manifest::Index(_) | Manifest::HiddenIndex => family.pulled.get(&image.key).copied(),
    };
    if within(pulled, rules.keep.pulled_within) {
        reasons.push(Reason::Pulled { within: rules.keep.pulled_within.to_string() });
    }
    reasons
}

/// What speaks for an image speaks for what it names and for what is about it; and what uses an image speaks for the
/// indexes that name it.
fn spread(images: &[Image], family: &Family, reasons: &mut Uses) {
    let mut todo: Vec<Key> = Vec::new();
    for (key, own) in reasons.iter() {
        if !own.is_empty() {
            todo.push(key.clone());
        }
    }
    let there: BTreeMap<&Key, &Image> = images.iter().map(|image| (&image.key, image)).collect();
    let used = |own: &BTreeSet<Reason>| {
        own.iter()
            .any(|reason| matches!(reason, Reason::Used { .. } | Reason::ThisRelease | Reason::Names { .. }))
    };
    while let Some(key) = todo.pop() {
        let name = key.short().to_owned();
        let mut give: Vec<(Key, Reason)> = Vec::new();
        if let Some(image) = there.get(&key) {
            let children = image.children().iter().map(|child| key.sibling(child));
            give.extend(children.map(|child| (child, Reason::PartOf { index: name.clone() })));
        }
        let about = family.about.get(&key).into_iter().flatten();
        give.extend(about.map(|one| (one.clone(), Reason::About { image: name.clone() })));
        if reasons.get(&key).is_some_and(used) {
            let lists = family.lists(&key).iter();
            give.extend(lists.map(|list| (list.clone(), Reason::Names { image: name.clone() })));
        }
        for (to, reason) in give {
            if let Some(own) = reasons.get_mut(&to)
                && own.insert(reason)
            {
                todo.push(to);
            }
        }
    }
}

/// Why it is not known what an index of a repository names.
enum Hiding {
    /// Someone else put it into the archive.
    Others(String),
    /// It comes back, or is about to be brought back.
    Returning,
}

/// Repositories with an index that cannot be read and stays. One that goes hides nothing: what it names is of no use
/// without it, or has reasons of its own.
fn hidden(images: &[Image], marked: &Marked, reasons: &Uses) -> BTreeMap<String, Hiding> {
    let mut hiding = BTreeMap::new();
    for image in images.iter().filter(|image| image.manifest == Manifest::HiddenIndex) {
        let stays = reasons.get(&image.key).is_some_and(|own| !own.is_empty());
        let ours = quarantine::is_ours(image, marked.get(&image.key).copied());
        let repository = image.key.repository.clone();
        if image.status == Status::Archived && !ours {
            hiding.insert(repository, Hiding::Others(image.key.digest.clone()));
        } else if stays {
            hiding.entry(repository).or_insert(Hiding::Returning);
        }
    }
    hiding
}

/// Whether a tag fits a pattern, in which `*` stands for anything.
fn fits(pattern: &str, tag: &str) -> bool {
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

/// Why an image goes.
#[must_use]
pub fn removal(rules: &Rules) -> String {
    format!(
        "not among the newest {}, older than {}, and nothing uses it",
        rules.keep.last, rules.keep.younger_than
    )
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_anything() {
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
            assert_eq!(fits(pattern, tag), expected, "{pattern} {tag}");
        }
    }
}
