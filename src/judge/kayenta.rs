//! The comparison that Kayenta's `NetflixACAJudge-v1.0` makes, for teams that migrate: shown, never gating.
//!
//! Classification and score are Kayenta's; the roots are exact where Kayenta's are good to 1e-4, and where it adds random
//! noise (two constant arms) the limit without noise stands. [`Mode::Corrected`] differs where Kayenta errs on the unsafe side.

mod sample;
mod score;
mod windows;

pub use sample::{NanStrategy, clean, percentile};
pub use score::{GroupScore, Score, Thresholds, score};
pub use windows::{Shown, show};

use serde::{Deserialize, Serialize};

use super::compare::{Comparison, common_language_effect, compare};
use super::ranks::count;

/// The confidence level that Kayenta's judge has built in.
pub const CONFIDENCE: f64 = 0.98;
/// The tolerance that Kayenta's judge has built in, as a part of the estimated shift.
pub const TOLERANCE: f64 = 0.25;

/// Whose rules hold where Kayenta errs on the unsafe side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// Kayenta's.
    #[default]
    Kayenta,
    /// Bounds that too few values cannot reach are no bounds; the tolerance is a part of the baseline's mean; the
    /// mean ratio keeps its direction below zero; an error or an absence counts as not passed.
    Corrected,
}

/// Which change fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Direction {
    /// Only more.
    Increase,
    /// Only less.
    Decrease,
    /// Both.
    #[default]
    Either,
}

/// How large a change must be to count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EffectSize {
    /// What is measured.
    pub measure: EffectMeasure,
    /// High needs at least this.
    pub allowed_increase: Option<f64>,
    /// Low needs at most this.
    pub allowed_decrease: Option<f64>,
    /// A critical High needs at least this.
    pub critical_increase: Option<f64>,
    /// A critical Low needs at most this.
    pub critical_decrease: Option<f64>,
}

/// A measure of effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EffectMeasure {
    /// Mean of the experiment over mean of the control; 1 is no effect.
    #[default]
    MeanRatio,
    /// How often the experiment's value is the larger of a random pair; 0.5 is no effect.
    Cles,
}

/// Kayenta's `analysisConfigurations.canary` of one metric.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct MetricConfig {
    /// Which change fails.
    pub direction: Direction,
    /// What becomes of values that are none.
    pub nan_strategy: NanStrategy,
    /// Removes outliers beyond so many interquartile ranges.
    pub outlier_factor: Option<f64>,
    /// A failure of it fails the whole.
    pub critical: bool,
    /// No data is a failure.
    pub must_have_data: bool,
    /// It is left out of the score.
    pub muted: bool,
    /// How large a change must be to count.
    pub effect_size: EffectSize,
    /// The groups it counts in.
    pub groups: Vec<String>,
}

/// Kayenta's classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Classification {
    /// Not significantly worse.
    Pass,
    /// Significantly more.
    High,
    /// Significantly less.
    Low,
    /// No data.
    Nodata,
    /// No data where there must be some.
    NodataFailMetric,
    /// The comparison failed.
    Error,
}

/// A classified metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    /// Its class.
    pub classification: Classification,
    /// Whether it fails the whole.
    pub critical: bool,
    /// Mean of the experiment over mean of the control; 1 where nothing was compared.
    pub deviation: f64,
    /// The effect size; none if a mean is zero or nothing was compared.
    pub effect: Option<f64>,
    /// The numbers; none where nothing was compared.
    pub comparison: Option<Comparison>,
}

impl Classified {
    fn without_comparison(classification: Classification, critical: bool) -> Self {
        Self { classification, critical, deviation: 1.0, effect: None, comparison: None }
    }
}

/// Classifies a metric as Kayenta's judge does. Values that are none are NaN.
#[must_use]
pub fn classify(
    control: &[f64],
    experiment: &[f64],
    config: &MetricConfig,
    level: f64,
    mode: Mode,
) -> Classified {
    let control = clean(control, config.nan_strategy, config.outlier_factor);
    let experiment = clean(experiment, config.nan_strategy, config.outlier_factor);
    if control.is_empty() || experiment.is_empty() {
        return match config.nan_strategy {
            NanStrategy::Replace if mode == Mode::Kayenta => {
                Classified::without_comparison(Classification::Pass, false)
            }
            _ if config.must_have_data && !config.critical => {
                Classified::without_comparison(Classification::NodataFailMetric, false)
            }
            _ => Classified::without_comparison(Classification::Nodata, config.critical),
        };
    }
    let sorted = |sample: &[f64]| {
        let mut sorted = sample.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    };
    let comparison = compare(&experiment, &control, level);
    if sorted(&control) == sorted(&experiment) {
        let mut same = Classified::without_comparison(Classification::Pass, false);
        same.comparison = comparison.ok();
        return same;
    }
    let Ok(comparison) = comparison else {
        return Classified::without_comparison(Classification::Error, false);
    };
    if experiment.len() == 1 && control.len() == 1 {
        // Kayenta's root finder has no interval to search in.
        let mut failed = Classified::without_comparison(Classification::Error, false);
        failed.comparison = Some(comparison);
        return failed;
    }
    weigh(&comparison, &control, &experiment, config, mode)
}

fn weigh(
    comparison: &Comparison,
    control: &[f64],
    experiment: &[f64],
    config: &MetricConfig,
    mode: Mode,
) -> Classified {
    let (mean_control, mean_experiment) = (mean(control), mean(experiment));
    let deviation = match mode {
        _ if mean_control == 0.0 || mean_experiment == 0.0 => f64::NAN,
        Mode::Kayenta => mean_experiment / mean_control,
        Mode::Corrected => 1.0 + (mean_experiment - mean_control) / mean_control.abs(),
    };
    let sizes = &config.effect_size;
    let (effect, neutral) = match sizes.measure {
        EffectMeasure::MeanRatio => (deviation, 1.0),
        EffectMeasure::Cles => (common_language_effect(comparison, experiment.len(), control.len()), 0.5),
    };
    let at_least = |limit: Option<f64>| effect.is_nan() || effect >= limit.unwrap_or(neutral);
    let at_most = |limit: Option<f64>| effect.is_nan() || effect <= limit.unwrap_or(neutral);
    let bound = TOLERANCE
        * match mode {
            Mode::Kayenta => comparison.estimate.abs(),
            Mode::Corrected => mean_control.abs(),
        };
    let trusted = |reached: bool| mode == Mode::Kayenta || reached;
    let high = config.direction != Direction::Decrease
        && comparison.lower > bound
        && trusted(comparison.lower_reached)
        && at_least(sizes.allowed_increase);
    let low = config.direction != Direction::Increase
        && comparison.upper < -bound
        && trusted(comparison.upper_reached)
        && at_most(sizes.allowed_decrease);
    let (classification, critical) = if high {
        (Classification::High, config.critical && at_least(sizes.critical_increase))
    } else if low {
        (Classification::Low, config.critical && at_most(sizes.critical_decrease))
    } else {
        (Classification::Pass, false)
    };
    Classified {
        classification,
        critical,
        deviation: if deviation.is_nan() { 1.0 } else { deviation },
        effect: (!effect.is_nan()).then_some(effect),
        comparison: Some(*comparison),
    }
}

fn mean(sample: &[f64]) -> f64 {
    sample.iter().sum::<f64>() / count(sample.len())
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that must come out exactly are compared exactly")]
mod tests;
