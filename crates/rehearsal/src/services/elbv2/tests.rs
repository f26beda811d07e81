//! Health follows the instance; routing decides who is in use and gets traffic.

use serde_json::{Value, json};

use super::super::super::behaviour::Behaviour;
use super::super::cloudwatch;
use super::super::trial::Trial;
use super::traffic;

fn health(trial: &mut Trial, group: &str) -> Vec<String> {
    let answer = trial.ok("elbv2", "DescribeTargetHealth", json!({ "TargetGroupArn": group }));
    let list = answer["TargetHealthDescriptions"].as_array().unwrap();
    list.iter().map(|d| d["TargetHealth"]["State"].as_str().unwrap().to_owned()).collect()
}

fn instance(trial: &mut Trial, image: &str) -> String {
    let input = json!({ "ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1 });
    let answer = trial.ok("ec2", "RunInstances", input);
    answer["Instances"][0]["InstanceId"].as_str().unwrap().to_owned()
}

fn group(trial: &mut Trial, name: &str) -> String {
    let answer =
        trial.ok("elbv2", "CreateTargetGroup", json!({ "Name": name, "Protocol": "HTTP", "Port": 80 }));
    answer["TargetGroups"][0]["TargetGroupArn"].as_str().unwrap().to_owned()
}

fn listener(trial: &mut Trial) -> String {
    let answer = trial.ok("elbv2", "DescribeLoadBalancers", json!({}));
    let arn = answer["LoadBalancers"][0]["LoadBalancerArn"].clone();
    let answer = trial.ok("elbv2", "DescribeListeners", json!({ "LoadBalancerArn": arn }));
    answer["Listeners"][0]["ListenerArn"].as_str().unwrap().to_owned()
}

fn forward(groups: &[(&str, u32)]) -> Value {
    let groups: Vec<Value> =
        groups.iter().map(|(arn, weight)| json!({ "TargetGroupArn": arn, "Weight": weight })).collect();
    json!([{ "Type": "forward", "ForwardConfig": { "TargetGroups": groups } }])
}

#[test]
fn a_target_is_initial_then_healthy_and_drains_when_taken_out() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(0, Behaviour::default());
    let id = instance(&mut trial, &fleet.old);
    let input = json!({ "TargetGroupArn": fleet.target_group, "Targets": [{ "Id": id }] });
    assert_eq!(trial.refused("elbv2", "RegisterTargets", input.clone()), "InvalidTarget", "not running yet");
    trial.pass(45);
    trial.ok("elbv2", "RegisterTargets", input.clone());
    assert_eq!(health(&mut trial, &fleet.target_group), ["initial"]);
    trial.pass(10);
    assert_eq!(health(&mut trial, &fleet.target_group), ["healthy"]);
    trial.ok("elbv2", "DeregisterTargets", input);
    assert_eq!(health(&mut trial, &fleet.target_group), ["draining"]);
    trial.pass(299);
    assert_eq!(health(&mut trial, &fleet.target_group), ["draining"]);
    trial.pass(1);
    assert!(health(&mut trial, &fleet.target_group).is_empty());
}

#[test]
fn a_target_that_does_not_boot_turns_unhealthy() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(0, Behaviour { boots: false, ..Behaviour::default() });
    let id = instance(&mut trial, &fleet.new);
    trial.pass(10);
    trial.ok(
        "elbv2",
        "RegisterTargets",
        json!({ "TargetGroupArn": fleet.target_group, "Targets": [{ "Id": id }] }),
    );
    trial.pass(600);
    assert_eq!(health(&mut trial, &fleet.target_group), ["unhealthy"]);
}

#[test]
fn a_group_without_a_listener_is_unused_until_it_has_one() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(0, Behaviour::default());
    let canary = group(&mut trial, "canary");
    let id = instance(&mut trial, &fleet.old);
    trial.pass(60);
    trial.ok("elbv2", "RegisterTargets", json!({ "TargetGroupArn": canary, "Targets": [{ "Id": id }] }));
    trial.pass(600);
    assert_eq!(health(&mut trial, &canary), ["unused"], "waiting does not help");
    let listener = listener(&mut trial);
    let actions = forward(&[(&fleet.target_group, 90), (&canary, 10)]);
    trial.ok("elbv2", "ModifyListener", json!({ "ListenerArn": listener, "DefaultActions": actions }));
    trial.pass(60);
    assert_eq!(health(&mut trial, &canary), ["healthy"]);
    assert_eq!(
        trial.refused("elbv2", "DeleteTargetGroup", json!({ "TargetGroupArn": canary })),
        "ResourceInUse"
    );
    let alone = forward(&[(&fleet.target_group, 1)]);
    trial.ok("elbv2", "ModifyListener", json!({ "ListenerArn": listener, "DefaultActions": alone }));
    assert_eq!(health(&mut trial, &canary), ["unused"]);
    trial.ok("elbv2", "DeleteTargetGroup", json!({ "TargetGroupArn": canary }));
}

#[test]
fn traffic_follows_the_weights_without_failover() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(2, Behaviour::default());
    let canary = group(&mut trial, "canary");
    let listener = listener(&mut trial);
    for (stable, new, expected) in [(90, 10, (540.0, 60.0)), (0, 1, (0.0, 600.0)), (0, 0, (0.0, 0.0))] {
        let actions = forward(&[(&fleet.target_group, stable), (&canary, new)]);
        trial.ok("elbv2", "ModifyListener", json!({ "ListenerArn": listener, "DefaultActions": actions }));
        let rates = traffic(&trial.world);
        assert_eq!((rates[&fleet.target_group].1, rates[&canary].1), expected);
    }
    assert!(cloudwatch::OPERATIONS.contains(&"GetMetricData"));
}

#[test]
fn modifying_a_rule_replaces_its_whole_list() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(0, Behaviour::default());
    let canary = group(&mut trial, "canary");
    let listener = listener(&mut trial);
    let mut actions = forward(&[(&fleet.target_group, 1), (&canary, 1)]);
    actions[0]["ForwardConfig"]["TargetGroupStickinessConfig"] =
        json!({ "Enabled": true, "DurationSeconds": 60 });
    let conditions = json!([{ "Field": "path-pattern", "Values": ["/api/*"] }]);
    let input =
        json!({ "ListenerArn": listener, "Priority": 10, "Conditions": conditions, "Actions": actions });
    let answer = trial.ok("elbv2", "CreateRule", input.clone());
    let rule = answer["Rules"][0]["RuleArn"].clone();
    assert_eq!(trial.refused("elbv2", "CreateRule", input), "PriorityInUse");
    let input = json!({ "RuleArn": rule, "Actions": forward(&[(&fleet.target_group, 5), (&canary, 7)]) });
    trial.ok("elbv2", "ModifyRule", input);
    let answer = trial.ok("elbv2", "DescribeRules", json!({ "ListenerArn": listener }));
    let rules = answer["Rules"].as_array().unwrap();
    assert_eq!(
        (rules.len(), &rules[0]["Priority"], &rules[1]["Priority"]),
        (2, &json!("10"), &json!("default"))
    );
    assert!(
        rules[0]["Actions"][0]["ForwardConfig"]["TargetGroupStickinessConfig"].is_null(),
        "stickiness is gone"
    );
    assert_eq!(rules[0]["Conditions"], conditions, "conditions were not given, so they stay");
    let default = json!({ "RuleArn": rules[1]["RuleArn"], "Actions": forward(&[(&canary, 1)]) });
    assert_eq!(trial.refused("elbv2", "ModifyRule", default), "OperationNotPermitted");
}

#[test]
fn actions_that_make_no_sense_are_refused() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(0, Behaviour::default());
    let canary = group(&mut trial, "canary");
    let listener = listener(&mut trial);
    let arn = fleet.target_group.as_str();
    let mut sticky = forward(&[(arn, 1)]);
    sticky[0]["ForwardConfig"]["TargetGroupStickinessConfig"] = json!({ "Enabled": true });
    let mut torn = forward(&[(arn, 1)]);
    torn[0]["TargetGroupArn"] = json!(canary);
    for (actions, code) in [
        (forward(&[(arn, 1000)]), "ValidationError"),
        (forward(&[(arn, 1); 6]), "ValidationError"),
        (forward(&[]), "ValidationError"),
        (forward(&[("arn:nothing", 1)]), "TargetGroupNotFound"),
        (sticky, "ValidationError"),
        (torn, "ValidationError"),
        (json!([]), "ValidationError"),
    ] {
        let input = json!({ "ListenerArn": listener, "DefaultActions": actions });
        assert_eq!(trial.refused("elbv2", "ModifyListener", input), code, "{actions}");
    }
}

#[test]
fn tags_are_kept_by_arn() {
    let mut trial = Trial::new();
    let fleet = trial.fleet(0, Behaviour::default());
    let arns = json!([fleet.target_group]);
    trial.ok(
        "elbv2",
        "AddTags",
        json!({ "ResourceArns": arns, "Tags": [{ "Key": "a", "Value": "1" }, { "Key": "b", "Value": "2" }] }),
    );
    trial.ok("elbv2", "RemoveTags", json!({ "ResourceArns": arns, "TagKeys": ["a"] }));
    let answer = trial.ok("elbv2", "DescribeTags", json!({ "ResourceArns": arns }));
    assert_eq!(answer["TagDescriptions"][0]["Tags"], json!([{ "Key": "b", "Value": "2" }]));
}
