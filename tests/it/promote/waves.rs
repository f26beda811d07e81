//! Groups that follow in waves: what every one of them runs at the end, what the record says, and what it cost in calls.

use std::collections::BTreeMap;

use bakeline_rehearsal::services::cloudwatch::AlarmState;
use bakeline_rehearsal::services::codepipeline::ActionStatus;
use bakeline_rehearsal::services::ec2::CapacityShortage;
use bakeline_rehearsal::transcript::Record;
use bakeline_rehearsal::world::World;
use serde_json::{Value, json};

use super::scenarios::{alarm, variant_of};
use super::{End, GROUP, Meanwhile, before, list, play, version_by_hand};
use crate::support::Moment;
use crate::trail::ask;

pub const SPEC: &str = "tests/it/fixtures/waves/bakeline.yaml";
/// Every group, by wave, and the region of those that are elsewhere.
const LINE: [(&str, Option<&str>); 7] = [
    (GROUP, None),
    ("web-a", None),
    ("web-b", None),
    ("web-c", None),
    ("web-d", None),
    ("web-e", None),
    ("web-f", Some("eu-central-1")),
];

fn in_region(region: Option<&str>, moment: &Moment) -> Moment {
    let region = region.map_or_else(|| moment.region.clone(), str::to_owned);
    Moment { region, ..moment.clone() }
}

/// Instances in service by whether they were launched from the version of before, or from a later one.
fn standing((name, region): (&str, Option<&str>), moment: &Moment, world: &mut World) -> (usize, usize) {
    let moment = in_region(region, moment);
    let input = json!({"AutoScalingGroupNames": [name]});
    let groups = ask(&moment, world, "autoscaling", "DescribeAutoScalingGroups", input);
    let Some(group) = list(&groups, "AutoScalingGroups").first() else { return (0, 0) };
    let serving =
        list(group, "Instances").iter().filter(|instance| instance["LifecycleState"] == "InService");
    serving.fold((0, 0), |(old, new), instance| {
        if instance["LaunchTemplate"]["Version"] == "1" { (old + 1, new) } else { (old, new + 1) }
    })
}

pub fn line(moment: &Moment, world: &mut World) -> Vec<(usize, usize)> {
    LINE.into_iter().map(|group| standing(group, moment, world)).collect()
}

/// Whether a group's refresh is under way.
pub fn moves(name: &str, moment: &Moment, world: &mut World) -> bool {
    let input = json!({"AutoScalingGroupName": name});
    let refreshes = ask(moment, world, "autoscaling", "DescribeInstanceRefreshes", input);
    list(&refreshes, "InstanceRefreshes").iter().any(|refresh| refresh["Status"] == "InProgress")
}

const ALL_OLD: [(usize, usize); 7] = [(8, 0), (2, 0), (2, 0), (2, 0), (2, 0), (2, 0), (2, 0)];
const ALL_NEW: [(usize, usize); 7] = [(0, 8), (0, 2), (0, 2), (0, 2), (0, 2), (0, 2), (0, 2)];

fn check(story: &str, end: &mut End, outcome: &str, reason: &str, expected: &[(usize, usize)], harmed: f64) {
    let record = end.record();
    let told = format!("{story}: {record:#}");
    assert_eq!(end.status == ActionStatus::Succeeded, outcome == "promoted", "{told}");
    assert_eq!(record["outcome"], outcome, "{told}");
    assert!(record["reason"].as_str().unwrap().contains(reason), "{told}");
    assert_eq!(line(&end.moment, &mut end.world), expected, "{told}");
    let seen = end.harmed();
    assert!(seen <= harmed, "{story}: {seen} requests harmed");
    let recorded: Vec<(u64, u64)> = list(&record, "waves")
        .iter()
        .flat_map(|wave| list(wave, "groups"))
        .map(|group| (group["units"]["total"].as_u64().unwrap(), group["units"]["updated"].as_u64().unwrap()))
        .collect();
    let found: Vec<(u64, u64)> =
        expected[1..].iter().map(|(old, new)| ((old + new) as u64, *new as u64)).collect();
    if outcome != "indeterminate" {
        assert_eq!(recorded, found, "{told}");
    }
    println!("{story}: {} minutes, {seen} requests harmed", end.minutes);
}

#[test]
fn a_good_image_reaches_every_group_wave_by_wave() {
    let mut end = play(&before(SPEC, ""), Meanwhile::Nothing);
    check("a good image", &mut end, "promoted", "7 groups in 3 waves", &ALL_NEW, 5.0);
    let record = end.record();
    let said: Vec<String> =
        list(&record, "decisions").iter().map(|d| format!("{} {}", d["action"], d["reason"])).collect();
    for wave in 1..=3 {
        let passed = |said: &&String| said.contains("continue") && said.contains(&format!("in wave {wave}:"));
        assert_eq!(said.iter().filter(passed).count(), 1, "{said:#?}");
    }
    // No group of a wave began before every group of the wave before it was whole.
    let begun = started(&end.records);
    assert_eq!(begun, [GROUP, "web-a", "web-b", "web-c", "web-d", "web-e", "web-f"]);
    let page = String::from_utf8(end.files["reports/promote/report.html"].clone()).unwrap();
    assert!(LINE.iter().all(|(name, _)| page.contains(name)), "every group is on the page");
}

/// The groups whose refreshes were started, in order.
fn started(records: &[Record]) -> Vec<String> {
    let started = |record: &&Record| record.operation == "StartInstanceRefresh" && record.applied;
    let name = |record: &Record| record.input["AutoScalingGroupName"].as_str().unwrap().to_owned();
    records.iter().filter(started).map(name).collect()
}

type Happens = fn(&Moment, &mut World);
type So = fn(&Moment, &mut World) -> bool;

/// Wave 2 is under way, wave 1 and the first group are on the image.
const IN_THE_SECOND: So = |moment, world| moves("web-d", moment, world);

#[test]
fn what_goes_wrong_in_a_wave_takes_the_image_back_from_every_group() {
    let stories: [(&str, So, Happens, &str); 5] = [
        ("an alarm", IN_THE_SECOND, |moment, world| alarm(moment, world, AlarmState::Alarm), "web-5xx"),
        (
            "an alarm that cannot be read",
            IN_THE_SECOND,
            |moment, world| alarm(moment, world, AlarmState::InsufficientData),
            "web-5xx has insufficient data",
        ),
        (
            "a refresh cancelled by hand",
            IN_THE_SECOND,
            |moment, world| {
                let input = json!({"AutoScalingGroupName": "web-d"});
                ask(moment, world, "autoscaling", "CancelInstanceRefresh", input);
            },
            "web-d: AWS ended its refresh",
        ),
        (
            "a group suspended before its turn",
            |moment, world| moves("web-a", moment, world),
            |moment, world| {
                let input = json!({"AutoScalingGroupName": "web-e", "ScalingProcesses": ["Launch"]});
                ask(moment, world, "autoscaling", "SuspendProcesses", input);
            },
            "web-e cannot take the image: suspended: Launch",
        ),
        (
            "the instance type is nowhere to be had",
            |moment, world| moves("web-a", moment, world),
            |_, world| {
                let instance_type = Some("t3.medium".to_owned());
                world
                    .ec2
                    .capacity_shortages
                    .push(CapacityShortage { instance_type, ..CapacityShortage::default() });
            },
            "AWS ended its refresh",
        ),
    ];
    for (story, so, happens, reason) in stories {
        let mut end = play(&before(SPEC, ""), Meanwhile::When(so, happens));
        if story.starts_with("the instance type") {
            // The first group is whole on the image, and cannot be taken back without a new instance: it is told.
            let record = end.record();
            assert_eq!(record["outcome"], "indeterminate", "{record:#}");
            assert!(record["reason"].as_str().unwrap().contains(GROUP), "{record:#}");
            assert_eq!(standing(LINE[0], &end.moment, &mut end.world), (0, 8), "it serves all the same");
            assert!(end.harmed() <= 5.0);
            continue;
        }
        check(story, &mut end, "rolled_back", reason, &ALL_OLD, 5.0);
        let back = started(&end.records);
        assert!(!back.contains(&"web-f".to_owned()), "{story}: the wave after it never began");
    }
}

#[test]
fn while_every_worker_is_dead_no_further_group_begins() {
    let mut end = play(
        &before(SPEC, ""),
        Meanwhile::DeadFrom(|moment, world| moves("web-a", moment, world), |_, _| (), 120),
    );
    check("dead for two hours", &mut end, "promoted", "7 groups in 3 waves", &ALL_NEW, 5.0);
    let begun = |name: &str| {
        let is = |record: &&Record| {
            record.operation == "StartInstanceRefresh" && record.input["AutoScalingGroupName"] == name
        };
        end.records.iter().find(is).unwrap().at.0 / 60_000
    };
    assert!(begun("web-c") - begun("web-a") >= 115, "wave 2 waited for a worker");
}

#[test]
fn a_group_of_a_wave_that_cannot_be_taken_back_stops_everything_before_it_begins() {
    let mut moment = before(SPEC, "");
    let told = moment.clone();
    let groups = ask(&told, &mut moment.world, "autoscaling", "DescribeAutoScalingGroups", json!({}));
    let template = &list(&groups, "AutoScalingGroups")[0]["LaunchTemplate"]["LaunchTemplateId"];
    let latest = json!({"LaunchTemplateId": template, "Version": "$Latest"});
    let input = json!({"AutoScalingGroupName": "web-d", "LaunchTemplate": latest});
    ask(&told, &mut moment.world, "autoscaling", "UpdateAutoScalingGroup", input);
    let mut end = play(&moment, Meanwhile::Nothing);
    check("no number", &mut end, "indeterminate", "web-d launches version $Latest", &ALL_OLD, 5.0);
    assert_eq!(started(&end.records), Vec::<String>::new());
}

#[test]
fn a_group_changed_by_hand_after_its_wave_is_left_as_the_hand_left_it() {
    // web-a is done; someone gives it another version while wave 2 is under way, and then the alarm rings.
    let happens: Happens = |moment, world| {
        let image = moment.provisioned.current_image.clone().unwrap();
        let launches = version_by_hand(moment, world, &image, None);
        let input = json!({"AutoScalingGroupName": "web-a", "LaunchTemplate": launches});
        ask(moment, world, "autoscaling", "UpdateAutoScalingGroup", input);
        alarm(moment, world, AlarmState::Alarm);
    };
    let mut end = play(&before(SPEC, ""), Meanwhile::When(IN_THE_SECOND, happens));
    let record = end.record();
    assert_eq!(record["outcome"], "indeterminate", "{record:#}");
    assert!(record["reason"].as_str().unwrap().contains("web-a"), "{record:#}");
    let mut others = line(&end.moment, &mut end.world);
    others.remove(1);
    assert!(others.iter().all(|(_, new)| *new == 0), "every other group is back: {others:?}");
    assert!(end.harmed() <= 5.0);
}

#[test]
fn the_next_release_finds_every_group_where_the_last_one_left_it() {
    let mut end = play(&before(SPEC, ""), Meanwhile::Nothing);
    let mut again = end.moment.clone();
    let started_before = started(&end.records).len();
    let execution =
        ask(&end.moment, &mut end.world, "codepipeline", "StartPipelineExecution", json!({"name": "web"}));
    again.provisioned.execution = execution["pipelineExecutionId"].as_str().unwrap().into();
    again.now = end.world.now;
    again.world = end.world;
    let again = again.after(bakeline::evidence::Stage::Bake).after(bakeline::evidence::Stage::Test);
    let mut end = play(&again, Meanwhile::Nothing);
    // Another image: every group is refreshed once more, by versions of its own.
    assert_eq!(end.status, ActionStatus::Succeeded, "{:#}", end.record());
    assert_eq!(started(&end.records).len(), started_before);
    assert!(line(&end.moment, &mut end.world).iter().all(|(old, _)| *old == 0));
}

/// Makes the second group of the second wave one that the list of groups does not show to be unfit, and its turn does.
pub fn unfit(moment: &mut Moment) {
    let told = moment.clone();
    let made = ask(
        &told,
        &mut moment.world,
        "elbv2",
        "CreateTargetGroup",
        json!({"Name": "unused", "Protocol": "HTTP", "Port": 80, "VpcId": "vpc-production"}),
    );
    let arn = made["TargetGroups"][0]["TargetGroupArn"].clone();
    let input = json!({"AutoScalingGroupName": "web-d", "TargetGroupARNs": [arn]});
    ask(&told, &mut moment.world, "autoscaling", "AttachLoadBalancerTargetGroups", input);
}

#[test]
fn a_group_that_turns_out_unfit_at_its_turn_takes_the_image_back_from_every_group() {
    let mut moment = before(SPEC, "");
    unfit(&mut moment);
    let mut end = play(&moment, Meanwhile::Nothing);
    check("unfit", &mut end, "rolled_back", "web-d cannot take the image", &ALL_OLD, 5.0);
}

/// What CodePipeline's answer ends: calls between two of them are one slice's.
fn slices(records: &[Record]) -> Vec<BTreeMap<String, u64>> {
    let mut slices = vec![BTreeMap::new()];
    for record in records {
        *slices.last_mut().unwrap().entry(record.operation.clone()).or_insert(0) += 1;
        if record.operation.starts_with("PutJob") {
            slices.push(BTreeMap::new());
        }
    }
    slices
}

/// The most calls of an operation within one minute of the clock.
fn a_minute(records: &[Record]) -> BTreeMap<String, u64> {
    let mut minutes: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for record in records {
        *minutes.entry((record.operation.clone(), record.at.0 / 60_000)).or_insert(0) += 1;
    }
    let mut most = BTreeMap::new();
    for ((operation, _), calls) in minutes {
        let peak = most.entry(operation).or_insert(0);
        *peak = calls.max(*peak);
    }
    most
}

/// The waves of a spec of so many groups, in four waves, and a quarter of them at a time at most.
fn two_hundred() -> String {
    let names: Vec<String> = (1..200).map(|number| format!("web-{number:03}")).collect();
    let wave = |(number, groups): (usize, &[String])| {
        let targets: Vec<String> =
            groups.iter().map(|name| format!("{{ auto_scaling_group: {{ name: {name} }} }}")).collect();
        format!("    - {{ name: wave-{number}, targets: [{}] }}\n", targets.join(", "))
    };
    let waves: String = (1..).zip(names.chunks(50)).map(wave).collect();
    let spec = std::fs::read_to_string(crate::support::repository(SPEC)).unwrap();
    let (_, old) = spec.split_once("  waves:\n").unwrap();
    let (old, _) = old.split_once("  timeout:").unwrap();
    variant_of(SPEC, &[(old, &waves), ("timeout: 8h", "timeout: 20h")])
}

#[test]
fn two_hundred_groups_stay_within_the_limits() {
    let spec = two_hundred();
    for (story, happens) in [("forward", false), ("back", true)] {
        let meanwhile = if happens {
            let late: So = |moment, world| moves("web-180", moment, world);
            Meanwhile::When(late, |moment, world| alarm(moment, world, AlarmState::Alarm))
        } else {
            Meanwhile::Nothing
        };
        let mut end = play(&before(&spec, ""), meanwhile);
        let record = end.record();
        assert_eq!(
            record["outcome"],
            if happens { "rolled_back" } else { "promoted" },
            "{}",
            record["reason"]
        );
        let on_new = |group: &Value| group["units"]["updated"].as_u64().unwrap();
        let groups: Vec<&Value> =
            list(&record, "waves").iter().flat_map(|wave| list(wave, "groups")).collect();
        assert_eq!(groups.len(), 199);
        assert!(groups.iter().all(|group| (on_new(group) == 0) == happens), "{record:#}");
        assert!(end.harmed() <= 5.0);

        let refused: Vec<&Record> = end.records.iter().filter(|record| record.code.is_some()).collect();
        assert!(
            refused.iter().all(|record| record.code.as_deref() == Some("InvalidJobState")),
            "{refused:#?}"
        );
        // Where AWS limits one call.
        for record in &end.records {
            let names = list(&record.input, "AutoScalingGroupNames").len();
            let instances = list(&record.input, "InstanceIds").len();
            assert!(names <= 100 && instances <= 1000, "{record:?}");
        }
        let templates =
            end.records.iter().filter(|r| r.operation == "CreateLaunchTemplateVersion" && r.applied);
        assert_eq!(templates.count(), 1, "groups that launch the same version share the next one");
        let most = slices(&end.records).into_iter().fold(BTreeMap::new(), |mut most, slice| {
            for (operation, calls) in slice {
                let peak = most.entry(operation).or_insert(0);
                *peak = calls.max(*peak);
            }
            most
        });
        let minute = a_minute(&end.records);
        let hours = end.minutes / 60;
        println!("{story}: {} calls in {hours} h; the most in a slice and in a minute:", end.records.len());
        for (operation, slice) in &most {
            println!("{story}: {operation} {slice} {}", minute[operation]);
        }
        for (operation, calls) in &minute {
            assert!(*calls <= 120, "{story}: {operation} {calls} times within a minute");
        }
        let tokens = end.records.iter().filter_map(|record| record.input["continuationToken"].as_str());
        let longest = tokens.map(str::len).max().unwrap();
        println!("{story}: the longest token has {longest} bytes");
        assert!(longest <= 2048);
    }
}
