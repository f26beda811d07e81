//! The judge's rules, from the spec.

use crate::judge::rules::{
    CountRule, Exposure, GaugeRule, GuardRule, Harm, Measure, MetricRule, Role, Rules, ShareRule, StageRule,
};
use crate::spec::Judge;
use crate::spec::promote::judge::{self as spec, Effect, JudgeMetric, Measured};

/// The judge's rules. `size`: instances of each side, or the fewest of them. `shares`: the planned share of the canary in each step, of the requests of both sides.
#[must_use]
pub fn rules(judge: &Judge, size: u32, shares: &[f64]) -> Rules {
    let stages: Vec<StageRule> =
        shares.iter().map(|share| StageRule { canary_share: Some(*share) }).collect();
    Rules {
        false_rollback: judge.false_rollback,
        false_promotion: judge.false_promotion,
        metrics: judge.metrics.iter().map(|metric| metric_rule(size, metric)).collect(),
        exposure: Exposure {
            requests: f64::from(judge.min_requests),
            minutes: f64::from(judge.min_duration.as_secs()) / 60.0,
            instances: size,
        },
        guards: judge
            .metrics
            .iter()
            .filter_map(|metric| {
                Some(GuardRule {
                    metric: metric.name.clone(),
                    objective: metric.count?.objective?,
                    burn_rate: 14.4,
                    long_minutes: 60.0,
                    short_minutes: 5.0,
                    minimum_events: 10.0,
                })
            })
            .collect(),
        share: ShareRule::default(),
        max_bake_minutes: f64::from(judge.timeout.as_secs()) / 60.0
            * f64::from(u32::try_from(stages.len()).unwrap_or(u32::MAX)),
        stages,
        recovery_windows: 3,
    }
}

fn metric_rule(size: u32, metric: &JudgeMetric) -> MetricRule {
    let count = || {
        let usual = CountRule::default();
        let margin = metric.allowed_ratio.unwrap_or(usual.margin);
        CountRule {
            margin,
            tempering: metric.events_per_cause().unwrap_or(usual.tempering),
            harm_margin: metric.critical_ratio.unwrap_or(usual.harm_margin.max(margin * 1.2)),
            negligible_rate: metric.count.and_then(|count| count.negligible_rate),
        }
    };
    let margin = metric.allowed_ratio.unwrap_or(1.1);
    MetricRule {
        name: metric.name.clone(),
        weight: metric.weight(),
        role: match metric.effect {
            Effect::Required => Role::Critical,
            Effect::Veto | Effect::None => Role::Informational,
        },
        harm: match metric.harm() {
            spec::Harm::Increase => Harm::Increase,
            spec::Harm::Decrease => Harm::Decrease,
        },
        measure: match metric.measured() {
            Measured::Count(_) => Measure::Counts(count()),
            Measured::Latency(latency) => {
                Measure::Latency { thresholds: latency.thresholds.clone(), rule: count() }
            }
            Measured::Gauge(_) => Measure::Gauge(GaugeRule {
                planned_instances: size,
                margin,
                harm_margin: metric.critical_ratio.unwrap_or(1.5f64.max(margin * 1.2)),
            }),
        },
    }
}
