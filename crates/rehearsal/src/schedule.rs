//! A schedule: future events in time order.

use std::collections::BTreeMap;

use super::time::Time;

/// Events that are not due yet. Events due at the same time keep the order in which they were added.
#[derive(Clone, Debug)]
pub struct Schedule<E> {
    entries: BTreeMap<(Time, u64), E>,
    added: u64,
}

impl<E> Default for Schedule<E> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), added: 0 }
    }
}

impl<E> Schedule<E> {
    pub fn add(&mut self, at: Time, event: E) {
        self.added += 1;
        self.entries.insert((at, self.added), event);
    }

    /// Whether the schedule has an event that matches.
    pub fn contains(&self, wanted: impl Fn(&E) -> bool) -> bool {
        self.entries.values().any(wanted)
    }

    /// Removes and returns the earliest event that is due at `now`, with its time.
    pub fn due(&mut self, now: Time) -> Option<(Time, E)> {
        let (&key, _) = self.entries.first_key_value()?;
        if key.0 > now {
            return None;
        }
        self.entries.remove(&key).map(|event| (key.0, event))
    }
}
