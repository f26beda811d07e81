//! Tests of the documented rules of ECS tasks and services.

use serde_json::{Value, json};

use super::super::super::container_behavior::{AnswerRule, ContainerBehavior, ExitRule};
use super::super::super::span::Span;
use super::super::test_aws::{ACCOUNT, REGION, TestAws};
use super::super::{ec2, ecr};
use super::{Reached, knock};

const CLUSTER: &str = "staging";
const IMAGE: &str = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/web:1";

struct Fixtures {
    aws: TestAws,
    subnet: String,
}

fn cluster(behavior: ContainerBehavior) -> Fixtures {
    let mut aws = TestAws::new();
    aws.world.ecs.options.container = behavior;
    let subnet = ec2::seed_subnet(&mut aws.world, ACCOUNT, REGION, "eu-west-1a", "vpc-1");
    aws.ok("ecs", "CreateCluster", json!({ "clusterName": CLUSTER }));
    ecr::seed_repository(&mut aws.world, ACCOUNT, REGION, "web");
    let manifest = ecr::sample_manifest("web");
    ecr::push(&mut aws.world, (ACCOUNT, REGION), "web", &["1"], &manifest).unwrap();
    Fixtures { aws, subnet }
}

impl Fixtures {
    fn register(&mut self, container: Value) -> String {
        let mut definition = json!({ "name": "app", "image": IMAGE,
            "portMappings": [{ "containerPort": 8080 }] });
        definition.as_object_mut().unwrap().extend(container.as_object().unwrap().clone());
        let input = json!({ "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
            "cpu": "256", "memory": "512", "executionRoleArn": "arn:aws:iam::111122223333:role/run",
            "containerDefinitions": [definition] });
        let answer = self.aws.ok("ecs", "RegisterTaskDefinition", input);
        answer["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
    }

    fn request(&self, definition: &str) -> Value {
        json!({ "cluster": CLUSTER, "taskDefinition": definition, "launchType": "FARGATE",
            "clientToken": "token-1", "startedBy": "run-1",
            "networkConfiguration": { "awsvpcConfiguration": { "subnets": [self.subnet] } } })
    }

    fn run(&mut self, container: Value) -> String {
        let definition = self.register(container);
        let request = self.request(&definition);
        let answer = self.aws.ok("ecs", "RunTask", request);
        answer["tasks"][0]["taskArn"].as_str().unwrap().to_owned()
    }

    fn task(&mut self, arn: &str) -> Value {
        let answer = self.aws.ok("ecs", "DescribeTasks", json!({ "cluster": CLUSTER, "tasks": [arn] }));
        answer["tasks"][0].clone()
    }

    /// Every status that a task goes through from now on, until it is unchanged for ten minutes.
    fn statuses(&mut self, arn: &str) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        let mut same = 0;
        while same < 600 {
            let status = self.task(arn)["lastStatus"].as_str().unwrap().to_owned();
            if seen.last() == Some(&status) {
                same += 1;
            } else {
                seen.push(status);
                same = 0;
            }
            self.aws.pass(1);
        }
        seen
    }

    fn stopped_tasks(&mut self) -> usize {
        let answer =
            self.aws.ok("ecs", "ListTasks", json!({ "cluster": CLUSTER, "desiredStatus": "STOPPED" }));
        answer["taskArns"].as_array().unwrap().len()
    }
}

#[test]
fn a_task_goes_through_every_status_and_responds_at_its_address() {
    let mut cluster = cluster(ContainerBehavior {
        answers: vec![AnswerRule {
            port: None,
            path: "/bad".into(),
            status: 500,
            body: "no".into(),
            duration: None,
        }],
        ..ContainerBehavior::default()
    });
    let arn = cluster.run(json!({}));
    assert_eq!(cluster.statuses(&arn), ["PROVISIONING", "PENDING", "RUNNING"]);
    let task = cluster.task(&arn);
    let details = task["attachments"][0]["details"].as_array().unwrap();
    let address =
        details.iter().find(|d| d["name"] == "privateIPv4Address").unwrap()["value"].as_str().unwrap();
    assert_eq!(task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"], address);
    assert!(task["containers"][0]["imageDigest"].as_str().unwrap().starts_with("sha256:"));
    let ask = |cluster: &Fixtures, port, path| knock(&cluster.aws.world, address, port, path);
    assert_eq!(ask(&cluster, 8080, "/"), Reached::Answer { status: 200, body: "ok".into() });
    assert_eq!(ask(&cluster, 8080, "/bad/one"), Reached::Answer { status: 500, body: "no".into() });
    assert_eq!(ask(&cluster, 9090, "/"), Reached::Refused);
    assert_eq!(knock(&cluster.aws.world, "10.9.9.9", 8080, "/"), Reached::Nobody);

    cluster.aws.ok("ecs", "StopTask", json!({ "cluster": CLUSTER, "task": arn, "reason": "enough" }));
    assert_eq!(cluster.statuses(&arn), ["STOPPING", "DEPROVISIONING", "STOPPED"]);
    let task = cluster.task(&arn);
    assert_eq!((&task["stopCode"], &task["stoppedReason"]), (&json!("UserInitiated"), &json!("enough")));
    assert_eq!(task["containers"][0]["exitCode"], 143);
    assert_eq!(knock(&cluster.aws.world, address, 8080, "/"), Reached::Nobody);
    // A stopped task is described for an hour.
    cluster.aws.pass(3600);
    let answer = cluster.aws.ok("ecs", "DescribeTasks", json!({ "cluster": CLUSTER, "tasks": [arn] }));
    assert_eq!(answer["failures"][0]["reason"], "MISSING");
}

#[test]
fn an_essential_container_that_ends_stops_the_task_with_its_exit_code() {
    let exits = vec![ExitRule { contains: "migrate".into(), exit_code: 3, after: Span::from_secs(20) }];
    let mut cluster = cluster(ContainerBehavior { exits, ..ContainerBehavior::default() });
    let arn = cluster.run(json!({ "command": ["bin/migrate", "--check"] }));
    assert_eq!(cluster.statuses(&arn), ["PROVISIONING", "PENDING", "RUNNING", "DEPROVISIONING", "STOPPED"]);
    let task = cluster.task(&arn);
    assert_eq!(task["stopCode"], "EssentialContainerExited");
    assert_eq!(task["containers"][0]["exitCode"], 3);
    // Another command of the same image keeps running.
    let definition = cluster.register(json!({}));
    let mut request = cluster.request(&definition);
    request["clientToken"] = json!("token-2");
    let other = cluster.aws.ok("ecs", "RunTask", request)["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    assert_eq!(cluster.statuses(&other).last().unwrap(), "RUNNING");
}

#[test]
fn an_image_that_cannot_be_pulled_stops_the_task_before_it_ran() {
    let pull_error = Some("failed to resolve ref web:1: not found".to_owned());
    let mut cluster = cluster(ContainerBehavior { pull_error, ..ContainerBehavior::default() });
    let arn = cluster.run(json!({}));
    assert_eq!(cluster.statuses(&arn), ["PROVISIONING", "PENDING", "DEPROVISIONING", "STOPPED"]);
    let task = cluster.task(&arn);
    assert_eq!(task["stopCode"], "TaskFailedToStart");
    assert!(task["stoppedReason"].as_str().unwrap().starts_with("CannotPullContainerError: "));
    assert!(task["containers"][0].get("exitCode").is_none());
}

#[test]
fn an_ecr_tag_resolves_to_its_current_image() {
    let mut cluster = cluster(ContainerBehavior::default());
    let there = cluster.aws.ok("ecr", "DescribeImages", json!({ "repositoryName": "web" }));
    let digest = there["imageDetails"][0]["imageDigest"].as_str().unwrap().to_owned();
    let arn = cluster.run(json!({}));
    cluster.aws.pass(60);
    assert_eq!(cluster.task(&arn)["containers"][0]["imageDigest"], digest.as_str());
    let ids = json!({ "repositoryName": "web", "imageIds": [{ "imageDigest": digest }] });
    cluster.aws.ok("ecr", "BatchDeleteImage", ids);
    let definition = cluster.register(json!({}));
    let mut request = cluster.request(&definition);
    request["clientToken"] = json!("token-2");
    let other = cluster.aws.ok("ecs", "RunTask", request)["tasks"][0]["taskArn"].as_str().unwrap().to_owned();
    cluster.aws.pass(60);
    let reason = cluster.task(&other)["stoppedReason"].as_str().unwrap().to_owned();
    assert!(
        reason.starts_with("CannotPullContainerError: ") && reason.ends_with("web:1: not found"),
        "{reason}"
    );
}

#[test]
fn task_health_follows_the_container_health_checks() {
    let check = json!({ "healthCheck": { "command": ["CMD-SHELL", "curl -f localhost:8080"], "interval": 10,
        "retries": 2, "startPeriod": 30 } });
    for (healthy, start_seconds, expected) in [
        (true, 5, vec!["UNKNOWN", "HEALTHY"]),
        (false, 5, vec!["UNKNOWN", "UNHEALTHY"]),
        (true, 75, vec!["UNKNOWN", "UNHEALTHY", "HEALTHY"]),
    ] {
        let mut cluster = cluster(ContainerBehavior {
            start: Span::from_secs(start_seconds),
            healthy,
            ..ContainerBehavior::default()
        });
        let arn = cluster.run(check.clone());
        let mut seen: Vec<String> = Vec::new();
        for _ in 0..200 {
            let health = cluster.task(&arn)["healthStatus"].as_str().unwrap().to_owned();
            if seen.last() != Some(&health) {
                seen.push(health);
            }
            cluster.aws.pass(1);
        }
        assert_eq!(seen, expected);
        assert_eq!(
            cluster.task(&arn)["lastStatus"],
            "RUNNING",
            "ECS stops no standalone task for its health"
        );
    }
}

#[test]
fn a_client_token_starts_a_task_once_and_is_bound_to_its_request() {
    let mut cluster = cluster(ContainerBehavior::default());
    let definition = cluster.register(json!({}));
    let mut request = cluster.request(&definition);
    let first = cluster.aws.ok("ecs", "RunTask", request.clone());
    cluster.aws.pass(60);
    let again = cluster.aws.ok("ecs", "RunTask", request.clone());
    assert_eq!(first["tasks"][0]["taskArn"], again["tasks"][0]["taskArn"]);
    assert_eq!(again["tasks"][0]["lastStatus"], "RUNNING");
    request["startedBy"] = json!("run-2");
    assert_eq!(cluster.aws.refused("ecs", "RunTask", request), "ConflictException");
    let mine = json!({ "cluster": CLUSTER, "startedBy": "run-1" });
    assert_eq!(cluster.aws.ok("ecs", "ListTasks", mine)["taskArns"], json!([first["tasks"][0]["taskArn"]]));
    let both = json!({ "cluster": CLUSTER, "startedBy": "run-1", "family": "web" });
    assert_eq!(cluster.aws.refused("ecs", "ListTasks", both), "InvalidParameterException");
}

#[test]
fn revision_numbers_are_not_reused_and_definitions_are_deregistered_before_deletion() {
    let mut cluster = cluster(ContainerBehavior::default());
    let (one, two) = (cluster.register(json!({})), cluster.register(json!({})));
    assert!(one.ends_with("web:1") && two.ends_with("web:2"), "{one} {two}");
    let delete = json!({ "taskDefinitions": [two] });
    let refused = cluster.aws.ok("ecs", "DeleteTaskDefinitions", delete.clone());
    assert!(refused["failures"][0]["reason"].as_str().unwrap().contains("ACTIVE"));
    cluster.aws.ok("ecs", "DeregisterTaskDefinition", json!({ "taskDefinition": two }));
    let request = cluster.request(&two);
    assert_eq!(cluster.aws.refused("ecs", "RunTask", request), "ClientException");
    cluster.aws.ok("ecs", "DeleteTaskDefinitions", delete);
    cluster.aws.pass(61);
    assert_eq!(
        cluster.aws.refused("ecs", "DescribeTaskDefinition", json!({ "taskDefinition": two })),
        "ClientException"
    );
    assert!(cluster.register(json!({})).ends_with("web:3"), "a number is not given twice");
}

#[test]
fn invalid_fargate_sizes_and_definitions_are_rejected() {
    let mut cluster = cluster(ContainerBehavior::default());
    let input = json!({ "family": "web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"],
        "cpu": "256", "memory": "512", "executionRoleArn": "arn:aws:iam::111122223333:role/run",
        "containerDefinitions": [{ "name": "app", "image": IMAGE }] });
    cluster.aws.ok("ecs", "RegisterTaskDefinition", input.clone());
    for (member, value) in [
        ("memory", json!("8192")),
        ("cpu", json!("300")),
        ("networkMode", json!("bridge")),
        ("executionRoleArn", Value::Null),
        ("containerDefinitions", json!([{ "name": "app", "image": IMAGE, "essential": false }])),
        (
            "containerDefinitions",
            json!([{ "name": "app", "image": IMAGE,
            "healthCheck": { "command": ["CMD", "x"], "interval": 1 } }]),
        ),
    ] {
        let mut bad = input.clone();
        bad[member] = value;
        assert_eq!(cluster.aws.refused("ecs", "RegisterTaskDefinition", bad), "ClientException", "{member}");
    }
}

#[test]
fn a_rolling_update_never_falls_below_the_minimum() {
    let mut cluster = cluster(ContainerBehavior::default());
    let definition = cluster.register(json!({}));
    let network = cluster.request(&definition)["networkConfiguration"].clone();
    let input = json!({ "cluster": CLUSTER, "serviceName": "web", "taskDefinition": definition,
        "desiredCount": 3, "launchType": "FARGATE", "networkConfiguration": network });
    cluster.aws.ok("ecs", "CreateService", input);
    cluster.aws.pass(120);
    let look = json!({ "cluster": CLUSTER, "services": ["web"] });
    let service = cluster.aws.ok("ecs", "DescribeServices", look.clone())["services"][0].clone();
    assert_eq!(
        (&service["runningCount"], &service["deployments"][0]["rolloutState"]),
        (&json!(3), &json!("COMPLETED"))
    );
    let next = cluster.register(json!({}));
    let update = json!({ "cluster": CLUSTER, "service": "web", "taskDefinition": next });
    cluster.aws.ok("ecs", "UpdateService", update);
    let mut least = 3;
    cluster.aws.until(600, |aws| {
        let service = aws.ok("ecs", "DescribeServices", look.clone())["services"][0].clone();
        least = least.min(service["runningCount"].as_u64().unwrap());
        let deployments = service["deployments"].as_array().unwrap();
        deployments.len() == 1 && deployments[0]["rolloutState"] == "COMPLETED"
    });
    assert_eq!(least, 3);
    let service = cluster.aws.ok("ecs", "DescribeServices", look.clone())["services"][0].clone();
    assert_eq!((&service["runningCount"], &service["taskDefinition"]), (&json!(3), &json!(next)));
    assert_eq!(cluster.stopped_tasks(), 3);
    let delete = json!({ "cluster": CLUSTER, "service": "web" });
    assert_eq!(cluster.aws.refused("ecs", "DeleteService", delete.clone()), "InvalidParameterException");
    cluster.aws.ok(
        "ecs",
        "UpdateService",
        json!({ "cluster": CLUSTER, "service": "web", "desiredCount": 0 }),
    );
    cluster.aws.ok("ecs", "DeleteService", delete);
    cluster.aws.pass(120);
    assert_eq!(cluster.aws.ok("ecs", "DescribeServices", look)["services"][0]["status"], "INACTIVE");
    cluster.aws.ok("ecs", "DeleteCluster", json!({ "cluster": CLUSTER }));
}

#[test]
fn the_circuit_breaker_rolls_back_to_the_previous_definition() {
    let mut cluster = cluster(ContainerBehavior::default());
    let good = cluster.register(json!({}));
    let network = cluster.request(&good)["networkConfiguration"].clone();
    let input = json!({ "cluster": CLUSTER, "serviceName": "web", "taskDefinition": good, "desiredCount": 1,
        "launchType": "FARGATE", "networkConfiguration": network,
        "deploymentConfiguration": { "deploymentCircuitBreaker": { "enable": true, "rollback": true } } });
    cluster.aws.ok("ecs", "CreateService", input);
    cluster.aws.pass(120);
    let bad = cluster.register(json!({ "command": ["crash"] }));
    cluster.aws.world.ecs.options.container.exits =
        vec![ExitRule { contains: "crash".into(), exit_code: 1, after: Span::from_secs(1) }];
    cluster.aws.ok(
        "ecs",
        "UpdateService",
        json!({ "cluster": CLUSTER, "service": "web", "taskDefinition": bad }),
    );
    let look = json!({ "cluster": CLUSTER, "services": ["web"] });
    cluster.aws.until(1200, |aws| {
        let service = aws.ok("ecs", "DescribeServices", look.clone())["services"][0].clone();
        service["taskDefinition"] == json!(good) && service["deployments"][0]["rolloutState"] == "COMPLETED"
    });
}
