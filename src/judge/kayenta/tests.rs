use std::collections::BTreeMap;

use super::*;

fn classified(control: &[f64], experiment: &[f64], config: &MetricConfig, mode: Mode) -> Classification {
    classify(control, experiment, config, CONFIDENCE, mode).classification
}

fn spread(from: f64, n: u32) -> Vec<f64> {
    (0..n).map(|at| from + f64::from(at % 10)).collect()
}

#[test]
fn a_clear_change_is_high_or_low_unless_the_direction_allows_it() {
    let (low, high) = (spread(10.0, 50), spread(40.0, 50));
    for (direction, rising, falling) in [
        (Direction::Either, Classification::High, Classification::Low),
        (Direction::Increase, Classification::High, Classification::Pass),
        (Direction::Decrease, Classification::Pass, Classification::Low),
    ] {
        let config = MetricConfig { direction, ..MetricConfig::default() };
        assert_eq!(classified(&low, &high, &config, Mode::Kayenta), rising);
        assert_eq!(classified(&high, &low, &config, Mode::Kayenta), falling);
        assert_eq!(classified(&low, &low, &config, Mode::Kayenta), Classification::Pass);
    }
}

#[test]
fn an_effect_smaller_than_allowed_passes() {
    let sizes = |allowed: f64| MetricConfig {
        effect_size: EffectSize { allowed_increase: Some(allowed), ..EffectSize::default() },
        ..MetricConfig::default()
    };
    let (control, experiment) = (spread(10.0, 50), spread(20.0, 50));
    assert_eq!(classified(&control, &experiment, &sizes(1.5), Mode::Kayenta), Classification::High);
    assert_eq!(classified(&control, &experiment, &sizes(2.0), Mode::Kayenta), Classification::Pass);
    let cles = MetricConfig {
        effect_size: EffectSize {
            measure: EffectMeasure::Cles,
            allowed_increase: Some(1.0),
            ..EffectSize::default()
        },
        ..MetricConfig::default()
    };
    assert_eq!(classified(&control, &spread(20.0, 50), &cles, Mode::Kayenta), Classification::High);
    assert_eq!(classified(&control, &spread(18.0, 50), &cles, Mode::Kayenta), Classification::Pass);
}

#[test]
fn a_critical_metric_below_its_critical_effect_is_an_ordinary_failure() {
    let critical = |limit: f64| MetricConfig {
        critical: true,
        effect_size: EffectSize { critical_increase: Some(limit), ..EffectSize::default() },
        ..MetricConfig::default()
    };
    let (control, experiment) = (spread(10.0, 50), spread(20.0, 50));
    let of = |limit| {
        let found = classify(&control, &experiment, &critical(limit), CONFIDENCE, Mode::Kayenta);
        (found.classification, found.critical)
    };
    assert_eq!(of(1.5), (Classification::High, true));
    assert_eq!(of(5.0), (Classification::High, false));
}

#[test]
fn no_data_is_what_the_strategy_makes_of_it_and_never_a_pass_when_corrected() {
    let config = |nan_strategy, must_have_data, critical| MetricConfig {
        nan_strategy,
        critical,
        must_have_data,
        ..MetricConfig::default()
    };
    let none: [f64; 0] = [];
    let some = [1.0, 2.0, 3.0];
    for (config, kayenta, corrected) in [
        (config(NanStrategy::Remove, false, false), Classification::Nodata, Classification::Nodata),
        (
            config(NanStrategy::Remove, true, false),
            Classification::NodataFailMetric,
            Classification::NodataFailMetric,
        ),
        (config(NanStrategy::Remove, true, true), Classification::Nodata, Classification::Nodata),
        (config(NanStrategy::Replace, false, false), Classification::Pass, Classification::Nodata),
    ] {
        assert_eq!(classified(&some, &none, &config, Mode::Kayenta), kayenta);
        assert_eq!(classified(&some, &none, &config, Mode::Corrected), corrected);
    }
    let removed = config(NanStrategy::Remove, false, false);
    assert_eq!(classified(&some, &[f64::NAN; 3], &removed, Mode::Kayenta), Classification::Nodata);
}

#[test]
fn constant_arms_differ_without_noise_being_added() {
    let config = MetricConfig::default();
    assert_eq!(classified(&[1.0; 10], &[2.0; 10], &config, Mode::Kayenta), Classification::High);
    assert_eq!(classified(&[2.0; 10], &[1.0; 10], &config, Mode::Kayenta), Classification::Low);
    assert_eq!(classified(&[2.0; 10], &[2.0; 4], &config, Mode::Kayenta), Classification::Pass);
    assert_eq!(classified(&[1.0], &[2.0], &config, Mode::Kayenta), Classification::Error);
}

#[test]
fn corrected_few_values_prove_nothing() {
    let (control, experiment) = ([1.0, 2.0, 3.0], [11.0, 12.0, 13.0]);
    let config = MetricConfig::default();
    assert_eq!(classified(&control, &experiment, &config, Mode::Kayenta), Classification::High);
    assert_eq!(classified(&control, &experiment, &config, Mode::Corrected), Classification::Pass);
}

#[test]
fn corrected_values_below_zero_keep_their_direction() {
    let (control, experiment) = (spread(-20.0, 40), spread(-60.0, 40));
    let config = MetricConfig::default();
    assert_eq!(classified(&control, &experiment, &config, Mode::Kayenta), Classification::Pass);
    assert_eq!(classified(&control, &experiment, &config, Mode::Corrected), Classification::Low);
}

#[test]
fn corrected_a_percent_more_is_no_failure() {
    let control: Vec<f64> = (0..100).map(|at| 1_000.0 + f64::from(at % 10)).collect();
    let experiment: Vec<f64> = control.iter().map(|value| value * 1.01).collect();
    let config = MetricConfig::default();
    assert_eq!(classified(&control, &experiment, &config, Mode::Kayenta), Classification::High);
    assert_eq!(classified(&control, &experiment, &config, Mode::Corrected), Classification::Pass);
}

#[test]
fn tiny_numbers_are_numbers() {
    // Kayenta's root tolerance of 1e-4 hides this shift.
    let control: Vec<f64> = (0..60).map(|at| 1e-6 * (1.0 + f64::from(at) / 100.0)).collect();
    let experiment: Vec<f64> = control.iter().map(|value| value * 3.0).collect();
    assert_eq!(
        classified(&control, &experiment, &MetricConfig::default(), Mode::Kayenta),
        Classification::High
    );
}

#[test]
fn outliers_go_beyond_the_fences_only() {
    let mut sample = spread(10.0, 200);
    sample.push(1e9);
    assert_eq!(clean(&sample, NanStrategy::Remove, Some(3.0)).len(), 200);
    assert_eq!(clean(&sample, NanStrategy::Remove, None).len(), 201);
    assert_eq!(percentile(&[1.0, 2.0, 3.0, 4.0], 25.0), Some(1.75));
    assert_eq!(percentile(&[], 25.0), None);
}

fn found(classification: Classification, critical: bool) -> Classified {
    Classified::without_comparison(classification, critical)
}

fn scored(metrics: &[(&str, Classified)], weights: &[(&str, f64)], mode: Mode) -> Score {
    let configs: Vec<MetricConfig> = metrics
        .iter()
        .map(|(group, _)| MetricConfig { groups: vec![(*group).to_owned()], ..MetricConfig::default() })
        .collect();
    let all: Vec<_> = metrics
        .iter()
        .zip(&configs)
        .map(|((name, classified), config)| (*name, config, classified))
        .collect();
    let weights: BTreeMap<String, f64> =
        weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
    score(&all, &weights, Thresholds { pass: 75.0, marginal: 50.0 }, mode)
}

#[test]
fn groups_are_weighted_and_rounded_half_up() {
    use Classification::{Error, High, Nodata, Pass};
    let score = |metrics: &[(&str, Classification)], weights: &[(&str, f64)], mode| {
        let metrics: Vec<_> = metrics.iter().map(|(group, class)| (*group, found(*class, false))).collect();
        let scored = scored(&metrics, weights, mode);
        (scored.score, scored.class)
    };
    let mixed = [("a", Pass), ("a", High), ("b", Pass), ("b", Pass)];
    assert_eq!(score(&mixed, &[], Mode::Kayenta), (75.0, "Pass"));
    assert_eq!(score(&mixed, &[("a", 80.0)], Mode::Kayenta), (60.0, "Marginal"));
    // The weight of a group without metrics is lost.
    assert_eq!(score(&mixed, &[("c", 50.0)], Mode::Kayenta), (37.5, "Fail"));
    let thirds = [("a", Pass), ("a", Pass), ("a", High)];
    assert_eq!(score(&thirds, &[], Mode::Kayenta), (66.67, "Marginal"));
    let failing = [("a", Pass), ("b", Error), ("a", Pass)];
    assert_eq!(score(&failing, &[], Mode::Kayenta), (100.0, "Pass"));
    assert_eq!(score(&failing, &[], Mode::Corrected), (50.0, "Marginal"));
    assert_eq!(score(&[("a", Pass), ("b", Nodata)], &[], Mode::Kayenta), (0.0, "Fail"));
    assert_eq!(score(&[], &[], Mode::Kayenta), (0.0, "Fail"));
}

#[test]
fn a_critical_failure_is_all_of_the_score() {
    let metrics = [("a", found(Classification::Pass, false)), ("a", found(Classification::High, true))];
    let score = scored(&metrics, &[], Mode::Kayenta);
    assert_eq!((score.score, score.class), (0.0, "Fail"));
    assert!(score.reason.is_some_and(|reason| reason.contains("High")));
}
