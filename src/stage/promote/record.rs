//! The record of a promotion: the predicate of its statement.

use super::analysis::guards::{self, Readings};
use super::check::Check;
use super::history::{End, History};
use super::log::{Entry, Phase};
use super::settings::Settings;
use super::target::Description;
use crate::engine::Timestamp;
use crate::evidence::predicate::{
    AlarmReading, Decision, DecisionAction, Measurement, Preflight, Promotion, PromotionOutcome,
};
use crate::spec::Limit;

/// The path of the report in the artifact.
pub const REPORT: &str = crate::evidence::layout::PROMOTE_REPORT;

/// The record of a promotion past its preflight.
#[must_use]
pub fn promotion(of: Description, settings: &Settings, history: &History, end: &End) -> Promotion {
    Promotion {
        outcome: end.outcome,
        reason: end.why.as_ref().map_or(of.reason, |why| why.text.clone()),
        target: of.target,
        previous: of.previous,
        change: of.change,
        started_on: history.began.date_time(),
        finished_on: end.at.date_time(),
        preflight: of.preflight,
        canary: None,
        decisions: history
            .log
            .entries()
            .iter()
            .map(|entry| decision(settings, history.began, entry))
            .collect(),
        units: Some(end.units()),
        waves: of.waves,
    }
}

/// The record of a promotion that its preflight refused: nothing was changed.
#[must_use]
pub fn refusal(
    of: Description,
    checks: &[Check],
    reason: &str,
    (began, now): (Timestamp, Timestamp),
) -> Promotion {
    Promotion {
        outcome: PromotionOutcome::Indeterminate,
        reason: reason.to_owned(),
        target: of.target,
        previous: of.previous,
        change: of.change,
        started_on: began.date_time(),
        finished_on: now.date_time(),
        preflight: checks.iter().map(Preflight::from).collect(),
        canary: None,
        decisions: Vec::new(),
        units: of.units,
        waves: of.waves,
    }
}

fn decision(settings: &Settings, began: Timestamp, entry: &Entry) -> Decision {
    // A wave may have alarms and limits of its own.
    let wave = match entry.phase {
        Phase::Wave(index) => settings.waves.get(usize::from(index)),
        Phase::Before | Phase::Step(_) | Phase::Soak => None,
    };
    let (alarms, limits) =
        wave.map_or((&settings.alarms, &settings.limits), |wave| (&wave.alarms, &wave.limits));
    let place = match (entry.phase, entry.action) {
        // A rollback may also come after the step continued and before the next one.
        (Phase::Step(index), DecisionAction::RollBack) => {
            format!("from the step of {} % on", settings.percent(index))
        }
        (phase, _) => phase.place(settings),
    };
    let reason = match &entry.values {
        Some(values) => {
            let readings = Readings { alarms: entry.alarms.clone(), values: values.clone() };
            guards::reason(&guards::find(alarms, limits, &readings))
        }
        None => match entry.action {
            DecisionAction::Continue => {
                "every alarm was OK and every metric was within its limits; the values were not kept".into()
            }
            DecisionAction::Wait | DecisionAction::RollBack => "the values were not kept".to_owned(),
        },
    };
    let values = entry.values.as_deref().unwrap_or_default();
    Decision {
        decided_on: Timestamp(began.0.saturating_add(i64::from(entry.after))).date_time(),
        wave: match entry.phase {
            Phase::Wave(index) => Some(index.saturating_add(1)),
            Phase::Before | Phase::Step(_) | Phase::Soak => None,
        },
        percent: entry.percent,
        action: entry.action,
        reason: format!("{place}: {reason}"),
        alarms: alarms
            .iter()
            .zip(&entry.alarms)
            .map(|(name, state)| AlarmReading { name: name.clone(), state: state.name().to_owned() })
            .collect(),
        measurements: limits
            .iter()
            .zip(values)
            .flat_map(|(metric, read)| measurements(metric, read.value, read.samples))
            .collect(),
    }
}

/// One measurement for each limit of a metric.
fn measurements(metric: &Limit, value: Option<f64>, samples: u32) -> Vec<Measurement> {
    let statistic = match (&metric.cloudwatch.expression, metric.cloudwatch.queries().as_slice()) {
        (None, [query]) => query.statistic.clone(),
        (expression, _) => expression.clone().unwrap_or_default(),
    };
    let enough = samples >= metric.min_datapoints;
    let measure = |comparison: &str, limit: f64, is_within: bool| Measurement {
        name: metric.name.clone(),
        statistic: statistic.clone(),
        value,
        comparison: comparison.to_owned(),
        limit,
        samples: u64::from(samples),
        holds: enough && is_within,
    };
    let max = metric.max.map(|limit| measure("max", limit, value.is_some_and(|value| value <= limit)));
    let min = metric.min.map(|limit| measure("min", limit, value.is_some_and(|value| value >= limit)));
    max.into_iter().chain(min).collect()
}
