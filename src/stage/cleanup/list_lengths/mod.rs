//! The lengths of all lists at the last cleanup: a list that is much shorter now may be cut off, so nothing is removed.
//!
//! A parameter of Systems Manager in the same account and region stores the lengths. The worker reads parameters there
//! anyway, nothing else must be set up, and an action and a person who types the command share the same record. The
//! previous cleanup's statement cannot store them: no action receives the artifact of another execution.

mod store;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::store::{load, save};

use crate::engine::Timestamp;
use crate::engine::error::{ErrorClass, ModuleError};
use crate::stage::aws_view::image_references::graph::{Lengths, ListName};

/// The parameter that stores the lengths of the lists that reference machine images.
pub const MACHINE_IMAGES: &str = "/bakeline/state/cleanup/machine-images/inventory";

/// The parameter that stores the lengths of the lists that reference container images.
pub const CONTAINER_IMAGES: &str = "/bakeline/state/cleanup/container-images/inventory";

/// Shorter lists may shrink to any length.
const MIN_ENTRIES: u64 = 8;

/// A list is too short if it has less than one entry for so many of the last time.
const MAX_SHRINKAGE: u64 = 2;

/// A too short list is accepted if it stays that short for this long.
const ACCEPTED_AFTER: Duration = Duration::from_hours(24);

/// The stored lengths of all lists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListLengths {
    pub version: u8,
    pub lists: BTreeMap<ListName, ListLength>,
}

/// The stored length of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListLength {
    /// The length that was last accepted.
    pub entries: u64,
    /// Since when the list has been too short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shorter_since: Option<Timestamp>,
}

/// A list that is much shorter than at the last cleanup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the list of {list} has {entries} entries, and had {before} at the last cleanup: it may be cut off, so nothing is \
     removed. If it stays that short, cleanup accepts its new length from {accepted_from} on; to accept it now, delete \
     the parameter {parameter}"
)]
pub struct ShortList {
    pub list: ListName,
    pub entries: u64,
    pub before: u64,
    pub accepted_from: Timestamp,
    /// The parameter that stores the lengths.
    pub parameter: &'static str,
}

impl ModuleError for ShortList {
    fn class(&self) -> ErrorClass {
        ErrorClass::Rejected
    }
}

impl Default for ListLengths {
    fn default() -> Self {
        Self { version: Self::VERSION, lists: BTreeMap::new() }
    }
}

impl ListLengths {
    const VERSION: u8 = 1;

    /// Parses the parameter's value; `None` if it is no record of lengths.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|lengths: &Self| lengths.version == Self::VERSION)
    }

    /// The lengths to store after a cleanup saw `lengths`, and the first list that is too short.
    #[must_use]
    pub fn update(
        &self,
        lengths: &Lengths,
        parameter: &'static str,
        now: Timestamp,
    ) -> (Self, Option<ShortList>) {
        let mut after = self.clone();
        let mut short_list = None;
        for (&list, &entries) in lengths {
            let length = match self.lists.get(&list).copied() {
                Some(before) if is_short(before.entries, entries) => {
                    let since = before.shorter_since.unwrap_or(now);
                    if now.since(since) >= ACCEPTED_AFTER {
                        ListLength { entries, shorter_since: None }
                    } else {
                        short_list.get_or_insert(ShortList {
                            list,
                            entries,
                            before: before.entries,
                            accepted_from: since.plus(ACCEPTED_AFTER),
                            parameter,
                        });
                        ListLength { shorter_since: Some(since), ..before }
                    }
                }
                _ => ListLength { entries, shorter_since: None },
            };
            after.lists.insert(list, length);
        }
        (after, short_list)
    }
}

fn is_short(before: u64, now: u64) -> bool {
    before >= MIN_ENTRIES && now.saturating_mul(MAX_SHRINKAGE) < before
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn update(stored: &ListLengths, entries: u64, now: Timestamp) -> (ListLengths, Option<ShortList>) {
        stored.update(&Lengths::from([(ListName::Instances, entries)]), MACHINE_IMAGES, now)
    }

    #[test]
    fn a_list_of_less_than_half_its_length_is_accepted_after_a_day() {
        let (stored, first) = update(&ListLengths::default(), 100, NOW);
        assert_eq!(first, None);
        assert_eq!(update(&stored, 50, NOW).1, None);
        let (stored, short) = update(&stored, 49, NOW);
        let short = short.unwrap();
        assert_eq!((short.entries, short.before), (49, 100));
        assert!(short.to_string().contains(MACHINE_IMAGES), "{short}");
        // A second before the day is over it is still refused.
        let later = NOW.plus(Duration::from_secs(86_399));
        let (stored, short) = update(&stored, 10, later);
        assert_eq!(short.unwrap().accepted_from, NOW.plus(ACCEPTED_AFTER));
        let (stored, short) = update(&stored, 10, NOW.plus(ACCEPTED_AFTER));
        assert_eq!((short, stored.lists[&ListName::Instances].entries), (None, 10));
    }

    #[test]
    fn a_list_that_recovers_starts_a_new_day() {
        let stored = update(&ListLengths::default(), 100, NOW).0;
        let stored = update(&stored, 3, NOW).0;
        let stored = update(&stored, 90, NOW.plus(Duration::from_hours(2))).0;
        let (_, short) = update(&stored, 3, NOW.plus(Duration::from_hours(30)));
        assert!(short.is_some());
    }

    #[test]
    fn lists_with_few_entries_may_become_empty() {
        let stored = update(&ListLengths::default(), MIN_ENTRIES - 1, NOW).0;
        assert_eq!(update(&stored, 0, NOW).1, None);
    }

    #[test]
    fn stored_lengths_are_parsed_back_and_contain_no_image_id() {
        let stored = update(&update(&ListLengths::default(), 100, NOW).0, 3, NOW).0;
        let text = serde_json::to_string(&stored).unwrap();
        assert_eq!(ListLengths::parse(&text), Some(stored));
        assert_eq!(ListLengths::parse("{}"), None);
        assert!(text.starts_with(r#"{"version":1,"#) && !text.contains("ami-"), "{text}");
    }
}
