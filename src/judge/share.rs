//! The traffic-share test: are the arms served the parts of the traffic that the plan says?
//!
//! An arm that drops requests before they are counted looks healthy; its share tells. The same curve as for counts, with
//! requests in the place of events and the planned share in the place of the observed one.

use super::curve::{Curve, ln_mean_exp, log_grid};
use super::rules::ShareRule;

const POINTS: u32 = 12;
const NEAREST: f64 = 1.05;
const FARTHEST: f64 = 20.0;

/// Evidence that the share is off plan, since the start of a stage.
#[derive(Debug, Clone, PartialEq)]
pub struct ShareEvidence {
    rule: ShareRule,
    planned: f64,
    curve: Curve,
    highest: f64,
}

impl ShareEvidence {
    /// No evidence yet against this planned share of the canary.
    #[must_use]
    pub fn new(rule: &ShareRule, planned: f64) -> Self {
        let mut ratios = vec![rule.margin, 1.0 / rule.margin];
        for ratio in log_grid(rule.margin * NEAREST, rule.margin * FARTHEST, POINTS) {
            ratios.extend([ratio, 1.0 / ratio]);
        }
        Self { rule: rule.clone(), planned, curve: Curve::over(ratios), highest: 0.0 }
    }

    /// Adds the requests of a window.
    pub fn observe(&mut self, canary: f64, control: f64) {
        self.curve.observe(canary, control, self.planned);
        self.highest = self.highest.max(self.ln_e());
    }

    /// The logarithm of the e-value against "the odds of the share are within the margin of the plan".
    #[must_use]
    pub fn ln_e(&self) -> f64 {
        let side = |from: usize| {
            let value = |at: usize| self.curve.values().get(at).copied().unwrap_or(0.0);
            let points = (1..=POINTS as usize).map(move |point| 2 * point + from);
            ln_mean_exp(points.map(|at| (value(at) - value(from)) / self.rule.tempering))
        };
        ln_mean_exp([side(0), side(1)].into_iter())
    }

    /// The highest it has been.
    #[must_use]
    pub fn ln_e_highest(&self) -> f64 {
        self.highest
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that must come out exactly are compared exactly")]
mod tests {
    use super::*;

    fn after(canary: f64, control: f64, planned: f64) -> ShareEvidence {
        let mut evidence = ShareEvidence::new(&ShareRule::default(), planned);
        for _ in 0..10 {
            evidence.observe(canary, control);
        }
        evidence
    }

    #[test]
    fn a_share_on_plan_gives_no_evidence_and_one_off_plan_does_on_both_sides() {
        assert!(after(50.0, 950.0, 0.05).ln_e() < 0.0);
        assert!(after(1_000.0, 1_000.0, 0.5).ln_e() < 0.0);
        assert!(after(200.0, 9_800.0, 0.05).ln_e() > 6.9);
        assert!(after(2_000.0, 1_000.0, 0.5).ln_e() > 6.9);
        assert!(after(1_000.0, 2_000.0, 0.5).ln_e() > 6.9);
    }
}
