//! Metric data queries: one metric's statistic, or an expression over other queries.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::super::call::ApiError;
use super::super::super::world::World;
use super::super::support::{Place, refuse};
use super::expression::{Expression, Series, Value};
use super::metrics::{Dimension, MetricKey, Samples, Statistic};
use super::{agent, traffic};

/// A `MetricDataQuery` of a request.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RawQuery {
    pub id: String,
    #[serde(default)]
    pub metric_stat: Option<RawStat>,
    #[serde(default)]
    pub expression: Option<String>,
    #[serde(default)]
    pub label: Option<String>,
    #[serde(default)]
    pub return_data: Option<bool>,
    #[serde(default)]
    pub period: Option<i64>,
}

/// `MetricStat`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RawStat {
    pub metric: RawMetric,
    pub period: i64,
    pub stat: String,
}

/// `Metric`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RawMetric {
    pub namespace: String,
    pub metric_name: String,
    #[serde(default)]
    pub dimensions: Vec<Dimension>,
}

/// A validated query.
#[derive(Clone, Debug)]
pub struct Query {
    pub id: String,
    pub label: String,
    pub returned: bool,
    pub source: Source,
    /// In seconds.
    pub period: i64,
}

#[derive(Clone, Debug)]
pub enum Source {
    Metric(MetricKey, Statistic),
    Expression(Expression),
}

/// Validates queries: ids are unique, expressions use existing ids, and there is no cycle.
///
/// # Errors
/// `ValidationError` with a message that names the query.
pub fn accept(raw: Vec<RawQuery>) -> Result<Vec<Query>, ApiError> {
    let mut queries: Vec<Query> = Vec::with_capacity(raw.len());
    for query in raw {
        let lower = query.id.chars().next().is_some_and(|c| c.is_ascii_lowercase());
        if !lower || !query.id.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(invalid(format!(
                "The value '{}' for parameter Id must begin with a lowercase letter and hold letters, digits and underscores.",
                query.id
            )));
        }
        if queries.iter().any(|q| q.id == query.id) {
            return Err(invalid(format!("The id '{}' is used more than once.", query.id)));
        }
        let (source, label, period) = match (query.metric_stat, query.expression) {
            (Some(stat), None) => {
                let key =
                    MetricKey::new(&stat.metric.namespace, &stat.metric.metric_name, &stat.metric.dimensions);
                check_period(stat.period)?;
                (Source::Metric(key, Statistic::parse(&stat.stat)?), stat.metric.metric_name, stat.period)
            }
            (None, Some(text)) => {
                let expression = Expression::parse(&text).map_err(invalid)?;
                if let Some(period) = query.period {
                    check_period(period)?;
                }
                (Source::Expression(expression), query.id.clone(), query.period.unwrap_or(0))
            }
            _ => {
                return Err(invalid(format!(
                    "The query '{}' must have exactly one of MetricStat and Expression.",
                    query.id
                )));
            }
        };
        queries.push(Query {
            id: query.id,
            label: query.label.unwrap_or(label),
            returned: query.return_data.unwrap_or(true),
            source,
            period,
        });
    }
    for query in &queries {
        reach(&queries, &query.id, queries.len())?;
    }
    // An expression without a period has the longest period of the queries.
    let longest = queries.iter().map(|q| q.period).max().filter(|p| *p > 0).unwrap_or(300);
    for query in &mut queries {
        if query.period == 0 {
            query.period = longest;
        }
    }
    Ok(queries)
}

fn invalid(message: impl Into<String>) -> ApiError {
    refuse("ValidationError", message)
}

/// The longest period: 455 days, for which CloudWatch keeps data.
const LONGEST_PERIOD: i64 = 455 * 86_400;

/// Checks that a period is 1, 5, 10, 20, 30 or a multiple of 60 seconds.
///
/// # Errors
/// `ValidationError` for other periods.
pub fn check_period(period: i64) -> Result<(), ApiError> {
    if [1, 5, 10, 20, 30].contains(&period) || ((60..=LONGEST_PERIOD).contains(&period) && period % 60 == 0) {
        Ok(())
    } else {
        Err(invalid(format!("Period {period} must be 1, 5, 10, 20, 30 or a multiple of 60.")))
    }
}

/// Detects cycles: follows ids from one query; more steps than queries means a cycle.
fn reach(queries: &[Query], id: &str, steps: usize) -> Result<(), ApiError> {
    let query = queries
        .iter()
        .find(|q| q.id == id)
        .ok_or_else(|| invalid(format!("The expression uses the id '{id}', which does not exist.")))?;
    let Source::Expression(expression) = &query.source else { return Ok(()) };
    if steps == 0 {
        return Err(invalid(format!("The expression '{id}' depends on itself.")));
    }
    let mut ids = Vec::new();
    expression.ids(&mut ids);
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter().try_for_each(|next| reach(queries, next, steps - 1))
}

/// The samples of any metric from `start` to before `end`.
pub fn samples(world: &World, here: &Place, key: &MetricKey, start: i64, end: i64) -> Samples {
    let own = traffic::samples(world, here, key, start, end)
        .or_else(|| agent::samples(world, here, key, start, end));
    let mut samples = own.unwrap_or_default();
    if let Some(custom) = world.cloudwatch.custom.get(&(here.clone(), key.clone())) {
        for (_, other) in custom.range(start..end) {
            samples.merge(other);
        }
    }
    samples
}

/// The values of one query for the periods of `period` seconds that begin at `starts`.
///
/// # Errors
/// `ValidationError` if the query gives a single number.
pub fn series(
    world: &World,
    here: &Place,
    queries: &[Query],
    id: &str,
    starts: &[i64],
    period: i64,
) -> Result<Series, ApiError> {
    let mut known: BTreeMap<String, Value> = BTreeMap::new();
    match value(world, here, queries, id, starts, period, &mut known)? {
        Value::Series(series) => Ok(series),
        Value::Number(_) => Err(invalid(format!("The expression '{id}' does not return a time series."))),
    }
}

/// Evaluates a query recursively; `accept` has ruled out cycles.
fn value(
    world: &World,
    here: &Place,
    queries: &[Query],
    id: &str,
    starts: &[i64],
    period: i64,
    known: &mut BTreeMap<String, Value>,
) -> Result<Value, ApiError> {
    if let Some(value) = known.get(id) {
        return Ok(value.clone());
    }
    let query =
        queries.iter().find(|q| q.id == id).ok_or_else(|| invalid(format!("No query has the id '{id}'.")))?;
    let found = match &query.source {
        Source::Metric(key, statistic) => {
            let mut series = Series::new();
            for &start in starts {
                let samples = samples(world, here, key, start, start + period * 1000);
                if !samples.is_empty() {
                    series.insert(start, statistic.of(&samples));
                }
            }
            Value::Series(series)
        }
        Source::Expression(expression) => expression
            .evaluate(starts, &mut |other: &str| value(world, here, queries, other, starts, period, known))?,
    };
    known.insert(id.to_owned(), found.clone());
    Ok(found)
}
