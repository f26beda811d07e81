//! Random worlds on the embedded AWS: images, whatever uses them, uses that appear while a plan waits or is carried out,
//! faults and kills. Whoever draws the world knows what is in use; the cleanup has to find out by AWS's answers.
//!
//! `BAKELINE_AWS_WORLDS` says how many worlds are drawn.

use std::collections::BTreeSet;
use std::time::Duration;

use bakeline_rehearsal::faults::{Fault, FaultPlan, Random};
use bakeline_rehearsal::services::ec2;
use bakeline_rehearsal::time::Time;
use bakeline_rehearsal::world::World;
use bakeline::stage::cleanup::apply::apply;
use bakeline::stage::cleanup::plan::make_plan;
use bakeline::stage::cleanup::survey::Inspect;
use proptest::prelude::*;

use super::ground::{Ground, in_a_world};
use super::references;

const DAY: Duration = Duration::from_hours(24);

/// An image, how many days it is older than those that the rules keep, and what uses it.
#[derive(Clone, Debug)]
struct Drawn {
    days: u64,
    uses: BTreeSet<usize>,
    /// A use that appears in this round: after the plan was made, before it is carried out.
    later: Option<(usize, usize)>,
    /// What names the first of its two snapshots.
    disk: Option<usize>,
}

/// A plan is made and carried out in each round; what goes wrong in it.
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

/// Images of the service that are older than all that the rules keep.
fn images(world: &mut World, ground: &Ground, drawn: &[Drawn]) -> Vec<String> {
    let now = world.now;
    let made = (0..).zip(drawn).map(|(index, drawn)| {
        let days = i64::try_from(200 + drawn.days).unwrap();
        world.now = Time(now.0 - days * 86_400_000 - index);
        let tags = [("bakeline:service", "web"), ("Name", "web")];
        ec2::register_image(
            world,
            ec2::NewImage {
                name: format!("drawn-{index}"),
                account: ground.account.clone(),
                region: ground.region.clone(),
                description: None,
                tags: tags.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
                source_image: None,
                behaviour: bakeline_rehearsal::behaviour::Behaviour::default(),
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
    let kinds = vec![Fault::LoseReply, Fault::Throttle, Fault::fail_before(), Fault::StaleRead, Fault::Deny];
    let random = Random { seed: round.seed, probability: f64::from(round.percent) / 100.0, kinds };
    let plan = FaultPlan::default().random(random);
    match round.dies {
        Some(call) => plan.rule(bakeline_rehearsal::faults::When::Index(call), Fault::KillAfter),
        None => plan,
    }
}

/// Makes a plan, lets the world change under it, and carries it out as far as the faults let it. A plan that was cut short
/// is carried out again by every other one who made it. Tells whether it came to its end.
async fn clean_up(ground: &Ground, round: Option<&Round>, meanwhile: impl FnOnce(&mut World)) -> bool {
    let scope = ground.scope();
    let here = (ground.account.as_str(), ground.region.as_str());
    let survey = ground.survey(Inspect::Oldest(100)).await.unwrap();
    let plan = make_plan(&survey, &scope, here, DAY, None);
    ground.cloud.with_world(meanwhile);
    if let Some(round) = round {
        ground.cloud.set_faults(faults(round));
    }
    let mut kills = ground.cloud.kills();
    kills.mark_unchanged();
    let ended = tokio::select! {
        ended = apply(&ground.aws, &ground.clock, &scope, &plan, here, |_, _| ()) => Some(ended),
        _ = kills.changed() => None,
    };
    ground.cloud.set_faults(FaultPlan::default());
    match round {
        None => ended.unwrap().unwrap(),
        Some(_) if ended.is_some_and(|ended| ended.is_ok()) => {}
        Some(round) if round.seed % 2 == 0 => {
            let again = apply(&ground.aws, &ground.clock, &scope, &plan, here, |_, _| ()).await;
            // It is refused if a use has appeared meanwhile.
            return again.is_ok();
        }
        Some(_) => return false,
    }
    true
}

/// Images that something disabled or deregistered since a call.
fn harmed(ground: &Ground, first: usize) -> BTreeSet<String> {
    met(ground, first, &["DisableImage", "DeregisterImage"])
}

/// Images that met one of these operations since a call.
fn met(ground: &Ground, first: usize, operations: &[&str]) -> BTreeSet<String> {
    let records = ground.records(first);
    let harms = records.iter().filter(|call| call.applied && operations.contains(&call.operation.as_str()));
    harms.map(|call| call.input["ImageId"].as_str().unwrap().to_owned()).collect()
}

fn live(drawn: &[Drawn], rounds: &[Round]) {
    in_a_world(
        |_, _| (),
        async |ground| {
            let ids = ground.cloud.with_world(|world| images(world, ground, drawn));
            let (mut used, mut cut_short) = (BTreeSet::new(), BTreeSet::new());
            let refer = |world: &mut World, image: &str, kind: usize| {
                references::ALL[kind].1(world, ground, image);
            };
            for (id, drawn) in ids.iter().zip(drawn) {
                for kind in &drawn.uses {
                    ground.cloud.with_world(|world| refer(world, id, *kind));
                    used.insert(id.clone());
                }
            }
            let disks: Vec<Vec<String>> = ids.iter().map(|id| ground.snapshots_of(id)).collect();
            for (drawn, disks) in drawn.iter().zip(&disks) {
                if let Some(kind) = drawn.disk {
                    ground.cloud.with_world(|world| references::DISKS[kind].1(world, ground, &disks[0]));
                }
            }
            ground.clock.sleep(Duration::from_mins(10)).await;
            for (number, round) in rounds.iter().enumerate() {
                let first = ground.called();
                let later: Vec<(&String, usize)> = ids
                    .iter()
                    .zip(drawn)
                    .filter_map(|(id, drawn)| match drawn.later {
                        // An image that is gone, and one that is disabled, cannot be put to use: EC2 refuses.
                        Some((in_round, kind))
                            if in_round == number
                                && !drawn.uses.contains(&kind)
                                && ground.find(id).is_some_and(|image| image["State"] == "available") =>
                        {
                            Some((id, kind))
                        }
                        _ => None,
                    })
                    .collect();
                used.extend(later.iter().map(|(id, _)| (*id).clone()));
                let is_over = clean_up(ground, Some(round), |world| {
                    for (id, kind) in &later {
                        refer(world, id, *kind);
                    }
                })
                .await;
                if !is_over {
                    cut_short.extend(met(ground, first, &["DeregisterImage"]));
                }
                let wrong: Vec<String> = harmed(ground, first).intersection(&used).cloned().collect();
                assert!(wrong.is_empty(), "in use, and yet taken away in round {number}: {wrong:?}");
                ground.clock.sleep(DAY * u32::try_from(round.days).unwrap()).await;
            }
            // The faults are over: what nothing uses goes, and everything else is as if nothing had happened.
            for _ in 0..3 {
                clean_up(ground, None, |_| ()).await;
                ground.clock.sleep(DAY * 8).await;
            }
            let there = ground.snapshots();
            for ((id, drawn), disks) in ids.iter().zip(drawn).zip(&disks) {
                let (image, named) = (used.contains(id), drawn.disk.is_some());
                let left: Vec<bool> = disks.iter().map(|snapshot| there.contains(snapshot)).collect();
                // What was still to be deleted of an image that had gone without its snapshots, only its own plan knows.
                let forgotten = named && cut_short.contains(id) && left == [true, true];
                assert!(
                    left == [image || named, image] || forgotten,
                    "snapshots of {id}, the first of which is named ({named}): {left:?}"
                );
                match (used.contains(id), ground.find(id)) {
                    (true, Some(image)) => {
                        assert_eq!(image["State"], "available", "{id}");
                        assert!(image["DeprecationTime"].is_null(), "{id} stays, and is deprecated");
                        assert!(
                            !image["Tags"].to_string().contains("quarantine"),
                            "{id} stays, and is marked"
                        );
                    }
                    (false, None) => {}
                    (true, None) => panic!("{id} was in use and is gone"),
                    (false, Some(image)) => panic!("nothing uses {id}, and it is still there: {image}"),
                }
            }
        },
    );
}

fn how_many() -> u32 {
    std::env::var("BAKELINE_AWS_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(32)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: how_many(), max_shrink_iters: 200, ..ProptestConfig::default() })]
    #[test]
    fn no_image_that_anything_uses_goes_and_every_other_one_does(
        drawn in prop::collection::vec(drawn(), 1..9),
        rounds in rounds(),
    ) {
        live(&drawn, &rounds);
    }
}
