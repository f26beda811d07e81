//! Evidence from counts: the e-process of harm, the e-process of no harm, and the interval between them.
//!
//! For rate ratios up to the margin the first is a nonnegative supermartingale from 1 whatever the base rate does, so
//! (Ville) it ever reaches 1/a with probability a at most: looks are free. The second is the same from the
//! other side. docs/judge.md has the proof.

use super::curve::{Curve, ln_mean_exp, log_grid};
use super::rules::CountRule;

/// Alternatives to the margin: this many ratios, from 1.25 to 30 times it.
const HARM_POINTS: u32 = 24;
const HARM_FROM: f64 = 1.25;
const HARM_TO: f64 = 30.0;
/// Alternatives to the harm margin: from 1/1.2 of it (near it, where evidence is slow) to a sixth.
const SAFE_POINTS: u32 = 24;
const SAFE_FROM: f64 = 1.0 / 1.2;
const SAFE_TO: f64 = 1.0 / 6.0;
/// The interval is sought on 2^(k/16), k from -64 to 64; the alternatives of each candidate lie beside it.
const STEPS: [usize; 10] = [1, 2, 3, 4, 6, 8, 12, 16, 32, 48];
const REACH: usize = 64;
const MARGIN: usize = 48;

/// The evidence of one stream of counts.
#[derive(Debug, Clone, PartialEq)]
pub struct CountEvidence {
    rule: CountRule,
    curve: Curve,
    /// The curve at the start of each planned stage that has begun.
    marks: Vec<Vec<f64>>,
    stages: usize,
    absolute: Absolute,
    /// Events and requests since the start.
    pub total: Totals,
    /// Events and requests since the start of the stage.
    pub stage: Totals,
}

/// Events and requests of both arms.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Totals {
    /// Events on the old image.
    pub control_events: f64,
    /// Requests on the old image.
    pub control_requests: f64,
    /// Events on the new image.
    pub canary_events: f64,
    /// Requests on the new image.
    pub canary_requests: f64,
}

impl Totals {
    fn add(&mut self, other: &Self) {
        self.control_events += other.control_events;
        self.control_requests += other.control_requests;
        self.canary_events += other.canary_events;
        self.canary_requests += other.canary_requests;
    }

    /// The canary's rate over the control's; none while either is unknown or the control's is zero.
    #[must_use]
    pub fn ratio(&self) -> Option<f64> {
        let ratio =
            (self.canary_events / self.canary_requests) / (self.control_events / self.control_requests);
        ratio.is_finite().then_some(ratio)
    }
}

/// A range of ratios in which the truth lies with the confidence it was asked for, at every look at once.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Interval {
    /// Lower bound; zero while nothing is excluded.
    pub lower: f64,
    /// Upper bound; none while nothing is excluded.
    pub upper: Option<f64>,
    /// Confidence.
    pub level: f64,
}

impl CountEvidence {
    /// No evidence yet, for a rollout of so many planned stages.
    pub fn new(rule: &CountRule, stages: usize) -> Self {
        let mut ratios = vec![rule.margin];
        ratios.extend(log_grid(rule.margin * HARM_FROM, rule.margin * HARM_TO, HARM_POINTS));
        ratios.push(rule.harm_margin);
        ratios.extend(log_grid(rule.harm_margin * SAFE_FROM, rule.harm_margin * SAFE_TO, SAFE_POINTS));
        ratios.extend((0..=2 * (REACH + MARGIN)).map(candidate));
        let curve = Curve::over(ratios);
        let marks = vec![curve.values().to_vec()];
        let absolute = Absolute::new(rule.negligible_rate);
        Self {
            rule: rule.clone(),
            curve,
            marks,
            stages,
            absolute,
            total: Totals::default(),
            stage: Totals::default(),
        }
    }

    /// Marks that the next stage begins.
    pub fn begin_stage(&mut self) {
        self.marks.push(self.curve.values().to_vec());
        self.stage = Totals::default();
        self.absolute = Absolute::new(self.rule.negligible_rate);
    }

    /// Adds the counts of a window.
    pub fn observe(&mut self, seen: &Totals) {
        let requests = seen.canary_requests + seen.control_requests;
        if requests > 0.0 {
            let share = seen.canary_requests / requests;
            self.curve.observe(seen.canary_events, seen.control_events, share);
        }
        self.absolute.observe(seen.canary_events, seen.canary_requests);
        self.total.add(seen);
        self.stage.add(seen);
    }

    /// The logarithm of the e-value against "the ratio is within the margin".
    ///
    /// Half of it watches from the start of the rollout; the other half is divided over the later stages and watches each from
    /// its own start, so that harm that begins late is not drowned by the time before it. What has not begun counts 1.
    #[must_use]
    pub fn ln_harm(&self) -> f64 {
        let from = |mark: &[f64]| self.mixture(mark, 0, 1..=HARM_POINTS as usize);
        let first = self.marks.first().map_or(0.0, |mark| from(mark));
        if self.stages <= 1 {
            return first;
        }
        let later = self.stages - 1;
        let late = ln_mean_exp((1..=later).map(|stage| self.marks.get(stage).map_or(0.0, |mark| from(mark))));
        ln_mean_exp([first, late].into_iter())
    }

    /// The logarithm of the e-value against "the ratio is at the harm margin or beyond (and the rate is not
    /// negligible)", from the evidence of this stage alone: a stage that turns bad cannot pass on the good ones before.
    #[must_use]
    pub fn ln_safe(&self) -> f64 {
        let null = 1 + HARM_POINTS as usize;
        let Some(mark) = self.marks.last() else { return 0.0 };
        let relative = self.mixture(mark, null, null + 1..=null + SAFE_POINTS as usize);
        match self.absolute.ln_e(self.rule.tempering) {
            Some(absolute) => ln_mean_exp([relative, absolute].into_iter()),
            None => relative,
        }
    }

    /// The ratios that neither side has evidence against, at this confidence over all looks.
    ///
    /// The curve is concave in ln r, so evidence against "the ratio is r or less" falls as r grows: bisection finds the last r excluded.
    #[must_use]
    pub fn interval(&self, level: f64) -> Interval {
        let enough = (2.0 / (1.0 - level)).ln();
        let ln_e = |at: usize, up: bool| {
            let points = STEPS.iter().map(|step| if up { at + step } else { at - step });
            let null = self.interval_point(at);
            ln_mean_exp(points.map(|point| (self.interval_point(point) - null) / self.rule.tempering))
        };
        let (first, last) = (MARGIN, MARGIN + 2 * REACH);
        let below = count_while(first, last, |at| ln_e(at, true) >= enough);
        let above = count_while(first, last, |at| ln_e(last + first - at, false) >= enough);
        Interval {
            lower: below.checked_sub(1).map_or(0.0, |k| candidate(first + k)),
            upper: above.checked_sub(1).map(|k| candidate(last - k)),
            level,
        }
    }

    fn interval_point(&self, at: usize) -> f64 {
        let before = 2 + (HARM_POINTS + SAFE_POINTS) as usize;
        self.curve.values().get(before + at).copied().unwrap_or(0.0)
    }

    fn mixture(&self, mark: &[f64], null: usize, alternatives: std::ops::RangeInclusive<usize>) -> f64 {
        let since = |at: usize| {
            let value = |values: &[f64]| values.get(at).copied().unwrap_or(0.0);
            value(self.curve.values()) - value(mark)
        };
        let base = since(null);
        ln_mean_exp(alternatives.map(|at| (since(at) - base) / self.rule.tempering))
    }
}

/// The ratio at a place of the interval's grid.
fn candidate(at: usize) -> f64 {
    let octaves = (super::ranks::count(at) - super::ranks::count(REACH + MARGIN)) / 16.0;
    octaves.exp2()
}

/// How many from `first` on, up to and with `last`, hold, where none holds after one that does not.
fn count_while(first: usize, last: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = usize::midpoint(low, high);
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low - first
}

/// Evidence that the canary's own rate is below a negligible one: a likelihood ratio of Bernoulli trials.
#[derive(Debug, Clone, PartialEq)]
struct Absolute {
    limit: Option<f64>,
    events: f64,
    requests: f64,
}

impl Absolute {
    fn new(limit: Option<f64>) -> Self {
        Self { limit, events: 0.0, requests: 0.0 }
    }

    fn observe(&mut self, events: f64, requests: f64) {
        self.events += events;
        self.requests += requests;
    }

    fn ln_e(&self, tempering: f64) -> Option<f64> {
        let limit = self.limit?;
        let against = |rate: f64| {
            let gain = self.events * (rate / limit).ln();
            let rest = (self.requests - self.events) * ((1.0 - rate).ln() - (1.0 - limit).ln());
            (gain + rest) / tempering
        };
        Some(ln_mean_exp([2.0, 4.0, 10.0].into_iter().map(|divisor| against(limit / divisor))))
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that must come out exactly are compared exactly")]
mod tests;
