//! Random worlds: whatever uses an image, whatever fails and whenever a worker is killed, no container image in use is
//! put into the archive or deleted; and once the faults are over, everything unused is gone and the rest can be pulled.
//!
//! `BAKELINE_WORLDS` says how many worlds are drawn. A world that breaks the rules is kept under
//! `proptest-regressions` and is tried first from then on.

mod model;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;

use self::model::{Fault, Reference, Worker, World};
use super::{DAY, NOW, REPOSITORY, image};
use crate::engine::Timestamp;
use crate::spec::ContainerImages as Rules;
use crate::stage::cleanup::containers::image::{Image, Manifest, Status};

/// What happens to a world, one after the other.
#[derive(Clone, Debug)]
enum Happening {
    /// Something begins to use an image.
    Use(Reference, Index),
    /// Something stops using one.
    Leave(Index),
    /// A tag moves from one image to another.
    Move(Index, Index),
    Hours(u16),
    /// A cleanup runs, is met by a fault in each look, and is killed after so many looks.
    Cleanup {
        faults: Vec<Fault>,
        looks: usize,
    },
}

#[derive(Clone, Debug)]
struct Plan {
    rules: Rules,
    images: Vec<Image>,
    uses: Vec<(Reference, Index)>,
    story: Vec<Happening>,
}

fn rules() -> impl Strategy<Value = Rules> {
    (1u32..4, 1u32..20, 1u32..240, 1u32..20, 2u32..6).prop_map(|(last, days, hours, pulled, most)| {
        let text = format!(
            r#"{{"repositories": ["{REPOSITORY}"], "quarantine": "{hours}h", "max_per_run": {most}, "keep": {{"last": {last},
                "younger_than": "{days}d", "pulled_within": "{pulled}d", "tags": ["keep-*"]}}}}"#
        );
        serde_json::from_str(&text).unwrap()
    })
}

/// What an image of a world is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Plain,
    /// An index of the two after it.
    Index,
    /// About the one before it.
    Signature,
}

/// Days since it was pushed, its shape, a tag and whether it is a kept one, days since it was pulled, and whether someone
/// else archived it.
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
            one.pulled = pulled.map(|days| Timestamp(NOW.0 - days * DAY));
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
                (one.status, one.archived) = (Status::Archived, Some(Timestamp(NOW.0 - 40 * DAY)));
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
    let happening = prop_oneof![
        2 => (reference(), any::<Index>()).prop_map(|(reference, of)| Happening::Use(reference, of)),
        1 => any::<Index>().prop_map(Happening::Leave),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Happening::Move(from, to)),
        2 => (1u16..400).prop_map(Happening::Hours),
        4 => (prop::collection::vec(fault, 1..6), 1usize..40)
            .prop_map(|(faults, looks)| Happening::Cleanup { faults, looks }),
    ];
    (
        rules(),
        images(),
        prop::collection::vec((reference(), any::<Index>()), 0..10),
        prop::collection::vec(happening, 0..14),
    )
        .prop_map(|(rules, images, uses, story)| Plan { rules, images, uses, story })
}

fn live(plan: Plan) {
    let mut world = World::new(plan.images, plan.rules);
    for (reference, of) in plan.uses {
        world.put_to_use(reference, of);
    }
    for happening in plan.story {
        match happening {
            Happening::Use(reference, of) => world.put_to_use(reference, of),
            Happening::Leave(which) => world.leave(which),
            Happening::Move(from, to) => world.move_tag(from, to),
            Happening::Hours(hours) => world.pass(i64::from(hours) * 3600),
            Happening::Cleanup { faults, looks } => Worker::new(faults, looks).clean_up(&mut world),
        }
    }
    // The faults are over. What a cleanup leaves to the next one is taken up, each time after the longest rest there is.
    for _ in 0..24 {
        Worker::new(vec![Fault::None], 1000).clean_up(&mut world);
        world.pass(11 * DAY);
    }
    world.is_as_it_should_be();
}

fn how_many() -> u32 {
    std::env::var("BAKELINE_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2000)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: how_many(), max_shrink_iters: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn no_container_image_in_use_is_ever_taken_away_and_none_unused_stays(plan in plans()) {
        live(plan);
    }
}
