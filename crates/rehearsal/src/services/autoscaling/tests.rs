//! Tests of groups and of the documented rules of instance refreshes.

mod refreshes;

use std::time::Duration;

use serde_json::{Value, json};

use super::super::super::instance_behavior::InstanceBehavior;
use super::super::cloudwatch::{self, AlarmState};
use super::super::test_aws::{ACCOUNT, REGION, TestAws};
use super::super::{ec2, ssm};
use super::rolling::{Limits, Situation};
use super::{AlarmAtStart, group};

const GROUP: &str = "web";

fn web() -> Value {
    json!({ "AutoScalingGroupName": GROUP })
}

fn launch_first() -> Value {
    json!({ "MinHealthyPercentage": 100, "MaxHealthyPercentage": 110, "InstanceWarmup": 60 })
}

fn with(mut base: Value, more: &Value) -> Value {
    let members = base.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    base
}

fn version(aws: &TestAws) -> String {
    group(&aws.world, ACCOUNT, REGION, GROUP).unwrap().config.template.as_ref().unwrap().version.clone()
}

/// Creates an alarm on a custom metric and holds it in a state.
fn alarm(aws: &mut TestAws, name: &str, state: AlarmState) {
    let members = json!({
        "AlarmName": name, "Namespace": "App", "MetricName": "Errors", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
    });
    cloudwatch::seed_alarm(&mut aws.world, ACCOUNT, REGION, members.as_object().unwrap().clone()).unwrap();
    cloudwatch::hold_alarm(&mut aws.world, ACCOUNT, REGION, name, Some(state));
}

#[test]
fn a_seeded_group_serves_at_once() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(3, InstanceBehavior::default());
    assert_eq!((aws.serving(), aws.running(&fleet.old)), (3, 3));
    let answer = aws.ok("autoscaling", "DescribeAutoScalingGroups", json!({}));
    let instances = answer["AutoScalingGroups"][0]["Instances"].as_array().unwrap();
    assert_eq!(instances.len(), 3);
    assert!(instances.iter().all(|i| i["LifecycleState"] == "InService" && i["HealthStatus"] == "Healthy"));
    assert_eq!(instances[0]["LaunchTemplate"]["Version"], "1");
}

#[test]
fn a_group_grows_and_shrinks_to_its_desired_capacity() {
    let mut aws = TestAws::new();
    aws.fleet(2, InstanceBehavior::default());
    for (desired, takes) in [(4, 200), (1, 400)] {
        aws.ok("autoscaling", "SetDesiredCapacity", with(web(), &json!({ "DesiredCapacity": desired })));
        aws.pass(takes);
        assert_eq!(aws.serving(), desired, "after {takes} s");
    }
    assert_eq!(
        aws.refused("autoscaling", "SetDesiredCapacity", with(web(), &json!({ "DesiredCapacity": 99 }))),
        "ValidationError"
    );
}

#[test]
fn an_instance_that_dies_is_replaced() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(2, InstanceBehavior::default());
    let first = group(&aws.world, ACCOUNT, REGION, GROUP).unwrap().members.keys().next().unwrap().clone();
    aws.ok("ec2", "TerminateInstances", json!({ "InstanceIds": [first] }));
    aws.pass(600);
    assert_eq!((aws.serving(), aws.running(&fleet.old)), (2, 2));
    assert!(!group(&aws.world, ACCOUNT, REGION, GROUP).unwrap().members.contains_key(&first));
    let answer = aws.ok("autoscaling", "DescribeScalingActivities", web());
    assert!(answer["Activities"].as_array().unwrap().len() >= 2);
}

#[test]
fn contradictory_preferences_are_rejected() {
    let mut aws = TestAws::new();
    aws.fleet(1, InstanceBehavior::default());
    for bad in [
        json!({ "MaxHealthyPercentage": 110 }),
        json!({ "MinHealthyPercentage": 101 }),
        json!({ "MinHealthyPercentage": 50, "MaxHealthyPercentage": 160 }),
        json!({ "CheckpointPercentages": [50, 50] }),
        json!({ "CheckpointPercentages": [50, 20] }),
        json!({ "CheckpointDelay": 60 }),
        json!({ "CheckpointPercentages": [50], "CheckpointDelay": 172_801 }),
        json!({ "BakeTime": 172_801 }),
        json!({ "InstanceWarmup": -1 }),
        json!({ "AlarmSpecification": { "Alarms": (0..11).map(|n| n.to_string()).collect::<Vec<_>>() } }),
    ] {
        let input = with(web(), &json!({ "Preferences": bad }));
        assert_eq!(aws.refused("autoscaling", "StartInstanceRefresh", input), "ValidationError", "{bad}");
    }
}

#[test]
fn a_force_delete_terminates_the_groups_instances() {
    let mut aws = TestAws::new();
    aws.fleet(2, InstanceBehavior::default());
    assert_eq!(aws.refused("autoscaling", "DeleteAutoScalingGroup", web()), "ResourceInUse");
    aws.ok("autoscaling", "DeleteAutoScalingGroup", with(web(), &json!({ "ForceDelete": true })));
    aws.pass(600);
    assert!(group(&aws.world, ACCOUNT, REGION, GROUP).is_none());
    let answer = aws.ok("ec2", "DescribeInstances", json!({}));
    let states: Vec<&Value> = answer["Reservations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| &r["Instances"][0]["State"]["Name"])
        .collect();
    assert!(states.iter().all(|s| *s == "terminated"), "{states:?}");
}

#[test]
fn a_created_group_launches_its_instances() {
    let mut aws = TestAws::new();
    let image = aws.image("release", InstanceBehavior::default());
    let subnet = ec2::seed_subnet(&mut aws.world, ACCOUNT, REGION, "eu-west-1b", "vpc-1");
    aws.ok(
        "ec2",
        "CreateLaunchTemplate",
        json!({ "LaunchTemplateName": "api", "LaunchTemplateData": { "ImageId": image, "InstanceType": "t3.micro" } }),
    );
    let input = json!({
        "AutoScalingGroupName": GROUP, "MinSize": 1, "MaxSize": 4, "DesiredCapacity": 2,
        "LaunchTemplate": { "LaunchTemplateName": "api" }, "VPCZoneIdentifier": subnet,
        "Tags": [{ "Key": "team", "Value": "web", "PropagateAtLaunch": true }],
    });
    aws.ok("autoscaling", "CreateAutoScalingGroup", input.clone());
    assert_eq!(aws.refused("autoscaling", "CreateAutoScalingGroup", input), "AlreadyExists");
    aws.pass(30);
    let answer = aws.ok(
        "ec2",
        "DescribeInstances",
        json!({ "Filters": [{ "Name": "tag:team", "Values": ["web"] }, { "Name": "instance-state-name", "Values": ["running"] }] }),
    );
    assert_eq!(answer["Reservations"].as_array().unwrap().len(), 2);
    assert_eq!(answer["Reservations"][0]["Instances"][0]["Placement"]["AvailabilityZone"], "eu-west-1b");
}

#[test]
fn an_idle_group_schedules_one_event_a_minute() {
    let mut aws = TestAws::new();
    aws.fleet(10, InstanceBehavior::default());
    aws.pass(60);
    let end = aws.world.now + Duration::from_hours(6);
    let mut events = 0;
    while let Some((at, event)) = aws.world.schedule.due(end) {
        aws.world.schedule.add(at, event);
        aws.world.advance(at);
        events += 1;
    }
    assert_eq!((events, aws.serving()), (360, 10), "one event a minute");
}

#[test]
fn limits_keep_ready_instances_above_the_minimum_and_live_ones_below_the_maximum() {
    for desired in 0..12 {
        for min in [0, 50, 90, 100] {
            for max in [None, Some(100), Some(110), Some(150), Some(200)] {
                if max.is_some_and(|max| max - min > 100) {
                    continue;
                }
                let limits = Limits { min_healthy_percent: min, max_healthy_percent: max };
                let (floor, ceiling) = limits.bounds(desired);
                for stale_ready in 0..=desired {
                    let now = Situation {
                        desired,
                        live: desired,
                        ready: desired,
                        stale: stale_ready,
                        stale_ready,
                        stale_unready: 0,
                        keep: 0,
                    };
                    let next = limits.next(now);
                    assert!(desired - next.terminate_ready >= floor, "{limits:?} {now:?} {next:?}");
                    assert!(next.target <= ceiling, "{limits:?} {now:?} {next:?}");
                    let moves = next.terminate_ready > 0 || next.target > desired;
                    assert!(stale_ready == 0 || moves, "no progress is possible: {limits:?} {now:?}");
                }
            }
        }
    }
}
