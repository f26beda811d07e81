//! Every call on the way out of use, of the way back, and of taking leftovers away meets every fault.

use bakeline::evidence::Stage;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::faults::{Fault, FaultPlan, When};
use bakeline_rehearsal::services::ec2;
use bakeline_rehearsal::transcript::Record;
use bakeline_rehearsal::world::World;
use bakeline::stage::cleanup::apply::bring_back;
use bakeline::stage::cleanup::quarantine::RemovalStep;

use serde_json::json;

use super::ground::{Ground, OLD, where_usage_decides};
use crate::crash::{applied_twice, crash_within, faults, report};
use crate::reap::after_two_that_died;
use crate::support::{Moment, plan};
use crate::trail;

/// A cleanup of at most one image, with a short quarantine.
const ONE: &str = "tests/it/fixtures/cleanup-one/bakeline.yaml";

#[test]
fn every_call_of_a_removal_and_of_reaping_survives_every_fault() {
    let moment = after_two_that_died(ONE, "build: {minutes: 4}\n");
    let removes = |records: &[Record]| {
        let of = |operation: &'static str| {
            records.iter().filter(move |call| call.operation == operation && call.applied)
        };
        let gone = of("DeregisterImage").next().expect("the undisturbed cleanup removes an image");
        assert_eq!(gone.input["DeleteAssociatedSnapshots"], true, "{}", gone.input);
        assert_eq!(of("TerminateInstances").count(), 1);
        assert_eq!(of("DeleteAutoScalingGroup").count(), 2);
        // From the look right before the image goes.
        let at = records.iter().position(|call| call.operation == "DeregisterImage").unwrap();
        let look = records[..at].iter().rposition(|call| call.operation == "DescribeSpotFleetRequests");
        look.unwrap()..records.len()
    };
    let (ran, wrong) = crash_within("a removal", Stage::Cleanup, &moment, removes);
    println!("a removal: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

/// Each image stands on a snapshot of its own and on the current image's. The second stays when one goes, so the first
/// is deleted by a call of its own.
#[test]
fn every_call_of_a_removal_that_leaves_a_snapshot_survives_every_fault() {
    let mut moment = Moment::before(&plan(ONE, "build: {minutes: 4}\n"), Stage::Cleanup);
    let (mut world, current) = (moment.world.clone(), moment.founded.current_image.clone().unwrap());
    let input = json!({"Owners": ["self"], "Filters": [{"Name": "tag:bakeline:service", "Values": ["web"]}]});
    let all = trail::ask(&moment, &mut world, "ec2", "DescribeImages", input);
    for id in all["Images"].as_array().unwrap().iter().map(|image| image["ImageId"].as_str().unwrap()) {
        if id != current {
            ec2::share_snapshots(&mut world, id, &current);
        }
    }
    moment.world = world;
    let removes = |records: &[Record]| {
        let at = |operation: &str| {
            records.iter().position(|call| call.operation == operation && call.applied).expect("it is called")
        };
        let (gone, deleted) = (at("DeregisterImage"), at("DeleteSnapshot"));
        assert_ne!(records[gone].input["DeleteAssociatedSnapshots"], true);
        gone..deleted + 1
    };
    let (ran, wrong) = crash_within("a removal that leaves a snapshot", Stage::Cleanup, &moment, removes);
    println!("a removal that leaves a snapshot: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

/// Runs `act` to its end. When it is killed, or ends badly, it is begun anew, as a command is that is typed again.
async fn typed_again<T, E: std::fmt::Display>(cloud: &Cloud, calls: impl AsyncFn() -> Result<T, E>) -> T {
    for _ in 0..4 {
        let mut kills = cloud.kills();
        kills.mark_unchanged();
        tokio::select! {
            done = act() => match done {
                Ok(done) => return done,
                Err(error) => println!("typed again after: {error}"),
            },
            _ = kills.changed() => {}
        }
    }
    panic!("it does not come to its end")
}

/// Brings an image out of use, then back under each fault at each call.
fn undone_under_every_fault(prepare: fn(&mut World, &Ground), out: impl AsyncFn(&Ground, &str)) {
    where_usage_decides(prepare, async |ground| {
        let image = ground.image(OLD);
        ground.cloud.with_world(|world| ground.share(world, &image, "210987654321"));
        let expected = (ground.looks_like(&image), ground.snapshots());
        out(ground, &image).await;
        let moment = ground.moment.now(&ground.cloud);
        let undisturbed = ground.at(&moment, async |ground| {
            let first = ground.called();
            bring_back(&ground.aws, &ground.clock, &image, |_| ()).await.unwrap();
            ground.records(first)
        });
        let undisturbed = undisturbed.await;
        assert!(undisturbed.iter().filter(|call| call.mutating).count() >= 4, "{undisturbed:#?}");
        let mut wrong = Vec::new();
        let mut cases = 0;
        for (call, met) in (1..).zip(&undisturbed) {
            for (what, fault) in faults() {
                if fault == Fault::StaleRead && met.mutating {
                    continue;
                }
                cases += 1;
                let plan = FaultPlan::default().rule(When::Index(call), fault.clone());
                let (looks, records) = ground
                    .at(&moment, async |ground| {
                        let first = ground.called();
                        ground.cloud.set_faults(plan.clone());
                        let back = || bring_back(&ground.aws, &ground.clock, &image, |_| ());
                        typed_again(&ground.cloud, back).await;
                        ground.cloud.set_faults(FaultPlan::default());
                        let looks = ground.find(&image).map(|_| ground.looks_like(&image));
                        ((looks, ground.snapshots()), ground.records(first))
                    })
                    .await;
                let case = format!("call {call}, {}, {what}", met.operation);
                if looks != (Some(expected.0.clone()), expected.1.clone()) {
                    wrong.push(format!("{case}: {looks:#?} instead of {expected:#?}"));
                }
                // A look that is behind the last step back shows that step as still to be taken, which is harmless.
                let twice = applied_twice(&records);
                if fault != Fault::StaleRead && !twice.is_empty() {
                    wrong.push(format!("{case}: {twice:?}"));
                }
            }
        }
        println!("undo: {} calls, {cases} cases, {} of them wrong", undisturbed.len(), wrong.len());
        report(&wrong);
    });
}

#[test]
fn every_call_of_undo_survives_every_fault() {
    undone_under_every_fault(|_, _| (), async |ground, image| ground.bring_to(image, RemovalStep::Deregister).await);
}

#[test]
fn every_call_of_undo_from_the_recycle_bin_survives_every_fault() {
    undone_under_every_fault(
        |world, _| world.ec2.bin.keeps = Some(std::time::Duration::from_hours(720)),
        async |ground, image| ground.remove(image).await,
    );
}
