//! Random worlds on the embedded AWS: images, references, references that appear between plan and apply, faults and
//! kills. The test knows which images are in use; cleanup must find out from AWS's answers.
//!
//! `BAKELINE_TEST_AWS_WORLDS` sets the number of worlds.

use std::collections::BTreeSet;
use std::time::Duration;

use bakeline::stage::cleanup::machine_images::apply::apply;
use bakeline::stage::cleanup::machine_images::survey::Inspect;
use bakeline_rehearsal::faults::{Fault, FaultPlan};
use bakeline_rehearsal::services::ec2;
use bakeline_rehearsal::time::Time;
use bakeline_rehearsal::world::World;
use proptest::prelude::*;

use super::fixtures::{Fixture, with_fixture};
use super::references;

const DAY: Duration = Duration::from_hours(24);

/// An image: how many days older than those that the rules keep, and its references.
#[derive(Clone, Debug)]
struct Drawn {
    days: u64,
    uses: BTreeSet<usize>,
    /// A reference that appears in this round, between plan and apply.
    later: Option<(usize, usize)>,
    /// A reference to the first of its two snapshots.
    disk: Option<usize>,
}

/// A round makes and applies a plan; what fails in it.
#[derive(Clone, Debug)]
struct Round {
    seed: u64,
    percent: u8,
    /// The worker dies after so many calls.
    dies: Option<u64>,
    days: u64,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let kinds = 0..references::ALL.len();
    let uses = prop::collection::btree_set(kinds.clone(), 0..3);
    let later = prop::option::weighted(0.25, (0usize..3, kinds));
    let disk = prop::option::weighted(0.3, 0..references::DISKS.len());
    (0u64..300, uses, later, disk).prop_map(|(days, uses, later, disk)| Drawn { days, uses, later, disk })
}

fn rounds() -> impl Strategy<Value = Vec<Round>> {
    let dies = prop::option::weighted(0.3, 1u64..400);
    let one = (any::<u64>(), 0u8..6, dies, 0u64..12).prop_map(|(seed, percent, dies, days)| Round {
        seed,
        percent,
        dies,
        days,
    });
    prop::collection::vec(one, 1..4)
}

/// Registers images of the service that are older than all that the rules keep.
fn images(world: &mut World, fixture: &Fixture, drawn: &[Drawn]) -> Vec<String> {
    let now = world.now;
    let made = (0..).zip(drawn).map(|(index, drawn)| {
        let days = i64::try_from(200 + drawn.days).unwrap();
        world.now = Time(now.0 - days * 86_400_000 - index);
        let tags = [("bakeline:service", "web"), ("Name", "web")];
        ec2::register_image(
            world,
            ec2::NewImage {
                name: format!("drawn-{index}"),
                account: fixture.account.clone(),
                region: fixture.region.clone(),
                description: None,
                tags: tags.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
                source_image: None,
                behavior: bakeline_rehearsal::instance_behavior::InstanceBehavior::default(),
                available_after: Duration::ZERO,
                snapshots: 2,
                disk: ec2::Disk::default(),
            },
        )
    });
    let made = made.collect();
    world.now = now;
    made
}

fn faults(round: &Round) -> FaultPlan {
    let faults = [Fault::LoseReply, Fault::Throttle, Fault::server_error(), Fault::StaleRead, Fault::Deny];
    let plan = FaultPlan::default().chance(round.seed, f64::from(round.percent) / 100.0, &faults);
    match round.dies {
        Some(call) => plan.rule(bakeline_rehearsal::faults::When::index(call), Fault::KillAfter),
        None => plan,
    }
}

/// Makes a plan, changes the world, and applies the plan under the round's faults. Every other interrupted plan is
/// applied again. Whether the plan was applied to its end.
async fn clean_up(fixture: &Fixture, round: Option<&Round>, meanwhile: impl FnOnce(&mut World)) -> bool {
    let scope = fixture.scope();
    let here = (fixture.account.as_str(), fixture.region.as_str());
    let survey = fixture.survey(Inspect::Oldest(100)).await.unwrap();
    let plan = fixture.make_plan(&survey, None);
    fixture.cloud.with_world(meanwhile);
    if let Some(round) = round {
        fixture.cloud.set_faults(faults(round));
    }
    let mut kills = fixture.cloud.kills();
    kills.mark_unchanged();
    let ended = tokio::select! {
        ended = apply(&fixture.aws, &fixture.clock, &scope, &plan, here, |_, _| ()) => Some(ended),
        _ = kills.changed() => None,
    };
    fixture.cloud.set_faults(FaultPlan::default());
    match round {
        None => ended.unwrap().unwrap(),
        Some(_) if ended.is_some_and(|ended| ended.is_ok()) => {}
        Some(round) if round.seed % 2 == 0 => {
            let again = apply(&fixture.aws, &fixture.clock, &scope, &plan, here, |_, _| ()).await;
            // The plan is refused if a reference has appeared meanwhile.
            return again.is_ok();
        }
        Some(_) => return false,
    }
    true
}

/// Images that were disabled or deregistered since a call.
fn harmed(fixture: &Fixture, first: usize) -> BTreeSet<String> {
    met(fixture, first, &["DisableImage", "DeregisterImage"])
}

/// Images that one of these operations changed since a call.
fn met(fixture: &Fixture, first: usize, operations: &[&str]) -> BTreeSet<String> {
    let records = fixture.records(first);
    let harms = records.iter().filter(|call| call.applied && operations.contains(&call.operation.as_str()));
    harms.map(|call| call.input["ImageId"].as_str().unwrap().to_owned()).collect()
}

fn run(drawn: &[Drawn], rounds: &[Round]) {
    with_fixture(
        |_, _| (),
        async |fixture| {
            let ids = fixture.cloud.with_world(|world| images(world, fixture, drawn));
            let (mut used, mut cut_short) = (BTreeSet::new(), BTreeSet::new());
            let refer = |world: &mut World, image: &str, kind: usize| {
                references::ALL[kind].1(world, fixture, image);
            };
            for (id, drawn) in ids.iter().zip(drawn) {
                for kind in &drawn.uses {
                    fixture.cloud.with_world(|world| refer(world, id, *kind));
                    used.insert(id.clone());
                }
            }
            let disks: Vec<Vec<String>> = ids.iter().map(|id| fixture.snapshots_of(id)).collect();
            for (drawn, disks) in drawn.iter().zip(&disks) {
                if let Some(kind) = drawn.disk {
                    fixture.cloud.with_world(|world| references::DISKS[kind].1(world, fixture, &disks[0]));
                }
            }
            fixture.clock.sleep(Duration::from_mins(10)).await;
            for (number, round) in rounds.iter().enumerate() {
                let first = fixture.called();
                let later: Vec<(&String, usize)> = ids
                    .iter()
                    .zip(drawn)
                    .filter_map(|(id, drawn)| match drawn.later {
                        // EC2 refuses to launch a disabled or missing image.
                        Some((in_round, kind))
                            if in_round == number
                                && !drawn.uses.contains(&kind)
                                && fixture.find(id).is_some_and(|image| image["State"] == "available") =>
                        {
                            Some((id, kind))
                        }
                        _ => None,
                    })
                    .collect();
                used.extend(later.iter().map(|(id, _)| (*id).clone()));
                let is_over = clean_up(fixture, Some(round), |world| {
                    for (id, kind) in &later {
                        refer(world, id, *kind);
                    }
                })
                .await;
                if !is_over {
                    cut_short.extend(met(fixture, first, &["DeregisterImage"]));
                }
                let wrong: Vec<String> = harmed(fixture, first).intersection(&used).cloned().collect();
                assert!(wrong.is_empty(), "in use, and removed in round {number}: {wrong:?}");
                fixture.clock.sleep(DAY * u32::try_from(round.days).unwrap()).await;
            }
            // The faults are over: unused images are removed, all others are as before.
            for _ in 0..3 {
                clean_up(fixture, None, |_| ()).await;
                fixture.clock.sleep(DAY * 8).await;
            }
            let there = fixture.snapshots();
            for ((id, drawn), disks) in ids.iter().zip(drawn).zip(&disks) {
                let (image, named) = (used.contains(id), drawn.disk.is_some());
                let left: Vec<bool> = disks.iter().map(|snapshot| there.contains(snapshot)).collect();
                // Snapshots of an image that was deregistered without them: only its own plan knows that they remain.
                let forgotten = named && cut_short.contains(id) && left == [true, true];
                assert!(
                    left == [image || named, image] || forgotten,
                    "snapshots of {id}, the first of which is named ({named}): {left:?}"
                );
                match (used.contains(id), fixture.find(id)) {
                    (true, Some(image)) => {
                        assert_eq!(image["State"], "available", "{id}");
                        assert!(image["DeprecationTime"].is_null(), "{id} stays, and is deprecated");
                        assert!(
                            !image["Tags"].to_string().contains("quarantine"),
                            "{id} stays, and is marked"
                        );
                    }
                    (false, None) => {}
                    (true, None) => panic!("{id} was in use and is removed"),
                    (false, Some(image)) => panic!("nothing uses {id}, and it still exists: {image}"),
                }
            }
        },
    );
}

fn number_of_worlds() -> u32 {
    std::env::var("BAKELINE_TEST_AWS_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(32)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: number_of_worlds(), max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn no_used_image_is_removed_and_every_unused_image_is(
        drawn in prop::collection::vec(drawn(), 1..9),
        rounds in rounds(),
    ) {
        run(&drawn, &rounds);
    }
}
