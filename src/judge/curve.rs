//! The likelihood of a rate ratio given who had the events, as a curve over a grid of ratios.
//!
//! Given that an event happened, it happened on the canary with odds p r : (1 - p), where p is the canary's
//! share of the requests and r the ratio of the rates; the unknown and changing rate itself cancels. Every e-value of the
//! judge is a difference of two points of this curve. Logarithms throughout: the values pass any float.

/// The log-likelihood over a grid of rate ratios, summed over windows.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    ratios: Vec<f64>,
    logarithms: Vec<f64>,
    values: Vec<f64>,
    /// The share of the last window and what the grid makes of it: shares seldom change, logarithms cost.
    share: f64,
    costs: Vec<f64>,
}

impl Curve {
    /// An empty curve over positive ratios.
    #[must_use]
    pub fn over(ratios: Vec<f64>) -> Self {
        let zeros = vec![0.0; ratios.len()];
        let logarithms = ratios.iter().map(|ratio| ratio.ln()).collect();
        Self { costs: zeros.clone(), values: zeros, ratios, logarithms, share: 0.0 }
    }

    /// Adds `canary` events and `control` events of a window in which the canary had `share` of the requests.
    pub fn observe(&mut self, canary: f64, control: f64, share: f64) {
        // Exact comparison: only the very same share may reuse its logarithms.
        if share.to_bits() != self.share.to_bits() {
            self.share = share;
            for (cost, ratio) in self.costs.iter_mut().zip(&self.ratios) {
                *cost = (share * (ratio - 1.0)).ln_1p();
            }
        }
        if canary + control == 0.0 {
            return;
        }
        for ((value, logarithm), cost) in self.values.iter_mut().zip(&self.logarithms).zip(&self.costs) {
            *value += canary * logarithm - (canary + control) * cost;
        }
    }

    /// The values now.
    #[must_use]
    pub fn values(&self) -> &[f64] {
        &self.values
    }
}

/// The logarithm of the mean of exponentials, safe for values of any size; zero for none.
pub fn ln_mean_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let (most, n) =
        values.clone().fold((f64::NEG_INFINITY, 0.0), |(most, n), value| (f64::max(most, value), n + 1.0));
    if n == 0.0 {
        return 0.0;
    }
    if most == f64::NEG_INFINITY {
        return most;
    }
    let sum: f64 = values.map(|value| (value - most).exp()).sum();
    most + (sum / n).ln()
}

/// `n` ratios from `from` to `to`, equally spaced in their logarithms.
pub fn log_grid(from: f64, to: f64, n: u32) -> impl Iterator<Item = f64> {
    let step = (to / from).ln() / f64::from(n.max(2) - 1);
    (0..n).map(move |at| from * (step * f64::from(at)).exp())
}
