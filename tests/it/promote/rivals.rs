//! Two who want the same group: whoever comes second is refused, or ends what was begun.

use bakeline_rehearsal::services::ec2::CapacityShortage;
use bakeline_rehearsal::world::World;
use serde_json::json;

use super::scenarios::{SPEC, check, refused, rolled_back};
use super::{GROUP, Meanwhile, before, play, version_by_hand};
use crate::support::Moment;
use crate::trail::ask;

/// What another pipeline's promotion does to the group: a version that says whose it is, and a refresh that brings it.
fn second_pipeline(moment: &Moment, world: &mut World) {
    let old = moment.provisioned.current_image.clone().unwrap();
    let theirs = format!("bakeline 00000000-0000-5000-8000-000000000001 after version 1 ({old})");
    let desired = json!({"LaunchTemplate": version_by_hand(moment, world, &old, Some(&theirs))});
    let preferences = json!({"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110, "AutoRollback": true});
    let input =
        json!({"AutoScalingGroupName": GROUP, "DesiredConfiguration": desired, "Preferences": preferences});
    ask(moment, world, "autoscaling", "StartInstanceRefresh", input);
}

#[test]
fn a_second_pipeline_on_the_group_is_never_taken_for_our_own() {
    let mut moment = before(SPEC, "");
    let told = moment.clone();
    second_pipeline(&told, &mut moment.world);
    let mut end = play(&moment, Meanwhile::Nothing);
    let record = end.record();
    assert_eq!(record["outcome"], refused("").outcome, "{record:#}");
    assert!(record["reason"].as_str().unwrap().contains("another process started it"), "{record:#}");
    assert!(end.harmed() <= 5.0);
    let theirs = end.records.iter().filter(|record| {
        ["RollbackInstanceRefresh", "CancelInstanceRefresh", "StartInstanceRefresh"]
            .contains(&record.operation.as_str())
    });
    assert_eq!(theirs.count(), 0, "their refresh is left alone");

    let mut end = play(&before(SPEC, ""), Meanwhile::At(6, second_pipeline));
    let record = end.record();
    assert_eq!(record["outcome"], "rolled_back", "{record:#}");
    assert!(record["reason"].as_str().unwrap().contains("started by someone else"), "{record:#}");
    let ended = end.records.iter().filter(|record| {
        ["RollbackInstanceRefresh", "CancelInstanceRefresh"].contains(&record.operation.as_str())
    });
    assert_eq!(ended.count(), 0, "their refresh is left alone");
    assert!(end.harmed() <= 5.0);
}

#[test]
fn an_instance_type_that_is_nowhere_to_be_had_changes_nothing() {
    let happens: fn(&Moment, &mut World) = |_, world| {
        let instance_type = Some("t3.medium".to_owned());
        world.ec2.capacity_shortages.push(CapacityShortage { instance_type, ..CapacityShortage::default() });
    };
    let end = play(&before(SPEC, ""), Meanwhile::At(0, happens));
    check("no such type", end, &rolled_back("did not come into service", None, 5.0));
}
