//! Random worlds: whatever uses an image, whatever fails and whenever a worker is killed, nothing in use is disabled
//! or deregistered; and once the faults are over, everything unused is gone and everything else is as it was.
//!
//! `BAKELINE_WORLDS` says how many worlds are drawn. A world that breaks the rules is kept under
//! `proptest-regressions` and is tried first from then on.

mod model;

use proptest::prelude::*;
use proptest::sample::Index;

use self::model::{Disk, Fault, Reference, Worker, World};
use super::{DAY, NOW, image};
use crate::engine::key::tag;
use crate::spec;
use crate::stage::cleanup::image::{Image, Protection};

/// What happens to a world, one after the other.
#[derive(Clone, Debug)]
enum Happening {
    /// Something begins to use an image.
    Use(Reference, Index),
    /// Something begins to name a snapshot.
    Name(Disk, Index),
    /// Something stops using one.
    Leave(Index),
    Hours(u16),
    /// A cleanup runs, is met by a fault in each look, and is killed after so many looks.
    Cleanup {
        faults: Vec<Fault>,
        looks: usize,
    },
}

#[derive(Clone, Debug)]
struct Plan {
    rules: spec::MachineImages,
    images: Vec<Image>,
    uses: Vec<(Reference, Index)>,
    disks: Vec<(Disk, Index)>,
    story: Vec<Happening>,
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
            let (days, state, protection, shares, deprecated, tags): (i64, &str, _, usize, Option<i64>, _) =
                row;
            let (pinned, released, promoted, channel): (bool, bool, Option<i64>, u8) = tags;
            let mut one = Image { state: state.into(), protection, ..image(id, days) };
            // Two in three images are shared with nobody.
            let shares = shares.saturating_sub(30);
            one.shares = Some((0..shares).map(|n| format!("{n:012}")).collect());
            one.deprecated = deprecated.map(|days| crate::engine::Timestamp(NOW.0 + days * DAY));
            if pinned {
                one.tags.insert(tag::KEEP.into(), "yes".into());
            }
            if released {
                one.tags.insert(tag::DISCARD.into(), String::new());
            }
            if let Some(days) = promoted {
                let at = crate::engine::Timestamp(NOW.0 - days * DAY);
                one.tags.insert(tag::PROMOTED_ON.into(), at.to_string());
            }
            one.tags.insert(tag::CHANNEL.into(), format!("channel {}", channel / 2));
            // One in five stands on the snapshot of the image before it too.
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
    let disk = || prop::sample::select(Disk::ALL.to_vec());
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
    let happening = prop_oneof![
        2 => (reference(), any::<Index>()).prop_map(|(reference, of)| Happening::Use(reference, of)),
        1 => (disk(), any::<Index>()).prop_map(|(disk, of)| Happening::Name(disk, of)),
        1 => any::<Index>().prop_map(Happening::Leave),
        2 => (1u16..400).prop_map(Happening::Hours),
        4 => (prop::collection::vec(fault, 1..6), 1usize..60)
            .prop_map(|(faults, looks)| Happening::Cleanup { faults, looks }),
    ];
    (
        rules(),
        images(),
        prop::collection::vec((reference(), any::<Index>()), 0..24),
        prop::collection::vec((disk(), any::<Index>()), 0..4),
        prop::collection::vec(happening, 0..14),
    )
        .prop_map(|(rules, images, uses, disks, story)| Plan { rules, images, uses, disks, story })
}

fn live(plan: Plan) {
    let mut world = World::new(plan.images, plan.rules);
    for (reference, of) in plan.uses {
        world.put_to_use(reference, of);
    }
    for (disk, of) in plan.disks {
        world.name(disk, of);
    }
    for happening in plan.story {
        match happening {
            Happening::Use(reference, of) => world.put_to_use(reference, of),
            Happening::Name(disk, of) => world.name(disk, of),
            Happening::Leave(which) => world.leave(which),
            Happening::Hours(hours) => world.pass(i64::from(hours) * 3600),
            Happening::Cleanup { faults, looks } => Worker::new(faults, looks).clean_up(&mut world),
        }
    }
    // The faults are over. What a cleanup leaves to the next one is taken up, each time after the longest rest there is.
    for _ in 0..12 {
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
    fn nothing_in_use_is_ever_taken_away_and_nothing_unused_stays(plan in plans()) {
        live(plan);
    }
}
