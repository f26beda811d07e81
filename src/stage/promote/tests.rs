//! Alarms and limits as tables, the decision log, and the states of the machine.

mod log;
mod tokens;

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::analysis::guards::{Due, Finding, Readings, action, find};
use super::settings::{Settings, Way};
use crate::engine::Timestamp;
use crate::evidence::predicate::DecisionAction;
use crate::spec::promote::cloudwatch::CloudWatch;
use crate::spec::{Limit, Query, Span};
use crate::stage::aws_view::alarms::AlarmState;
use crate::stage::aws_view::metric_data::MetricValue;

pub const OLD: &str = "ami-00000000000000001";
pub const NEW: &str = "ami-00000000000000002";
pub const TEMPLATE: &str = "lt-00000000000000001";

fn metric(name: &str) -> Limit {
    Limit {
        name: name.into(),
        cloudwatch: CloudWatch {
            period: Span::from_secs(60),
            namespace: None,
            metric: None,
            dimensions: BTreeMap::new(),
            statistic: None,
            queries: vec![Query {
                id: "errors".into(),
                namespace: "AWS/ApplicationELB".into(),
                metric: "HTTPCode_Target_5XX_Count".into(),
                dimensions: BTreeMap::new(),
                statistic: "Sum".into(),
            }],
            expression: None,
        },
        max: Some(1.0),
        min: None,
        min_datapoints: 5,
    }
}

/// A rolling deployment in three steps.
pub fn settings() -> Settings {
    Settings {
        group: "web".into(),
        alternate: None,
        way: Way::Rolling,
        steps: vec![25, 50, 100],
        hold: 900,
        min_healthy_percent: 100,
        max_healthy_percent: 125,
        warmup: 120,
        soak: 1800,
        alarms: vec!["web-5xx".into()],
        limits: vec![metric("errors")],
        judge: None,
        waves: Vec::new(),
        size: 1,
        timeout: Duration::from_hours(8),
    }
}

fn readings(alarm: AlarmState, value: Option<f64>, samples: u32) -> Readings {
    Readings { alarms: vec![alarm], values: vec![MetricValue { value, samples }] }
}

fn found(settings: &Settings, readings: &Readings) -> Finding {
    find(&settings.alarms, &settings.limits, readings)
}

#[test]
fn the_action_follows_from_readings_and_time() {
    use AlarmState::{Alarm, Gone, InsufficientData, Ok, Unread};
    use DecisionAction::{Continue, RollBack, Wait};
    // alarm, value, datapoints -> before the hold has passed, unknown for too long, after the hold, at the last poll
    let table = [
        (Ok, Some(0.5), 5, [Wait, Wait, Continue, Continue]),
        (Ok, Some(1.0), 5, [Wait, Wait, Continue, Continue]),
        (Ok, Some(1.01), 5, [RollBack, RollBack, RollBack, RollBack]),
        (Ok, Some(1.01), 4, [Wait, RollBack, Wait, RollBack]),
        (Ok, Some(0.5), 4, [Wait, RollBack, Wait, RollBack]),
        (Ok, None, 0, [Wait, RollBack, Wait, RollBack]),
        (Ok, None, 9, [Wait, RollBack, Wait, RollBack]),
        (Alarm, Some(0.5), 5, [RollBack, RollBack, RollBack, RollBack]),
        (Alarm, None, 0, [RollBack, RollBack, RollBack, RollBack]),
        (InsufficientData, Some(0.5), 5, [Wait, RollBack, Wait, RollBack]),
        (InsufficientData, Some(1.5), 5, [RollBack, RollBack, RollBack, RollBack]),
        (Gone, Some(0.5), 5, [Wait, RollBack, Wait, RollBack]),
        (Unread, Some(0.5), 5, [Wait, RollBack, Wait, RollBack]),
    ];
    for (alarm, value, samples, expected) in table {
        let finding = found(&settings(), &readings(alarm, value, samples));
        let actions = [Due::NotYet, Due::Blind, Due::Ready, Due::Last].map(|due| action(&finding, due));
        assert_eq!(actions, expected, "{alarm:?} {value:?} {samples}");
    }
}

#[test]
fn units_that_are_not_ready_are_unknown_and_a_breach_stays_a_breach() {
    let not_ready = || Some("3 of 4 in service".to_owned());
    let breached = Finding::Breached(vec!["alarm".into()]);
    assert_eq!(Finding::Healthy.and_not_ready(None), Finding::Healthy);
    assert_eq!(
        Finding::Healthy.and_not_ready(not_ready()),
        Finding::Unknown(vec!["3 of 4 in service".into()])
    );
    assert_eq!(breached.clone().and_not_ready(not_ready()), breached);
}

#[test]
fn readings_with_fewer_values_than_the_spec_are_unknown() {
    let nothing = Readings { alarms: Vec::new(), values: Vec::new() };
    assert!(matches!(found(&settings(), &nothing), Finding::Unknown(what) if what.len() == 2));
}

#[test]
fn a_value_must_be_a_number_within_both_limits() {
    let mut settings = settings();
    settings.limits[0].min = Some(0.2);
    for (value, healthy) in [(0.1, false), (0.2, true), (1.0, true), (1.1, false), (f64::NAN, false)] {
        let finding = found(&settings, &readings(AlarmState::Ok, Some(value), 5));
        assert_eq!(finding == Finding::Healthy, healthy, "{value}");
    }
}

proptest! {
    #[test]
    fn missing_data_never_promote(samples in 0u32..5, value in prop::option::of(Just(0.1)), alarm in 0usize..5, due in 0usize..4) {
        let alarm = [AlarmState::Ok, AlarmState::Alarm, AlarmState::InsufficientData, AlarmState::Gone, AlarmState::Unread][alarm];
        let due = [Due::NotYet, Due::Blind, Due::Ready, Due::Last][due];
        let action = action(&found(&settings(), &readings(alarm, value, samples)), due);
        prop_assert_ne!(action, DecisionAction::Continue);
        if due == Due::Last {
            prop_assert_eq!(action, DecisionAction::RollBack);
        }
    }
}

#[test]
fn only_whole_periods_after_a_hold_began_count() {
    let window = |from, to| crate::stage::aws_view::metric_data::window(Timestamp(from), Timestamp(to), 60);
    assert_eq!(window(0, 300), Some((0, 300)));
    assert_eq!(window(1, 299), Some((60, 240)));
    assert_eq!(window(1, 119), None);
    assert_eq!(window(300, 0), None);
}
