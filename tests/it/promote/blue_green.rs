//! Two groups that take turns behind one load balancer: what the weights and both fleets are at the end.

use std::collections::BTreeMap;

use bakeline_rehearsal::faults::{Fault, FaultPlan, When};
use bakeline_rehearsal::services::cloudwatch::AlarmState;
use bakeline_rehearsal::services::codepipeline::ActionStatus;
use bakeline_rehearsal::world::World;
use serde_json::{Value, json};

use super::scenarios::{alarm, variant_of};
use super::{End, GROUP, Meanwhile, before, fleet_of, list, play};
use crate::support::Moment;
use crate::trail::ask;

pub const SPEC: &str = "tests/it/fixtures/turns/bakeline.yaml";
const GREEN: &str = "web-green";

/// Both groups: the weight of its target group, instances in service on the old image, and on another one.
pub type Standing = [(u64, usize, usize); 2];

const OLD: Standing = [(100, 8, 0), (0, 0, 0)];
const NEW: Standing = [(0, 0, 0), (100, 0, 8)];

fn listener(moment: &Moment, world: &mut World) -> Value {
    let balancers = ask(moment, world, "elbv2", "DescribeLoadBalancers", json!({}));
    let arn = &list(&balancers, "LoadBalancers")[0]["LoadBalancerArn"];
    let listeners = ask(moment, world, "elbv2", "DescribeListeners", json!({"LoadBalancerArn": arn}));
    list(&listeners, "Listeners")[0].clone()
}

/// The only target group of a group.
fn target_group(name: &str, moment: &Moment, world: &mut World) -> String {
    let groups = ask(
        moment,
        world,
        "autoscaling",
        "DescribeAutoScalingGroups",
        json!({"AutoScalingGroupNames": [name]}),
    );
    list(&groups, "AutoScalingGroups")[0]["TargetGroupARNs"][0].as_str().unwrap().to_owned()
}

pub fn standing(moment: &Moment, world: &mut World) -> Standing {
    let weights = listener(moment, world)["DefaultActions"][0]["ForwardConfig"]["TargetGroups"].clone();
    [GROUP, GREEN].map(|name| {
        let arn = target_group(name, moment, world);
        let weight = weights.as_array().unwrap().iter().find(|group| group["TargetGroupArn"] == arn.as_str());
        let fleet = fleet_of(name, moment, world);
        let on = |image: &str| fleet.get(image).copied().unwrap_or(0);
        (weight.unwrap()["Weight"].as_u64().unwrap(), on("old"), on("new"))
    })
}

/// Gives the second group a share of the traffic, as a person would.
pub fn weigh(percent: u64, moment: &Moment, world: &mut World) {
    let arn = listener(moment, world)["ListenerArn"].clone();
    let groups = json!([
        {"TargetGroupArn": target_group(GROUP, moment, world), "Weight": 100 - percent},
        {"TargetGroupArn": target_group(GREEN, moment, world), "Weight": percent},
    ]);
    let actions = json!([{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]);
    ask(moment, world, "elbv2", "ModifyListener", json!({"ListenerArn": arn, "DefaultActions": actions}));
}

/// What a story must end with: `outcome`, a part of the reason, both groups, and the most requests harmed.
fn check(story: &str, end: &mut End, outcome: &str, reason: &str, expected: Standing, harmed: f64) {
    let record = end.record();
    let told = format!("{story}: {record:#}");
    assert_eq!(end.status == ActionStatus::Succeeded, outcome == "promoted", "{told}");
    assert_eq!(record["outcome"], outcome, "{told}");
    assert!(record["reason"].as_str().unwrap().contains(reason), "{told}");
    assert_eq!(standing(&end.moment, &mut end.world), expected, "{told}");
    let seen = end.harmed();
    assert!(seen <= harmed, "{story}: {seen} requests harmed");
    if !record["canary"].is_null() {
        assert_eq!(record["canary"]["recordingMatches"], true, "{told}");
        let text = String::from_utf8(end.files["reports/promote/judge.jsonl"].clone()).unwrap();
        let recording = bakeline::judge::recording::Recording::parse(&text).unwrap();
        let look = bakeline::judge::judge(&recording.rules, &recording.windows).unwrap();
        assert_eq!(record["canary"]["verdict"], look.verdict.name().to_lowercase(), "{told}");
    }
    println!("{story}: {} minutes, {seen} requests harmed", end.minutes);
}

/// Whether the new image has its first share.
fn shared(moment: &Moment, world: &mut World) -> bool {
    standing(moment, world)[1].0 == 25
}

/// Whether it has everything.
fn taken_over(moment: &Moment, world: &mut World) -> bool {
    standing(moment, world)[1].0 == 100
}

#[test]
fn a_good_image_takes_its_turn_and_the_next_release_goes_the_other_way() {
    let mut end = play(&before(SPEC, ""), Meanwhile::Nothing);
    check("a good image", &mut end, "promoted", "has all traffic", NEW, 5.0);
    assert_eq!(end.record()["canary"]["verdict"], "pass");
    // The release after it finds the other group serving.
    let mut next = end.moment.clone();
    let started =
        ask(&end.moment, &mut end.world, "codepipeline", "StartPipelineExecution", json!({"name": "web"}));
    next.provisioned.execution = started["pipelineExecutionId"].as_str().unwrap().into();
    next.now = end.world.now;
    next.world = end.world;
    let next = next.after(bakeline::evidence::Stage::Bake).after(bakeline::evidence::Stage::Test);
    let mut end = play(&next, Meanwhile::Nothing);
    assert_eq!(end.status, ActionStatus::Succeeded);
    assert_eq!(standing(&end.moment, &mut end.world), [(100, 0, 8), (0, 0, 0)]);
}

#[test]
fn a_bad_image_loses_its_share_again() {
    let bad = before(SPEC, "images: {baked: {instance: {error_rate: 0.2}}}\n");
    check("errors", &mut play(&bad, Meanwhile::Nothing), "rolled_back", "errors", OLD, 1000.0);
}

#[test]
fn while_every_worker_is_dead_the_weights_stay() {
    let mut end = play(&before(SPEC, ""), Meanwhile::DeadFrom(shared, |_, _| (), 90));
    assert_eq!(end.while_dead, Some(BTreeMap::from([("old".to_owned(), 8)])), "the old group is whole");
    check("dead for a while", &mut end, "promoted", "has all traffic", NEW, 5.0);
    let mut end = play(&before(SPEC, ""), Meanwhile::DeadFrom(shared, |_, _| (), 4 * 60));
    check("dead past the deadline", &mut end, "rolled_back", "did not end by its deadline", OLD, 5.0);
}

#[test]
fn what_others_do_meanwhile_takes_the_image_back() {
    type Happens = fn(&Moment, &mut World);
    let stories: [(&str, Happens, &str); 3] = [
        ("an alarm", |moment, world| alarm(moment, world, AlarmState::Alarm), "web-5xx is in ALARM"),
        ("other weights", |moment, world| weigh(60, moment, world), "someone else changed the weights"),
        (
            "a refresh",
            |moment, world| {
                let input = json!({"AutoScalingGroupName": GREEN, "Preferences": {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 110}});
                ask(moment, world, "autoscaling", "StartInstanceRefresh", input);
            },
            "started by someone else",
        ),
    ];
    for (story, happens, reason) in stories {
        let mut end = play(&before(SPEC, ""), Meanwhile::When(shared, happens));
        check(story, &mut end, "rolled_back", reason, OLD, 5.0);
    }
}

#[test]
fn an_alarm_while_the_old_group_stands_by_brings_it_back() {
    // All the traffic is on the new image, and nothing of the old one is gone yet.
    let happens: fn(&Moment, &mut World) = |moment, world| alarm(moment, world, AlarmState::Alarm);
    let mut end = play(&before(SPEC, ""), Meanwhile::When(taken_over, happens));
    check("an alarm at 100 %", &mut end, "rolled_back", "100 % of the traffic", OLD, 5.0);
}

#[test]
fn groups_that_are_not_free_are_left_alone() {
    let mut shared = before(SPEC, "");
    let told = shared.clone();
    weigh(10, &told, &mut shared.world);
    let mut end = play(&shared, Meanwhile::Nothing);
    let as_it_was = [(90, 8, 0), (10, 0, 0)];
    check(
        "a share that someone set",
        &mut end,
        "indeterminate",
        "all the weight on one",
        as_it_was,
        f64::MAX,
    );

    let mut used = before(SPEC, "");
    let input = json!({"AutoScalingGroupName": GREEN, "DesiredCapacity": 1});
    ask(&told, &mut used.world, "autoscaling", "SetDesiredCapacity", input);
    let mut end = play(&used, Meanwhile::Nothing);
    check("in use", &mut end, "indeterminate", "web-green has", [(100, 8, 0), (0, 1, 0)], 5.0);
}

#[test]
fn a_stopped_execution_gives_the_traffic_back() {
    let happens: fn(&Moment, &mut World) = |moment, world| {
        let input = json!({"pipelineName": "web", "pipelineExecutionId": moment.provisioned.execution, "abandon": false});
        ask(moment, world, "codepipeline", "StopPipelineExecution", input);
    };
    let mut end = play(&before(SPEC, ""), Meanwhile::When(shared, happens));
    // Stop and wait: the action is let go on to its end, and it ends well.
    assert_eq!(standing(&end.moment, &mut end.world), NEW);
}

#[test]
fn answers_that_are_lost_change_no_weight_twice() {
    for (service, operation) in [("elbv2", "ModifyListener"), ("autoscaling", "UpdateAutoScalingGroup")] {
        for nth in 1..=2 {
            let faults = FaultPlan::default().rule(When::nth(service, operation, nth), Fault::LoseReply);
            let mut end = play(&before(SPEC, ""), Meanwhile::Faults(faults));
            check(&format!("{operation} {nth}"), &mut end, "promoted", "has all traffic", NEW, 5.0);
        }
    }
}

/// The spec with the shares of the ladder. At 1 % it takes a while for requests to come together.
fn ladder() -> String {
    let edits = [
        ("[{ percent: 25 }]", "[{ percent: 1 }, { percent: 5 }, { percent: 25 }, { percent: 50 }]"),
        ("timeout: 3h", "timeout: 14h"),
        ("timeout: 30m", "timeout: 3h"),
        ("min_requests: 500", "min_requests: 60"),
    ];
    variant_of(SPEC, &edits)
}

/// The weight of the second group's target group after each change of the weights.
fn ascent(end: &mut End) -> Vec<u64> {
    let green = target_group(GREEN, &end.moment, &mut end.world);
    let set = end.records.iter().filter(|record| record.operation == "ModifyListener" && record.applied);
    set.map(|record| {
        let groups = list(&record.input["DefaultActions"][0]["ForwardConfig"], "TargetGroups");
        assert_eq!(groups.iter().map(|group| group["Weight"].as_u64().unwrap()).sum::<u64>(), 100);
        groups.iter().find(|group| group["TargetGroupArn"] == green.as_str()).unwrap()["Weight"]
            .as_u64()
            .unwrap()
    })
    .collect()
}

#[test]
fn a_good_image_climbs_the_ladder_rung_by_rung() {
    let mut end = play(&before(&ladder(), ""), Meanwhile::Nothing);
    check("the ladder", &mut end, "promoted", "has all traffic", NEW, 5.0);
    assert_eq!(ascent(&mut end), [1, 5, 25, 50, 100]);
    let record = end.record();
    let held: Vec<u64> = list(&record, "decisions").iter().map(|d| d["percent"].as_u64().unwrap()).collect();
    assert_eq!(held, [1, 5, 25, 50, 100], "each rung was judged: {record:#}");
}

#[test]
fn a_bad_image_falls_from_the_first_rung_and_harms_few() {
    let mut end =
        play(&before(&ladder(), "images: {baked: {instance: {error_rate: 0.3}}}\n"), Meanwhile::Nothing);
    check("off the ladder", &mut end, "rolled_back", "errors", OLD, 200.0);
    assert_eq!(ascent(&mut end), [1, 0], "1 % of the requests met it, and no more ever did");
}
