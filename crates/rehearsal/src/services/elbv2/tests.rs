//! Tests of target health, routing and traffic.

use serde_json::{Value, json};

use super::super::super::instance_behavior::InstanceBehavior;
use super::super::cloudwatch;
use super::super::test_aws::TestAws;
use super::traffic;

fn health(aws: &mut TestAws, group: &str) -> Vec<String> {
    let answer = aws.ok("elbv2", "DescribeTargetHealth", json!({ "TargetGroupArn": group }));
    let list = answer["TargetHealthDescriptions"].as_array().unwrap();
    list.iter().map(|d| d["TargetHealth"]["State"].as_str().unwrap().to_owned()).collect()
}

fn instance(aws: &mut TestAws, image: &str) -> String {
    let input = json!({ "ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1 });
    let answer = aws.ok("ec2", "RunInstances", input);
    answer["Instances"][0]["InstanceId"].as_str().unwrap().to_owned()
}

fn group(aws: &mut TestAws, name: &str) -> String {
    let answer =
        aws.ok("elbv2", "CreateTargetGroup", json!({ "Name": name, "Protocol": "HTTP", "Port": 80 }));
    answer["TargetGroups"][0]["TargetGroupArn"].as_str().unwrap().to_owned()
}

fn listener(aws: &mut TestAws) -> String {
    let answer = aws.ok("elbv2", "DescribeLoadBalancers", json!({}));
    let arn = answer["LoadBalancers"][0]["LoadBalancerArn"].clone();
    let answer = aws.ok("elbv2", "DescribeListeners", json!({ "LoadBalancerArn": arn }));
    answer["Listeners"][0]["ListenerArn"].as_str().unwrap().to_owned()
}

fn forward(groups: &[(&str, u32)]) -> Value {
    let groups: Vec<Value> =
        groups.iter().map(|(arn, weight)| json!({ "TargetGroupArn": arn, "Weight": weight })).collect();
    json!([{ "Type": "forward", "ForwardConfig": { "TargetGroups": groups } }])
}

#[test]
fn a_target_is_initial_then_healthy_and_drains_when_deregistered() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(0, InstanceBehavior::default());
    let id = instance(&mut aws, &fleet.old);
    let input = json!({ "TargetGroupArn": fleet.target_group, "Targets": [{ "Id": id }] });
    assert_eq!(aws.refused("elbv2", "RegisterTargets", input.clone()), "InvalidTarget", "not running yet");
    aws.pass(45);
    aws.ok("elbv2", "RegisterTargets", input.clone());
    assert_eq!(health(&mut aws, &fleet.target_group), ["initial"]);
    aws.pass(10);
    assert_eq!(health(&mut aws, &fleet.target_group), ["healthy"]);
    aws.ok("elbv2", "DeregisterTargets", input);
    assert_eq!(health(&mut aws, &fleet.target_group), ["draining"]);
    aws.pass(299);
    assert_eq!(health(&mut aws, &fleet.target_group), ["draining"]);
    aws.pass(1);
    assert!(health(&mut aws, &fleet.target_group).is_empty());
}

#[test]
fn a_target_that_does_not_boot_becomes_unhealthy() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(0, InstanceBehavior::never_boots());
    let id = instance(&mut aws, &fleet.new);
    aws.pass(10);
    aws.ok(
        "elbv2",
        "RegisterTargets",
        json!({ "TargetGroupArn": fleet.target_group, "Targets": [{ "Id": id }] }),
    );
    aws.pass(600);
    assert_eq!(health(&mut aws, &fleet.target_group), ["unhealthy"]);
}

#[test]
fn a_group_without_a_listener_is_unused_until_it_has_one() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(0, InstanceBehavior::default());
    let canary = group(&mut aws, "canary");
    let id = instance(&mut aws, &fleet.old);
    aws.pass(60);
    aws.ok("elbv2", "RegisterTargets", json!({ "TargetGroupArn": canary, "Targets": [{ "Id": id }] }));
    aws.pass(600);
    assert_eq!(health(&mut aws, &canary), ["unused"], "waiting does not help");
    let listener = listener(&mut aws);
    let actions = forward(&[(&fleet.target_group, 90), (&canary, 10)]);
    aws.ok("elbv2", "ModifyListener", json!({ "ListenerArn": listener, "DefaultActions": actions }));
    aws.pass(60);
    assert_eq!(health(&mut aws, &canary), ["healthy"]);
    assert_eq!(
        aws.refused("elbv2", "DeleteTargetGroup", json!({ "TargetGroupArn": canary })),
        "ResourceInUse"
    );
    let alone = forward(&[(&fleet.target_group, 1)]);
    aws.ok("elbv2", "ModifyListener", json!({ "ListenerArn": listener, "DefaultActions": alone }));
    assert_eq!(health(&mut aws, &canary), ["unused"]);
    aws.ok("elbv2", "DeleteTargetGroup", json!({ "TargetGroupArn": canary }));
}

#[test]
fn traffic_follows_the_weights_without_failover() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(2, InstanceBehavior::default());
    let canary = group(&mut aws, "canary");
    let listener = listener(&mut aws);
    for (stable, new, expected) in [(90, 10, (540.0, 60.0)), (0, 1, (0.0, 600.0)), (0, 0, (0.0, 0.0))] {
        let actions = forward(&[(&fleet.target_group, stable), (&canary, new)]);
        aws.ok("elbv2", "ModifyListener", json!({ "ListenerArn": listener, "DefaultActions": actions }));
        let rates = traffic(&aws.world);
        assert_eq!((rates[&fleet.target_group].1, rates[&canary].1), expected);
    }
    assert!(cloudwatch::OPERATIONS.contains(&"GetMetricData"));
}

#[test]
fn modifying_a_rule_replaces_its_whole_list() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(0, InstanceBehavior::default());
    let canary = group(&mut aws, "canary");
    let listener = listener(&mut aws);
    let mut actions = forward(&[(&fleet.target_group, 1), (&canary, 1)]);
    actions[0]["ForwardConfig"]["TargetGroupStickinessConfig"] =
        json!({ "Enabled": true, "DurationSeconds": 60 });
    let conditions = json!([{ "Field": "path-pattern", "Values": ["/api/*"] }]);
    let input =
        json!({ "ListenerArn": listener, "Priority": 10, "Conditions": conditions, "Actions": actions });
    let answer = aws.ok("elbv2", "CreateRule", input.clone());
    let rule = answer["Rules"][0]["RuleArn"].clone();
    assert_eq!(aws.refused("elbv2", "CreateRule", input), "PriorityInUse");
    let input = json!({ "RuleArn": rule, "Actions": forward(&[(&fleet.target_group, 5), (&canary, 7)]) });
    aws.ok("elbv2", "ModifyRule", input);
    let answer = aws.ok("elbv2", "DescribeRules", json!({ "ListenerArn": listener }));
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
    assert_eq!(aws.refused("elbv2", "ModifyRule", default), "OperationNotPermitted");
}

#[test]
fn invalid_actions_are_rejected() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(0, InstanceBehavior::default());
    let canary = group(&mut aws, "canary");
    let listener = listener(&mut aws);
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
        assert_eq!(aws.refused("elbv2", "ModifyListener", input), code, "{actions}");
    }
}

#[test]
fn tags_are_stored_by_arn() {
    let mut aws = TestAws::new();
    let fleet = aws.fleet(0, InstanceBehavior::default());
    let arns = json!([fleet.target_group]);
    aws.ok(
        "elbv2",
        "AddTags",
        json!({ "ResourceArns": arns, "Tags": [{ "Key": "a", "Value": "1" }, { "Key": "b", "Value": "2" }] }),
    );
    aws.ok("elbv2", "RemoveTags", json!({ "ResourceArns": arns, "TagKeys": ["a"] }));
    let answer = aws.ok("elbv2", "DescribeTags", json!({ "ResourceArns": arns }));
    assert_eq!(answer["TagDescriptions"][0]["Tags"], json!([{ "Key": "b", "Value": "2" }]));
}
