//! How an error budget is spent over a few planned looks.

/// Pocock's spending function (Lan and DeMets): what may be spent of `alpha` once `information`, from 0 to 1, is in.
/// It lets early looks stop, which is what a canary is for.
#[must_use]
pub fn pocock(alpha: f64, information: f64) -> f64 {
    alpha * (information.clamp(0.0, 1.0) * (std::f64::consts::E - 1.0)).ln_1p()
}

/// A budget that is spent in increments: their sum bounds the error under any dependence between the looks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    alpha: f64,
    spent: f64,
}

impl Budget {
    /// All of it unspent.
    #[must_use]
    pub fn new(alpha: f64) -> Self {
        Self { alpha, spent: 0.0 }
    }

    /// What this look may use: what has become free since the last one, never less than nothing.
    pub fn spend(&mut self, information: f64) -> f64 {
        let free = pocock(self.alpha, information) - self.spent;
        let free = free.max(0.0);
        self.spent += free;
        free
    }

    /// What was spent so far.
    #[must_use]
    pub fn spent(&self) -> f64 {
        self.spent
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that must come out exactly are compared exactly")]
mod tests {
    use super::*;

    #[test]
    fn the_looks_never_spend_more_than_there_is() {
        let mut budget = Budget::new(0.01);
        // The increment of the first look at a tenth of the information, from Lan and DeMets' formula.
        assert!((budget.spend(0.1) - 0.01 * 1.171_828_182_845_904_6_f64.ln()).abs() < 1e-12);
        assert_eq!(budget.spend(0.05), 0.0);
        budget.spend(0.5);
        budget.spend(1.0);
        assert!((budget.spent() - 0.01).abs() < 1e-12);
        assert_eq!(budget.spend(2.0), 0.0);
    }
}
