//! The normal distribution, to the last digits that `f64` holds.

use std::f64::consts::{FRAC_1_SQRT_2, PI};

/// P(Z <= z).
#[must_use]
pub fn below(z: f64) -> f64 {
    0.5 * libm::erfc(-z * FRAC_1_SQRT_2)
}

/// P(Z > z), without the loss that `1 - below(z)` has in the tail.
#[must_use]
pub fn above(z: f64) -> f64 {
    below(-z)
}

/// The z with P(Z > z) = `tail`, for 0 < tail < 1; infinite at the ends, NaN outside.
///
/// Bisection brings it near, Newton's steps on the tail itself bring it to the last digit.
#[must_use]
pub fn upper_quantile(tail: f64) -> f64 {
    if tail.is_nan() || !(0.0..=1.0).contains(&tail) {
        return f64::NAN;
    }
    if tail == 0.0 {
        return f64::INFINITY;
    }
    if tail > 0.5 {
        // Mirrored, so that the tail that is computed is the small one.
        return -upper_quantile(1.0 - tail);
    }
    let (mut low, mut high) = (0.0_f64, 40.0_f64);
    for _ in 0..30 {
        let middle = f64::midpoint(low, high);
        if above(middle) > tail { low = middle } else { high = middle }
    }
    let mut z = f64::midpoint(low, high);
    for _ in 0..4 {
        let density = (-0.5 * z * z).exp() / (2.0 * PI).sqrt();
        let step = (above(z) - tail) / density;
        if !step.is_finite() {
            break;
        }
        z += step;
    }
    z
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that must come out exactly are compared exactly")]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables_to_twelve_digits() {
        // Wichura's AS241 gives these to 16 digits.
        for (tail, z) in [
            (0.5, 0.0),
            (0.25, 0.674_489_750_196_081_7),
            (0.025, 1.959_963_984_540_054),
            (0.01, 2.326_347_874_040_841),
            (0.001, 3.090_232_306_167_813_5),
            (1e-20, 9.262_340_089_798_408),
        ] {
            assert!((upper_quantile(tail) - z).abs() <= 1e-12, "{tail}: {}", upper_quantile(tail));
        }
        assert!((upper_quantile(0.975) + 1.959_963_984_540_054).abs() <= 1e-12);
        assert!(upper_quantile(1.5).is_nan());
    }
}
