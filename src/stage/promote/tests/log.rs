//! The decision log: it is bounded, and reads back as it was written.

use proptest::prelude::*;

use super::OLD;
use crate::engine::FailureKind;
use crate::evidence::predicate::DecisionAction;
use crate::stage::aws_view::alarms::AlarmState;
use crate::stage::aws_view::launch_templates::Mark;
use crate::stage::aws_view::metric_data::MetricValue;
use crate::stage::failure_reason::FailureReason;
use crate::stage::promote::log::{Entry, Log, Phase};

proptest! {
    #[test]
    fn a_decision_reads_back_as_it_was_written(entry in entry()) {
        let text = entry.to_string();
        prop_assert_eq!(text.parse::<Entry>(), Ok(entry));
        prop_assert!(!text.contains(['"', '\\']) && text.is_ascii());
    }

    #[test]
    fn a_log_stays_within_its_room_and_keeps_the_newest_decision(entries in prop::collection::vec(entry(), 1..40)) {
        let mut log = Log::default();
        for entry in &entries {
            log.push(entry.clone());
            prop_assert!(serde_json::to_string(&log).unwrap().len() <= Log::ROOM + 1);
        }
        let (kept, last) = (log.entries().last().unwrap(), entries.last().unwrap());
        prop_assert_eq!((kept.phase, kept.action, kept.after), (last.phase, last.action, last.after));
    }

    #[test]
    fn a_failure_stays_within_its_room(text in "\\PC{0,900}|[\"\\\\\u{1}-\u{1f}é…]{0,900}") {
        let why = FailureReason::new(FailureKind::JobFailed, &text);
        prop_assert!(serde_json::to_string(&why.text).unwrap().len() <= FailureReason::MAX + 2);
        prop_assert!(text.starts_with(why.text.trim_end_matches('…')) || why.text == text);
    }
}

fn entry() -> impl Strategy<Value = Entry> {
    let number = (prop::option::of(-1e12f64..1e12), 0u32..10_000)
        .prop_map(|(value, samples)| MetricValue::rounded(value.map(|v| v / 1e6), samples));
    let phase = prop_oneof![Just(Phase::Before), (0u8..20).prop_map(Phase::Step), Just(Phase::Soak)];
    let alarm = prop::sample::select(vec![AlarmState::Ok, AlarmState::Alarm, AlarmState::InsufficientData]);
    let action = prop::sample::select(vec![DecisionAction::Continue, DecisionAction::RollBack]);
    let values = prop::option::of(prop::collection::vec(number, 0..20));
    (phase, 0u8..=100, action, 0u32..1_300_000, prop::collection::vec(alarm, 0..=10), values).prop_map(
        |(phase, percent, action, after, alarms, values)| Entry {
            phase,
            percent,
            action,
            after,
            alarms,
            values,
        },
    )
}

#[test]
fn a_version_description_reads_back() {
    let mark = Mark { token: "6f0b8a5c-52f4-5f0e-9d2b-5a3e0c864b1d".into(), from: 7, old: OLD.into() };
    assert_eq!(mark.to_string().parse(), Ok(mark.clone()));
    assert!(mark.to_string().len() <= 255, "VersionDescription takes at most 255 characters");
    for other in ["", "bakeline", "bakeline t after version x (ami-1)", "made by hand"] {
        assert!(other.parse::<Mark>().is_err(), "{other}");
    }
}
