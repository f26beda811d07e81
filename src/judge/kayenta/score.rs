//! Kayenta's score: metrics to groups, groups to a number, the number to a class.

use std::collections::BTreeMap;

use super::{Classification, Classified, MetricConfig, Mode};
use crate::judge::ranks::count;

/// What the score is held against.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// At least this passes.
    pub pass: f64,
    /// At least this is marginal.
    pub marginal: f64,
}

/// A group's score.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupScore {
    /// The group.
    pub name: String,
    /// Percent of its metrics that passed; none without data.
    pub score: Option<f64>,
    /// Its weight in the sum, in percent.
    pub weight: f64,
}

/// The score of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// 0 to 100, rounded half up to two decimals.
    pub score: f64,
    /// Pass, Marginal or Fail.
    pub class: &'static str,
    /// Why it is zero, where a rule made it so.
    pub reason: Option<String>,
    /// The groups, in the order they were first seen.
    pub groups: Vec<GroupScore>,
}

/// Scores classified metrics, each with its name, with the configured weights of groups.
#[must_use]
pub fn score(
    metrics: &[(&str, &MetricConfig, &Classified)],
    weights: &BTreeMap<String, f64>,
    thresholds: Thresholds,
    mode: Mode,
) -> Score {
    let heard: Vec<_> = metrics.iter().filter(|(_, config, _)| !config.muted).collect();
    let groups = group_scores(&heard, weights, mode);
    let zero =
        |reason: String| Score { score: 0.0, class: "Fail", reason: Some(reason), groups: groups.clone() };
    if let Some((name, _, classified)) = heard
        .iter()
        .find(|(_, _, classified)| classified.critical && classified.classification != Classification::Pass)
    {
        return zero(format!("the critical metric {name} is {:?}", classified.classification));
    }
    let silent = heard.iter().filter(|(_, _, one)| one.classification == Classification::Nodata).count();
    if !heard.is_empty() && 2 * silent >= heard.len() {
        return zero("half of the metrics or more have no data".into());
    }
    let sum: f64 = groups
        .iter()
        .map(|group| {
            // To Kayenta a group without data has passed.
            let without = if mode == Mode::Kayenta { 100.0 } else { 0.0 };
            group.score.unwrap_or(without) * group.weight / 100.0
        })
        .sum();
    let score = (sum * 100.0 + 0.5).floor() / 100.0;
    let class = if score >= thresholds.pass && !heard.is_empty() {
        "Pass"
    } else if score >= thresholds.marginal && !heard.is_empty() {
        "Marginal"
    } else {
        "Fail"
    };
    Score { score, class, reason: None, groups }
}

fn group_scores(
    heard: &[&(&str, &MetricConfig, &Classified)],
    weights: &BTreeMap<String, f64>,
    mode: Mode,
) -> Vec<GroupScore> {
    let mut names: Vec<&String> = Vec::new();
    for name in heard.iter().flat_map(|(_, config, _)| &config.groups) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    // What the configured weights leave, those of groups without metrics included, is shared by the others.
    let left = 100.0 - weights.values().sum::<f64>();
    let unweighted = names.iter().filter(|name| !weights.contains_key(**name)).count();
    names
        .into_iter()
        .map(|name| {
            let classes: Vec<Classification> = heard
                .iter()
                .filter(|(_, config, _)| config.groups.contains(name))
                .map(|(_, _, classified)| classified.classification)
                .collect();
            let of = |class: Classification| count(classes.iter().filter(|one| **one == class).count());
            let passed = of(Classification::Pass);
            let mut all = passed
                + of(Classification::High)
                + of(Classification::Low)
                + of(Classification::NodataFailMetric);
            if mode == Mode::Corrected {
                all += of(Classification::Error) + of(Classification::Nodata);
            }
            let weight = weights.get(name).copied().unwrap_or(left / count(unweighted));
            GroupScore { name: name.clone(), score: (all > 0.0).then(|| 100.0 * passed / all), weight }
        })
        .collect()
}
