//! What can happen to a promotion after its trial, or from outside: stopped executions, older images, composite alarms,
//! and a refresh that goes on while nobody is alive.

use std::collections::BTreeMap;

use bakeline_rehearsal::instance_behavior::InstanceBehavior;
use bakeline_rehearsal::services::cloudwatch::{AlarmState, hold_alarm};
use bakeline_rehearsal::services::codepipeline::ActionStatus;
use bakeline_rehearsal::services::ec2;
use bakeline_rehearsal::world::World;
use serde_json::json;

use super::scenarios::{PROMOTED, SPEC, alarm, check, refused, rolled_back, variant};
use super::{GROUP, Meanwhile, before, list, play, version_by_hand};
use crate::support::{Moment, in_virtual_time};
use crate::trail::ask;

/// Whether production's refresh, which only begins after PASS, has begun.
fn refreshing(moment: &Moment, world: &mut World) -> bool {
    let input = json!({"AutoScalingGroupName": GROUP});
    let found = ask(moment, world, "autoscaling", "DescribeInstanceRefreshes", input);
    list(&found, "InstanceRefreshes").iter().any(|refresh| refresh["Status"] == "InProgress")
}

fn nothing(_: &Moment, _: &mut World) {}

fn ring(moment: &Moment, world: &mut World) {
    alarm(moment, world, AlarmState::Alarm);
}

fn all(image: &str) -> BTreeMap<String, usize> {
    BTreeMap::from([(image.to_owned(), 8)])
}

#[test]
fn an_alarm_during_the_refresh_after_pass_brings_the_old_image_back() {
    let end = play(&before(SPEC, ""), Meanwhile::When(refreshing, ring));
    check("an alarm after PASS", end, &rolled_back("web-5xx", Some("pass"), 5.0));
}

#[test]
fn a_refresh_that_goes_on_by_itself_ends_safe() {
    // The image has passed, and nothing rings: AWS brings it to every instance, and who comes back judges all the time
    // that nobody looked.
    let end = play(&before(SPEC, ""), Meanwhile::DeadFrom(refreshing, nothing, 120));
    assert_eq!(end.while_dead, Some(all("new")));
    check("dead after PASS", end, &PROMOTED);
    // An alarm rings: AWS itself turns back, without a worker.
    let end = play(&before(SPEC, ""), Meanwhile::DeadFrom(refreshing, ring, 120));
    assert_eq!(end.while_dead, Some(all("old")));
    check("an alarm while dead", end, &rolled_back("web-5xx", Some("pass"), 5.0));
    // Nobody comes back before CodePipeline gives the action up: the fleet stays whole, on one image.
    let mut end = play(&before(SPEC, ""), Meanwhile::DeadFrom(refreshing, ring, 3 * 24 * 60));
    assert_eq!((end.while_dead.clone(), Some(end.fleet())), (Some(all("old")), Some(all("old"))));
    assert_ne!(end.status, ActionStatus::Succeeded);
    assert!(end.harmed() <= 5.0 && end.left_behind().is_empty());
}

#[test]
fn an_execution_stopped_during_the_trial_changes_nothing() {
    fn stop(abandon: bool, moment: &Moment, world: &mut World) {
        let input = json!({"pipelineName": "web", "pipelineExecutionId": moment.provisioned.execution, "abandon": abandon});
        ask(moment, world, "codepipeline", "StopPipelineExecution", input);
    }
    // Stop and wait: what is under way goes on to its end.
    let end = play(&before(SPEC, ""), Meanwhile::At(6, |moment, world| stop(false, moment, world)));
    check("stop and wait", end, &PROMOTED);
    // Stop and abandon: production is as it was.
    let mut end = play(&before(SPEC, ""), Meanwhile::At(6, |moment, world| stop(true, moment, world)));
    assert_eq!(end.status, ActionStatus::Abandoned);
    assert_eq!(Some(end.fleet()), Some(all("old")));
    assert!(end.harmed() <= 5.0 && end.record().is_null(), "an abandoned action hands nothing over");
    // Only a worker that has the job in hand hears of the end; whoever comes later finds the two groups by their tags.
    assert_eq!(end.left_behind().len(), 2);
}

/// The world in which production has got a newer image than the one that waits to be promoted.
fn overtaken() -> Moment {
    let mut moment = before(SPEC, "");
    let told = moment.clone();
    let world = &mut moment.world;
    let account = told.provisioned.pipeline_arn.split(':').nth(4).unwrap();
    let newer = ec2::register_image(
        world,
        ec2::NewImage {
            name: "web-newer".into(),
            account: account.into(),
            region: told.region.clone(),
            description: None,
            tags: BTreeMap::from([("bakeline:service".to_owned(), "web".to_owned())]),
            source_image: None,
            behavior: InstanceBehavior::default(),
            available_after: std::time::Duration::ZERO,
            snapshots: 1,
            disk: ec2::Disk::default(),
        },
    );
    let desired = json!({"LaunchTemplate": version_by_hand(&told, world, &newer, None)});
    ask(
        &told,
        world,
        "autoscaling",
        "StartInstanceRefresh",
        json!({"AutoScalingGroupName": GROUP, "DesiredConfiguration": desired,
               "Preferences": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200, "InstanceWarmup": 30}}),
    );
    moment.provisioned.current_image = Some(newer);
    in_virtual_time(async {
        let (cloud, clock) = moment.go_on();
        clock.sleep(std::time::Duration::from_hours(2)).await;
        moment.now(&cloud)
    })
}

#[test]
fn an_older_image_is_promoted_as_any_other() {
    let end = check("an older image", play(&overtaken(), Meanwhile::Nothing), &PROMOTED);
    let previous = end.record()["previous"].to_string();
    assert!(previous.contains(end.moment.provisioned.current_image.as_deref().unwrap()), "{previous}");
}

/// A composite alarm over an alarm that the spec does not name.
fn composite(state: AlarmState) -> Moment {
    let mut moment = before(&variant(&[("alarms: [web-5xx]", "alarms: [web-5xx, web-all]")]), "");
    let told = moment.clone();
    let world = &mut moment.world;
    ask(&told, world, "cloudwatch", "DeleteAlarms", json!({"AlarmNames": ["web-all"]}));
    let child = json!({
        "AlarmName": "web-disk", "Namespace": "Web", "MetricName": "Disk", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 90.0, "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "ignore",
    });
    ask(&told, world, "cloudwatch", "PutMetricAlarm", child);
    let rule = json!({"AlarmName": "web-all", "AlarmRule": "ALARM(\"web-disk\") OR ALARM(\"web-5xx\")"});
    ask(&told, world, "cloudwatch", "PutCompositeAlarm", rule);
    disk(&told, world, state);
    moment
}

fn disk(moment: &Moment, world: &mut World, state: AlarmState) {
    let account = moment.provisioned.pipeline_arn.split(':').nth(4).unwrap();
    hold_alarm(world, account, &moment.region, "web-disk", Some(state));
}

#[test]
fn a_composite_alarm_guards_as_any_other() {
    check("composite and OK", play(&composite(AlarmState::Ok), Meanwhile::Nothing), &PROMOTED);
    let end = play(&composite(AlarmState::Alarm), Meanwhile::Nothing);
    check("composite and red", end, &refused("web-all is ALARM"));
    let rings: fn(&Moment, &mut World) = |moment, world| disk(moment, world, AlarmState::Alarm);
    let end = play(&composite(AlarmState::Ok), Meanwhile::At(6, rings));
    check("composite, red in the trial", end, &rolled_back("web-all is in ALARM", Some("inconclusive"), 5.0));
}
