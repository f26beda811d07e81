//! Alarms and limits: what they read now, and what follows.

use crate::aws::Aws;
use crate::engine::Timestamp;
use crate::evidence::predicate::DecisionAction;
use crate::spec::Limit;
use crate::stage::aws_view::alarms::{self, AlarmState};
use crate::stage::aws_view::metric_data::{self, MetricValue, breach};

/// The alarms and limits that a hold is decided on, and the clients of their Region.
#[derive(Clone, Debug)]
pub struct Guards {
    pub aws: Aws,
    pub alarms: Vec<String>,
    pub limits: Vec<Limit>,
}

/// The alarm states and metric values of one poll, in the order of the spec.
#[derive(Clone, Debug, PartialEq)]
pub struct Readings {
    pub alarms: Vec<AlarmState>,
    pub values: Vec<MetricValue>,
}

/// What the readings of one poll mean, whatever the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Every alarm is OK and every metric is within its limits, with enough datapoints.
    Healthy,
    /// An alarm is in ALARM or a limit is exceeded, each in a sentence.
    Breached(Vec<String>),
    /// Nothing is breached, and something is not known.
    Unknown(Vec<String>),
}

/// Whether a decision is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// The hold has not passed.
    NotYet,
    /// No decision is due, and it has been unknown for too long whether everything is healthy.
    Blind,
    /// The hold has passed; late datapoints may still arrive.
    Ready,
    /// The last poll before AWS continues by itself, or a poll after it did.
    Last,
}

/// Reads alarms and limits now. An alarm or a metric that cannot be read is unknown, never healthy.
pub async fn read(guards: &Guards, since: Timestamp, now: Timestamp) -> Readings {
    let alarms = alarms::alarms(&guards.aws, &guards.alarms).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the alarms could not be read");
        vec![AlarmState::Unread; guards.alarms.len()]
    });
    let mut values = Vec::with_capacity(guards.limits.len());
    for metric in &guards.limits {
        let value = metric_data::read(&guards.aws, metric, since, now).await;
        values.push(value.unwrap_or_else(|error| {
            tracing::warn!(%error, metric = metric.name, "the metric could not be read");
            MetricValue { value: None, samples: 0 }
        }));
    }
    Readings { alarms, values }
}

/// Compares readings with the alarms and limits of the spec.
#[must_use]
pub fn find(alarms: &[String], limits: &[Limit], readings: &Readings) -> Finding {
    let (mut breached, mut unknown) = (Vec::new(), Vec::new());
    for (index, name) in alarms.iter().enumerate() {
        match readings.alarms.get(index).copied().unwrap_or(AlarmState::Unread) {
            AlarmState::Ok => {}
            AlarmState::Alarm => breached.push(format!("the alarm {name} is in ALARM")),
            AlarmState::InsufficientData => unknown.push(format!("the alarm {name} has insufficient data")),
            AlarmState::Gone => unknown.push(format!("the alarm {name} does not exist any more")),
            AlarmState::Unread => unknown.push(format!("the alarm {name} could not be read")),
        }
    }
    for (index, metric) in limits.iter().enumerate() {
        let read = readings.values.get(index).copied().unwrap_or(MetricValue { value: None, samples: 0 });
        match (read.value, read.samples >= metric.min_datapoints) {
            (Some(value), true) => breached.extend(breach(metric, value)),
            (Some(_), false) => unknown.push(format!(
                "{} has {} of the {} datapoints it needs",
                metric.name, read.samples, metric.min_datapoints
            )),
            (None, _) => unknown.push(format!("{} has no complete data", metric.name)),
        }
    }
    if !breached.is_empty() {
        Finding::Breached(breached)
    } else if !unknown.is_empty() {
        Finding::Unknown(unknown)
    } else {
        Finding::Healthy
    }
}

impl Finding {
    /// The same finding when the units of the target are not ready, too: then it is never healthy.
    #[must_use]
    pub fn and_not_ready(self, not_ready: Option<String>) -> Self {
        let Some(what) = not_ready else { return self };
        match self {
            Self::Healthy => Self::Unknown(vec![what]),
            Self::Unknown(mut unknown) => {
                unknown.push(what);
                Self::Unknown(unknown)
            }
            breached @ Self::Breached(_) => breached,
        }
    }
}

/// What follows from a finding.
#[must_use]
pub fn action(finding: &Finding, due: Due) -> DecisionAction {
    match (finding, due) {
        (Finding::Breached(_), _) | (Finding::Unknown(_), Due::Blind | Due::Last) => DecisionAction::RollBack,
        (Finding::Healthy, Due::Ready | Due::Last) => DecisionAction::Continue,
        (Finding::Healthy, Due::NotYet | Due::Blind) | (Finding::Unknown(_), Due::NotYet | Due::Ready) => {
            DecisionAction::Wait
        }
    }
}

/// A finding in one sentence.
#[must_use]
pub fn reason(finding: &Finding) -> String {
    match finding {
        Finding::Healthy => "every alarm is OK and every metric is within its limits".to_owned(),
        Finding::Breached(what) => what.join("; "),
        Finding::Unknown(what) => {
            format!("inconclusive, and nothing is promoted on missing data: {}", what.join("; "))
        }
    }
}
