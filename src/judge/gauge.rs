//! Evidence from gauges: the unit is the instance, whose minutes are not independent of each other.
//!
//! Each instance counts once, with its mean since the stage began. The arms are compared by the exact Mann-Whitney test, once
//! a stage, at its gate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::normal;
use super::ranks::{count, permutation_tails, rank_sum};
use super::rules::{GaugeRule, Harm};
use super::spending::Budget;
use super::window::Fault;

/// Fewer instances on a side than this conclude nothing: no arrangement of them is rare enough.
pub const FEWEST: usize = 5;

type Values = BTreeMap<String, Option<f64>>;

/// The evidence of one gauge.
#[derive(Debug, Clone, PartialEq)]
pub struct GaugeEvidence {
    rule: GaugeRule,
    harm: Harm,
    control: BTreeMap<String, Mean>,
    canary: BTreeMap<String, Mean>,
    harm_budget: Budget,
    safe_budget: Budget,
    gate: Option<Gate>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Mean {
    sum: f64,
    n: f64,
}

/// What a stage's gate found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// Instances of the old image.
    pub control_instances: usize,
    /// Instances of the new image.
    pub canary_instances: usize,
    /// Mann-Whitney statistic of the canary, its values divided by the margin.
    pub statistic: f64,
    /// One-sided p against "the canary is within the margin".
    pub p_harm: f64,
    /// What p had to reach.
    pub alpha_harm: f64,
    /// One-sided p against "the canary is at the harm margin or beyond".
    pub p_safe: f64,
    /// What p had to reach.
    pub alpha_safe: f64,
}

impl GaugeEvidence {
    /// No evidence yet.
    #[must_use]
    pub fn new(rule: &GaugeRule, harm: Harm, alpha: f64, beta: f64) -> Self {
        Self {
            rule: rule.clone(),
            harm,
            control: BTreeMap::new(),
            canary: BTreeMap::new(),
            harm_budget: Budget::new(alpha),
            safe_budget: Budget::new(beta),
            gate: None,
        }
    }

    /// Forgets the values and the gate of the stage before.
    pub fn begin_stage(&mut self) {
        self.control.clear();
        self.canary.clear();
        self.gate = None;
    }

    /// Adds the values of a window; none of them if one cannot be believed.
    pub fn observe(&mut self, control: &Values, canary: &Values) -> Result<(), Fault> {
        for value in control.values().chain(canary.values()) {
            match value {
                Some(value) if value.is_finite() && *value >= 0.0 => {}
                Some(value) if *value < 0.0 => return Err(Fault::Negative("a gauge")),
                _ => return Err(Fault::NotANumber("a gauge")),
            }
        }
        for (means, values) in [(&mut self.control, control), (&mut self.canary, canary)] {
            for (instance, value) in values {
                let mean = means.entry(instance.clone()).or_default();
                mean.sum += value.unwrap_or_default();
                mean.n += 1.0;
            }
        }
        Ok(())
    }

    /// Compares the arms, once in a stage, and spends what the instances seen allow.
    pub fn pass_gate(&mut self) {
        let fewest = self.control.len().min(self.canary.len());
        if self.gate.is_some() || fewest < FEWEST {
            return;
        }
        let means = |means: &BTreeMap<String, Mean>| -> Vec<f64> {
            means.values().map(|mean| mean.sum / mean.n).collect()
        };
        let (control, canary) = (means(&self.control), means(&self.canary));
        let information = count(fewest) / f64::from(self.rule.planned_instances.max(1));
        let scaled = |margin: f64| -> Vec<f64> {
            canary
                .iter()
                .map(|value| match self.harm {
                    Harm::Increase => value / margin,
                    Harm::Decrease => value * margin,
                })
                .collect()
        };
        let (at_margin, at_harm) = (scaled(self.rule.margin), scaled(self.rule.harm_margin));
        let (harm, safe) = (tails(&at_margin, &control), tails(&at_harm, &control));
        let (p_harm, p_safe) = match self.harm {
            Harm::Increase => (harm.1, safe.0),
            Harm::Decrease => (harm.0, safe.1),
        };
        self.gate = Some(Gate {
            control_instances: control.len(),
            canary_instances: canary.len(),
            statistic: rank_sum(&at_margin, &control).statistic,
            p_harm,
            alpha_harm: self.harm_budget.spend(information),
            p_safe,
            alpha_safe: self.safe_budget.spend(information),
        });
    }

    /// What the stage's gate found, if it was passed.
    #[must_use]
    pub fn gate(&self) -> Option<Gate> {
        self.gate
    }

    /// Instances of the smaller arm seen in this stage.
    #[must_use]
    pub fn instances(&self) -> usize {
        self.control.len().min(self.canary.len())
    }

    /// What was spent of the error budget.
    #[must_use]
    pub fn spent(&self) -> f64 {
        self.harm_budget.spent()
    }
}

impl Gate {
    /// Evidence of harm.
    #[must_use]
    pub fn harmed(&self) -> bool {
        self.alpha_harm > 0.0 && self.p_harm <= self.alpha_harm
    }

    /// Evidence of no harm.
    #[must_use]
    pub fn safe(&self) -> bool {
        self.alpha_safe > 0.0 && self.p_safe <= self.alpha_safe
    }
}

/// (P(W <= w), P(W >= w)), exact where that is affordable.
fn tails(canary: &[f64], control: &[f64]) -> (f64, f64) {
    permutation_tails(canary, control).unwrap_or_else(|| {
        let ranks = rank_sum(canary, control);
        let sigma = ranks.sigma();
        if sigma == 0.0 {
            return (1.0, 1.0);
        }
        let deviation = ranks.deviation();
        (normal::below((deviation + 0.5) / sigma), normal::above((deviation - 0.5) / sigma))
    })
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that must come out exactly are compared exactly")]
mod tests {
    use super::*;

    fn rule() -> GaugeRule {
        GaugeRule { planned_instances: 20, margin: 1.1, harm_margin: 1.5 }
    }

    fn fleet(n: u32, level: f64) -> Values {
        (0..n).map(|i| (format!("i-{i}"), Some(level + f64::from(i) / 100.0))).collect()
    }

    fn judged(n: u32, level: f64, harm: Harm) -> GaugeEvidence {
        let mut evidence = GaugeEvidence::new(&rule(), harm, 0.01, 0.05);
        evidence.observe(&fleet(n, 10.0), &fleet(n, level)).unwrap();
        evidence.pass_gate();
        evidence
    }

    #[test]
    fn four_instances_a_side_conclude_nothing_however_far_apart() {
        let evidence = judged(4, 1000.0, Harm::Increase);
        assert_eq!((evidence.gate(), evidence.spent()), (None, 0.0));
    }

    #[test]
    fn twenty_instances_tell_harm_from_none_in_the_direction_asked_for() {
        for (level, harm, harmed, safe) in [
            (30.0, Harm::Increase, true, false),
            (10.0, Harm::Increase, false, true),
            (3.0, Harm::Increase, false, true),
            (3.0, Harm::Decrease, true, false),
            (30.0, Harm::Decrease, false, true),
            (13.0, Harm::Increase, true, true),
        ] {
            let gate = judged(20, level, harm).gate().unwrap();
            assert_eq!((gate.harmed(), gate.safe()), (harmed, safe), "{level} {harm:?} {gate:?}");
        }
    }

    #[test]
    fn a_minute_more_is_no_instance_more() {
        let mut evidence = GaugeEvidence::new(&rule(), Harm::Increase, 0.01, 0.05);
        for _ in 0..100 {
            evidence.observe(&fleet(4, 10.0), &fleet(4, 90.0)).unwrap();
        }
        evidence.pass_gate();
        assert_eq!(evidence.gate(), None);
    }

    #[test]
    fn a_window_with_one_bad_value_adds_nothing() {
        let mut evidence = GaugeEvidence::new(&rule(), Harm::Increase, 0.01, 0.05);
        let mut bad = fleet(5, 10.0);
        bad.insert("i-9".into(), Some(f64::NAN));
        assert!(evidence.observe(&fleet(5, 10.0), &bad).is_err());
        assert_eq!(evidence.instances(), 0);
    }
}
