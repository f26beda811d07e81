//! Groups keep their capacity; refreshes keep their promises.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::super::behaviour::Behaviour;
use super::super::cloudwatch::{self, AlarmState};
use super::super::trial::{ACCOUNT, REGION, Trial};
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

fn version(trial: &Trial) -> String {
    group(&trial.world, ACCOUNT, REGION, GROUP).unwrap().config.template.as_ref().unwrap().version.clone()
}

/// An alarm on a custom metric, held in a state.
fn alarm(trial: &mut Trial, name: &str, state: AlarmState) {
    let members = json!({
        "AlarmName": name, "Namespace": "App", "MetricName": "Errors", "Statistic": "Sum", "Period": 60,
        "EvaluationPeriods": 1, "Threshold": 1.0, "ComparisonOperator": "GreaterThanThreshold",
    });
    cloudwatch::seed_alarm(&mut trial.world, ACCOUNT, REGION, members.as_object().unwrap().clone()).unwrap();
    cloudwatch::hold_alarm(&mut trial.world, ACCOUNT, REGION, name, Some(state));
}

#[test]
fn a_seeded_group_serves_from_the_start() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(3, Behaviour::default());
    assert_eq!((trial.serving(), trial.running(&fleet.old)), (3, 3));
    let answer = trial.ok("autoscaling", "DescribeAutoScalingGroups", json!({}));
    let instances = answer["AutoScalingGroups"][0]["Instances"].as_array().unwrap();
    assert_eq!(instances.len(), 3);
    assert!(instances.iter().all(|i| i["LifecycleState"] == "InService" && i["HealthStatus"] == "Healthy"));
    assert_eq!(instances[0]["LaunchTemplate"]["Version"], "1");
}

#[test]
fn a_group_grows_and_shrinks_to_its_desired_capacity() {
    let mut trial = Trial::new();
    trial.fleet(2, Behaviour::default());
    for (desired, takes) in [(4, 200), (1, 400)] {
        trial.ok("autoscaling", "SetDesiredCapacity", with(web(), &json!({ "DesiredCapacity": desired })));
        trial.pass(takes);
        assert_eq!(trial.serving(), desired, "after {takes} s");
    }
    assert_eq!(
        trial.refused("autoscaling", "SetDesiredCapacity", with(web(), &json!({ "DesiredCapacity": 99 }))),
        "ValidationError"
    );
}

#[test]
fn an_instance_that_dies_is_replaced() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(2, Behaviour::default());
    let first = group(&trial.world, ACCOUNT, REGION, GROUP).unwrap().members.keys().next().unwrap().clone();
    trial.ok("ec2", "TerminateInstances", json!({ "InstanceIds": [first] }));
    trial.pass(600);
    assert_eq!((trial.serving(), trial.running(&fleet.old)), (2, 2));
    assert!(!group(&trial.world, ACCOUNT, REGION, GROUP).unwrap().members.contains_key(&first));
    let answer = trial.ok("autoscaling", "DescribeScalingActivities", web());
    assert!(answer["Activities"].as_array().unwrap().len() >= 2);
}

#[test]
fn launching_first_never_falls_below_the_floor_at_any_second() {
    for size in [1, 3, 10] {
        let mut trial = Trial::new();
        let fleet = trial.fleet(size, Behaviour::default());
        trial.start_refresh(launch_first());
        let mut most = 0;
        trial.until(20_000, |trial| {
            assert!(trial.serving() >= size, "{} serving of {size}", trial.serving());
            most = most.max(trial.running(&fleet.old) + trial.running(&fleet.new));
            trial.refresh_status() == "Successful"
        });
        assert_eq!((trial.running(&fleet.new), most), (size, size + 1));
        assert_eq!(version(&trial), "2", "the group takes over the new version at the end");
        assert_eq!(trial.refresh()["PercentageComplete"], 100);
    }
}

#[test]
fn without_an_upper_bound_the_group_goes_below_its_size_but_not_above() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(10, Behaviour::default());
    trial.start_refresh(json!({ "MinHealthyPercentage": 80 }));
    let mut least = 10;
    trial.until(20_000, |trial| {
        least = least.min(trial.serving());
        assert!(trial.running(&fleet.old) + trial.running(&fleet.new) <= 10);
        trial.refresh_status() == "Successful"
    });
    assert_eq!(least, 8);
}

#[test]
fn the_group_keeps_its_old_template_until_the_refresh_succeeds() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(4, Behaviour::default());
    trial.start_refresh(with(launch_first(), &json!({ "BakeTime": 900 })));
    let mut baked = 0;
    trial.until(20_000, |trial| {
        let status = trial.refresh_status();
        baked += u64::from(status == "Baking");
        assert_eq!(version(trial), if status == "Successful" { "2" } else { "1" });
        status == "Successful"
    });
    assert_eq!(baked, 900);
    // A scale-out in the middle would have used the new version; here it is too late for anything else.
    assert_eq!(trial.running(&fleet.new), 4);
}

#[test]
fn a_scale_out_during_a_refresh_launches_the_new_version() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(4, Behaviour::default());
    trial.start_refresh(with(
        launch_first(),
        &json!({ "CheckpointPercentages": [25, 100], "CheckpointDelay": 3600 }),
    ));
    trial.until(3000, |trial| trial.refresh()["PercentageComplete"] == 25);
    trial.pass(60);
    trial.ok("autoscaling", "SetDesiredCapacity", with(web(), &json!({ "DesiredCapacity": 6 })));
    trial.pass(300);
    assert_eq!((trial.running(&fleet.old), trial.running(&fleet.new)), (3, 3));
}

#[test]
fn a_checkpoint_holds_and_then_goes_on_by_itself() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(10, Behaviour::default());
    let checkpoints = json!({ "CheckpointPercentages": [20, 100], "CheckpointDelay": 1800 });
    trial.start_refresh(with(launch_first(), &checkpoints));
    trial.until(5000, |trial| trial.refresh()["StatusReason"].is_string());
    assert_eq!((trial.running(&fleet.old), trial.running(&fleet.new)), (8, 2));
    assert_eq!(trial.refresh()["PercentageComplete"], 20);
    trial.pass(1790);
    assert_eq!(
        (trial.running(&fleet.old), trial.running(&fleet.new)),
        (8, 2),
        "it holds for the whole delay"
    );
    trial.until(60, |trial| trial.running(&fleet.new) > 2);
    trial.until(20_000, |trial| trial.refresh_status() == "Successful");
    assert_eq!(trial.running(&fleet.new), 10);
}

#[test]
fn a_last_checkpoint_below_100_leaves_a_mixed_fleet_and_calls_it_success() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(10, Behaviour::default());
    let checkpoints = json!({ "CheckpointPercentages": [30], "CheckpointDelay": 60 });
    trial.start_refresh(with(launch_first(), &checkpoints));
    trial.until(20_000, |trial| trial.refresh_status() == "Successful");
    trial.pass(1000);
    assert_eq!((trial.running(&fleet.old), trial.running(&fleet.new)), (7, 3));
    assert_eq!(trial.refresh()["PercentageComplete"], 30);
}

#[test]
fn an_alarm_turns_the_refresh_back_to_the_old_version() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(6, Behaviour::default());
    alarm(&mut trial, "errors", AlarmState::Ok);
    let watch = json!({ "AutoRollback": true, "AlarmSpecification": { "Alarms": ["errors"] } });
    trial.start_refresh(with(launch_first(), &watch));
    trial.until(20_000, |trial| trial.running(&fleet.new) >= 3);
    cloudwatch::hold_alarm(&mut trial.world, ACCOUNT, REGION, "errors", Some(AlarmState::Alarm));
    trial.pass(1);
    let refresh = trial.refresh();
    assert_eq!(refresh["Status"], "RollbackInProgress");
    assert!(refresh["RollbackDetails"]["RollbackReason"].as_str().unwrap().contains("errors"));
    let mut percent = refresh["PercentageComplete"].as_u64().unwrap();
    trial.until(20_000, |trial| {
        let now = trial.refresh();
        let next = now["PercentageComplete"].as_u64().unwrap();
        assert!(next <= percent, "{next} after {percent}: it falls back towards 0");
        assert!(trial.serving() >= 6, "the way back keeps the floor too");
        percent = next;
        now["Status"] == "RollbackSuccessful"
    });
    trial.pass(600);
    assert_eq!((trial.running(&fleet.old), trial.running(&fleet.new), percent), (6, 0, 0));
    assert_eq!(version(&trial), "1");
}

#[test]
fn an_alarm_without_auto_rollback_fails_and_leaves_a_mixed_fleet() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(6, Behaviour::default());
    alarm(&mut trial, "errors", AlarmState::Ok);
    trial.start_refresh(with(launch_first(), &json!({ "AlarmSpecification": { "Alarms": ["errors"] } })));
    trial.until(20_000, |trial| trial.running(&fleet.old) == 4);
    cloudwatch::hold_alarm(&mut trial.world, ACCOUNT, REGION, "errors", Some(AlarmState::Alarm));
    trial.pass(3000);
    assert_eq!(trial.refresh_status(), "Failed");
    assert_eq!(version(&trial), "1");
    assert!(trial.running(&fleet.old) > 0 && trial.running(&fleet.new) > 0);
    assert_eq!(trial.serving(), 6);
}

#[test]
fn what_an_alarm_that_rings_already_does_is_the_scenarios_choice() {
    for (choice, outcome) in [
        (AlarmAtStart::Fails, "Failed"),
        (AlarmAtStart::Excused, "InProgress"),
        (AlarmAtStart::Refused, "ValidationError"),
    ] {
        let mut trial = Trial::new();
        trial.fleet(2, Behaviour::default());
        trial.world.autoscaling.alarm_at_start = choice;
        alarm(&mut trial, "errors", AlarmState::Alarm);
        let preferences = json!({ "AlarmSpecification": { "Alarms": ["errors"] } });
        let start = trial.call(
            "autoscaling",
            "StartInstanceRefresh",
            json!({ "AutoScalingGroupName": GROUP, "Preferences": preferences }),
        );
        trial.pass(10);
        let found = start.map_or_else(|e| e.code, |_| trial.refresh_status());
        assert_eq!(found, outcome, "{choice:?}");
    }
}

#[test]
fn an_image_that_does_not_boot_stalls_the_refresh_and_it_fails_after_an_hour() {
    for (auto_rollback, outcome) in [(false, "Failed"), (true, "RollbackSuccessful")] {
        let mut trial = Trial::new();
        let fleet = trial.fleet(3, Behaviour { boots: false, ..Behaviour::default() });
        trial.start_refresh(with(launch_first(), &json!({ "AutoRollback": auto_rollback })));
        trial.pass(3500);
        assert_eq!(trial.refresh_status(), "InProgress");
        assert_eq!(trial.refresh()["PercentageComplete"], 0);
        trial.until(6000, |trial| {
            assert!(trial.serving() >= 3);
            trial.refresh_status() == outcome
        });
        assert_eq!(trial.running(&fleet.old), 3);
    }
}

#[test]
fn a_rollback_by_call_ends_where_the_group_was() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(5, Behaviour::default());
    trial.start_refresh(launch_first());
    trial.until(20_000, |trial| trial.running(&fleet.new) == 2);
    trial.ok("autoscaling", "RollbackInstanceRefresh", web());
    assert_eq!(trial.refresh_status(), "RollbackInProgress");
    trial.until(20_000, |trial| trial.refresh_status() == "RollbackSuccessful");
    assert_eq!((trial.running(&fleet.old), trial.running(&fleet.new)), (5, 0));
    assert_eq!(
        trial.refused("autoscaling", "RollbackInstanceRefresh", web()),
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
        let mut trial = Trial::new();
        let fleet = trial.fleet(2, Behaviour::default());
        if image == "parameter" {
            let now = trial.world.now;
            ssm::write_parameter(
                &mut trial.world,
                now,
                ACCOUNT,
                REGION,
                "/golden",
                "aws:ec2:image",
                &fleet.old,
            );
            trial.ok(
                "ec2",
                "CreateLaunchTemplateVersion",
                json!({ "LaunchTemplateName": "web", "SourceVersion": "1",
                        "LaunchTemplateData": { "ImageId": "resolve:ssm:/golden" } }),
            );
        }
        let saved = if image == "parameter" { "3" } else { saved_version };
        trial.ok(
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
            trial.refused("autoscaling", "StartInstanceRefresh", input.clone()),
            "ValidationError",
            "{case}"
        );
        input["Preferences"] = json!({});
        trial.ok("autoscaling", "StartInstanceRefresh", input);
        trial.pass(30);
        assert_eq!(
            trial.refused("autoscaling", "RollbackInstanceRefresh", web()),
            "IrreversibleInstanceRefresh",
            "{case}"
        );
    }
}

#[test]
fn one_refresh_at_a_time_and_the_template_is_its_own_meanwhile() {
    let mut trial = Trial::new();
    trial.fleet(2, Behaviour::default());
    trial.start_refresh(launch_first());
    assert_eq!(trial.refused("autoscaling", "StartInstanceRefresh", web()), "InstanceRefreshInProgress");
    let change = json!({ "LaunchTemplate": { "LaunchTemplateName": "web", "Version": "2" } });
    assert_eq!(
        trial.refused("autoscaling", "UpdateAutoScalingGroup", with(web(), &change)),
        "ValidationError"
    );
    trial.ok("autoscaling", "UpdateAutoScalingGroup", with(web(), &json!({ "MaxSize": 9 })));
}

#[test]
fn a_cancelled_refresh_stays_where_it_is() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(5, Behaviour::default());
    assert_eq!(trial.refused("autoscaling", "CancelInstanceRefresh", web()), "ActiveInstanceRefreshNotFound");
    trial.start_refresh(launch_first());
    trial.until(20_000, |trial| trial.running(&fleet.old) == 3);
    trial.ok("autoscaling", "CancelInstanceRefresh", web());
    trial.until(300, |trial| trial.refresh_status() == "Cancelled");
    trial.pass(2000);
    assert!(trial.running(&fleet.new) >= 2);
    assert_eq!((trial.serving(), version(&trial).as_str()), (5, "1"));
}

#[test]
fn skip_matching_leaves_what_matches_alone() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(4, Behaviour::default());
    trial.start_refresh(launch_first());
    trial.until(20_000, |trial| trial.refresh_status() == "Successful");
    let before: Vec<String> =
        group(&trial.world, ACCOUNT, REGION, GROUP).unwrap().members.keys().cloned().collect();
    trial.start_refresh(json!({ "SkipMatching": true }));
    trial.pass(10);
    let refresh = trial.refresh();
    assert_eq!(
        (refresh["Status"].as_str(), refresh["InstancesToUpdate"].as_u64()),
        (Some("Successful"), Some(0))
    );
    let after: Vec<String> =
        group(&trial.world, ACCOUNT, REGION, GROUP).unwrap().members.keys().cloned().collect();
    assert_eq!((before, trial.running(&fleet.new)), (after, 4));
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
        let mut trial = Trial::new();
        let fleet = trial.fleet(3, Behaviour::default());
        let first =
            group(&trial.world, ACCOUNT, REGION, GROUP).unwrap().members.keys().next().unwrap().clone();
        if what == "protected" {
            let input = json!({ "InstanceIds": [first], "ProtectedFromScaleIn": true });
            trial.ok("autoscaling", "SetInstanceProtection", with(web(), &input));
        } else {
            let input = json!({ "InstanceIds": [first], "ShouldDecrementDesiredCapacity": true });
            trial.ok("autoscaling", "EnterStandby", with(web(), &input));
        }
        trial.start_refresh(with(launch_first(), &preference));
        trial.until(20_000, |trial| ["Failed", "Successful"].contains(&trial.refresh_status().as_str()));
        let case = format!("{what} {preference}");
        assert_eq!(trial.refresh_status(), outcome, "{case}");
        assert_eq!(trial.running(&fleet.old), old_left, "{case}");
    }
}

#[test]
fn suspended_processes_hold_a_refresh_in_their_own_ways() {
    for (process, outcome) in
        [("InstanceRefresh", "InProgress"), ("Launch", "Failed"), ("Terminate", "Failed")]
    {
        let mut trial = Trial::new();
        let fleet = trial.fleet(3, Behaviour::default());
        trial.ok("autoscaling", "SuspendProcesses", with(web(), &json!({ "ScalingProcesses": [process] })));
        trial.start_refresh(launch_first());
        trial.pass(3 * 3600);
        assert_eq!(trial.refresh_status(), outcome, "{process}");
        assert_eq!(trial.running(&fleet.old), 3, "{process}: nothing is replaced");
        if outcome == "InProgress" {
            trial.ok("autoscaling", "ResumeProcesses", web());
            trial.until(20_000, |trial| trial.refresh_status() == "Successful");
        }
    }
}

#[test]
fn launches_that_fail_are_tried_again_and_told_as_activities() {
    let mut trial = Trial::new();
    trial.fleet(2, Behaviour::default());
    trial.world.ec2.capacity_shortages = vec![ec2::CapacityShortage::default()];
    trial.ok("autoscaling", "SetDesiredCapacity", with(web(), &json!({ "DesiredCapacity": 3 })));
    trial.pass(200);
    let answer = trial.ok("autoscaling", "DescribeScalingActivities", web());
    let failed =
        answer["Activities"].as_array().unwrap().iter().filter(|a| a["StatusCode"] == "Failed").count();
    assert!((2..=4).contains(&failed), "{failed} failed launches in 200 s");
    trial.world.ec2.capacity_shortages.clear();
    trial.pass(200);
    assert_eq!(trial.serving(), 3);
}

#[test]
fn a_refresh_that_cannot_launch_turns_back_by_itself_though_nothing_else_happens() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(4, Behaviour::default());
    trial.world.ec2.capacity_shortages = vec![ec2::CapacityShortage::default()];
    trial.start_refresh(with(launch_first(), &json!({ "AutoRollback": true })));
    trial.pass(3600 + 60);
    assert_eq!(trial.refresh_status(), "InProgress", "stalled, but not yet for an hour beyond the warm-up");
    trial.pass(60);
    assert_eq!(trial.refresh_status(), "RollbackSuccessful", "nothing was launched, so nothing has to go");
    assert_eq!(trial.running(&fleet.old), 4);
}

#[test]
fn preferences_that_contradict_each_other_are_refused() {
    let mut trial = Trial::new();
    trial.fleet(1, Behaviour::default());
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
        assert_eq!(trial.refused("autoscaling", "StartInstanceRefresh", input), "ValidationError", "{bad}");
    }
}

#[test]
fn a_group_is_deleted_by_force_with_its_instances() {
    let mut trial = Trial::new();
    trial.fleet(2, Behaviour::default());
    assert_eq!(trial.refused("autoscaling", "DeleteAutoScalingGroup", web()), "ResourceInUse");
    trial.ok("autoscaling", "DeleteAutoScalingGroup", with(web(), &json!({ "ForceDelete": true })));
    trial.pass(600);
    assert!(group(&trial.world, ACCOUNT, REGION, GROUP).is_none());
    let answer = trial.ok("ec2", "DescribeInstances", json!({}));
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
    let mut trial = Trial::new();
    let image = trial.image("release", Behaviour::default());
    let subnet = ec2::seed_subnet(&mut trial.world, ACCOUNT, REGION, "eu-west-1b", "vpc-1");
    trial.ok(
        "ec2",
        "CreateLaunchTemplate",
        json!({ "LaunchTemplateName": "api", "LaunchTemplateData": { "ImageId": image, "InstanceType": "t3.micro" } }),
    );
    let input = json!({
        "AutoScalingGroupName": GROUP, "MinSize": 1, "MaxSize": 4, "DesiredCapacity": 2,
        "LaunchTemplate": { "LaunchTemplateName": "api" }, "VPCZoneIdentifier": subnet,
        "Tags": [{ "Key": "team", "Value": "web", "PropagateAtLaunch": true }],
    });
    trial.ok("autoscaling", "CreateAutoScalingGroup", input.clone());
    assert_eq!(trial.refused("autoscaling", "CreateAutoScalingGroup", input), "AlreadyExists");
    trial.pass(30);
    let answer = trial.ok(
        "ec2",
        "DescribeInstances",
        json!({ "Filters": [{ "Name": "tag:team", "Values": ["web"] }, { "Name": "instance-state-name", "Values": ["running"] }] }),
    );
    assert_eq!(answer["Reservations"].as_array().unwrap().len(), 2);
    assert_eq!(answer["Reservations"][0]["Instances"][0]["Placement"]["AvailabilityZone"], "eu-west-1b");
}

#[test]
fn a_quiet_group_costs_nothing_but_the_minutes() {
    let mut trial = Trial::new();
    trial.fleet(10, Behaviour::default());
    trial.pass(60);
    let end = trial.world.now + Duration::from_hours(6);
    let mut events = 0;
    while let Some((at, event)) = trial.world.agenda.due(end) {
        trial.world.agenda.enter(at, event);
        trial.world.advance(at);
        events += 1;
    }
    assert_eq!((events, trial.serving()), (360, 10), "one event a minute");
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
