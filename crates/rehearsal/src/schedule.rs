//! What will happen later: the world's events, in time order.

use std::collections::BTreeMap;

use super::time::Time;

/// Events not yet due. Events due at one moment happen in the order they were entered.
#[derive(Clone, Debug)]
pub struct Schedule<E> {
    entries: BTreeMap<(Time, u64), E>,
    entered: u64,
}

impl<E> Default for Schedule<E> {
    fn default() -> Self {
        Self { entries: BTreeMap::new(), entered: 0 }
    }
}

impl<E> Schedule<E> {
    pub fn enter(&mut self, at: Time, event: E) {
        self.entered += 1;
        self.entries.insert((at, self.entered), event);
    }

    /// Whether something of a kind is still to happen.
    pub fn holds(&self, wanted: impl Fn(&E) -> bool) -> bool {
        self.entries.values().any(wanted)
    }

    /// Takes the earliest event that is due at `now`, with its moment.
    pub fn due(&mut self, now: Time) -> Option<(Time, E)> {
        let (&key, _) = self.entries.first_key_value()?;
        if key.0 > now {
            return None;
        }
        self.entries.remove(&key).map(|event| (key.0, event))
    }
}
