//! Mann-Whitney comparison of an experiment with its control: statistic, p, and bounds of the shift.
//!
//! The numbers are those of R's `wilcox.test(experiment, control, conf.int = TRUE, exact = FALSE, correct = TRUE)`.
//! The bounds are found where they are, at a pairwise difference, and not by a root finder's tolerance.

use super::normal;
use super::ranks::{RankSum, count, exact_tails, rank_sum};

/// Why two samples cannot be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CompareError {
    /// One of the samples has no values.
    #[error("the {0} sample is empty")]
    Empty(&'static str),
    /// A value is not a finite number.
    #[error("the {0} sample holds a value that is not a finite number")]
    NotFinite(&'static str),
    /// The confidence level is not between 0 and 1.
    #[error("the confidence level {0} is not between 0 and 1")]
    Level(f64),
}

/// The comparison of two samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Comparison {
    /// Pairs in which the experiment is larger, ties counted half.
    pub statistic: f64,
    /// Two-sided p by the normal approximation with continuity correction; none if all values are equal.
    pub p_value: Option<f64>,
    /// Two-sided exact p, where R would choose it: fewer than 50 values on both sides and no ties.
    pub p_exact: Option<f64>,
    /// Lower confidence bound of the shift, experiment less control.
    pub lower: f64,
    /// Upper confidence bound of the shift.
    pub upper: f64,
    /// The shift: the median of all pairwise differences (Hodges and Lehmann).
    pub estimate: f64,
    /// Whether the samples are large enough for the bounds to be bounds: false where they only end at the
    /// largest difference seen because no arrangement of so few values could reach the level.
    pub lower_reached: bool,
    /// The same for the upper bound.
    pub upper_reached: bool,
}

/// Compares two samples at a two-sided confidence level.
pub fn compare(experiment: &[f64], control: &[f64], level: f64) -> Result<Comparison, CompareError> {
    for (name, sample) in [("experiment", experiment), ("control", control)] {
        if sample.is_empty() {
            return Err(CompareError::Empty(name));
        }
        if sample.iter().any(|value| !value.is_finite()) {
            return Err(CompareError::NotFinite(name));
        }
    }
    if !(level > 0.0 && level < 1.0) {
        return Err(CompareError::Level(level));
    }
    let ranks = rank_sum(experiment, control);
    let differences = Differences::of(experiment, control);
    let quantile = normal::upper_quantile((1.0 - level) / 2.0);
    let (lower, lower_reached) = differences.crossing(experiment, control, quantile);
    let (upper, upper_reached) = differences.crossing(experiment, control, -quantile);
    Ok(Comparison {
        statistic: ranks.statistic,
        p_value: approximate_p(&ranks),
        p_exact: exact_p(&ranks, experiment.len(), control.len()),
        lower,
        upper,
        estimate: differences.median(),
        lower_reached,
        upper_reached,
    })
}

/// Two-sided p of the normal approximation.
fn approximate_p(ranks: &RankSum) -> Option<f64> {
    if ranks.sigma() == 0.0 {
        return None;
    }
    let z = ranks.z();
    Some(2.0 * normal::below(z).min(normal::above(z)))
}

fn exact_p(ranks: &RankSum, experiment: usize, control: usize) -> Option<f64> {
    if ranks.tied() || experiment >= 50 || control >= 50 {
        return None;
    }
    let (below, above) = exact_tails(experiment, control, ranks.statistic)?;
    Some((2.0 * below.min(above)).min(1.0))
}

/// All pairwise differences, experiment less control, in order.
struct Differences {
    sorted: Vec<f64>,
    /// Differences nearer to each other than the rounding of the values are one difference.
    rounding: f64,
}

impl Differences {
    fn of(experiment: &[f64], control: &[f64]) -> Self {
        let mut sorted: Vec<f64> =
            experiment.iter().flat_map(|x| control.iter().map(move |y| x - y)).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let largest = experiment.iter().chain(control).fold(0.0_f64, |most, value| most.max(value.abs()));
        Self { sorted, rounding: largest * 4.0 * f64::EPSILON }
    }

    /// The difference at which the score of the shifted samples falls through `level`, and whether it does so.
    ///
    /// The score is a step function of the shift that changes at the pairwise differences only and falls, so
    /// the first difference with a score below `level` to its right is found by bisection. Where even the
    /// smallest difference has the score below already, or the largest not yet, the bound ends there.
    fn crossing(&self, experiment: &[f64], control: &[f64], level: f64) -> (f64, bool) {
        let gaps = self.gaps();
        let found = gaps.partition_point(|gap| score(experiment, control, gap.within) >= level);
        let first = self.sorted.first().copied().unwrap_or(f64::NAN);
        match gaps.get(found) {
            Some(gap) if found > 0 => {
                let before = gaps.get(found - 1).map_or(first, |before| before.within);
                (self.rounded(gap, before, |shift| score(experiment, control, shift) >= level), true)
            }
            Some(gap) => (gap.from, score(experiment, control, first - self.beyond(first)) >= level),
            None => (self.sorted.last().copied().unwrap_or(f64::NAN), false),
        }
    }

    /// Where the step of a gap lies in floating-point arithmetic.
    ///
    /// Between large values a difference near zero is smaller than their rounding, and the shifted values stay tied
    /// for half a unit in their last place more. R's root finder sees that; so that its bounds are met, the step is followed there.
    fn rounded(&self, gap: &Gap, before: f64, left_of: impl Fn(f64) -> bool) -> f64 {
        if self.rounding <= 1e-12 || self.rounding <= 1e-9 * gap.from.abs() {
            return gap.from;
        }
        let (mut low, mut high) = (before, gap.within);
        for _ in 0..200 {
            let middle = f64::midpoint(low, high);
            if left_of(middle) { low = middle } else { high = middle }
        }
        high
    }

    /// A step large enough to leave a difference.
    fn beyond(&self, difference: f64) -> f64 {
        difference.abs().max(self.rounding).max(f64::MIN_POSITIVE)
    }

    /// The gaps between neighbouring differences; the last reaches beyond all of them.
    fn gaps(&self) -> Vec<Gap> {
        let mut gaps = Vec::with_capacity(self.sorted.len());
        for pair in self.sorted.windows(2) {
            if let &[from, to] = pair
                && to - from > self.rounding
            {
                gaps.push(Gap { from, within: f64::midpoint(from, to) });
            }
        }
        if let Some(&from) = self.sorted.last() {
            gaps.push(Gap { from, within: from + self.beyond(from) });
        }
        gaps
    }

    fn median(&self) -> f64 {
        let middle = self.sorted.len() / 2;
        let upper = self.sorted.get(middle).copied().unwrap_or(f64::NAN);
        if self.sorted.len() % 2 == 1 {
            return upper;
        }
        let lower = middle.checked_sub(1).and_then(|at| self.sorted.get(at)).copied().unwrap_or(f64::NAN);
        f64::midpoint(lower, upper)
    }
}

/// An interval of shifts over which no pair changes its order.
struct Gap {
    /// The difference it begins at.
    from: f64,
    /// A shift inside.
    within: f64,
}

/// The normal score after the experiment was shifted down by `shift`.
fn score(experiment: &[f64], control: &[f64], shift: f64) -> f64 {
    let shifted: Vec<f64> = experiment.iter().map(|value| value - shift).collect();
    rank_sum(&shifted, control).z()
}

/// The common-language effect size: how often an experiment value is the larger of a random pair.
#[must_use]
pub fn common_language_effect(comparison: &Comparison, experiment: usize, control: usize) -> f64 {
    comparison.statistic / (count(experiment) * count(control))
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that must come out exactly are compared exactly")]
mod tests;
