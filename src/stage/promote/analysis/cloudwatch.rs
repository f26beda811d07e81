//! Reads the series of both sides from `CloudWatch`, in as few calls as the API allows.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StatusCode,
};

use super::windows::{Series, SeriesId, Side};
use crate::aws::{Aws, AwsError, Class};
use crate::engine::{StageError, Timestamp};
use crate::spec::Judge;
use crate::spec::promote::cloudwatch::SideMetric;
use crate::spec::promote::judge::Measured;

/// The most queries of one `GetMetricData`.
const MAX_QUERIES: usize = 500;

/// The names of a side that stand in the dimensions of its metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideNames {
    pub group: String,
    pub instances: Vec<String>,
    /// `targetgroup/NAME/ID`, as `CloudWatch` writes it, if the side has a target group of its own.
    pub target_group: String,
}

/// One series to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requested {
    pub id: SeriesId,
    pub namespace: String,
    pub metric: String,
    pub dimensions: BTreeMap<String, String>,
    pub statistic: String,
}

/// Whether a source has a series for each instance, so that the instance ids are needed.
#[must_use]
pub fn needs_instances(judge: &Judge) -> bool {
    judge.side_metrics().any(|metric| metric.names("instance"))
}

/// Every series of both sides, in a fixed order.
#[must_use]
pub fn requests(judge: &Judge, sides: &BTreeMap<Side, SideNames>) -> Vec<Requested> {
    let mut all = Vec::new();
    for (&side, named) in sides {
        let mut ask = |metric: Option<usize>, threshold: usize, source: &SideMetric, statistic: &str| {
            let apart = source.names("instance");
            let instances: Vec<Option<&String>> =
                if apart { named.instances.iter().map(Some).collect() } else { vec![None] };
            for instance in instances {
                let known = |word: &str| match word {
                    "group" => Some(named.group.as_str()),
                    "target_group" => Some(named.target_group.as_str()),
                    "instance" => instance.map(String::as_str),
                    _ => None,
                };
                all.push(Requested {
                    id: SeriesId { side, metric, threshold, instance: instance.cloned() },
                    namespace: source.namespace.clone(),
                    metric: source.metric.clone(),
                    dimensions: source.dimensions_of(known),
                    statistic: statistic.to_owned(),
                });
            }
        };
        ask(None, 0, &judge.requests.cloudwatch, "Sum");
        for (at, metric) in judge.metrics.iter().enumerate() {
            match metric.measured() {
                Measured::Count(_) => ask(Some(at), 0, &metric.cloudwatch, "Sum"),
                Measured::Gauge(_) => ask(Some(at), 0, &metric.cloudwatch, "Average"),
                Measured::Latency(latency) => {
                    for (index, threshold) in latency.thresholds.iter().enumerate() {
                        // The trimmed count: samples above the threshold.
                        ask(Some(at), index, &metric.cloudwatch, &format!("TC({threshold}:)"));
                    }
                }
            }
        }
    }
    all
}

/// Reads every series between two moments. When a call is denied, its series are incomplete: the judge decides what
/// follows.
///
/// # Errors
/// `GetMetricData` failed for any other reason.
pub async fn read(
    aws: &Aws,
    judge: &Judge,
    all: &[Requested],
    since: Timestamp,
    until: Timestamp,
) -> Result<BTreeMap<SeriesId, Series>, StageError> {
    let mut found = BTreeMap::new();
    if since >= until {
        return Ok(found);
    }
    for batch in all.chunks(MAX_QUERIES) {
        match read_batch(aws, judge, batch, since, until).await {
            Ok(series) => {
                found.extend(batch.iter().zip(series).map(|(asked, series)| (asked.id.clone(), series)));
            }
            Err(error) if error.class == Class::Denied => {
                tracing::warn!(%error, "access to the metrics of the analysis is denied");
                found.extend(batch.iter().map(|asked| (asked.id.clone(), Series::Incomplete)));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

async fn read_batch(
    aws: &Aws,
    judge: &Judge,
    batch: &[Requested],
    since: Timestamp,
    until: Timestamp,
) -> Result<Vec<Series>, AwsError> {
    let period = i32::try_from(judge.window.as_secs()).unwrap_or(i32::MAX);
    let queries = batch.iter().enumerate().map(|(at, asked)| query(at, asked, period)).collect();
    let pages = aws
        .cloudwatch
        .get_metric_data()
        .set_metric_data_queries(Some(queries))
        .start_time(DateTime::from_secs(since.0))
        .end_time(DateTime::from_secs(until.0))
        .scan_by(ScanBy::TimestampAscending)
        .into_paginator();
    let (mut pages, mut parts) = (pages.send(), Parts::new(batch.len()));
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|e| AwsError::new("cloudwatch:GetMetricData", "the metrics of the analysis", e))?;
        for result in page.metric_data_results() {
            parts.add(result);
        }
    }
    Ok(parts.series())
}

fn query(at: usize, asked: &Requested, period: i32) -> MetricDataQuery {
    let mut metric = Metric::builder().namespace(&asked.namespace).metric_name(&asked.metric);
    for (name, value) in &asked.dimensions {
        metric = metric.dimensions(Dimension::builder().name(name).value(value).build());
    }
    let stat = MetricStat::builder().metric(metric.build()).period(period).stat(&asked.statistic).build();
    MetricDataQuery::builder().id(format!("q{at}")).metric_stat(stat).return_data(true).build()
}

/// The pages of an answer, joined by query.
pub(super) struct Parts(Vec<(BTreeMap<i64, f64>, Option<StatusCode>)>);

impl Parts {
    pub(super) fn new(queries: usize) -> Self {
        Self(vec![(BTreeMap::new(), None); queries])
    }

    pub(super) fn add(&mut self, result: &MetricDataResult) {
        let at = result.id().and_then(|id| id.strip_prefix('q')).and_then(|at| at.parse::<usize>().ok());
        let Some((points, status)) = at.and_then(|at| self.0.get_mut(at)) else { return };
        let values = result.timestamps().iter().zip(result.values());
        points.extend(values.map(|(time, value)| (time.secs(), *value)));
        if result.timestamps().len() != result.values().len() {
            // As many timestamps as values belong together: this answer contradicts itself.
            *status = Some(StatusCode::InternalError);
            return;
        }
        // Every page but the last has the status `PartialData`: the last page's status counts.
        *status = result.status_code().cloned();
    }

    pub(super) fn series(self) -> Vec<Series> {
        let series = |(points, status): (BTreeMap<i64, f64>, Option<StatusCode>)| match status {
            Some(StatusCode::Complete) => Series::Points(points),
            _ => Series::Incomplete,
        };
        self.0.into_iter().map(series).collect()
    }
}
