//! Every call of quarantine, undo and reaping meets every fault.

use bakeline::evidence::Stage;
use bakeline::stage::cleanup::machine_images::quarantine::RemovalStep;
use bakeline::stage::cleanup::machine_images::undo::restore;
use bakeline_rehearsal::cloud::Cloud;
use bakeline_rehearsal::faults::{Fault, FaultPlan, When};
use bakeline_rehearsal::services::ec2;
use bakeline_rehearsal::transcript::Record;
use bakeline_rehearsal::world::World;

use serde_json::json;

use super::fixtures::{Fixture, OLD, with_shares_by_usage};
use crate::crash::{applied_twice, crash_within, faults, report};
use crate::reap::after_two_that_died;
use crate::support::{Moment, plan};
use crate::trail;

/// A cleanup of at most one image, with a short quarantine.
const ONE: &str = "tests/it/fixtures/cleanup-one/bakeline.yaml";

#[test]
fn every_call_of_a_removal_and_of_reaping_survives_every_fault() {
    let moment = after_two_that_died(ONE, "build: {duration: 4m}\n");
    let removes = |records: &[Record]| {
        let of = |operation: &'static str| {
            records.iter().filter(move |call| call.operation == operation && call.applied)
        };
        let gone = of("DeregisterImage").next().expect("the undisturbed cleanup removes an image");
        assert_eq!(gone.input["DeleteAssociatedSnapshots"], true, "{}", gone.input);
        assert_eq!(of("TerminateInstances").count(), 1);
        assert_eq!(of("DeleteAutoScalingGroup").count(), 2);
        // From the survey right before the image is deregistered.
        let at = records.iter().position(|call| call.operation == "DeregisterImage").unwrap();
        let survey = records[..at].iter().rposition(|call| call.operation == "DescribeSpotFleetRequests");
        survey.unwrap()..records.len()
    };
    let (ran, wrong) = crash_within("a removal", Stage::Cleanup, &moment, removes);
    println!("a removal: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

/// Each image has a snapshot of its own and shares the current image's. The shared one is retained, so another call
/// deletes the first.
#[test]
fn every_call_of_a_removal_that_leaves_a_snapshot_survives_every_fault() {
    let mut moment = Moment::before(&plan(ONE, "build: {duration: 4m}\n"), Stage::Cleanup);
    let (mut world, current) = (moment.world.clone(), moment.provisioned.current_image.clone().unwrap());
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

/// Runs `act` to its end. When it is killed or fails, it is started again, as a person repeats a command.
async fn repeated<T, E: std::fmt::Display>(cloud: &Cloud, act: impl AsyncFn() -> Result<T, E>) -> T {
    for _ in 0..4 {
        let mut kills = cloud.kills();
        kills.mark_unchanged();
        tokio::select! {
            done = act() => match done {
                Ok(done) => return done,
                Err(error) => println!("repeated after: {error}"),
            },
            _ = kills.changed() => {}
        }
    }
    panic!("it does not end")
}

/// Takes an image to quarantine, and restores it with each fault at each call.
fn undo_under_every_fault(prepare: fn(&mut World, &Fixture), out: impl AsyncFn(&Fixture, &str)) {
    with_shares_by_usage(prepare, async |fixture| {
        let image = fixture.image(OLD);
        fixture.cloud.with_world(|world| fixture.share(world, &image, "210987654321"));
        let expected = (fixture.describe(&image), fixture.snapshots());
        out(fixture, &image).await;
        let moment = fixture.moment.now(&fixture.cloud);
        let undisturbed = fixture.at(&moment, async |fixture| {
            let first = fixture.called();
            restore(&fixture.aws, &fixture.clock, &image, |_| ()).await.unwrap();
            fixture.records(first)
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
                let plan = FaultPlan::default().rule(When::index(call), fault.clone());
                let (state, records) = fixture
                    .at(&moment, async |fixture| {
                        let first = fixture.called();
                        fixture.cloud.set_faults(plan.clone());
                        let undo = || restore(&fixture.aws, &fixture.clock, &image, |_| ());
                        repeated(&fixture.cloud, undo).await;
                        fixture.cloud.set_faults(FaultPlan::default());
                        let image = fixture.find(&image).map(|_| fixture.describe(&image));
                        ((image, fixture.snapshots()), fixture.records(first))
                    })
                    .await;
                let case = format!("call {call}, {}, {what}", met.operation);
                if state != (Some(expected.0.clone()), expected.1.clone()) {
                    wrong.push(format!("{case}: {state:#?} instead of {expected:#?}"));
                }
                // A stale read shows the last step as still due, which is harmless.
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
    undo_under_every_fault(
        |_, _| (),
        async |fixture, image| fixture.take_to(image, RemovalStep::Deregister).await,
    );
}

#[test]
fn every_call_of_undo_from_the_recycle_bin_survives_every_fault() {
    undo_under_every_fault(
        |world, _| world.ec2.bin.keeps = Some(std::time::Duration::from_hours(720)),
        async |fixture, image| fixture.remove(image).await,
    );
}
