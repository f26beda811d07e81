//! Queues of claimed jobs: due jobs, in one queue for each pipeline, and jobs that are not due yet.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// Due jobs. Pipelines take turns, so that a pipeline with many jobs does not starve another one.
#[derive(Debug)]
pub struct Ready<T> {
    queues: BTreeMap<String, VecDeque<T>>,
    turns: VecDeque<String>,
    length: usize,
}

impl<T> Default for Ready<T> {
    fn default() -> Self {
        Self { queues: BTreeMap::new(), turns: VecDeque::new(), length: 0 }
    }
}

impl<T> Ready<T> {
    pub fn push(&mut self, pipeline: &str, item: T) {
        let queue = self.queues.entry(pipeline.to_owned()).or_default();
        if queue.is_empty() {
            self.turns.push_back(pipeline.to_owned());
        }
        queue.push_back(item);
        self.length += 1;
    }

    /// The oldest job of the next pipeline.
    pub fn pop(&mut self) -> Option<T> {
        let pipeline = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&pipeline)?;
        let item = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&pipeline);
        } else {
            self.turns.push_back(pipeline);
        }
        self.length -= usize::from(item.is_some());
        item
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }
}

/// Jobs that are not due yet, ordered by their due time. They use no slot and no timer.
#[derive(Debug)]
pub struct Parked<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    sequence: u64,
}

#[derive(Debug)]
struct Entry<T> {
    due: u64,
    sequence: u64,
    item: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl<T> Default for Parked<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), sequence: 0 }
    }
}

impl<T> Parked<T> {
    pub fn push(&mut self, due: u64, item: T) {
        self.sequence += 1;
        self.heap.push(Reverse(Entry { due, sequence: self.sequence, item }));
    }

    /// The earliest due time.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.heap.peek().map(|entry| entry.0.due)
    }

    /// The first job, if it is due.
    pub fn pop_due(&mut self, now: u64) -> Option<T> {
        if self.next_due()? > now {
            return None;
        }
        self.heap.pop().map(|entry| entry.0.item)
    }

    /// Removes all jobs, in any order.
    pub fn drain(&mut self) -> Vec<T> {
        self.heap.drain().map(|entry| entry.0.item).collect()
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_thousand_jobs_do_not_starve_one() {
        let mut ready = Ready::default();
        for job in 0..1000 {
            ready.push("busy", job);
        }
        ready.push("quiet", 1000);
        let order: Vec<i32> = std::iter::from_fn(|| ready.pop()).collect();
        assert_eq!(order.iter().position(|job| *job == 1000), Some(1));
        assert_eq!(order.len(), 1001);
        assert_eq!(ready.len(), 0);
    }

    proptest! {
        #[test]
        fn every_pipeline_gets_a_turn_in_each_round(jobs in proptest::collection::vec(0u8..6, 1..80)) {
            let mut ready = Ready::default();
            for (number, pipeline) in jobs.iter().enumerate() {
                ready.push(&pipeline.to_string(), (*pipeline, number));
            }
            let mut left = jobs.clone();
            let mut last = std::collections::BTreeMap::new();
            for turn in 0.. {
                let Some((pipeline, number)) = ready.pop() else { break };
                let waiting = left.iter().collect::<std::collections::BTreeSet<_>>().len();
                if let Some((before, earlier)) = last.insert(pipeline, (turn, number)) {
                    prop_assert!(turn - before <= 6, "{waiting} pipelines had jobs");
                    prop_assert!(earlier < number, "first in, first out");
                }
                let at = left.iter().position(|p| *p == pipeline).unwrap();
                left.remove(at);
            }
            prop_assert!(left.is_empty());
        }

        #[test]
        fn parked_jobs_come_in_order_and_never_early(dues in proptest::collection::vec(0u64..50, 0..60)) {
            let mut parked = Parked::default();
            for due in &dues {
                parked.push(*due, *due);
            }
            let mut seen = Vec::new();
            for now in 0..50 {
                while let Some(due) = parked.pop_due(now) {
                    prop_assert_eq!(due, now);
                    seen.push(due);
                }
            }
            let mut sorted = dues;
            sorted.sort_unstable();
            prop_assert_eq!(seen, sorted);
        }
    }
}
