//! `CloudWatch` alarms and their states.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{AlarmType, StateValue};

use crate::aws::{Aws, AwsError};
use crate::engine::StageError;

/// The state of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmState {
    Ok,
    Alarm,
    InsufficientData,
    /// The alarm does not exist any more.
    Gone,
    /// The alarms could not be read.
    Unread,
}

impl AlarmState {
    const ALL: [(Self, char, &'static str); 5] = [
        (Self::Ok, 'O', "OK"),
        (Self::Alarm, 'A', "ALARM"),
        (Self::InsufficientData, 'I', "INSUFFICIENT_DATA"),
        (Self::Gone, 'G', "GONE"),
        (Self::Unread, 'U', "UNREAD"),
    ];

    /// The state as `CloudWatch` writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(state, ..)| *state == self).map_or("UNREAD", |(_, _, name)| name)
    }

    /// The state as one letter, as the decision log writes it.
    #[must_use]
    pub fn letter(self) -> char {
        Self::ALL.iter().find(|(state, ..)| *state == self).map_or('U', |(_, letter, _)| *letter)
    }

    /// The state that a letter of the decision log means.
    #[must_use]
    pub fn of(letter: char) -> Option<Self> {
        Self::ALL.iter().find(|(_, known, _)| *known == letter).map(|(state, ..)| *state)
    }
}

/// The states of alarms of any type, in the order of `names`.
///
/// # Errors
/// `DescribeAlarms` failed.
pub async fn alarms(aws: &Aws, names: &[String]) -> Result<Vec<AlarmState>, StageError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let pages = aws
        .cloudwatch
        .describe_alarms()
        .set_alarm_names(Some(names.to_vec()))
        .alarm_types(AlarmType::MetricAlarm)
        .alarm_types(AlarmType::CompositeAlarm)
        .into_paginator();
    let mut found: BTreeMap<String, AlarmState> = BTreeMap::new();
    let mut pages = pages.send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("cloudwatch:DescribeAlarms", names.join(", "), e))?;
        let metric = page.metric_alarms().iter().map(|alarm| (alarm.alarm_name(), alarm.state_value()));
        let composite = page.composite_alarms().iter().map(|alarm| (alarm.alarm_name(), alarm.state_value()));
        for (name, state) in metric.chain(composite) {
            let Some(name) = name else { continue };
            found.insert(name.to_owned(), state_of(state.map(StateValue::as_str)));
        }
    }
    // CloudWatch leaves names that it does not know out of its answer.
    Ok(names.iter().map(|name| found.get(name).copied().unwrap_or(AlarmState::Gone)).collect())
}

fn state_of(state: Option<&str>) -> AlarmState {
    match state {
        Some("OK") => AlarmState::Ok,
        Some("ALARM") => AlarmState::Alarm,
        Some("INSUFFICIENT_DATA") => AlarmState::InsufficientData,
        _ => AlarmState::Unread,
    }
}
