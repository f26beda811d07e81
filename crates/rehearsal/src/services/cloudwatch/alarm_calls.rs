//! `PutMetricAlarm`, `PutCompositeAlarm`, `DescribeAlarms`, `SetAlarmState`, `DeleteAlarms`, and alarm fixtures.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::autoscaling;
use super::super::support::{Place, Tag, Tags, page, present, put_tags, refuse};
use super::alarms::{Alarm, AlarmState, Comparison, Kind, Missing, Watch, evaluate_composites};
use super::composite::Rule;
use super::metrics::Dimension;
use super::query::{RawMetric, RawQuery, RawStat, accept, check_period};
use super::{place, wake};

/// The longest evaluation range of an alarm, in seconds.
const LONGEST_RANGE: i64 = 7 * 86_400;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutMetric {
    alarm_name: String,
    evaluation_periods: usize,
    comparison_operator: String,
    #[serde(default)]
    threshold: Option<f64>,
    #[serde(default)]
    datapoints_to_alarm: Option<usize>,
    #[serde(default)]
    treat_missing_data: Option<String>,
    #[serde(default)]
    metric_name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    #[serde(default)]
    statistic: Option<String>,
    #[serde(default)]
    extended_statistic: Option<String>,
    #[serde(default)]
    period: Option<i64>,
    #[serde(default)]
    metrics: Vec<RawQuery>,
    #[serde(default)]
    tags: Vec<Tag>,
}

fn invalid(message: impl Into<String>) -> ApiError {
    refuse("ValidationError", message)
}

impl PutMetric {
    /// The alarm's queries: one metric's statistic, or metric math in which exactly one query returns data.
    fn queries(&mut self) -> Result<Vec<RawQuery>, ApiError> {
        match (self.metric_name.take(), self.namespace.take(), self.metrics.is_empty()) {
            (Some(metric_name), Some(namespace), true) => {
                let ((Some(stat), None) | (None, Some(stat))) =
                    (self.statistic.take(), self.extended_statistic.take())
                else {
                    return Err(invalid("Exactly one of Statistic and ExtendedStatistic must be given."));
                };
                let period = self.period.ok_or_else(|| invalid("The parameter Period must be given."))?;
                let dimensions = std::mem::take(&mut self.dimensions);
                let metric = RawMetric { namespace, metric_name, dimensions };
                Ok(vec![RawQuery {
                    id: "watched".into(),
                    metric_stat: Some(RawStat { metric, period, stat }),
                    expression: None,
                    label: None,
                    return_data: Some(true),
                    period: None,
                }])
            }
            (None, None, false) => Ok(std::mem::take(&mut self.metrics)),
            _ => Err(invalid("Either MetricName and Namespace, or Metrics must be given.")),
        }
    }
}

pub(super) fn put_metric(world: &mut World, call: &Call) -> Answer {
    let mut input: PutMetric = call.parse()?;
    let queries = accept(input.queries()?)?;
    let mut returned = queries.iter().filter(|q| q.returned);
    let (Some(watched), None) = (returned.next(), returned.next()) else {
        return Err(invalid("Exactly one of the Metrics must return data."));
    };
    check_period(watched.period)?;
    let datapoints_to_alarm = input.datapoints_to_alarm.unwrap_or(input.evaluation_periods);
    if datapoints_to_alarm == 0 || datapoints_to_alarm > input.evaluation_periods {
        return Err(invalid("DatapointsToAlarm must be between 1 and EvaluationPeriods."));
    }
    let range = i64::try_from(input.evaluation_periods).unwrap_or(i64::MAX).saturating_mul(watched.period);
    if range > LONGEST_RANGE {
        return Err(invalid("EvaluationPeriods times Period must not exceed seven days."));
    }
    let comparison = Comparison::parse(&input.comparison_operator).ok_or_else(|| {
        invalid(format!("The ComparisonOperator {} is not supported.", input.comparison_operator))
    })?;
    let missing = input.treat_missing_data.as_deref().unwrap_or("missing");
    let missing = Missing::parse(missing)
        .ok_or_else(|| invalid(format!("The value '{missing}' for TreatMissingData is invalid.")))?;
    let threshold = input.threshold.ok_or_else(|| invalid("The parameter Threshold must be given."))?;
    let watch = Watch {
        watched: watched.id.clone(),
        period: watched.period,
        queries,
        evaluation_periods: input.evaluation_periods,
        datapoints_to_alarm,
        comparison,
        threshold,
        missing,
        windows: std::collections::BTreeMap::new(),
    };
    put(world, call, &input.alarm_name, &input.tags, Kind::Metric(Box::new(watch)));
    Ok(json!({}))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct PutComposite {
    alarm_name: String,
    alarm_rule: String,
    #[serde(default)]
    tags: Vec<Tag>,
}

pub(super) fn put_composite(world: &mut World, call: &Call) -> Answer {
    let input: PutComposite = call.parse()?;
    let rule = Rule::parse(&input.alarm_rule).map_err(invalid)?;
    let here = place(call);
    let mut children = Vec::new();
    rule.children(&mut children);
    for child in children {
        if child == input.alarm_name
            || !world.cloudwatch.alarms.contains_key(&(here.clone(), child.to_owned()))
        {
            return Err(invalid(format!("AlarmRule must not contain alarms that do not exist: {child}")));
        }
    }
    put(world, call, &input.alarm_name, &input.tags, Kind::Composite(rule));
    if evaluate_composites(world, call.now) {
        autoscaling::alarms_changed(world);
    }
    Ok(json!({}))
}

/// Creates or updates an alarm. A new one begins with insufficient data; an updated one keeps its state.
fn put(world: &mut World, call: &Call, name: &str, tags: &[Tag], kind: Kind) {
    let mut members = call.input.clone();
    members.remove("Tags");
    let key = (place(call), name.to_owned());
    let before = world.cloudwatch.alarms.get(&key);
    let mut new = Alarm {
        name: name.to_owned(),
        state: before.map_or(AlarmState::InsufficientData, |a| a.state),
        reason: before.map_or_else(|| "Unchecked: Initial alarm creation".into(), |a| a.reason.clone()),
        updated: before.map_or(call.now, |a| a.updated),
        transitioned: before.map_or(call.now, |a| a.transitioned),
        configured: call.now,
        held: before.and_then(|a| a.held),
        members: Value::Object(members),
        tags: before.map_or_else(Tags::new, |a| a.tags.clone()),
        kind,
    };
    if before.is_none() {
        put_tags(&mut new.tags, tags);
    }
    world.cloudwatch.alarms.insert(key, new);
    wake(world);
}

/// Seeds an alarm, given the members of `PutMetricAlarm`.
///
/// # Errors
/// The error of `PutMetricAlarm`.
pub fn seed_alarm(
    world: &mut World,
    account: &str,
    region: &str,
    members: Map<String, Value>,
) -> Result<(), ApiError> {
    let call = Call {
        service: "cloudwatch",
        operation: "PutMetricAlarm".into(),
        input: members,
        account: account.into(),
        region: region.into(),
        access_key: String::new(),
        now: world.now,
    };
    put_metric(world, &call).map(|_| ())
}

/// Holds an alarm in a state regardless of its metric; `None` ends this.
pub fn hold_alarm(world: &mut World, account: &str, region: &str, name: &str, state: Option<AlarmState>) {
    let now = world.now;
    let Some(alarm) = world.cloudwatch.alarms.get_mut(&(Place::new(account, region), name.to_owned())) else {
        return;
    };
    alarm.held = state;
    if let Some(state) = state
        && alarm.enter(state, now, "Held")
    {
        evaluate_composites(world, now);
        autoscaling::alarms_changed(world);
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    alarm_names: Vec<String>,
    alarm_name_prefix: Option<String>,
    alarm_types: Vec<String>,
    state_value: Option<String>,
    max_records: Option<usize>,
    next_token: Option<String>,
}

/// `DescribeAlarms`: metric alarms unless `AlarmTypes` has others. Unknown names are silently omitted.
pub(super) fn describe(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    if !input.alarm_names.is_empty() && input.alarm_name_prefix.is_some() {
        return Err(refuse(
            "InvalidParameterCombination",
            "AlarmNames and AlarmNamePrefix cannot be given together.",
        ));
    }
    let here = place(call);
    let wants = |name: &str| {
        if input.alarm_types.is_empty() {
            name == "MetricAlarm"
        } else {
            input.alarm_types.iter().any(|t| t == name)
        }
    };
    let found: Vec<&Alarm> = world
        .cloudwatch
        .alarms
        .iter()
        .filter(|((place, _), _)| *place == here)
        .map(|(_, alarm)| alarm)
        .filter(|a| match a.kind {
            Kind::Metric(_) => wants("MetricAlarm"),
            Kind::Composite(_) => wants("CompositeAlarm"),
        })
        .filter(|a| input.alarm_names.is_empty() || input.alarm_names.contains(&a.name))
        .filter(|a| input.alarm_name_prefix.as_ref().is_none_or(|p| a.name.starts_with(p)))
        .filter(|a| input.state_value.as_ref().is_none_or(|s| s == a.state.name()))
        .collect();
    let size = input.max_records.unwrap_or(50).min(100);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidNextToken")?;
    let (mut metric, mut composite) = (Vec::new(), Vec::new());
    for alarm in found {
        match alarm.kind {
            Kind::Metric(_) => metric.push(view(alarm, &here)),
            Kind::Composite(_) => composite.push(view(alarm, &here)),
        }
    }
    Ok(present(json!({ "MetricAlarms": metric, "CompositeAlarms": composite, "NextToken": next })))
}

fn view(alarm: &Alarm, here: &Place) -> Value {
    let mut members = alarm.members.as_object().cloned().unwrap_or_default();
    let arn = format!(
        "arn:{}:cloudwatch:{}:{}:alarm:{}",
        crate::partition::id(&here.region),
        here.region,
        here.account,
        alarm.name
    );
    for list in ["OKActions", "AlarmActions", "InsufficientDataActions"] {
        members.entry(list).or_insert_with(|| json!([]));
    }
    if matches!(alarm.kind, Kind::Metric(_)) {
        members.entry("Dimensions").or_insert_with(|| json!([]));
    }
    members.entry("ActionsEnabled").or_insert(json!(true));
    members.insert("AlarmArn".into(), json!(arn));
    members.insert("StateValue".into(), json!(alarm.state.name()));
    members.insert("StateReason".into(), json!(alarm.reason));
    members.insert("StateUpdatedTimestamp".into(), json!(alarm.updated.epoch_seconds()));
    members.insert("StateTransitionedTimestamp".into(), json!(alarm.transitioned.epoch_seconds()));
    members.insert("AlarmConfigurationUpdatedTimestamp".into(), json!(alarm.configured.epoch_seconds()));
    Value::Object(members)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SetState {
    alarm_name: String,
    state_value: String,
    state_reason: String,
}

/// `SetAlarmState`: sets the state until the next evaluation.
pub(super) fn set_state(world: &mut World, call: &Call) -> Answer {
    let input: SetState = call.parse()?;
    let state = AlarmState::parse(&input.state_value)
        .ok_or_else(|| invalid(format!("The value '{}' for StateValue is invalid.", input.state_value)))?;
    let key = (place(call), input.alarm_name);
    let alarm = world.cloudwatch.alarms.get_mut(&key).ok_or_else(|| not_found(&key.1))?;
    let changed = alarm.enter(state, call.now, "");
    alarm.reason = input.state_reason;
    alarm.updated = call.now;
    if evaluate_composites(world, call.now) || changed {
        autoscaling::alarms_changed(world);
    }
    Ok(json!({}))
}

fn not_found(name: &str) -> ApiError {
    ApiError::new("ResourceNotFound", format!("The alarm '{name}' does not exist")).with_status(404)
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Delete {
    alarm_names: Vec<String>,
}

/// `DeleteAlarms`: all or none.
pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: Delete = call.parse()?;
    let here = place(call);
    let keys: Vec<(Place, String)> = input.alarm_names.into_iter().map(|name| (here.clone(), name)).collect();
    if let Some((_, missing)) = keys.iter().find(|key| !world.cloudwatch.alarms.contains_key(key)) {
        return Err(not_found(missing));
    }
    for key in &keys {
        world.cloudwatch.alarms.remove(key);
    }
    Ok(json!({}))
}
