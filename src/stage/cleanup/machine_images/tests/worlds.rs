//! Random worlds: whatever references an image, whatever fails and whenever a worker is killed, no image in use is
//! disabled or deregistered. Once the faults are over, every unused image is removed and every other one is as before.
//!
//! `BAKELINE_TEST_WORLDS` sets the number of worlds. A world that breaks the rules is saved in `proptest-regressions`
//! and tried first from then on.

mod model;

use proptest::prelude::*;
use proptest::sample::Index;

use self::model::{Fault, Reference, SnapshotReference, Worker, World};
use super::{DAY, NOW, image};
use crate::engine::key::tag;
use crate::spec;
use crate::stage::cleanup::machine_images::image::{Image, Protection};

/// An event in a world.
#[derive(Clone, Debug)]
enum Event {
    /// A resource starts to reference an image.
    Use(Reference, Index),
    /// A resource starts to reference a snapshot.
    UseSnapshot(SnapshotReference, Index),
    /// A resource stops referencing an image.
    StopUse(Index),
    /// Hours pass.
    Hours(u16),
    /// A cleanup runs, with a fault at each survey, and is killed after `surveys` surveys.
    Cleanup { faults: Vec<Fault>, surveys: usize },
}

#[derive(Clone, Debug)]
struct Plan {
    rules: spec::MachineImages,
    images: Vec<Image>,
    uses: Vec<(Reference, Index)>,
    snapshot_uses: Vec<(SnapshotReference, Index)>,
    events: Vec<Event>,
}

fn rules() -> impl Strategy<Value = spec::MachineImages> {
    (1u32..4, 1u32..20, 1u32..240, any::<bool>()).prop_map(|(last, days, hours, by_usage)| {
        let shared = if by_usage { "keep_while_used" } else { "keep" };
        let text = format!(
            r#"{{"keep": {{"last": {last}, "younger_than": "{days}d"}}, "quarantine": "{hours}h",
                "shared_images": "{shared}"}}"#
        );
        serde_json::from_str(&text).unwrap()
    })
}

fn images() -> impl Strategy<Value = Vec<Image>> {
    let state =
        prop::sample::select(vec!["available", "available", "available", "disabled", "failed", "pending"]);
    let protection = prop::sample::select(vec![
        Protection::Off,
        Protection::Off,
        Protection::Off,
        Protection::Off,
        Protection::CoolingDown,
        Protection::On { with_cooldown: true },
    ]);
    let tags =
        (prop::bool::weighted(0.1), prop::bool::weighted(0.2), prop::option::weighted(0.2, 0i64..60), 0u8..3);
    let one = (0i64..100, state, protection, 0usize..45, prop::option::weighted(0.2, -30i64..30), tags);
    prop::collection::vec(one, 1..16).prop_map(|rows| {
        let made = |(id, row): (u32, _)| {
            let (days, state, protection, shared_with, deprecated_on, tags): (
                i64,
                &str,
                _,
                usize,
                Option<i64>,
                _,
            ) = row;
            let (kept, discarded, promoted, channel): (bool, bool, Option<i64>, u8) = tags;
            let mut one = Image { state: state.into(), protection, ..image(id, days) };
            // Two in three images are not shared.
            let shared_with = shared_with.saturating_sub(30);
            one.shared_with = Some((0..shared_with).map(|n| format!("{n:012}")).collect());
            one.deprecated_on = deprecated_on.map(|days| crate::engine::Timestamp(NOW.0 + days * DAY));
            if kept {
                one.tags.insert(tag::KEEP.into(), "yes".into());
            }
            if discarded {
                one.tags.insert(tag::DISCARD.into(), String::new());
            }
            if let Some(days) = promoted {
                let at = crate::engine::Timestamp(NOW.0 - days * DAY);
                one.tags.insert(tag::PROMOTED_ON.into(), at.to_string());
            }
            one.tags.insert(tag::CHANNEL.into(), format!("channel {}", channel / 2));
            // One in five also uses the snapshot of the image before it.
            if id % 5 == 1 {
                one.snapshots.push(format!("snap-{:08x}", id - 1));
            }
            one
        };
        (0..).zip(rows).map(made).collect()
    })
}

fn plans() -> impl Strategy<Value = Plan> {
    let reference = || prop::sample::select(Reference::ALL.to_vec());
    let snapshot_reference = || prop::sample::select(SnapshotReference::ALL.to_vec());
    let fault = prop::sample::select(vec![
        Fault::None,
        Fault::None,
        Fault::None,
        Fault::Refused,
        Fault::StaleImages,
        Fault::CutVersions,
        Fault::CutInstances,
        Fault::LostReply,
    ]);
    let event = prop_oneof![
        2 => (reference(), any::<Index>()).prop_map(|(reference, of)| Event::Use(reference, of)),
        1 => (snapshot_reference(), any::<Index>()).prop_map(|(reference, of)| Event::UseSnapshot(reference, of)),
        1 => any::<Index>().prop_map(Event::StopUse),
        2 => (1u16..400).prop_map(Event::Hours),
        4 => (prop::collection::vec(fault, 1..6), 1usize..60)
            .prop_map(|(faults, surveys)| Event::Cleanup { faults, surveys }),
    ];
    (
        rules(),
        images(),
        prop::collection::vec((reference(), any::<Index>()), 0..24),
        prop::collection::vec((snapshot_reference(), any::<Index>()), 0..4),
        prop::collection::vec(event, 0..14),
    )
        .prop_map(|(rules, images, uses, snapshot_uses, events)| Plan {
            rules,
            images,
            uses,
            snapshot_uses,
            events,
        })
}

fn run(plan: Plan) {
    let mut world = World::new(plan.images, plan.rules);
    for (reference, of) in plan.uses {
        world.use_image(reference, of);
    }
    for (reference, of) in plan.snapshot_uses {
        world.use_snapshot(reference, of);
    }
    for event in plan.events {
        match event {
            Event::Use(reference, of) => world.use_image(reference, of),
            Event::UseSnapshot(reference, of) => world.use_snapshot(reference, of),
            Event::StopUse(which) => world.stop_use(which),
            Event::Hours(hours) => world.pass(i64::from(hours) * 3600),
            Event::Cleanup { faults, surveys } => Worker::new(faults, surveys).clean_up(&mut world),
        }
    }
    // The faults are over. Each further cleanup, after the longest possible quarantine, continues the one before.
    for _ in 0..12 {
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
    fn no_used_image_is_removed_and_no_unused_image_stays(plan in plans()) {
        run(plan);
    }
}
