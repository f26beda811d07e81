//! What can happen to a promotion, and what must come of it. One row is one story.

use std::collections::BTreeMap;

use bakeline_rehearsal::faults::{Fault, FaultPlan, When};
use bakeline_rehearsal::services::cloudwatch::{AlarmState, hold_alarm};
use bakeline_rehearsal::services::codepipeline::ActionStatus;
use bakeline_rehearsal::services::ec2::CapacityShortage;
use bakeline_rehearsal::world::World;
use serde_json::json;

use super::{End, GROUP, Meanwhile, before, list, play};
use crate::support::{Moment, repository};
use crate::trail::ask;

pub(super) const SPEC: &str = "tests/it/fixtures/promote/bakeline.yaml";
const ROLLING: &str = "tests/it/fixtures/crash/bakeline.yaml";

/// The spec with passages replaced, each of which stands there once.
pub(super) fn variant(edits: &[(&str, &str)]) -> String {
    variant_of(SPEC, edits)
}

pub(super) fn variant_of(spec: &str, edits: &[(&str, &str)]) -> String {
    let mut text = std::fs::read_to_string(repository(spec)).unwrap();
    for (passage, replacement) in edits {
        assert_eq!(text.matches(passage).count(), 1, "{passage}");
        text = text.replace(passage, replacement);
    }
    let folder = tempfile::tempdir().unwrap().keep();
    std::fs::create_dir(folder.join("checks")).unwrap();
    std::fs::copy(repository("tests/it/fixtures/promote/checks/serves.sh"), folder.join("checks/serves.sh"))
        .unwrap();
    let file = folder.join("bakeline.yaml");
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// What a story must end with.
pub(super) struct Expected {
    pub succeeded: bool,
    /// `promoted`, `rolled_back` or `failed`.
    pub outcome: &'static str,
    /// Instances of production on the old and on the new image.
    pub fleet: (usize, usize),
    /// A part of the reason.
    pub reason: &'static str,
    /// The judge's last word; none without a trial that was judged.
    pub verdict: Option<&'static str>,
    /// The most requests that may fail beyond those that always do.
    pub harmed: f64,
}

pub(super) const PROMOTED: Expected = Expected {
    succeeded: true,
    outcome: "promoted",
    fleet: (0, 8),
    reason: "healthy",
    verdict: Some("pass"),
    harmed: 5.0,
};

pub(super) fn rolled_back(reason: &'static str, verdict: Option<&'static str>, harmed: f64) -> Expected {
    Expected { succeeded: false, outcome: "rolled_back", fleet: (8, 0), reason, verdict, harmed }
}

pub(super) fn refused(reason: &'static str) -> Expected {
    Expected { succeeded: false, outcome: "indeterminate", fleet: (8, 0), reason, verdict: None, harmed: 5.0 }
}

pub(super) fn check(story: &str, mut end: End, expected: &Expected) -> End {
    let record = end.record();
    let told = format!("{story}: {record:#}");
    assert_eq!(end.status == ActionStatus::Succeeded, expected.succeeded, "{told}");
    assert_eq!(record["outcome"], expected.outcome, "{told}");
    assert!(record["reason"].as_str().unwrap().contains(expected.reason), "{told}");
    let fleet = end.fleet();
    let on = |image: &str| fleet.get(image).copied().unwrap_or(0);
    assert_eq!((on("old"), on("new")), expected.fleet, "{told}");
    assert_eq!(record["canary"]["verdict"].as_str(), expected.verdict, "{told}");
    assert_eq!(end.left_behind(), Vec::<String>::new(), "{told}");
    let harmed = end.harmed();
    assert!(harmed <= expected.harmed, "{story}: {harmed} requests harmed");
    if expected.verdict.is_some() {
        assert_eq!(record["canary"]["recordingMatches"], true, "{told}");
        replays(story, &end, expected);
    }
    let page = String::from_utf8(end.files["reports/promote/report.html"].clone()).unwrap();
    assert!(
        page.contains(GROUP)
            && !page.contains("<script")
            && !page.contains("http://")
            && !page.contains("https://")
    );
    end
}

/// The recording judges to the same verdict again.
fn replays(story: &str, end: &End, expected: &Expected) {
    let text = String::from_utf8(end.files["reports/promote/judge.jsonl"].clone()).unwrap();
    let recording = bakeline::judge::recording::Recording::parse(&text).unwrap();
    let look = bakeline::judge::judge(&recording.rules, &recording.windows).unwrap();
    assert_eq!(Some(look.verdict.name().to_lowercase().as_str()), expected.verdict, "{story}");
}

pub(super) fn alarm(moment: &Moment, world: &mut World, state: AlarmState) {
    let account = moment.provisioned.pipeline_arn.split(':').nth(4).unwrap();
    hold_alarm(world, account, &moment.region, "web-5xx", Some(state));
}

fn group_of(side: &str, moment: &Moment, world: &mut World) -> String {
    let groups = ask(moment, world, "autoscaling", "DescribeAutoScalingGroups", json!({}));
    let names = list(&groups, "AutoScalingGroups").iter().filter_map(|g| g["AutoScalingGroupName"].as_str());
    names.map(str::to_owned).find(|name| name.starts_with(&format!("bakeline-{side}-"))).unwrap()
}

#[test]
fn a_good_image_passes_its_trial_and_reaches_every_instance() {
    let end = play(&before(SPEC, ""), Meanwhile::Nothing);
    let end = check("a good image", end, &PROMOTED);
    let trial = &end.record()["canary"];
    assert!(trial["canaryRequests"].as_u64().unwrap() > 2000, "{trial}");
    assert_eq!(trial["size"], 2);
    println!("a good image took {} minutes", end.minutes);
}

#[test]
fn the_sides_may_be_told_apart_by_instance() {
    let spec = variant(&[(
        "{namespace: Web, metric: Requests, dimensions: {AutoScalingGroupName: $group}}",
        "{namespace: Web, metric: Requests, dimensions: {InstanceId: $instance}}",
    )]);
    check("by instance", play(&before(&spec, ""), Meanwhile::Nothing), &PROMOTED);
}

#[test]
fn a_bad_image_never_touches_production() {
    let bad = "images: {baked: {instance: {error_rate: 0.06}}}\n";
    let end = check(
        "errors",
        play(&before(SPEC, bad), Meanwhile::Nothing),
        &rolled_back("errors", Some("fail"), 500.0),
    );
    assert!(end.minutes < 20, "{}", end.minutes);
    // Three times as many errors, and below the rate that nobody minds: nothing is proved either way.
    let mild = "images: {baked: {instance: {error_rate: 0.0045}}}\n";
    let end = play(&before(SPEC, mild), Meanwhile::Nothing);
    check("a mild regression", end, &rolled_back("errors", Some("fail"), 400.0));
}

#[test]
fn a_slow_image_is_rolled_back() {
    let spec = variant(&[(
        "      metrics:\n",
        "      metrics:\n        - name: slow\n          latency: { thresholds: [0.06] }\n          cloudwatch: {namespace: Web, metric: Seconds, dimensions: {AutoScalingGroupName: $group}}\n        - name: errors-again\n          count: {}\n          effect: none\n          cloudwatch: {namespace: Web, metric: Errors, dimensions: {AutoScalingGroupName: $group}}\n",
    )]);
    let end = play(&before(&spec, "images: {baked: {instance: {latency: 80ms}}}\n"), Meanwhile::Nothing);
    check("slow", end, &rolled_back("slow", Some("fail"), 5.0));
}

#[test]
fn an_image_that_does_not_boot_is_taken_back_before_it_serves() {
    // It passes its test, and its copies in production do not come up.
    let end = play(
        &before(SPEC, ""),
        Meanwhile::At(0, |_, world| {
            world.ec2.capacity_shortages.push(CapacityShortage::default());
        }),
    );
    check("no capacity", end, &rolled_back("did not come into service", None, 5.0));
}

#[test]
fn what_is_wrong_before_the_start_stops_it_there() {
    for (state, reason) in [
        (AlarmState::Alarm, "web-5xx is ALARM"),
        (AlarmState::InsufficientData, "web-5xx is INSUFFICIENT_DATA"),
    ] {
        let mut moment = before(SPEC, "");
        let told = moment.clone();
        alarm(&told, &mut moment.world, state);
        check(reason, play(&moment, Meanwhile::Nothing), &refused(reason));
    }
    let mut moment = before(SPEC, "");
    let told = moment.clone();
    ask(&told, &mut moment.world, "cloudwatch", "DeleteAlarms", json!({"AlarmNames": ["web-5xx"]}));
    check("no such alarm", play(&moment, Meanwhile::Nothing), &refused("does not exist"));

    let mut moment = before(SPEC, "");
    ask(
        &told,
        &mut moment.world,
        "autoscaling",
        "StartInstanceRefresh",
        json!({"AutoScalingGroupName": GROUP}),
    );
    let expected = refused("another process started it");
    // Someone else's refresh brings the old image again: how many are in service is its own affair.
    let end = play(&moment, Meanwhile::Nothing);
    assert_eq!(end.record()["outcome"], "indeterminate");
    assert!(end.record()["reason"].as_str().unwrap().contains(expected.reason));

    let mut moment = before(SPEC, "");
    ask(
        &told,
        &mut moment.world,
        "autoscaling",
        "SuspendProcesses",
        json!({"AutoScalingGroupName": GROUP, "ScalingProcesses": ["Launch"]}),
    );
    check("suspended", play(&moment, Meanwhile::Nothing), &refused("suspended: Launch"));
}

#[test]
fn an_alarm_during_the_trial_takes_the_canary_back() {
    let happens = |moment: &Moment, world: &mut World| alarm(moment, world, AlarmState::Alarm);
    let end = play(&before(SPEC, ""), Meanwhile::At(6, happens));
    check("an alarm", end, &rolled_back("web-5xx is in ALARM", Some("inconclusive"), 5.0));
}

#[test]
fn the_group_changed_by_hand_stays_as_the_hand_left_it() {
    let happens = |moment: &Moment, world: &mut World| {
        let groups = ask(
            moment,
            world,
            "autoscaling",
            "DescribeAutoScalingGroups",
            json!({"AutoScalingGroupNames": [GROUP]}),
        );
        let template = &list(&groups, "AutoScalingGroups")[0]["LaunchTemplate"]["LaunchTemplateId"];
        let input = json!({"AutoScalingGroupName": GROUP, "LaunchTemplate": {"LaunchTemplateId": template, "Version": "2"}});
        ask(moment, world, "autoscaling", "UpdateAutoScalingGroup", input);
    };
    let end = play(&before(SPEC, ""), Meanwhile::At(6, happens));
    check("by hand", end, &rolled_back("another launch template or version", None, 5.0));
}

#[test]
fn someone_elses_refresh_during_the_trial_ends_it() {
    let happens = |moment: &Moment, world: &mut World| {
        ask(
            moment,
            world,
            "autoscaling",
            "StartInstanceRefresh",
            json!({"AutoScalingGroupName": GROUP, "Preferences": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110}}),
        );
    };
    let end = play(&before(SPEC, ""), Meanwhile::At(6, happens));
    check("someone else's", end, &rolled_back("started by someone else", None, 5.0));
}

#[test]
fn while_every_worker_is_dead_nothing_is_promoted() {
    let old = Some(BTreeMap::from([("old".to_owned(), 8)]));
    // Three days: longer than any checkpoint lasts, and than CodePipeline waits. The action is over by then, so no job
    // comes that could take the two groups away; production is as it was.
    let mut end = play(&before(SPEC, ""), Meanwhile::Dead(6, 3 * 24 * 60));
    assert_eq!(end.while_dead, old);
    assert_ne!(end.status, ActionStatus::Succeeded);
    assert_eq!(Some(end.fleet()), old);
    assert!(end.harmed() <= 5.0 && end.record().is_null(), "nobody was alive to write one");
    assert_eq!(end.left_behind().len(), 2, "they carry the tags of the action, for whoever clears up");
    // Past the deadline, and the action still runs: what was made is undone.
    let end = play(&before(SPEC, ""), Meanwhile::Dead(6, 10 * 60));
    assert_eq!(end.while_dead, old);
    check("dead past the deadline", end, &rolled_back("did not end by its deadline", None, 5.0));
    // One that is back in time finds the evidence where it was.
    let end = play(&before(SPEC, ""), Meanwhile::Dead(6, 90));
    assert_eq!(end.while_dead, Some(BTreeMap::from([("old".to_owned(), 8)])));
    check("dead for a while", end, &PROMOTED);
    // Nor is harm: the canary does what it does, and production nothing.
    let bad = before(SPEC, "images: {baked: {instance: {error_rate: 0.02}}}\n");
    let end = play(&bad, Meanwhile::Dead(4, 60));
    check("dead beside a bad canary", end, &rolled_back("errors", Some("fail"), 1000.0));
}

#[test]
fn without_numbers_nothing_passes() {
    let none = variant(&[("{namespace: Web, metric: Requests,", "{namespace: AWS/None, metric: Requests,")]);
    check(
        "no requests",
        play(&before(&none, ""), Meanwhile::Nothing),
        &rolled_back("ERROR", Some("error"), 5.0),
    );
    let few = before(SPEC, "traffic: {requests_per_minute: 60}\n");
    let end = play(&few, Meanwhile::Nothing);
    check("too few requests", end, &rolled_back("INCONCLUSIVE", Some("inconclusive"), 100.0));
    let wait = variant(&[(
        "      timeout: 1h\n      min_requests",
        "      timeout: 1h\n      on_inconclusive: { wait: {} }\n      min_requests",
    )]);
    // At this rate the requests come together, later than the rollback would have.
    let end = play(&before(&wait, "traffic: {requests_per_minute: 60}\n"), Meanwhile::Nothing);
    assert!(end.minutes > 60, "{}", end.minutes);
    check("waits and passes", end, &Expected { harmed: 100.0, ..PROMOTED });
    let end = play(&before(&wait, "traffic: {requests_per_minute: 12}\n"), Meanwhile::Nothing);
    assert!(end.minutes >= 6 * 60, "{}", end.minutes);
    check("waits to the end", end, &rolled_back("did not end by its deadline", None, 100.0));
}

#[test]
fn a_side_that_is_hurt_proves_nothing() {
    let happens = |moment: &Moment, world: &mut World| {
        let name = group_of("baseline", moment, world);
        ask(
            moment,
            world,
            "autoscaling",
            "DeleteAutoScalingGroup",
            json!({"AutoScalingGroupName": name, "ForceDelete": true}),
        );
    };
    let end = play(&before(SPEC, ""), Meanwhile::At(6, happens));
    check("no baseline", end, &rolled_back("baseline", Some("error"), 5.0));
    let happens = |moment: &Moment, world: &mut World| {
        let name = group_of("canary", moment, world);
        let groups = ask(
            moment,
            world,
            "autoscaling",
            "DescribeAutoScalingGroups",
            json!({"AutoScalingGroupNames": [name]}),
        );
        let id = &list(&list(&groups, "AutoScalingGroups")[0], "Instances")[0]["InstanceId"];
        let input = json!({"InstanceId": id, "ShouldDecrementDesiredCapacity": false});
        ask(moment, world, "autoscaling", "TerminateInstanceInAutoScalingGroup", input);
    };
    let end = play(&before(SPEC, ""), Meanwhile::At(6, happens));
    check("an instance lost", end, &PROMOTED);
}

#[test]
fn production_may_grow_during_the_trial() {
    let happens = |moment: &Moment, world: &mut World| {
        ask(
            moment,
            world,
            "autoscaling",
            "SetDesiredCapacity",
            json!({"AutoScalingGroupName": GROUP, "DesiredCapacity": 10}),
        );
    };
    let end = play(&before(SPEC, ""), Meanwhile::At(6, happens));
    check("ten instances", end, &Expected { fleet: (0, 10), ..PROMOTED });
}

#[test]
fn faults_change_nothing_but_the_time_it_takes() {
    for (name, operation) in [
        ("autoscaling", "CreateAutoScalingGroup"),
        ("autoscaling", "UpdateAutoScalingGroup"),
        ("autoscaling", "DeleteAutoScalingGroup"),
    ] {
        for (what, fault) in [
            ("reply lost", Fault::LoseReply),
            ("throttled", Fault::Throttle),
            ("failed", Fault::server_error()),
        ] {
            let faults = FaultPlan::default().rule(When::nth(name, operation, 1), fault);
            check(
                &format!("{operation} {what}"),
                play(&before(SPEC, ""), Meanwhile::Faults(faults)),
                &PROMOTED,
            );
        }
    }
}

#[test]
fn metrics_that_are_forbidden_after_the_preflight_pass_nothing() {
    // The first call is the preflight's.
    let plan = (2..400).fold(FaultPlan::default(), |plan, nth| {
        plan.rule(When::nth("cloudwatch", "GetMetricData", nth), Fault::Deny)
    });
    let end = play(&before(SPEC, ""), Meanwhile::Faults(plan));
    let record = end.record();
    assert_eq!(record["outcome"], "rolled_back", "{record:#}");
    assert_eq!(record["canary"]["verdict"], "error", "{record:#}");
}

#[test]
fn a_rolling_promotion_asks_for_no_trial() {
    let promoted = Expected { verdict: None, ..PROMOTED };
    check("rolling", play(&before(ROLLING, ""), Meanwhile::Nothing), &promoted);
    let bad = before(ROLLING, "images: {baked: {instance: {error_rate: 0.06}}}\n");
    check("rolling and bad", play(&bad, Meanwhile::Nothing), &rolled_back("error-percent", None, 2000.0));
}

#[test]
fn a_refresh_that_aws_does_not_roll_back_is_cancelled() {
    let irreversible = Fault::error(400, "IrreversibleInstanceRefresh");
    let plan = FaultPlan::default().rule(When::every("autoscaling", "RollbackInstanceRefresh"), irreversible);
    let bad = before(ROLLING, "images: {baked: {instance: {error_rate: 0.06}}}\n");
    let end = play(&bad, Meanwhile::Faults(plan));
    assert_eq!(end.status, ActionStatus::Failed);
    let applied = |operation: &str| {
        end.records.iter().filter(|record| record.operation == operation && record.applied).count()
    };
    assert_eq!((applied("RollbackInstanceRefresh"), applied("CancelInstanceRefresh")), (0, 1));
    // Instances of both images are left: the report says that production is not what it was.
    let record = end.record();
    assert_eq!(record["outcome"], "indeterminate", "{record:#}");
}
