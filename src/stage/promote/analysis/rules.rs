//! The judge's rules, from the spec.

use crate::judge::rules::{
    CountRule, Exposure, GaugeRule, GuardRule, Harm, Measure, MetricRule, Role, Rules, ShareRule, StageRule,
};
use crate::spec::Judge;
use crate::spec::trial::{self as spec, Compared, Kind};

/// The judge's rules. `shares`: the planned share of the canary in each step, of the requests of both sides.
#[must_use]
pub fn rules(judge: &Judge, shares: &[f64]) -> Rules {
    let stages: Vec<StageRule> =
        shares.iter().map(|share| StageRule { canary_share: Some(*share) }).collect();
    Rules {
        false_rollback: judge.false_rollback,
        false_promotion: judge.false_promotion,
        metrics: judge.metrics.iter().map(|metric| metric_rule(judge, metric)).collect(),
        exposure: Exposure {
            requests: f64::from(judge.min_requests),
            minutes: f64::from(judge.min_time.as_secs()) / 60.0,
            instances: judge.instances,
        },
        guards: judge
            .metrics
            .iter()
            .filter_map(|metric| {
                Some(GuardRule {
                    metric: metric.name.clone(),
                    objective: metric.objective?,
                    burn_rate: 14.4,
                    long_minutes: 60.0,
                    short_minutes: 5.0,
                    minimum_events: 10.0,
                })
            })
            .collect(),
        share: ShareRule::default(),
        max_bake_minutes: f64::from(judge.longest.as_secs()) / 60.0
            * f64::from(u32::try_from(stages.len()).unwrap_or(u32::MAX)),
        stages,
        recovery_windows: 3,
    }
}

fn metric_rule(judge: &Judge, metric: &Compared) -> MetricRule {
    let count = || {
        let usual = CountRule::default();
        let margin = metric.margin.unwrap_or(usual.margin);
        CountRule {
            margin,
            tempering: metric.tempering.unwrap_or(usual.tempering),
            harm_margin: metric.harm_margin.unwrap_or(usual.harm_margin.max(margin * 1.2)),
            negligible_rate: metric.negligible_rate,
        }
    };
    let margin = metric.margin.unwrap_or(1.1);
    MetricRule {
        name: metric.name.clone(),
        weight: metric.weight,
        role: match metric.role {
            spec::Role::Critical => Role::Critical,
            spec::Role::Informational => Role::Informational,
        },
        harm: match metric.harm {
            spec::Harm::Increase => Harm::Increase,
            spec::Harm::Decrease => Harm::Decrease,
        },
        measure: match metric.kind {
            Kind::Counts => Measure::Counts(count()),
            Kind::Latency => Measure::Latency { thresholds: metric.thresholds.clone(), rule: count() },
            Kind::Gauge => Measure::Gauge(GaugeRule {
                planned_instances: judge.instances,
                margin,
                harm_margin: metric.harm_margin.unwrap_or(1.5f64.max(margin * 1.2)),
            }),
        },
    }
}

