//! What Kayenta does to a sample before it compares.

use serde::{Deserialize, Serialize};

use crate::judge::ranks::count;

/// What becomes of values that are none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NanStrategy {
    /// They are left out.
    #[default]
    Remove,
    /// They are zero.
    Replace,
}

/// Removes or replaces values that are none, then removes outliers if a factor is given: beyond that many interquartile ranges and
/// beyond the first or the last percentile.
#[must_use]
pub fn clean(sample: &[f64], strategy: NanStrategy, outlier_factor: Option<f64>) -> Vec<f64> {
    let values: Vec<f64> = match strategy {
        NanStrategy::Remove => sample.iter().copied().filter(|value| !value.is_nan()).collect(),
        NanStrategy::Replace => {
            sample.iter().map(|value| if value.is_nan() { 0.0 } else { *value }).collect()
        }
    };
    let Some(factor) = outlier_factor else { return values };
    let quantile = |p: f64| percentile(&values, p).unwrap_or(f64::NAN);
    let (first, third) = (quantile(25.0), quantile(75.0));
    let reach = factor * (third - first);
    let (low, high) = (quantile(1.0).min(first - reach), quantile(99.0).max(third + reach));
    values.into_iter().filter(|value| !(*value < low || *value > high)).collect()
}

/// The percentile by linear interpolation between the values at (n - 1) p / 100: R's type 7.
#[must_use]
pub fn percentile(sample: &[f64], p: f64) -> Option<f64> {
    let mut sorted = sample.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let place = count(sorted.len().checked_sub(1)?) * (p / 100.0).clamp(0.0, 1.0);
    let below = place.floor();
    // In 0..n by construction.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let at = below as usize;
    let low = *sorted.get(at)?;
    let high = sorted.get(at + 1).copied().unwrap_or(low);
    Some(low + (place - below) * (high - low))
}
