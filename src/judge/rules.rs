//! The judge's rules: ratios, error budget, metrics and exposure. They are fixed before the first window.

use serde::{Deserialize, Serialize};

/// The rules of one rollout. Every number is decided before the first observation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rules {
    /// The probability that a rollout without harm ever fails, over all looks and metrics together.
    #[serde(default = "one_percent")]
    pub false_rollback: f64,
    /// The probability that a step with harm at the critical ratio passes.
    #[serde(default = "five_percent")]
    pub false_promotion: f64,
    /// The steps in order.
    #[serde(rename = "steps")]
    pub stages: Vec<StageRule>,
    /// The metrics.
    pub metrics: Vec<MetricRule>,
    /// What a step must have observed, on both sides, before it can pass.
    #[serde(default)]
    pub exposure: Exposure,
    /// Absolute limits on the canary, beside the comparison: two sides that fail together compare as equal.
    #[serde(default)]
    pub guards: Vec<GuardRule>,
    /// The traffic-share test.
    #[serde(default)]
    pub share: ShareRule,
    /// Minutes after which a required metric without data fails the rollout.
    #[serde(default = "three_hours", rename = "timeoutMinutes")]
    pub max_bake_minutes: f64,
    /// Valid windows in a row after which a measurement error is over.
    #[serde(default = "three_windows")]
    pub recovery_windows: u32,
}

/// One step of the rollout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StageRule {
    /// The planned share of the canary in the requests of both sides (0.5 beside a baseline of equal size), written as
    /// `canaryPercent`. Without it the share is not tested.
    #[serde(default, rename = "canaryPercent", with = "percent", skip_serializing_if = "Option::is_none")]
    pub canary_share: Option<f64>,
}

/// One metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MetricRule {
    /// Its name in the windows.
    pub name: String,
    /// Its part of the error budget, relative to that of the other metrics. Zero: reported, never failing.
    #[serde(default = "one")]
    pub weight: f64,
    /// Whether a step needs evidence of no harm from it.
    #[serde(default)]
    pub role: Role,
    /// Which change is harm.
    #[serde(default)]
    pub harm: Harm,
    /// What is measured.
    pub measure: Measure,
}

/// Whether a step needs evidence from a metric.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A step passes only on evidence that this metric is not harmed.
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
        /// The ratios of each of the counts.
        #[serde(default)]
        rule: CountRule,
    },
    /// A value of each instance, such as memory in use.
    Gauge(GaugeRule),
}

/// The ratios of a count.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CountRule {
    /// Ratios of the rates up to this one are no harm; two equal sides may differ by it.
    #[serde(rename = "allowedRatio")]
    pub margin: f64,
    /// Events of one cause that may come together (retries, one faulty client); evidence is divided by it.
    #[serde(rename = "eventsPerCause")]
    pub tempering: f64,
    /// The ratio of the rates that must not be promoted.
    #[serde(rename = "criticalRatio")]
    pub harm_margin: f64,
    /// A canary rate below this is no harm whatever the ratio, so that services without any errors pass.
    pub negligible_rate: Option<f64>,
}

impl Default for CountRule {
    fn default() -> Self {
        Self { margin: 1.25, tempering: 3.0, harm_margin: 1.5, negligible_rate: None }
    }
}

/// The ratios of a gauge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GaugeRule {
    /// Instances of the smaller side at the last step; the budget is spent in proportion to those observed.
    pub planned_instances: u32,
    /// Ratios up to this one are no harm.
    #[serde(default = "gauge_margin", rename = "allowedRatio")]
    pub margin: f64,
    /// The ratio that must not be promoted.
    #[serde(default = "gauge_harm_margin", rename = "criticalRatio")]
    pub harm_margin: f64,
}

/// What a step must have observed before it can pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Exposure {
    /// Requests on each side, in total and of each required metric.
    pub requests: f64,
    /// Minutes observed in the step.
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
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GuardRule {
    /// A metric that is a count.
    pub metric: String,
    /// The share of requests that must be good, such as 0.999.
    pub objective: f64,
    /// How many times faster than the objective allows is too fast.
    #[serde(default = "burn_rate")]
    pub burn_rate: f64,
    /// The long window, in minutes.
    #[serde(default = "long_minutes")]
    pub long_minutes: f64,
    /// The short window, in minutes: it shows that the harm is still there.
    #[serde(default = "short_minutes")]
    pub short_minutes: f64,
    /// Events on the canary below which nothing is concluded.
    #[serde(default = "guard_events")]
    pub minimum_events: f64,
}

/// The traffic-share test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ShareRule {
    /// The probability that a rollout whose share is as planned is ever held for it.
    pub alpha: f64,
    /// The odds of the share may differ from the plan by this factor.
    #[serde(rename = "allowedRatio")]
    pub margin: f64,
    /// Requests of one client that are routed together.
    #[serde(rename = "eventsPerCause")]
    pub tempering: f64,
}

impl Default for ShareRule {
    fn default() -> Self {
        Self { alpha: 0.001, margin: 1.1, tempering: 10.0 }
    }
}

/// A share, written as a percentage.
mod percent {
    use serde::{Deserialize, Deserializer, Serializer};

    #[allow(clippy::ref_option, reason = "as serde calls it")]
    pub fn serialize<S: Serializer>(share: &Option<f64>, to: S) -> Result<S::Ok, S::Error> {
        match share {
            // A millionth of a percent is exact enough, and reads as it was written.
            Some(share) => to.serialize_f64((share * 1e8).round() / 1e6),
            None => to.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<f64>, D::Error> {
        Ok(Option::<f64>::deserialize(from)?.map(|percent| percent / 100.0))
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

/// An invalid rule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what}: {why}")]
pub struct RulesError {
    what: String,
    why: &'static str,
}

impl Rules {
    /// Checks the rules: invalid rules would make a verdict meaningless.
    pub fn check(&self) -> Result<(), RulesError> {
        let hold = |holds: bool, what: &str, why: &'static str| {
            if holds { Ok(()) } else { Err(RulesError { what: what.to_owned(), why }) }
        };
        let probability = |p: f64| p > 0.0 && p < 1.0;
        hold(probability(self.false_rollback), "falseRollback", "must be between 0 and 1")?;
        hold(probability(self.false_promotion), "falsePromotion", "must be between 0 and 1")?;
        hold(probability(self.share.alpha), "share.alpha", "must be between 0 and 1")?;
        hold(within(self.share.margin, 1.0, 100.0), "share.allowedRatio", "must be between 1 and 100")?;
        hold(within(self.share.tempering, 1.0, 1e6), "share.eventsPerCause", "must be at least 1")?;
        hold(!self.stages.is_empty(), "steps", "must not be empty")?;
        for stage in &self.stages {
            hold(stage.canary_share.is_none_or(probability), "canaryPercent", "must be between 0 and 100")?;
        }
        hold(within(self.exposure.requests, 0.0, f64::MAX), "exposure.requests", "must not be negative")?;
        hold(within(self.exposure.minutes, 0.0, f64::MAX), "exposure.minutes", "must not be negative")?;
        hold(within(self.max_bake_minutes, 0.0, f64::MAX), "timeoutMinutes", "must not be negative")?;
        for (at, metric) in self.metrics.iter().enumerate() {
            hold(within(metric.weight, 0.0, 1e9), &metric.name, "its weight must not be negative")?;
            let twice = self.metrics.iter().skip(at + 1).any(|other| other.name == metric.name);
            hold(!twice, &metric.name, "is defined twice")?;
            match &metric.measure {
                Measure::Counts(rule) => {
                    // The sides are swapped there, so the rate would be that of the baseline.
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
                        "its allowed ratio must be between 1 and 100",
                    )?;
                    let wider = rule.harm_margin > rule.margin && rule.harm_margin.is_finite();
                    hold(wider, &metric.name, "its critical ratio must be larger than its allowed ratio")?;
                }
            }
        }
        hold(!self.metrics.is_empty(), "metrics", "must not be empty")?;
        let critical = self.metrics.iter().any(|metric| metric.role == Role::Critical);
        hold(critical, "metrics", "at least one must be critical: exposure alone is no evidence")?;
        hold(self.total_weight() > 0.0, "metrics", "at least one must have a weight")?;
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
        hold(within(self.margin, 1.0, 100.0), "its allowed ratio must be between 1 and 100")?;
        hold(within(self.tempering, 1.0, 1e6), "its events per cause must be at least 1")?;
        hold(self.harm_margin > 1.0 && self.harm_margin <= 100.0, "its critical ratio must be above 1")?;
        let rate = self.negligible_rate.is_none_or(|rate| rate > 0.0 && rate < 1.0);
        hold(rate, "its negligible rate must be between 0 and 1")
    }
}

fn within(value: f64, least: f64, most: f64) -> bool {
    value >= least && value <= most
}
