//! Absolute limits: a canary that burns its error budget fails even when the baseline burns with it.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::rules::GuardRule;

/// One limit and what it has seen lately.
#[derive(Debug, Clone, PartialEq)]
pub struct Guard {
    rule: GuardRule,
    /// End, events and requests of the windows within the long time.
    recent: VecDeque<(f64, f64, f64)>,
    tripped: bool,
}

/// What a limit says at a look.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GuardRecord {
    /// The metric.
    pub metric: String,
    /// Burn rate over the long time: how many times the rate that the objective allows.
    pub long_burn: f64,
    /// Burn rate over the short time.
    pub short_burn: f64,
    /// What both must stay below.
    pub limit: f64,
    /// Events on the canary in the long time.
    pub events: f64,
    /// Whether it has ever been passed.
    pub tripped: bool,
}

impl Guard {
    /// A limit that has seen nothing.
    #[must_use]
    pub fn new(rule: &GuardRule) -> Self {
        Self { rule: rule.clone(), recent: VecDeque::new(), tripped: false }
    }

    /// The metric it watches.
    #[must_use]
    pub fn metric(&self) -> &str {
        &self.rule.metric
    }

    /// Adds the canary's events of the window that ended at this minute.
    pub fn observe(&mut self, end: f64, events: f64, requests: f64) {
        self.recent.push_back((end, events, requests));
        while self.recent.front().is_some_and(|(seen, _, _)| *seen <= end - self.rule.long_minutes) {
            self.recent.pop_front();
        }
        let record = self.record();
        let over = record.long_burn >= record.limit && record.short_burn >= record.limit;
        self.tripped |= over && record.events >= self.rule.minimum_events;
    }

    /// Where it stands.
    #[must_use]
    pub fn record(&self) -> GuardRecord {
        let now = self.recent.back().map_or(0.0, |(end, _, _)| *end);
        let over = |minutes: f64| {
            let within = self.recent.iter().filter(|(end, _, _)| *end > now - minutes);
            within.fold((0.0, 0.0), |(events, requests), (_, e, r)| (events + e, requests + r))
        };
        let burn = |(events, requests): (f64, f64)| {
            if requests > 0.0 { events / requests / (1.0 - self.rule.objective) } else { 0.0 }
        };
        let long = over(self.rule.long_minutes);
        GuardRecord {
            metric: self.rule.metric.clone(),
            long_burn: burn(long),
            short_burn: burn(over(self.rule.short_minutes)),
            limit: self.rule.burn_rate,
            events: long.0,
            tripped: self.tripped,
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that must come out exactly are compared exactly")]
mod tests {
    use super::*;

    fn guard() -> Guard {
        Guard::new(&GuardRule {
            metric: "errors".into(),
            objective: 0.99,
            burn_rate: 10.0,
            long_minutes: 60.0,
            short_minutes: 5.0,
            minimum_events: 10.0,
        })
    }

    #[test]
    fn a_burn_that_lasts_trips_and_one_that_ended_does_not() {
        let mut lasting = guard();
        for minute in 1..=10 {
            lasting.observe(f64::from(minute), 12.0, 100.0);
        }
        assert!(lasting.record().tripped);

        let mut ended = guard();
        ended.observe(1.0, 9.0, 90.0);
        for minute in 2..=30 {
            ended.observe(f64::from(minute), 0.0, 100.0);
        }
        assert!(!ended.record().tripped);
    }

    #[test]
    fn a_few_events_trip_nothing() {
        let mut guard = guard();
        guard.observe(1.0, 9.0, 9.0);
        assert!(!guard.record().tripped);
        guard.observe(2.0, 1.0, 1.0);
        assert!(guard.record().tripped);
    }
}
