//! `GetMetricData`, `GetMetricStatistics`, `ListMetrics`, `PutMetricData`.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::support::{moment, page, present, refuse};
use super::metrics::{Dimension, MetricKey, Statistic};
use super::query::{RawQuery, accept, check_period, samples, series};
use super::{MINUTE_MS, place, traffic};

/// The maximum number of queries in one call.
const MOST_QUERIES: usize = 500;
const MOST_DATAPOINTS: usize = 100_800;
/// The maximum number of metrics in one `PutMetricData`.
const MOST_PUT: usize = 1000;
/// The maximum number of periods of one query: one-minute data is kept for at most 15 days.
const MOST_WINDOWS: i64 = 30_000;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetData {
    metric_data_queries: Vec<RawQuery>,
    start_time: f64,
    end_time: f64,
    #[serde(default)]
    scan_by: Option<String>,
    #[serde(default)]
    max_datapoints: Option<usize>,
    #[serde(default)]
    next_token: Option<String>,
}

/// The starts of the periods in a time range, aligned to multiples of the period.
fn grid(start: f64, end: f64, period: i64, now: i64) -> Result<Vec<i64>, ApiError> {
    // Clamp the times to the epoch: the request may have any number.
    let (start, end) = (moment(start).0.max(0), moment(end).0.max(0));
    if start >= end {
        return Err(refuse(
            "ValidationError",
            "The parameter StartTime must be less than the parameter EndTime.",
        ));
    }
    let step = period.max(1) * 1000;
    let end = end.min(now + 1);
    // No data is kept from before that, so the first period can begin there.
    let first = start.max(end - MOST_WINDOWS * step).div_euclid(step) * step;
    let mut starts = Vec::new();
    let mut at = first;
    while at < end {
        starts.push(at);
        at += step;
    }
    Ok(starts)
}

/// `GetMetricData`: newest first by default; periods without data have no point.
pub(super) fn data(world: &World, call: &Call) -> Answer {
    let input: GetData = call.parse()?;
    if input.metric_data_queries.is_empty() || input.metric_data_queries.len() > MOST_QUERIES {
        return Err(refuse(
            "ValidationError",
            format!("Between 1 and {MOST_QUERIES} MetricDataQueries must be given."),
        ));
    }
    let most = input.max_datapoints.unwrap_or(MOST_DATAPOINTS);
    if !(1..=MOST_DATAPOINTS).contains(&most) {
        return Err(refuse(
            "ValidationError",
            format!("MaxDatapoints must be between 1 and {MOST_DATAPOINTS}."),
        ));
    }
    let here = place(call);
    let queries = accept(input.metric_data_queries)?;
    let ascending = input.scan_by.as_deref() == Some("TimestampAscending");
    let mut results = Vec::new();
    for query in queries.iter().filter(|q| q.returned) {
        let starts = grid(input.start_time, input.end_time, query.period, call.now.0)?;
        let found = series(world, &here, &queries, &query.id, &starts, query.period)?;
        let mut points: Vec<(i64, f64)> = found.into_iter().collect();
        if !ascending {
            points.reverse();
        }
        results.push((query, points));
    }
    // A page is a range of the concatenated points of all results.
    let skip = match input.next_token.as_deref() {
        None => 0,
        Some(token) => token
            .strip_prefix("from-")
            .and_then(|t| t.parse::<usize>().ok())
            .ok_or_else(|| refuse("InvalidNextToken", format!("The token '{token}' is invalid")))?,
    };
    let total: usize = results.iter().map(|(_, points)| points.len()).sum();
    let mut passed = 0;
    let mut views = Vec::new();
    for (query, points) in results {
        let (first, last) = (passed, passed + points.len());
        passed = last;
        let from = skip.clamp(first, last) - first;
        let to = skip.saturating_add(most).clamp(first, last) - first;
        if from == to && !(points.is_empty() && skip == 0) {
            continue;
        }
        let status = if to < points.len() { "PartialData" } else { "Complete" };
        let shown = points.get(from..to).unwrap_or_default();
        views.push(json!({
            "Id": query.id,
            "Label": query.label,
            "Timestamps": shown.iter().map(|(t, _)| json!(seconds(*t))).collect::<Vec<_>>(),
            "Values": shown.iter().map(|(_, v)| json!(v)).collect::<Vec<_>>(),
            "StatusCode": status,
        }));
    }
    let next = skip.saturating_add(most);
    let next = (next < total).then(|| format!("from-{next}"));
    Ok(present(json!({ "MetricDataResults": views, "NextToken": next, "Messages": [] })))
}

fn seconds(at: i64) -> f64 {
    super::super::super::time::Time(at).epoch_seconds()
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetStatistics {
    namespace: String,
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    start_time: f64,
    end_time: f64,
    period: i64,
    #[serde(default)]
    statistics: Vec<String>,
    #[serde(default)]
    extended_statistics: Vec<String>,
}

pub(super) fn statistics(world: &World, call: &Call) -> Answer {
    let input: GetStatistics = call.parse()?;
    check_period(input.period)?;
    if input.statistics.is_empty() == input.extended_statistics.is_empty() {
        return Err(refuse(
            "InvalidParameterCombination",
            "Exactly one of Statistics and ExtendedStatistics must be given.",
        ));
    }
    let here = place(call);
    let key = MetricKey::new(&input.namespace, &input.metric_name, &input.dimensions);
    let parse = |names: &[String]| {
        names.iter().map(|n| Ok((n.clone(), Statistic::parse(n)?))).collect::<Result<Vec<_>, ApiError>>()
    };
    let (plain, extended) = (parse(&input.statistics)?, parse(&input.extended_statistics)?);
    let mut points = Vec::new();
    for start in grid(input.start_time, input.end_time, input.period, call.now.0)
        // This older operation has a different error code.
        .map_err(|error| ApiError { code: "InvalidParameterValue".into(), ..error })?
    {
        let samples = samples(world, &here, &key, start, start + input.period * 1000);
        if samples.is_empty() {
            continue;
        }
        let mut point = Map::new();
        point.insert("Timestamp".into(), json!(seconds(start)));
        point.insert("Unit".into(), json!(unit(&input.metric_name)));
        for (name, statistic) in &plain {
            point.insert(name.clone(), json!(statistic.of(&samples)));
        }
        if !extended.is_empty() {
            let values: Map<String, Value> =
                extended.iter().map(|(name, s)| (name.clone(), json!(s.of(&samples)))).collect();
            point.insert("ExtendedStatistics".into(), Value::Object(values));
        }
        points.push(Value::Object(point));
    }
    Ok(json!({ "Label": input.metric_name, "Datapoints": points }))
}

fn unit(name: &str) -> &'static str {
    match name {
        "TargetResponseTime" => "Seconds",
        "CPUUtilization" => "Percent",
        name if name.ends_with("Count") || name.starts_with("RequestCount") => "Count",
        _ => "None",
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct List {
    namespace: Option<String>,
    metric_name: Option<String>,
    dimensions: Vec<Dimension>,
    next_token: Option<String>,
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let input: List = call.parse()?;
    let here = place(call);
    let mut keys = traffic::known(world, &here);
    keys.extend(world.cloudwatch.custom.keys().filter(|(p, _)| *p == here).map(|(_, key)| key.clone()));
    keys.retain(|key| {
        input.namespace.as_ref().is_none_or(|n| *n == key.namespace)
            && input.metric_name.as_ref().is_none_or(|n| *n == key.name)
            && input.dimensions.iter().all(|wanted| {
                key.dimensions
                    .get(&wanted.name)
                    .is_some_and(|value| wanted.value.as_ref().is_none_or(|w| w == value))
            })
    });
    let (keys, next) = page(keys, input.next_token.as_deref(), 500, "InvalidParameterValue")?;
    let views: Vec<Value> = keys.iter().map(MetricKey::view).collect();
    Ok(present(json!({ "Metrics": views, "NextToken": next })))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Put {
    namespace: String,
    #[serde(default)]
    metric_data: Vec<Datum>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Datum {
    metric_name: String,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    #[serde(default)]
    timestamp: Option<f64>,
    #[serde(default)]
    value: Option<f64>,
    #[serde(default)]
    values: Vec<f64>,
    #[serde(default)]
    counts: Vec<f64>,
    #[serde(default)]
    statistic_values: Option<StatisticSet>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct StatisticSet {
    sample_count: f64,
    sum: f64,
    minimum: f64,
    maximum: f64,
}

pub(super) fn put(world: &mut World, call: &Call) -> Answer {
    let input: Put = call.parse()?;
    if input.namespace.starts_with("AWS/") {
        return Err(refuse("InvalidParameterValue", "The value AWS/ for parameter Namespace is invalid."));
    }
    if input.metric_data.len() > MOST_PUT {
        return Err(refuse(
            "InvalidParameterValue",
            format!("At most {MOST_PUT} metrics can be put at once."),
        ));
    }
    for datum in &input.metric_data {
        let ways = usize::from(datum.value.is_some())
            + usize::from(!datum.values.is_empty())
            + usize::from(datum.statistic_values.is_some());
        let counted = datum.counts.is_empty() || datum.counts.len() == datum.values.len();
        let finite = datum.value.iter().chain(&datum.values).all(|v| v.is_finite());
        if ways != 1 || !counted || !finite {
            return Err(refuse(
                "InvalidParameterCombination",
                format!(
                    "The metric {} must have one of Value, Values with Counts, and StatisticValues.",
                    datum.metric_name
                ),
            ));
        }
    }
    let here = place(call);
    for datum in input.metric_data {
        let key = MetricKey::new(&input.namespace, &datum.metric_name, &datum.dimensions);
        let at = datum.timestamp.map_or(call.now, moment).0.max(0).div_euclid(MINUTE_MS) * MINUTE_MS;
        let samples = world.cloudwatch.custom.entry((here.clone(), key)).or_default().entry(at).or_default();
        if let Some(value) = datum.value {
            samples.add(value, 1.0);
        }
        for (index, value) in datum.values.iter().enumerate() {
            samples.add(*value, datum.counts.get(index).copied().unwrap_or(1.0));
        }
        if let Some(set) = datum.statistic_values {
            samples.add_set(set.sum, set.sample_count, set.minimum, set.maximum);
        }
    }
    // Invalidate the period values that alarms have cached.
    for alarm in world.cloudwatch.alarms.values_mut() {
        alarm.forget_windows();
    }
    Ok(json!({}))
}
