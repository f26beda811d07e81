//! Random worlds: whatever references an image, whatever fails and whenever a worker is killed, no container image in
//! use is archived or deleted. Once the faults are over, every unused image is deleted and every other can be pulled.
//!
//! `BAKELINE_TEST_WORLDS` sets the number of worlds. A world that breaks the rules is saved in `proptest-regressions`
//! and tried first from then on.

mod model;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

use self::model::{Fault, Reference, Worker, World};
use super::{DAY, NOW, REPOSITORY, image};
use crate::engine::Timestamp;
use crate::spec::ContainerImages as Rules;
use crate::stage::cleanup::container_images::image::{Image, Manifest, Status};

/// An event in a world.
#[derive(Clone, Debug)]
enum Event {
    /// A resource starts to reference an image.
    Use(Reference, Index),
    /// A resource stops referencing an image.
    StopUse(Index),
    /// A tag moves from one image to another.
    NextAction(Index, Index),
    /// Hours pass.
    Hours(u16),
    /// A cleanup runs, with a fault at each survey, and is killed after `surveys` surveys.
    Cleanup { faults: Vec<Fault>, surveys: usize },
}

#[derive(Clone, Debug)]
struct Plan {
    rules: Rules,
    images: Vec<Image>,
    uses: Vec<(Reference, Index)>,
    events: Vec<Event>,
}

fn rules() -> impl Strategy<Value = Rules> {
    (1u32..4, 1u32..20, 1u32..240, 1u32..20, 2u32..6).prop_map(|(last, days, hours, pulled, max)| {
        let text = format!(
            r#"{{"repositories": ["{REPOSITORY}"], "quarantine": "{hours}h", "max_per_run": {max},
                "keep": {{"last": {last}, "younger_than": "{days}d", "pulled_within": "{pulled}d", "tags": ["keep-*"]}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    })
}

/// The kind of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Plain,
    /// An index of the two images after it.
    Index,
    /// Refers to the image before it.
    Signature,
}

/// Days since it was pushed, its shape, whether it is tagged and with a kept tag, days since it was pulled, and whether
/// someone else archived it.
type Row = (i64, Shape, Option<bool>, Option<i64>, bool);

fn images() -> impl Strategy<Value = Vec<Image>> {
    let shape = prop::sample::select(vec![
        Shape::Plain,
        Shape::Plain,
        Shape::Plain,
        Shape::Plain,
        Shape::Index,
        Shape::Index,
        Shape::Signature,
    ]);
    let tag = prop::option::weighted(0.6, prop::bool::weighted(0.1));
    let pulled = prop::option::weighted(0.2, 0i64..40);
    let one = (0i64..100, shape, tag, pulled, prop::bool::weighted(0.03));
    prop::collection::vec(one, 1..14).prop_map(|rows| {
        let shapes: Vec<Shape> = rows.iter().map(|(_, shape, ..)| *shape).collect();
        let made = |(number, row): (u32, Row)| {
            let (days, shape, tag, pulled, theirs) = row;
            let mut one = image(number, days);
            let at = usize::try_from(number).unwrap();
            if let Some(kept) = tag {
                one.tags = BTreeSet::from([format!("{}-{number}", if kept { "keep" } else { "v" })]);
            }
            one.pulled_on = pulled.map(|days| Timestamp(NOW.0 - days * DAY));
            match shape {
                Shape::Plain => {}
                Shape::Index => {
                    let children = (number + 1..number + 3)
                        .zip(shapes.iter().skip(at + 1))
                        .filter(|(_, shape)| **shape == Shape::Plain);
                    let children = children.map(|(child, _)| image(child, 0).key.digest).collect();
                    one.manifest = Manifest::Index(children);
                }
                Shape::Signature => one.subject = number.checked_sub(1).map(|of| image(of, 0).key.digest),
            }
            if theirs {
                (one.status, one.archived_on) = (Status::Archived, Some(Timestamp(NOW.0 - 40 * DAY)));
            }
            one
        };
        (0..).zip(rows).map(made).collect()
    })
}

fn plans() -> impl Strategy<Value = Plan> {
    let reference = || prop::sample::select(Reference::ALL.to_vec());
    let fault = prop::sample::select(vec![
        Fault::None,
        Fault::None,
        Fault::None,
        Fault::Refused,
        Fault::StaleImages,
        Fault::CutTasks,
        Fault::CutFunctions,
        Fault::LostDefinition,
        Fault::LostReply,
    ]);
    let event = prop_oneof![
        2 => (reference(), any::<Index>()).prop_map(|(reference, of)| Event::Use(reference, of)),
        1 => any::<Index>().prop_map(Event::StopUse),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Event::NextAction(from, to)),
        2 => (1u16..400).prop_map(Event::Hours),
        4 => (prop::collection::vec(fault, 1..6), 1usize..40)
            .prop_map(|(faults, surveys)| Event::Cleanup { faults, surveys }),
    ];
    (
        rules(),
        images(),
        prop::collection::vec((reference(), any::<Index>()), 0..10),
        prop::collection::vec(event, 0..14),
    )
        .prop_map(|(rules, images, uses, events)| Plan { rules, images, uses, events })
}

fn run(plan: Plan) {
    let mut world = World::new(plan.images, plan.rules);
    for (reference, of) in plan.uses {
        world.use_image(reference, of);
    }
    for event in plan.events {
        match event {
            Event::Use(reference, of) => world.use_image(reference, of),
            Event::StopUse(which) => world.stop_use(which),
            Event::NextAction(from, to) => world.move_tag(from, to),
            Event::Hours(hours) => world.pass(i64::from(hours) * 3600),
            Event::Cleanup { faults, surveys } => Worker::new(faults, surveys).clean_up(&mut world),
        }
    }
    // The faults are over. Each further cleanup, after the longest possible quarantine, continues the one before.
    for _ in 0..24 {
        Worker::new(vec![Fault::None], 1000).clean_up(&mut world);
        world.pass(11 * DAY);
    }
    world.check_final_state();
}

fn number_of_worlds() -> u32 {
    std::env::var("BAKELINE_TEST_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: number_of_worlds(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn no_used_container_image_is_removed_and_no_unused_one_stays(plan in plans()) {
        run(plan);
    }
}
