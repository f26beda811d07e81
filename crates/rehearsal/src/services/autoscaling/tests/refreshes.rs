//! Instance refreshes.

use super::*;

#[test]
fn launching_first_never_falls_below_the_minimum() {
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
    // The refresh has ended, so the scale-out uses the new version.
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
fn a_checkpoint_pauses_and_then_continues_by_itself() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(10, InstanceBehavior::default());
    let checkpoints = json!({ "CheckpointPercentages": [20, 100], "CheckpointDelay": 1800 });
    aws.start_refresh(with(launch_first(), &checkpoints));
    aws.until(5000, |aws| aws.refresh()["StatusReason"].is_string());
    assert_eq!((aws.running(&fleet.old), aws.running(&fleet.new)), (8, 2));
    assert_eq!(aws.refresh()["PercentageComplete"], 20);
    aws.pass(1790);
    assert_eq!((aws.running(&fleet.old), aws.running(&fleet.new)), (8, 2), "it waits for the whole delay");
    aws.until(60, |aws| aws.running(&fleet.new) > 2);
    aws.until(20_000, |aws| aws.refresh_status() == "Successful");
    assert_eq!(aws.running(&fleet.new), 10);
}

#[test]
fn a_last_checkpoint_below_100_succeeds_with_a_mixed_fleet() {
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
fn an_alarm_rolls_the_refresh_back_to_the_old_version() {
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
        assert!(aws.serving() >= 6, "a rollback keeps the minimum of healthy instances, too");
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
fn an_alarm_in_alarm_at_the_start_fails_the_refresh_is_ignored_or_prevents_it() {
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
fn a_rollback_by_call_restores_the_old_version() {
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
fn a_refresh_that_cannot_be_rolled_back_is_refused() {
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
fn a_second_refresh_and_a_template_change_are_refused_during_a_refresh() {
    let mut aws = TestAws::new();
    aws.fleet(2, InstanceBehavior::default());
    aws.start_refresh(launch_first());
    assert_eq!(aws.refused("autoscaling", "StartInstanceRefresh", web()), "InstanceRefreshInProgress");
    let change = json!({ "LaunchTemplate": { "LaunchTemplateName": "web", "Version": "2" } });
    assert_eq!(aws.refused("autoscaling", "UpdateAutoScalingGroup", with(web(), &change)), "ValidationError");
    aws.ok("autoscaling", "UpdateAutoScalingGroup", with(web(), &json!({ "MaxSize": 9 })));
}

#[test]
fn a_cancelled_refresh_keeps_the_instances_it_replaced() {
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
fn skip_matching_keeps_matching_instances() {
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
fn a_refresh_waits_for_protected_and_standby_instances_unless_preferences_differ() {
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
fn suspended_processes_pause_a_refresh() {
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
fn failed_launches_are_retried_and_listed_as_activities() {
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
fn a_refresh_that_cannot_launch_rolls_back_by_itself() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(4, InstanceBehavior::default());
    aws.world.ec2.capacity_shortages = vec![ec2::CapacityShortage::default()];
    aws.start_refresh(with(launch_first(), &json!({ "AutoRollback": true })));
    aws.pass(3600 + 60);
    assert_eq!(
        aws.refresh_status(),
        "InProgress",
        "without progress, but not yet for an hour beyond the warm-up"
    );
    aws.pass(60);
    assert_eq!(aws.refresh_status(), "RollbackSuccessful", "nothing was launched, so nothing is terminated");
    assert_eq!(aws.running(&fleet.old), 4);
}
