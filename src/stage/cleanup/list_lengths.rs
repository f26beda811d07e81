//! How long each list was last time: one that is much shorter now may be cut off, and then nothing is removed.
//!
//! The lengths rest in a parameter of Systems Manager in the very account and region they speak of: the worker reads
//! parameters there anyway, nothing else has to be set up, and whatever runs the cleanup, an action or a person, finds
//! the same memory. A statement of the previous cleanup would not do: no action gets another execution's artifact.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::graph::{Counts, Source};
use crate::engine::Timestamp;

/// The parameter that holds the memory of an account and region.
pub const PARAMETER: &str = "/bakeline/cleanup/inventory";

/// Lists shorter than this come and go.
const FEW: u64 = 8;

/// A list that lost more than half of its entries is suspicious.
const SHARE: u64 = 2;

/// A shorter list is believed when it has been that short for this long.
const PATIENCE: Duration = Duration::from_hours(24);

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub v: u8,
    /// What each list was believed to have.
    pub lists: BTreeMap<Source, Seen>,
}

/// What is remembered of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub entries: u64,
    /// Since when it has been much shorter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shorter_since: Option<Timestamp>,
}

/// A list that is much shorter than it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    pub source_name: Source,
    pub entries: u64,
    pub before: u64,
    pub believed: Timestamp,
}

impl Suspicion {
    /// What is suspicious, and when it is not any more. `parameter` holds the memory.
    #[must_use]
    pub fn told(&self, parameter: &str) -> String {
        let Self { source_name, entries, before, believed } = self;
        format!(
            "the list of {source_name} has {entries} entries, and had {before}: it may be cut off, so nothing is removed. \
             It is believed once it has been that short since {believed}, or when the parameter {parameter} is deleted"
        )
    }
}

impl Memory {
    /// Reads what was written; what cannot be read is no memory.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|memory: &Self| memory.v == 1)
    }

    /// What is remembered after these lengths were seen, and the first list that is not believed.
    #[must_use]
    pub fn see(&self, counts: &Counts, now: Timestamp) -> (Self, Option<Suspicion>) {
        let mut after = Self { v: 1, lists: self.lists.clone() };
        let mut suspicion = None;
        for (&source, &entries) in counts {
            let before = self.lists.get(&source).copied();
            let seen = match before {
                Some(before) if is_cut(before.entries, entries) => {
                    let since = before.shorter_since.unwrap_or(now);
                    if now.since(since) >= PATIENCE {
                        Seen { entries, shorter_since: None }
                    } else {
                        suspicion.get_or_insert(Suspicion {
                            source_name: source,
                            entries,
                            before: before.entries,
                            believed: since.plus(PATIENCE),
                        });
                        Seen { shorter_since: Some(since), ..before }
                    }
                }
                _ => Seen { entries, shorter_since: None },
            };
            after.lists.insert(source, seen);
        }
        (after, suspicion)
    }
}

fn is_cut(before: u64, now: u64) -> bool {
    before >= FEW && now.saturating_mul(SHARE) < before
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn counts(entries: u64) -> Counts {
        Counts::from([(Source::Instances, entries)])
    }

    #[test]
    fn a_list_cut_to_less_than_half_is_not_believed_for_a_day() {
        let (memory, first) = Memory::default().see(&counts(100), NOW);
        assert_eq!(first, None);
        assert_eq!(memory.see(&counts(50), NOW).1, None);
        let (memory, cut) = memory.see(&counts(49), NOW);
        let cut = cut.unwrap();
        assert_eq!((cut.entries, cut.before), (49, 100));
        // It is still not believed a day later less a second, and then it is.
        let later = NOW.plus(Duration::from_secs(86_399));
        let (memory, still) = memory.see(&counts(10), later);
        assert_eq!(still.unwrap().believed, NOW.plus(PATIENCE));
        let (memory, believed) = memory.see(&counts(10), NOW.plus(PATIENCE));
        assert_eq!((believed, memory.lists[&Source::Instances].entries), (None, 10));
    }

    #[test]
    fn a_list_that_recovers_is_forgiven() {
        let memory = Memory::default().see(&counts(100), NOW).0;
        let memory = memory.see(&counts(3), NOW).0;
        let memory = memory.see(&counts(90), NOW.plus(Duration::from_hours(2))).0;
        let (_, cut) = memory.see(&counts(3), NOW.plus(Duration::from_hours(30)));
        assert!(cut.is_some(), "the day is counted anew");
    }

    #[test]
    fn short_lists_come_and_go() {
        let memory = Memory::default().see(&counts(FEW - 1), NOW).0;
        assert_eq!(memory.see(&counts(0), NOW).1, None);
    }

    #[test]
    fn what_is_written_is_read_back_and_names_no_image() {
        let memory = Memory::default().see(&counts(100), NOW).0.see(&counts(3), NOW).0;
        let text = serde_json::to_string(&memory).unwrap();
        assert_eq!(Memory::read(&text), Some(memory));
        assert_eq!(Memory::read("{}"), None);
        assert!(!text.contains("ami-"));
    }
}
