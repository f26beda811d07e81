//! Three ways to hold a canary that AWS offers, with every worker dead. ARCHITECTURE.md says what follows from them.

use std::time::Duration;

use bakeline_rehearsal::time::Time;
use bakeline_rehearsal::world::World;
use serde_json::{Value, json};

use super::{GROUP, before, fleet, list};
use crate::support::Moment;
use crate::trail::ask;

const SPEC: &str = "tests/it/fixtures/crash/bakeline.yaml";

/// Two days: the longest a checkpoint lasts.
const LONGEST: u64 = 172_800;

fn hours(world: &mut World, hours: u64) {
    world.advance(Time(world.now.0 + i64::try_from(Duration::from_hours(hours).as_millis()).unwrap()));
}

/// Starts a refresh to the baked image with these checkpoints, and lets it reach the first.
fn start(moment: &Moment, world: &mut World, checkpoints: &Value) {
    let groups = ask(
        moment,
        world,
        "autoscaling",
        "DescribeAutoScalingGroups",
        json!({"AutoScalingGroupNames": [GROUP]}),
    );
    let template = list(&groups, "AutoScalingGroups")[0]["LaunchTemplate"]["LaunchTemplateId"].clone();
    let images = ask(moment, world, "ec2", "DescribeImages", json!({"Owners": ["self"]}));
    let newest =
        list(&images, "Images").iter().max_by_key(|image| image["CreationDate"].to_string()).unwrap();
    let made = ask(
        moment,
        world,
        "ec2",
        "CreateLaunchTemplateVersion",
        json!({"LaunchTemplateId": template, "SourceVersion": "1", "LaunchTemplateData": {"ImageId": newest["ImageId"]}}),
    );
    let version = made["LaunchTemplateVersion"]["VersionNumber"].to_string();
    ask(
        moment,
        world,
        "autoscaling",
        "StartInstanceRefresh",
        json!({
            "AutoScalingGroupName": GROUP,
            "DesiredConfiguration": {"LaunchTemplate": {"LaunchTemplateId": template, "Version": version}},
            "Preferences": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200, "InstanceWarmup": 30,
                "CheckpointPercentages": checkpoints, "CheckpointDelay": LONGEST, "AutoRollback": true},
        }),
    );
    hours(world, 1);
    assert_eq!(fleet(moment, world).get("new"), Some(&2), "a quarter of eight is held");
}

fn status(moment: &Moment, world: &mut World) -> String {
    let all = ask(
        moment,
        world,
        "autoscaling",
        "DescribeInstanceRefreshes",
        json!({"AutoScalingGroupName": GROUP}),
    );
    list(&all, "InstanceRefreshes")[0]["Status"].as_str().unwrap().to_owned()
}

#[test]
fn the_longest_checkpoint_ends_by_itself_and_the_image_is_promoted_unjudged() {
    let moment = before(SPEC, "");
    let mut world = moment.world.clone();
    start(&moment, &mut world, &json!([25, 100]));
    hours(&mut world, 4 * 24);
    assert_eq!(fleet(&moment, &mut world).get("new"), Some(&8));
    assert_eq!(status(&moment, &mut world), "Successful");
}

#[test]
fn a_refresh_of_one_checkpoint_stops_there_and_still_changes_what_the_group_launches() {
    let moment = before(SPEC, "");
    let mut world = moment.world.clone();
    start(&moment, &mut world, &json!([25]));
    hours(&mut world, 4 * 24);
    assert_eq!(status(&moment, &mut world), "Successful");
    assert_eq!(fleet(&moment, &mut world).get("new"), Some(&2));
    // Every instance that is replaced or added from now on runs the image that nobody has judged.
    ask(
        &moment,
        &mut world,
        "autoscaling",
        "SetDesiredCapacity",
        json!({"AutoScalingGroupName": GROUP, "DesiredCapacity": 10}),
    );
    hours(&mut world, 1);
    assert_eq!(fleet(&moment, &mut world).get("new"), Some(&4));
}

#[test]
fn a_suspended_refresh_holds_only_if_a_worker_lived_to_suspend_it_and_cannot_turn_back_while_it_does() {
    let moment = before(SPEC, "");
    let mut world = moment.world.clone();
    start(&moment, &mut world, &json!([25, 100]));
    let process = json!({"AutoScalingGroupName": GROUP, "ScalingProcesses": ["InstanceRefresh"]});
    ask(&moment, &mut world, "autoscaling", "SuspendProcesses", process.clone());
    hours(&mut world, 4 * 24);
    assert_eq!(fleet(&moment, &mut world).get("new"), Some(&2), "held past the end of the checkpoint");
    ask(
        &moment,
        &mut world,
        "autoscaling",
        "RollbackInstanceRefresh",
        json!({"AutoScalingGroupName": GROUP}),
    );
    hours(&mut world, 1);
    assert_eq!(status(&moment, &mut world), "RollbackInProgress", "nothing moves either way");
    assert_eq!(fleet(&moment, &mut world).get("new"), Some(&2));
    ask(&moment, &mut world, "autoscaling", "ResumeProcesses", process);
    hours(&mut world, 1);
    assert_eq!(status(&moment, &mut world), "RollbackSuccessful");
}
