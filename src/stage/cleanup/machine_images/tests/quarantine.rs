//! The steps out of use and back, one by one.

use std::time::Duration;

use proptest::prelude::*;

use super::{DAY, NOW, image};
use crate::engine::Timestamp;
use crate::stage::cleanup::image::{Image, Protection};
use crate::stage::cleanup::quarantine::{UndoStep, RECORD_TAG, QuarantineRecord, Next, RemovalStep, back, next};

const WAIT: Duration = Duration::from_hours(48);

fn marked(hours_ago: i64) -> Image {
    let mut one = image(1, 30);
    one.shared_with = Some(vec!["111122223333".into()]);
    let record = QuarantineRecord::of(&one, Timestamp(NOW.0 - hours_ago * 3600)).unwrap();
    one.tags.extend(record.tags());
    one
}

#[test]
fn each_step_follows_from_how_the_image_is() {
    let deprecated_on = |one: Image| Image { deprecated_on: Some(NOW), ..one };
    let disabled = |one: Image| Image { state: "disabled".into(), ..one };
    let cooling = |one: Image| Image { protection: Protection::CoolingDown, ..one };
    let rest = |hours: i64| Next::Wait { until: Timestamp(NOW.0 + hours * 3600) };
    let cases = [
        ("nothing was done", image(1, 30), Next::Step(RemovalStep::Mark)),
        ("marked", marked(0), Next::Step(RemovalStep::Deprecate)),
        ("marked long ago and forgotten", marked(2), Next::Step(RemovalStep::Mark)),
        ("deprecated", deprecated(marked(0)), Next::Step(RemovalStep::Disable)),
        ("disabled", disabled(marked(1)), rest(47)),
        ("disabled for as long as it must", disabled(marked(48)), Next::Step(RemovalStep::Deregister)),
        ("cooling down at the end", cooling(disabled(marked(48))), rest(1)),
        ("disabled by someone else", disabled(image(1, 30)), Next::Step(RemovalStep::Mark)),
        (
            "never usable, and marked",
            Image { state: "failed".into(), ..marked(48) },
            Next::Step(RemovalStep::Deregister),
        ),
    ];
    for (case, image, expected) in cases {
        assert_eq!(next(&image, WAIT, NOW), Ok(expected), "{case}");
    }
}

#[test]
fn the_way_back_ends_where_the_way_out_began() {
    let record = marked(0).quarantine_record().unwrap().unwrap();
    let mut one = marked(0);
    one.state = "disabled".into();
    one.deprecated_on = Some(NOW);
    one.shared_with = Some(Vec::new());
    let mut steps = Vec::new();
    loop {
        let step = back(&one, &record, NOW);
        match &step {
            UndoStep::Enable => one.state = "available".into(),
            UndoStep::SetDeprecation(at) => one.deprecated_on = *at,
            UndoStep::Share(with) => one.shared_with = Some(with.clone()),
            UndoStep::Protect { .. } => {}
            UndoStep::RemoveRecord => break,
        }
        steps.push(step);
    }
    assert_eq!(steps, [UndoStep::Enable, UndoStep::SetDeprecation(None), UndoStep::Share(vec!["111122223333".into()])]);
}

#[test]
fn a_record_with_too_many_shares_is_not_made() {
    let mut one = image(1, 30);
    one.shared_with = Some((0..5000).map(|n| format!("{n:012}")).collect());
    assert!(QuarantineRecord::of(&one, NOW).is_err());
    one.shared_with = None;
    assert!(QuarantineRecord::of(&one, NOW).is_err(), "who may launch it is not known");
}

#[test]
fn a_record_that_was_tampered_with_is_not_believed() {
    for (tag, value) in [
        (RECORD_TAG, "yesterday available disabled - 1"),
        (RECORD_TAG, "2026-01-01T00:00:00Z available disabled - 7"),
        (RECORD_TAG, "2026-01-01T00:00:00Z available disabled soon 1"),
        (RECORD_TAG, ""),
        ("bakeline:quarantine-shares", "111122223333 444455556666"),
    ] {
        let mut one = marked(0);
        one.tags.insert(tag.into(), value.into());
        assert!(one.quarantine_record().is_err(), "{tag}={value}");
        assert!(next(&one, WAIT, NOW).is_err());
    }
}

proptest! {
    #[test]
    fn a_record_is_read_back_as_it_was_written(
        shared_with in prop::collection::btree_set("[0-9]{12}|all|arn:aws:organizations::123456789012:ou/o-[a-z0-9]{10}/ou-[a-z0-9]{4}", 0..60),
        deprecated_on in prop::option::of(0i64..4_000_000_000),
        state in prop::sample::select(vec!["available", "disabled", "failed"]),
        days in 0i64..1000,
    ) {
        let one = Image {
            shared_with: Some(shared_with.into_iter().collect()),
            deprecated_on: deprecated_on.map(Timestamp),
            state: state.into(),
            ..image(1, 30)
        };
        let record = QuarantineRecord::of(&one, Timestamp(NOW.0 - days * DAY)).unwrap();
        let tags = record.tags();
        prop_assert!(tags.values().all(|value| value.len() <= 256));
        prop_assert_eq!(QuarantineRecord::read(&tags), Ok(Some(record)));
    }
}
