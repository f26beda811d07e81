//! A recorded rollout as Kayenta's judge would be shown it: one number for each window and side.

use std::collections::BTreeMap;

use super::{CONFIDENCE, Classification, Direction, MetricConfig, Mode, Thresholds, classify, score};
use crate::judge::ranks::count;
use crate::judge::rules::{Harm, Measure, Role, Rules};
use crate::judge::window::{Arm, Counted, Reading, Slow, Window};

/// What Spinnaker offers when nothing is said.
const USUAL: Thresholds = Thresholds { pass: 95.0, marginal: 75.0 };

/// What Kayenta would say of a rollout: for people who know its scores, and never gating.
#[derive(Debug, Clone, PartialEq)]
pub struct Shown {
    /// 0 to 100.
    pub score: f64,
    /// Pass, Marginal or Fail.
    pub class: &'static str,
    /// The class of each metric, and of each threshold of a latency.
    pub metrics: BTreeMap<String, Classification>,
}

/// Scores a rollout's windows, every metric with the same weight. Errors and latencies are shares of the window's requests,
/// gauges the mean over a side's instances; what is missing is no value.
#[must_use]
pub fn show(rules: &Rules, windows: &[Window]) -> Shown {
    let mut classified = Vec::new();
    for rule in &rules.metrics {
        let config = MetricConfig {
            direction: match rule.harm {
                Harm::Increase => Direction::Increase,
                Harm::Decrease => Direction::Decrease,
            },
            must_have_data: rule.role == Role::Critical,
            groups: vec!["metrics".to_owned()],
            ..MetricConfig::default()
        };
        let names: Vec<String> = match &rule.measure {
            Measure::Latency { thresholds, .. } => {
                thresholds.iter().map(|above| format!("{} above {above}", rule.name)).collect()
            }
            Measure::Counts(_) | Measure::Gauge(_) => vec![rule.name.clone()],
        };
        for (at, name) in names.into_iter().enumerate() {
            let (control, canary): (Vec<f64>, Vec<f64>) =
                windows.iter().map(|window| values(window, &rule.name, at)).unzip();
            let class = classify(&control, &canary, &config, CONFIDENCE, Mode::Kayenta);
            classified.push((name, config.clone(), class));
        }
    }
    let each: Vec<_> =
        classified.iter().map(|(name, config, class)| (name.as_str(), config, class)).collect();
    let scored = score(&each, &BTreeMap::new(), USUAL, Mode::Kayenta);
    Shown {
        score: scored.score,
        class: scored.class,
        metrics: classified.into_iter().map(|(name, _, class)| (name, class.classification)).collect(),
    }
}

/// The values of the old image and of the new one in a window; NaN where there is none.
fn values(window: &Window, metric: &str, at: usize) -> (f64, f64) {
    let (control, canary) = (&window.control, &window.canary);
    match window.metrics.get(metric) {
        Some(Reading::Counts { control: old, canary: new }) => (events(old, control), events(new, canary)),
        Some(Reading::Latency { control: old, canary: new }) => {
            (slow(old, at, control), slow(new, at, canary))
        }
        Some(Reading::Gauge { control: old, canary: new }) => (mean(old), mean(new)),
        None => (f64::NAN, f64::NAN),
    }
}

fn events(counted: &Counted, arm: &Arm) -> f64 {
    share(counted.events, counted.total, arm)
}

fn slow(slow: &Slow, at: usize, arm: &Arm) -> f64 {
    share(slow.over.get(at).copied().flatten(), slow.total, arm)
}

fn share(events: Option<f64>, total: Option<f64>, arm: &Arm) -> f64 {
    match (events, total.or(arm.requests)) {
        (Some(events), Some(requests)) if requests > 0.0 => events / requests,
        _ => f64::NAN,
    }
}

fn mean(instances: &BTreeMap<String, Option<f64>>) -> f64 {
    let known: Vec<f64> = instances.values().copied().flatten().collect();
    if known.is_empty() { f64::NAN } else { known.iter().sum::<f64>() / count(known.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::recording::Recording;

    fn recorded() -> Recording {
        Recording::parse(include_str!("../../../tests/golden/judge/rollout.jsonl")).unwrap()
    }

    #[test]
    fn every_metric_and_threshold_is_classified() {
        let recorded = recorded();
        let shown = show(&recorded.rules, &recorded.windows);
        let thresholds: usize = recorded
            .rules
            .metrics
            .iter()
            .map(|rule| match &rule.measure {
                Measure::Latency { thresholds, .. } => thresholds.len(),
                _ => 1,
            })
            .sum();
        assert_eq!(shown.metrics.len(), thresholds, "{shown:?}");
        let passed = shown.metrics.values().filter(|class| **class == Classification::Pass).count();
        assert!((shown.score - 100.0 * count(passed) / count(thresholds)).abs() < 0.01, "{shown:?}");
    }

    #[test]
    fn a_canary_that_is_much_worse_is_high_and_fails() {
        let mut recorded = recorded();
        for window in &mut recorded.windows {
            for reading in window.metrics.values_mut() {
                match reading {
                    Reading::Counts { control, canary } => {
                        canary.events = control.events.map(|events| 10.0 * events + 50.0);
                    }
                    Reading::Latency { control, canary } => {
                        canary.over = control.over.iter().map(|over| over.map(|o| 2.0 * o + 50.0)).collect();
                    }
                    Reading::Gauge { control, canary } => {
                        *canary = control.iter().map(|(id, v)| (id.clone(), v.map(|v| 3.0 * v))).collect();
                    }
                }
            }
        }
        let shown = show(&recorded.rules, &recorded.windows);
        assert_eq!((shown.class, shown.score), ("Fail", 0.0), "{shown:?}");
        assert!(shown.metrics.values().all(|class| *class == Classification::High), "{shown:?}");
    }

    #[test]
    fn nothing_measured_is_no_pass() {
        let mut recorded = recorded();
        recorded.windows.iter_mut().for_each(|window| window.metrics.clear());
        let shown = show(&recorded.rules, &recorded.windows);
        assert_eq!((shown.class, shown.score), ("Fail", 0.0), "{shown:?}");
    }
}
