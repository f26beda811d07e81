//! The steps out of use and back, one by one.

use std::time::Duration;

use proptest::prelude::*;

use super::{DAY, NOW, image};
use crate::engine::Timestamp;
use crate::stage::cleanup::image::{Image, Protection};
use crate::stage::cleanup::quarantine::{Back, MARK, Mark, Next, Step, back, next};

const WAIT: Duration = Duration::from_hours(48);

fn marked(hours_ago: i64) -> Image {
    let mut one = image(1, 30);
    one.shares = Some(vec!["111122223333".into()]);
    let mark = Mark::of(&one, Timestamp(NOW.0 - hours_ago * 3600)).unwrap();
    one.tags.extend(mark.tags());
    one
}

#[test]
fn each_step_follows_from_how_the_image_is() {
    let deprecated = |one: Image| Image { deprecated: Some(NOW), ..one };
    let disabled = |one: Image| Image { state: "disabled".into(), ..one };
    let cooling = |one: Image| Image { protection: Protection::CoolingDown, ..one };
    let rest = |hours: i64| Next::Rest { until: Timestamp(NOW.0 + hours * 3600) };
    let cases = [
        ("nothing was done", image(1, 30), Next::Step(Step::Mark)),
        ("marked", marked(0), Next::Step(Step::Deprecate)),
        ("marked long ago and forgotten", marked(2), Next::Step(Step::Mark)),
        ("deprecated", deprecated(marked(0)), Next::Step(Step::Disable)),
        ("disabled", disabled(marked(1)), rest(47)),
        ("disabled for as long as it must", disabled(marked(48)), Next::Step(Step::Deregister)),
        ("cooling down at the end", cooling(disabled(marked(48))), rest(1)),
        ("disabled by someone else", disabled(image(1, 30)), Next::Step(Step::Mark)),
        (
            "never usable, and marked",
            Image { state: "failed".into(), ..marked(48) },
            Next::Step(Step::Deregister),
        ),
    ];
    for (case, image, expected) in cases {
        assert_eq!(next(&image, WAIT, NOW), Ok(expected), "{case}");
    }
}

#[test]
fn the_way_back_ends_where_the_way_out_began() {
    let mark = marked(0).mark().unwrap().unwrap();
    let mut one = marked(0);
    one.state = "disabled".into();
    one.deprecated = Some(NOW);
    one.shares = Some(Vec::new());
    let mut steps = Vec::new();
    loop {
        let step = back(&one, &mark, NOW);
        match &step {
            Back::Enable => one.state = "available".into(),
            Back::Deprecation(at) => one.deprecated = *at,
            Back::Share(with) => one.shares = Some(with.clone()),
            Back::Protect { .. } => {}
            Back::Unmark => break,
        }
        steps.push(step);
    }
    assert_eq!(steps, [Back::Enable, Back::Deprecation(None), Back::Share(vec!["111122223333".into()])]);
}

#[test]
fn a_record_with_too_many_shares_is_not_made() {
    let mut one = image(1, 30);
    one.shares = Some((0..5000).map(|n| format!("{n:012}")).collect());
    assert!(Mark::of(&one, NOW).is_err());
    one.shares = None;
    assert!(Mark::of(&one, NOW).is_err(), "who may launch it is not known");
}

#[test]
fn a_record_that_was_tampered_with_is_not_believed() {
    for (tag, value) in [
        (MARK, "yesterday available disabled - 1"),
        (MARK, "2026-01-01T00:00:00Z available disabled - 7"),
        (MARK, "2026-01-01T00:00:00Z available disabled soon 1"),
        (MARK, ""),
        ("bakeline:quarantine-shares", "111122223333 444455556666"),
    ] {
        let mut one = marked(0);
        one.tags.insert(tag.into(), value.into());
        assert!(one.mark().is_err(), "{tag}={value}");
        assert!(next(&one, WAIT, NOW).is_err());
    }
}

proptest! {
    #[test]
    fn a_record_is_read_back_as_it_was_written(
        shares in prop::collection::btree_set("[0-9]{12}|all|arn:aws:organizations::123456789012:ou/o-[a-z0-9]{10}/ou-[a-z0-9]{4}", 0..60),
        deprecated in prop::option::of(0i64..4_000_000_000),
        state in prop::sample::select(vec!["available", "disabled", "failed"]),
        days in 0i64..1000,
    ) {
        let one = Image {
            shares: Some(shares.into_iter().collect()),
            deprecated: deprecated.map(Timestamp),
            state: state.into(),
            ..image(1, 30)
        };
        let mark = Mark::of(&one, Timestamp(NOW.0 - days * DAY)).unwrap();
        let tags = mark.tags();
        prop_assert!(tags.values().all(|value| value.len() <= 256));
        prop_assert_eq!(Mark::read(&tags), Ok(Some(mark)));
    }
}
