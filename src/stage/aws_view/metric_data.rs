//! The value of one metric of the spec, read with `GetMetricData`.

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric as Stored, MetricDataQuery, MetricStat, ScanBy, StatusCode,
};

use crate::aws::{Aws, AwsError};
use crate::engine::{StageError, Timestamp};
use crate::spec::Limit;

/// The value of a metric: the mean of its datapoints, to six digits. This very number is judged and recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MetricValue {
    /// None when there was no datapoint, or `CloudWatch` did not return all of them.
    pub value: Option<f64>,
    pub samples: u32,
}

impl MetricValue {
    /// Rounds to the six digits that are judged and recorded. A value that is not finite becomes none.
    #[must_use]
    pub fn rounded(value: Option<f64>, samples: u32) -> Self {
        let value =
            value.filter(|value| value.is_finite()).and_then(|value| format!("{value:.5e}").parse().ok());
        Self { value, samples }
    }
}

/// The whole periods between two moments, start included and end excluded, as `GetMetricData` takes them.
/// None when no whole period lies between them.
#[must_use]
pub fn window(from: Timestamp, to: Timestamp, period: u32) -> Option<(i64, i64)> {
    let period = i64::from(period.max(1));
    let start = from.0.checked_add(period - 1)?.div_euclid(period).checked_mul(period)?;
    let end = to.0.div_euclid(period).checked_mul(period)?;
    (start < end).then_some((start, end))
}

/// The mean of a metric's datapoints between two moments.
///
/// # Errors
/// The call failed. A result that `CloudWatch` calls partial or forbidden is no error: it has no value.
pub async fn read(
    aws: &Aws,
    metric: &Limit,
    from: Timestamp,
    to: Timestamp,
) -> Result<MetricValue, StageError> {
    let none = MetricValue { value: None, samples: 0 };
    let Some((start, end)) = window(from, to, metric.period().as_secs()) else { return Ok(none) };
    let (queries, id) = queries(metric);
    let pages = aws
        .cloudwatch
        .get_metric_data()
        .set_metric_data_queries(Some(queries))
        .start_time(DateTime::from_secs(start))
        .end_time(DateTime::from_secs(end))
        .scan_by(ScanBy::TimestampAscending)
        .into_paginator();
    let mut pages = pages.send();
    let (mut values, mut complete) = (Vec::new(), false);
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("cloudwatch:GetMetricData", &metric.name, e))?;
        for result in page.metric_data_results().iter().filter(|result| result.id() == Some(id.as_str())) {
            values.extend_from_slice(result.values());
            // Every page but the last has the status `PartialData`: the last page's status counts.
            complete = result.status_code() == Some(&StatusCode::Complete);
        }
    }
    Ok(if complete { mean(&values) } else { none })
}

/// The mean of the values. One value that is not finite makes the mean none.
#[must_use]
pub fn mean(values: &[f64]) -> MetricValue {
    let samples = u32::try_from(values.len()).unwrap_or(u32::MAX);
    let value = (!values.is_empty()).then(|| values.iter().sum::<f64>() / f64::from(samples));
    MetricValue::rounded(value, samples)
}

/// How a value leaves the bounds of its metric; none if it is within them. A value that is not a number is outside.
#[must_use]
pub fn breach(metric: &Limit, value: f64) -> Option<String> {
    let name = &metric.name;
    match (metric.max, metric.min) {
        (Some(max), _) if value.is_nan() || value > max => {
            Some(format!("{name} is {value}, above the limit of {max}"))
        }
        (_, Some(min)) if value.is_nan() || value < min => {
            Some(format!("{name} is {value}, below the limit of {min}"))
        }
        _ => None,
    }
}

/// The queries of a metric, and the id of the query whose data are returned.
fn queries(metric: &Limit) -> (Vec<MetricDataQuery>, String) {
    let period = i32::try_from(metric.period().as_secs()).unwrap_or(i32::MAX);
    let (wanted, expression) = (metric.cloudwatch.queries(), &metric.cloudwatch.expression);
    let mut queries: Vec<MetricDataQuery> = Vec::with_capacity(wanted.len() + 1);
    for query in &wanted {
        let mut stored = Stored::builder().namespace(&query.namespace).metric_name(&query.metric);
        for (name, value) in &query.dimensions {
            stored = stored.dimensions(Dimension::builder().name(name).value(value).build());
        }
        let stat = MetricStat::builder().metric(stored.build()).period(period).stat(&query.statistic).build();
        let asked = expression.is_none();
        queries.push(MetricDataQuery::builder().id(&query.id).metric_stat(stat).return_data(asked).build());
    }
    let Some(expression) = expression else {
        let id = wanted.first().map(|query| query.id.clone()).unwrap_or_default();
        return (queries, id);
    };
    let mut id = "value".to_owned();
    while wanted.iter().any(|query| query.id == id) {
        id.push('_');
    }
    queries.push(
        MetricDataQuery::builder().id(&id).expression(expression).period(period).return_data(true).build(),
    );
    (queries, id)
}
