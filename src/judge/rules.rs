//! What the judge is told before the rollout: margins, error budget, metrics, exposure. Fixed before the first window.

use serde::{Deserialize, Serialize};

/// The whole rule set of one rollout. Every number here is decided before an outcome is seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Chance that a rollout without harm is ever failed by a metric, over all looks and metrics together.
    #[serde(default = "one_percent")]
    pub false_rollback: f64,
    /// Chance that a stage with harm at the harm margin passes.
    #[serde(default = "five_percent")]
    pub false_promotion: f64,
    /// The stages in order.
    pub stages: Vec<StageRule>,
    /// The metrics.
    pub metrics: Vec<MetricRule>,
    /// What a stage must have seen, on both sides, before it can pass.
    #[serde(default)]
    pub exposure: Exposure,
    /// Absolute limits on the canary, beside the comparison: two arms failing together compare as equal.
    #[serde(default)]
    pub guards: Vec<GuardRule>,
    /// The traffic-share test.
    #[serde(default)]
    pub share: ShareRule,
    /// Minutes after which a required metric still without data fails the rollout.
    #[serde(default = "three_hours")]
    pub max_bake_minutes: f64,
    /// Clean windows in a row after which a broken measurement is believed again.
    #[serde(default = "three_windows")]
    pub recovery_windows: u32,
}

/// One stage of the rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageRule {
    /// The canary's planned part of the requests of both compared arms (0.5 beside a baseline of equal size).
    /// Without it the share is not tested.
    #[serde(default)]
    pub canary_share: Option<f64>,
}

/// One metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricRule {
    /// Its name in the windows.
    pub name: String,
    /// Its part of the error budget, relative to the other metrics'. Zero: shown, never failing.
    #[serde(default = "one")]
    pub weight: f64,
    /// Whether a stage needs evidence of no harm from it.
    #[serde(default)]
    pub role: Role,
    /// Which change is harm.
    #[serde(default)]
    pub harm: Harm,
    /// What is measured.
    pub measure: Measure,
}

/// Whether a stage needs evidence from a metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A stage passes only on evidence that this metric is not harmed.
    #[default]
    Critical,
    /// Exposure is enough to pass; harm still fails.
    Informational,
}

/// Which change of a metric is harm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    /// More is worse (errors, CPU).
    #[default]
    Increase,
    /// Less is worse (orders, cache hits).
    Decrease,
}

/// What a metric measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Measure {
    /// Events among requests.
    Counts(CountRule),
    /// Requests slower than thresholds fixed before the rollout, one count for each.
    Latency {
        /// The thresholds, e.g. the baseline's p50, p90 and p99 of last week; for the record only, in any unit.
        thresholds: Vec<f64>,
        /// The margins of every one of the counts.
        #[serde(default)]
        rule: CountRule,
    },
    /// A value of each instance, such as memory in use.
    Gauge(GaugeRule),
}

/// Margins of a count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CountRule {
    /// Rate ratios up to this one are no harm, and also what two equal arms may differ by.
    pub margin: f64,
    /// Events of one cause that may come together (retries, one bad client); evidence is divided by it.
    pub tempering: f64,
    /// The rate ratio that must not be promoted.
    pub harm_margin: f64,
    /// A canary rate below this is no harm whatever the ratio; lets services without any errors pass.
    pub negligible_rate: Option<f64>,
}

impl Default for CountRule {
    fn default() -> Self {
        Self { margin: 1.25, tempering: 3.0, harm_margin: 1.5, negligible_rate: None }
    }
}

/// Margins of a gauge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GaugeRule {
    /// Instances of the smaller arm at the last stage; the budget is spent in proportion to those seen.
    pub planned_instances: u32,
    /// Ratios up to this one are no harm.
    #[serde(default = "gauge_margin")]
    pub margin: f64,
    /// The ratio that must not be promoted.
    #[serde(default = "gauge_harm_margin")]
    pub harm_margin: f64,
}

/// What a stage must have seen before it can pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Exposure {
    /// Requests on each side, in total and of each required metric.
    pub requests: f64,
    /// Minutes observed in the stage.
    pub minutes: f64,
    /// Instances on each side.
    pub instances: u32,
}

impl Default for Exposure {
    fn default() -> Self {
        Self { requests: 1000.0, minutes: 10.0, instances: 1 }
    }
}

/// An absolute limit: the canary burns its error budget too fast over a long and a short time at once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardRule {
    /// A metric that is a count.
    pub metric: String,
    /// The part of requests that must be good, e.g. 0.999.
    pub objective: f64,
    /// How many times faster than the objective allows is too fast.
    #[serde(default = "burn_rate")]
    pub burn_rate: f64,
    /// The long time, in minutes.
    #[serde(default = "long_minutes")]
    pub long_minutes: f64,
    /// The short time, in minutes: the harm is still there.
    #[serde(default = "short_minutes")]
    pub short_minutes: f64,
    /// Events on the canary below which nothing is concluded.
    #[serde(default = "guard_events")]
    pub minimum_events: f64,
}

/// The traffic-share test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShareRule {
    /// Chance that a rollout with its share on plan is ever held for it.
    pub alpha: f64,
    /// Odds of the share up to this factor off plan are on plan.
    pub margin: f64,
    /// Requests of one client that go the same way together.
    pub tempering: f64,
}

impl Default for ShareRule {
    fn default() -> Self {
        Self { alpha: 0.001, margin: 1.1, tempering: 10.0 }
    }
}

fn one() -> f64 {
    1.0
}
fn one_percent() -> f64 {
    0.01
}
fn five_percent() -> f64 {
    0.05
}
fn three_hours() -> f64 {
    180.0
}
fn three_windows() -> u32 {
    3
}
fn gauge_margin() -> f64 {
    1.1
}
fn gauge_harm_margin() -> f64 {
    1.5
}
fn burn_rate() -> f64 {
    14.4
}
fn long_minutes() -> f64 {
    60.0
}
fn short_minutes() -> f64 {
    5.0
}
fn guard_events() -> f64 {
    10.0
}

/// A rule that cannot hold.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct RulesError {
    what: String,
    why: &'static str,
}

impl Rules {
    /// Refuses rules that would make a verdict meaningless.
    pub fn check(&self) -> Result<(), RulesError> {
        let hold = |holds: bool, what: &str, why: &'static str| {
            if holds { Ok(()) } else { Err(RulesError { what: what.to_owned(), why }) }
        };
        let probability = |p: f64| p > 0.0 && p < 1.0;
        hold(probability(self.false_rollback), "false_rollback", "must be between 0 and 1")?;
        hold(probability(self.false_promotion), "false_promotion", "must be between 0 and 1")?;
        hold(probability(self.share.alpha), "share.alpha", "must be between 0 and 1")?;
        hold(within(self.share.margin, 1.0, 100.0), "share.margin", "must be between 1 and 100")?;
        hold(within(self.share.tempering, 1.0, 1e6), "share.tempering", "must be at least 1")?;
        hold(!self.stages.is_empty(), "stages", "there must be one at least")?;
        for stage in &self.stages {
            hold(stage.canary_share.is_none_or(probability), "canary_share", "must be between 0 and 1")?;
        }
        hold(within(self.exposure.requests, 0.0, f64::MAX), "exposure.requests", "must not be negative")?;
        hold(within(self.exposure.minutes, 0.0, f64::MAX), "exposure.minutes", "must not be negative")?;
        hold(within(self.max_bake_minutes, 0.0, f64::MAX), "max_bake_minutes", "must not be negative")?;
        for (at, metric) in self.metrics.iter().enumerate() {
            hold(within(metric.weight, 0.0, 1e9), &metric.name, "its weight must not be negative")?;
            let twice = self.metrics.iter().skip(at + 1).any(|other| other.name == metric.name);
            hold(!twice, &metric.name, "is there twice")?;
            match &metric.measure {
                Measure::Counts(rule) => {
                    // The arms change places there, and the rate would be the baseline's.
                    let upright = metric.harm == Harm::Increase || rule.negligible_rate.is_none();
                    hold(upright, &metric.name, "a negligible rate has no meaning where less is worse")?;
                    rule.check(&metric.name)?;
                }
                Measure::Latency { thresholds, rule } => {
                    hold(!thresholds.is_empty(), &metric.name, "has no threshold")?;
                    let finite = thresholds.iter().all(|threshold| threshold.is_finite());
                    hold(finite, &metric.name, "a threshold is not a finite number")?;
                    let upright = metric.harm == Harm::Increase;
                    hold(upright, &metric.name, "more slow requests are the harm; decrease has no meaning")?;
                    rule.check(&metric.name)?;
                }
                Measure::Gauge(rule) => {
                    hold(
                        within(rule.margin, 1.0, 100.0),
                        &metric.name,
                        "its margin must be between 1 and 100",
                    )?;
                    let wider = rule.harm_margin > rule.margin && rule.harm_margin.is_finite();
                    hold(wider, &metric.name, "its harm margin must be larger than its margin")?;
                }
            }
        }
        hold(!self.metrics.is_empty(), "metrics", "there must be one at least")?;
        let critical = self.metrics.iter().any(|metric| metric.role == Role::Critical);
        hold(critical, "metrics", "one at least must be critical: exposure alone is no evidence")?;
        hold(self.total_weight() > 0.0, "metrics", "one at least must have a weight")?;
        for guard in &self.guards {
            let counted = self
                .metrics
                .iter()
                .any(|metric| metric.name == guard.metric && matches!(metric.measure, Measure::Counts(_)));
            hold(counted, &guard.metric, "a guard needs a metric that is a count")?;
            hold(probability(guard.objective), &guard.metric, "its objective must be between 0 and 1")?;
            hold(guard.burn_rate > 0.0, &guard.metric, "its burn rate must be positive")?;
        }
        Ok(())
    }

    fn total_weight(&self) -> f64 {
        self.metrics.iter().map(|metric| metric.weight).sum()
    }

    /// The part of the error budget that a metric may spend over the whole rollout.
    #[must_use]
    pub fn alpha_of(&self, metric: &MetricRule) -> f64 {
        self.false_rollback * metric.weight / self.total_weight()
    }
}

impl CountRule {
    fn check(&self, name: &str) -> Result<(), RulesError> {
        let hold = |holds: bool, why: &'static str| {
            if holds { Ok(()) } else { Err(RulesError { what: name.to_owned(), why }) }
        };
        hold(within(self.margin, 1.0, 100.0), "its margin must be between 1 and 100")?;
        hold(within(self.tempering, 1.0, 1e6), "its tempering must be at least 1")?;
        hold(self.harm_margin > 1.0 && self.harm_margin <= 100.0, "its harm margin must be above 1")?;
        let rate = self.negligible_rate.is_none_or(|rate| rate > 0.0 && rate < 1.0);
        hold(rate, "its negligible rate must be between 0 and 1")
    }
}

fn within(value: f64, least: f64, most: f64) -> bool {
    value >= least && value <= most
}
