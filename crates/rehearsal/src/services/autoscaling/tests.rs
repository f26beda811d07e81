//! Groups keep their capacity; instance refreshes follow their documentation.

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

/// An alarm on a custom metric, held in a state.
fn alarm(aws: &mut TestAws, name: &str, state: AlarmState) {
    let members = json!({
        "AlarmName": name, "Namespace": "App", "MetricName": "Errors", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
    });
    cloudwatch::seed_alarm(&mut aws.world, ACCOUNT, REGION, members.as_object().unwrap().clone()).unwrap();
    cloudwatch::hold_alarm(&mut aws.world, ACCOUNT, REGION, name, Some(state));
}

#[test]
fn a_seeded_group_serves_from_the_start() {
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
fn launching_first_never_falls_below_the_floor_at_any_second() {
    for size in [1, 3, 10] {
        let mut aws = TestAws::new();
        let fleet = aws.fleet(size, InstanceBehavior::default());
        aws.start_refresh(launch_first());
        let mut most = 0;
        aws.until(20_000, |aws| {
            assert!(aws.serving() >= size, "{} serving of {size}", aws.serving());
            most = most.max(aws.running(&fleet.old) + aws.running(&fleet.new));
            aws.refresh_status() == "Successful"
        });
        assert_eq!((aws.running(&fleet.new), most), (size, size + 1));
        assert_eq!(version(&aws), "2", "the group takes over the new version at the end");
        assert_eq!(aws.refresh()["PercentageComplete"], 100);
    }
}

#[test]
fn without_an_upper_bound_the_group_goes_below_its_size_but_not_above() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(10, InstanceBehavior::default());
    aws.start_refresh(json!({ "MinHealthyPercentage": 80 }));
    let mut least = 10;
    aws.until(20_000, |aws| {
        least = least.min(aws.serving());
        assert!(aws.running(&fleet.old) + aws.running(&fleet.new) <= 10);
        aws.refresh_status() == "Successful"
    });
    assert_eq!(least, 8);
}

#[test]
fn the_group_keeps_its_old_template_until_the_refresh_succeeds() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(4, InstanceBehavior::default());
    aws.start_refresh(with(launch_first(), &json!({ "BakeTime": 900 })));
    let mut baked = 0;
    aws.until(20_000, |aws| {
        let status = aws.refresh_status();
        baked += u64::from(status == "Baking");
        assert_eq!(version(aws), if status == "Successful" { "2" } else { "1" });
        status == "Successful"
    });
    assert_eq!(baked, 900);
    // A scale-out in the middle would have used the new version; here it is too late for anything else.
    assert_eq!(aws.running(&fleet.new), 4);
}

#[test]
fn a_scale_out_during_a_refresh_launches_the_new_version() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(4, InstanceBehavior::default());
    aws.start_refresh(with(
        launch_first(),
        &json!({ "CheckpointPercentages": [25, 100], "CheckpointDelay": 3600 }),
    ));
    aws.until(3000, |aws| aws.refresh()["PercentageComplete"] == 25);
    aws.pass(60);
    aws.ok("autoscaling", "SetDesiredCapacity", with(web(), &json!({ "DesiredCapacity": 6 })));
    aws.pass(300);
    assert_eq!((aws.running(&fleet.old), aws.running(&fleet.new)), (3, 3));
}

#[test]
fn a_checkpoint_holds_and_then_goes_on_by_itself() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(10, InstanceBehavior::default());
    let checkpoints = json!({ "CheckpointPercentages": [20, 100], "CheckpointDelay": 1800 });
    aws.start_refresh(with(launch_first(), &checkpoints));
    aws.until(5000, |aws| aws.refresh()["StatusReason"].is_string());
    assert_eq!((aws.running(&fleet.old), aws.running(&fleet.new)), (8, 2));
    assert_eq!(aws.refresh()["PercentageComplete"], 20);
    aws.pass(1790);
    assert_eq!((aws.running(&fleet.old), aws.running(&fleet.new)), (8, 2), "it holds for the whole delay");
    aws.until(60, |aws| aws.running(&fleet.new) > 2);
    aws.until(20_000, |aws| aws.refresh_status() == "Successful");
    assert_eq!(aws.running(&fleet.new), 10);
}

#[test]
fn a_last_checkpoint_below_100_leaves_a_mixed_fleet_and_calls_it_success() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(10, InstanceBehavior::default());
    let checkpoints = json!({ "CheckpointPercentages": [30], "CheckpointDelay": 60 });
    aws.start_refresh(with(launch_first(), &checkpoints));
    aws.until(20_000, |aws| aws.refresh_status() == "Successful");
    aws.pass(1000);
    assert_eq!((aws.running(&fleet.old), aws.running(&fleet.new)), (7, 3));
    assert_eq!(aws.refresh()["PercentageComplete"], 30);
}

#[test]
fn an_alarm_turns_the_refresh_back_to_the_old_version() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(6, InstanceBehavior::default());
    alarm(&mut aws, "errors", AlarmState::Ok);
    let watch = json!({ "AutoRollback": true, "AlarmSpecification": { "Alarms": ["errors"] } });
    aws.start_refresh(with(launch_first(), &watch));
    aws.until(20_000, |aws| aws.running(&fleet.new) >= 3);
    cloudwatch::hold_alarm(&mut aws.world, ACCOUNT, REGION, "errors", Some(AlarmState::Alarm));
    aws.pass(1);
    let refresh = aws.refresh();
    assert_eq!(refresh["Status"], "RollbackInProgress");
    assert!(refresh["RollbackDetails"]["RollbackReason"].as_str().unwrap().contains("errors"));
    let mut percent = refresh["PercentageComplete"].as_u64().unwrap();
    aws.until(20_000, |aws| {
        let now = aws.refresh();
        let next = now["PercentageComplete"].as_u64().unwrap();
        assert!(next <= percent, "{next} after {percent}: it falls back towards 0");
        assert!(aws.serving() >= 6, "the way back keeps the floor too");
        percent = next;
        now["Status"] == "RollbackSuccessful"
    });
    aws.pass(600);
    assert_eq!((aws.running(&fleet.old), aws.running(&fleet.new), percent), (6, 0, 0));
    assert_eq!(version(&aws), "1");
}

#[test]
fn an_alarm_without_auto_rollback_fails_and_leaves_a_mixed_fleet() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(6, InstanceBehavior::default());
    alarm(&mut aws, "errors", AlarmState::Ok);
    aws.start_refresh(with(launch_first(), &json!({ "AlarmSpecification": { "Alarms": ["errors"] } })));
    aws.until(20_000, |aws| aws.running(&fleet.old) == 4);
    cloudwatch::hold_alarm(&mut aws.world, ACCOUNT, REGION, "errors", Some(AlarmState::Alarm));
    aws.pass(3000);
    assert_eq!(aws.refresh_status(), "Failed");
    assert_eq!(version(&aws), "1");
    assert!(aws.running(&fleet.old) > 0 && aws.running(&fleet.new) > 0);
    assert_eq!(aws.serving(), 6);
}

#[test]
fn what_an_alarm_that_rings_already_does_is_the_scenarios_choice() {
    for (choice, outcome) in [
        (AlarmAtStart::Fail, "Failed"),
        (AlarmAtStart::Ignore, "InProgress"),
        (AlarmAtStart::Refuse, "ValidationError"),
    ] {
        let mut aws = TestAws::new();
        aws.fleet(2, InstanceBehavior::default());
        aws.world.autoscaling.alarm_at_start = choice;
        alarm(&mut aws, "errors", AlarmState::Alarm);
        let preferences = json!({ "AlarmSpecification": { "Alarms": ["errors"] } });
        let start = aws.call(
            "autoscaling",
            "StartInstanceRefresh",
            json!({ "AutoScalingGroupName": GROUP, "Preferences": preferences }),
        );
        aws.pass(10);
        let found = start.map_or_else(|e| e.code, |_| aws.refresh_status());
        assert_eq!(found, outcome, "{choice:?}");
    }
}

#[test]
fn an_image_that_does_not_boot_stalls_the_refresh_and_it_fails_after_an_hour() {
    for (auto_rollback, outcome) in [(false, "Failed"), (true, "RollbackSuccessful")] {
        let mut aws = TestAws::new();
        let fleet = aws.fleet(3, InstanceBehavior::never_boots());
        aws.start_refresh(with(launch_first(), &json!({ "AutoRollback": auto_rollback })));
        aws.pass(3500);
        assert_eq!(aws.refresh_status(), "InProgress");
        assert_eq!(aws.refresh()["PercentageComplete"], 0);
        aws.until(6000, |aws| {
            assert!(aws.serving() >= 3);
            aws.refresh_status() == outcome
        });
        assert_eq!(aws.running(&fleet.old), 3);
    }
}

#[test]
fn a_rollback_by_call_ends_where_the_group_was() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(5, InstanceBehavior::default());
    aws.start_refresh(launch_first());
    aws.until(20_000, |aws| aws.running(&fleet.new) == 2);
    aws.ok("autoscaling", "RollbackInstanceRefresh", web());
    assert_eq!(aws.refresh_status(), "RollbackInProgress");
    aws.until(20_000, |aws| aws.refresh_status() == "RollbackSuccessful");
    assert_eq!((aws.running(&fleet.old), aws.running(&fleet.new)), (5, 0));
    assert_eq!(
        aws.refused("autoscaling", "RollbackInstanceRefresh", web()),
        "ActiveInstanceRefreshNotFound",
        "never after the end"
    );
}

#[test]
fn what_cannot_be_rolled_back_says_so() {
    let cases: [(&str, &str, bool); 4] = [
        ("$Latest", "literal", true),
        ("$Default", "literal", true),
        ("1", "parameter", true),
        ("1", "literal", false),
    ];
    for (saved_version, image, desired) in cases {
        let mut aws = TestAws::new();
        let fleet = aws.fleet(2, InstanceBehavior::default());
        if image == "parameter" {
            let now = aws.world.now;
            ssm::write_parameter(
                &mut aws.world,
                now,
                ACCOUNT,
                REGION,
                "/golden",
                "aws:ec2:image",
                &fleet.old,
            );
            aws.ok(
                "ec2",
                "CreateLaunchTemplateVersion",
                json!({ "LaunchTemplateName": "web", "SourceVersion": "1",
                        "LaunchTemplateData": { "ImageId": "resolve:ssm:/golden" } }),
            );
        }
        let saved = if image == "parameter" { "3" } else { saved_version };
        aws.ok(
            "autoscaling",
            "UpdateAutoScalingGroup",
            with(web(), &json!({ "LaunchTemplate": { "LaunchTemplateName": "web", "Version": saved } })),
        );
        let mut input = with(web(), &json!({ "Preferences": { "AutoRollback": true } }));
        if desired {
            let to = json!({ "LaunchTemplate": { "LaunchTemplateName": "web", "Version": "2" } });
            input["DesiredConfiguration"] = to;
        }
        let case = format!("{saved_version} {image} desired={desired}");
        assert_eq!(
            aws.refused("autoscaling", "StartInstanceRefresh", input.clone()),
            "ValidationError",
            "{case}"
        );
        input["Preferences"] = json!({});
        aws.ok("autoscaling", "StartInstanceRefresh", input);
        aws.pass(30);
        assert_eq!(
            aws.refused("autoscaling", "RollbackInstanceRefresh", web()),
            "IrreversibleInstanceRefresh",
            "{case}"
        );
    }
}

#[test]
fn one_refresh_at_a_time_and_the_template_is_its_own_meanwhile() {
    let mut aws = TestAws::new();
    aws.fleet(2, InstanceBehavior::default());
    aws.start_refresh(launch_first());
    assert_eq!(aws.refused("autoscaling", "StartInstanceRefresh", web()), "InstanceRefreshInProgress");
    let change = json!({ "LaunchTemplate": { "LaunchTemplateName": "web", "Version": "2" } });
    assert_eq!(aws.refused("autoscaling", "UpdateAutoScalingGroup", with(web(), &change)), "ValidationError");
    aws.ok("autoscaling", "UpdateAutoScalingGroup", with(web(), &json!({ "MaxSize": 9 })));
}

#[test]
fn a_cancelled_refresh_stays_where_it_is() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(5, InstanceBehavior::default());
    assert_eq!(aws.refused("autoscaling", "CancelInstanceRefresh", web()), "ActiveInstanceRefreshNotFound");
    aws.start_refresh(launch_first());
    aws.until(20_000, |aws| aws.running(&fleet.old) == 3);
    aws.ok("autoscaling", "CancelInstanceRefresh", web());
    aws.until(300, |aws| aws.refresh_status() == "Cancelled");
    aws.pass(2000);
    assert!(aws.running(&fleet.new) >= 2);
    assert_eq!((aws.serving(), version(&aws).as_str()), (5, "1"));
}

#[test]
fn skip_matching_leaves_what_matches_alone() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(4, InstanceBehavior::default());
    aws.start_refresh(launch_first());
    aws.until(20_000, |aws| aws.refresh_status() == "Successful");
    let before: Vec<String> =
        group(&aws.world, ACCOUNT, REGION, GROUP).unwrap().members.keys().cloned().collect();
    aws.start_refresh(json!({ "SkipMatching": true }));
    aws.pass(10);
    let refresh = aws.refresh();
    assert_eq!(
        (refresh["Status"].as_str(), refresh["InstancesToUpdate"].as_u64()),
        (Some("Successful"), Some(0))
    );
    let after: Vec<String> =
        group(&aws.world, ACCOUNT, REGION, GROUP).unwrap().members.keys().cloned().collect();
    assert_eq!((before, aws.running(&fleet.new)), (after, 4));
}

#[test]
fn protected_and_standby_instances_are_waited_for_unless_told_otherwise() {
    let cases = [
        ("protected", json!({}), "Failed", 1),
        ("protected", json!({ "ScaleInProtectedInstances": "Refresh" }), "Successful", 0),
        ("protected", json!({ "ScaleInProtectedInstances": "Ignore" }), "Successful", 1),
        ("standby", json!({}), "Failed", 0),
        ("standby", json!({ "StandbyInstances": "Ignore" }), "Successful", 0),
        ("standby", json!({ "StandbyInstances": "Terminate" }), "Successful", 0),
    ];
    for (what, preference, outcome, old_left) in cases {
        let mut aws = TestAws::new();
        let fleet = aws.fleet(3, InstanceBehavior::default());
        let first = group(&aws.world, ACCOUNT, REGION, GROUP).unwrap().members.keys().next().unwrap().clone();
        if what == "protected" {
            let input = json!({ "InstanceIds": [first], "ProtectedFromScaleIn": true });
            aws.ok("autoscaling", "SetInstanceProtection", with(web(), &input));
        } else {
            let input = json!({ "InstanceIds": [first], "ShouldDecrementDesiredCapacity": true });
            aws.ok("autoscaling", "EnterStandby", with(web(), &input));
        }
        aws.start_refresh(with(launch_first(), &preference));
        aws.until(20_000, |aws| ["Failed", "Successful"].contains(&aws.refresh_status().as_str()));
        let case = format!("{what} {preference}");
        assert_eq!(aws.refresh_status(), outcome, "{case}");
        assert_eq!(aws.running(&fleet.old), old_left, "{case}");
    }
}

#[test]
fn suspended_processes_hold_a_refresh_in_their_own_ways() {
    for (process, outcome) in
        [("InstanceRefresh", "InProgress"), ("Launch", "Failed"), ("Terminate", "Failed")]
    {
        let mut aws = TestAws::new();
        let fleet = aws.fleet(3, InstanceBehavior::default());
        aws.ok("autoscaling", "SuspendProcesses", with(web(), &json!({ "ScalingProcesses": [process] })));
        aws.start_refresh(launch_first());
        aws.pass(3 * 3600);
        assert_eq!(aws.refresh_status(), outcome, "{process}");
        assert_eq!(aws.running(&fleet.old), 3, "{process}: nothing is replaced");
        if outcome == "InProgress" {
            aws.ok("autoscaling", "ResumeProcesses", web());
            aws.until(20_000, |aws| aws.refresh_status() == "Successful");
        }
    }
}

#[test]
fn launches_that_fail_are_tried_again_and_told_as_activities() {
    let mut aws = TestAws::new();
    aws.fleet(2, InstanceBehavior::default());
    aws.world.ec2.capacity_shortages = vec![ec2::CapacityShortage::default()];
    aws.ok("autoscaling", "SetDesiredCapacity", with(web(), &json!({ "DesiredCapacity": 3 })));
    aws.pass(200);
    let answer = aws.ok("autoscaling", "DescribeScalingActivities", web());
    let failed =
        answer["Activities"].as_array().unwrap().iter().filter(|a| a["StatusCode"] == "Failed").count();
    assert!((2..=4).contains(&failed), "{failed} failed launches in 200 s");
    aws.world.ec2.capacity_shortages.clear();
    aws.pass(200);
    assert_eq!(aws.serving(), 3);
}

#[test]
fn a_refresh_that_cannot_launch_turns_back_by_itself_though_nothing_else_happens() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(4, InstanceBehavior::default());
    aws.world.ec2.capacity_shortages = vec![ec2::CapacityShortage::default()];
    aws.start_refresh(with(launch_first(), &json!({ "AutoRollback": true })));
    aws.pass(3600 + 60);
    assert_eq!(aws.refresh_status(), "InProgress", "stalled, but not yet for an hour beyond the warm-up");
    aws.pass(60);
    assert_eq!(aws.refresh_status(), "RollbackSuccessful", "nothing was launched, so nothing has to go");
    assert_eq!(aws.running(&fleet.old), 4);
}

#[test]
fn preferences_that_contradict_each_other_are_refused() {
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
fn a_group_is_deleted_by_force_with_its_instances() {
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
fn a_group_made_by_call_launches_by_itself() {
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
fn a_quiet_group_costs_nothing_but_the_minutes() {
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
fn limits_never_let_the_ready_fall_below_the_floor_nor_the_live_above_the_ceiling() {
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
                    assert!(stale_ready == 0 || moves, "no way forward: {limits:?} {now:?}");
                }
            }
        }
    }
}
