//! Tests of the single steps towards removal and back.

use std::time::Duration;

use proptest::prelude::*;

use super::super::image::{Image, Protection};
use super::super::quarantine::{
    Next, QuarantineRecord, RECORD_TAG, RecordError, RemovalStep, UndoStep, next, next_undo,
};
use super::{DAY, NOW, image};
use crate::engine::Timestamp;

const WAIT: Duration = Duration::from_hours(48);

fn marked(hours_ago: i64) -> Image {
    let mut one = image(1, 30);
    one.shared_with = Some(vec!["111122223333".into()]);
    let record = QuarantineRecord::of(&one, Timestamp(NOW.0 - hours_ago * 3600)).unwrap();
    one.tags.extend(record.tags());
    one
}

#[test]
fn the_next_step_follows_from_the_image() {
    let set_deprecated = |one: Image| Image { deprecated_on: Some(NOW), ..one };
    let disabled = |one: Image| Image { state: "disabled".into(), ..one };
    let cooling = |one: Image| Image { protection: Protection::CoolingDown, ..one };
    let wait = |hours: i64| Next::Wait { until: Timestamp(NOW.0 + hours * 3600) };
    let cases = [
        ("unchanged", image(1, 30), Next::Step(RemovalStep::Mark)),
        ("marked", marked(0), Next::Step(RemovalStep::Deprecate)),
        ("marked long ago", marked(2), Next::Step(RemovalStep::Mark)),
        ("deprecated", set_deprecated(marked(0)), Next::Step(RemovalStep::Disable)),
        ("disabled", disabled(marked(1)), wait(47)),
        ("at the end of its quarantine", disabled(marked(48)), Next::Step(RemovalStep::Deregister)),
        ("cooling down at the end of its quarantine", cooling(disabled(marked(48))), wait(1)),
        ("disabled by someone else", disabled(image(1, 30)), Next::Step(RemovalStep::Mark)),
        (
            "failed and marked",
            Image { state: "failed".into(), ..marked(48) },
            Next::Step(RemovalStep::Deregister),
        ),
    ];
    for (case, image, expected) in cases {
        assert_eq!(next(&image, WAIT, NOW), Ok(expected), "{case}");
    }
}

#[test]
fn undo_restores_the_image_as_it_was() {
    let record = marked(0).quarantine_record().unwrap().unwrap();
    let mut one = marked(0);
    one.state = "disabled".into();
    one.deprecated_on = Some(NOW);
    one.shared_with = Some(Vec::new());
    let mut steps = Vec::new();
    loop {
        let step = next_undo(&one, &record, NOW);
        match &step {
            UndoStep::Enable => one.state = "available".into(),
            UndoStep::SetDeprecation(at) => one.deprecated_on = *at,
            UndoStep::Share(with) => one.shared_with = Some(with.clone()),
            UndoStep::Protect { .. } => {}
            UndoStep::RemoveRecord => break,
        }
        steps.push(step);
    }
    assert_eq!(
        steps,
        [UndoStep::Enable, UndoStep::SetDeprecation(None), UndoStep::Share(vec!["111122223333".into()])]
    );
}

#[test]
fn a_record_with_too_many_shares_is_refused() {
    let mut one = image(1, 30);
    one.shared_with = Some((0..5000).map(|n| format!("{n:012}")).collect());
    assert_eq!(QuarantineRecord::of(&one, NOW), Err(RecordError::TooManyTags));
    one.shared_with = None;
    assert_eq!(QuarantineRecord::of(&one, NOW), Err(RecordError::SharesUnread));
}

#[test]
fn a_damaged_record_is_refused() {
    for (tag, value, error) in [
        (RECORD_TAG, "v1 yesterday available disabled - 1", RecordError::Time),
        (RECORD_TAG, "v1 2026-01-01T00:00:00Z available disabled - 7", RecordError::ShareCount),
        (RECORD_TAG, "v1 2026-01-01T00:00:00Z available disabled soon 1", RecordError::Deprecation),
        (RECORD_TAG, "v1 2026-01-01T00:00:00Z available", RecordError::Words),
        (RECORD_TAG, "2026-01-01T00:00:00Z available disabled - 1", RecordError::Version),
        (RECORD_TAG, "v2 2026-01-01T00:00:00Z available disabled - 1", RecordError::Version),
        (RECORD_TAG, "", RecordError::Version),
        ("bakeline:quarantine-shares", "111122223333 444455556666", RecordError::ShareCount),
    ] {
        let mut one = marked(0);
        one.tags.insert(tag.into(), value.into());
        assert_eq!(one.quarantine_record(), Err(error.clone()), "{tag}={value}");
        assert_eq!(next(&one, WAIT, NOW), Err(error));
    }
}

proptest! {
    #[test]
    fn a_record_is_parsed_back(
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
        prop_assert_eq!(QuarantineRecord::parse(&tags), Ok(Some(record)));
    }
}
