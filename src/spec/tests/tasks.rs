//! The rules of tests in tasks, each with a mistake that breaks it.

use super::parse;

const TASK: &str = "version: 1
service: web
test:
  task:
    cluster: staging
    subnets: [subnet-0123456789abcdef0]
    security_groups: [sg-0123456789abcdef0]
    cpu: 256
    memory: 512
    execution_role: arn:aws:iam::123456789012:role/web-execution
    ports: [8080]
    health_check: { command: [CMD-SHELL, curl -f http://127.0.0.1:8080/healthz] }
  boot_timeout: 5m
  timeout: 1h
  checks:
    - { name: serves, http: { url: \"http://127.0.0.1:8080/healthz\" }, timeout: 1m }
    - { name: port, tcp: { port: 8080 }, timeout: 1m }
";

#[test]
fn a_test_in_a_task_is_read_and_survives_being_written() {
    let spec = parse(TASK).unwrap_or_else(|errors| panic!("{errors}"));
    let test = spec.test().expect("the spec tests");
    assert!(test.instance.is_none());
    assert_eq!(test.task.as_ref().map(|task| task.ports.as_slice()), Some(&[8080][..]));
    assert_eq!(parse(&serde_json::to_string(&spec).expect("a spec is JSON")), Ok(spec));
}

#[test]
fn a_job_needs_no_checks() {
    let job = TASK.replace(
        "    health_check: { command: [CMD-SHELL, curl -f http://127.0.0.1:8080/healthz] }\n",
        "    exits: 0\n",
    );
    let checks = job.find("  checks:").expect("there are checks");
    parse(&job[..checks]).unwrap_or_else(|errors| panic!("{errors}"));
    let told = parse(&job).expect_err("a job with checks").to_string();
    assert!(told.contains("the task is a job that exits with 0, and there are checks"), "{told}");
}

#[test]
fn mistakes_in_tasks_are_told_with_their_place() {
    let check = "    - { name: port, tcp: { port: 8080 }, timeout: 1m }\n";
    let cases = [
        ("cpu: 256", "cpu: 300", "8:10", "test.task.cpu is 300"),
        ("memory: 512", "memory: 768", "9:13", "test.task.memory is 768 with a cpu of 256"),
        ("memory: 512", "memory: 1536", "9:13", "512 to 2048 in steps of 512"),
        ("command: [CMD-SHELL", "command: [CMD SHELL", "12:21", "the health check begins with \"CMD SHELL\""),
        ("ports: [8080]", "ports: [80]", "16:", "asks port 8080, which is none of task.ports"),
        (
            "http://127.0.0.1:8080/healthz\"",
            "http://169.254.170.2:8080/\"",
            "16:",
            "asks \"http://169.254.170.2:8080/\"",
        ),
        ("http://127.0.0.1:8080/healthz\"", "https://127.0.0.1:8080/\"", "16:", "the task itself, by http"),
        ("tcp: { port: 8080 }", "tcp: { host: db, port: 8080 }", "17:", "asks \"db\""),
        ("name: port", "name: task", "17:", "a check is named \"task\""),
        (
            check,
            "    - { name: port, script: checks/a.sh, timeout: 1m }\n",
            "17:",
            "run by Systems Manager on an instance",
        ),
        (
            check,
            "    - { name: port, reboot: comes_back, timeout: 1m }\n",
            "17:",
            "http and tcp checks of a task",
        ),
        ("  boot_timeout: 5m", "  boot_timeout: 5m\n  spot: true", "14:", "test has both task and spot"),
        (
            "  boot_timeout: 5m",
            "  boot_timeout: 5m\n  instance_type: t3.small",
            "14:",
            "test has both task and instance_type",
        ),
        (
            "    ports: [8080]",
            "    ports: [8080]\n    environment: { A: b }\n    secrets: { A: { parameter: /a } }",
            "13:",
            "A is a secret and stands in environment",
        ),
        (
            "service: web\n",
            "service: web\nbake: { timeout: 2h, recipe: { parent_image: ami-0123456789abcdef0, components: [{ document: a.yaml }], infrastructure: \"arn:aws:imagebuilder:eu-west-1:123456789012:infrastructure-configuration/web\" } }\n",
            "5:",
            "bake makes a machine image, and test has a task",
        ),
    ];
    for (passage, replacement, place, message) in cases {
        assert_eq!(TASK.matches(passage).count(), 1, "{passage}");
        let told = parse(&TASK.replacen(passage, replacement, 1)).expect_err(replacement).to_string();
        assert!(
            told.contains(&format!("bakeline.yaml:{place}")) && told.contains(message),
            "{replacement}: {told}"
        );
    }
}

#[test]
fn an_instance_needs_all_it_is_launched_with() {
    let bare = "version: 1\nservice: web\ntest:\n  boot_timeout: 5m\n  timeout: 1h\n";
    let told = parse(bare).expect_err("neither an instance nor a task").to_string();
    for key in ["subnet", "security_groups", "instance_profile", "instance_type", "checks"] {
        assert!(told.contains(&format!("test has no key \"{key}\"")), "{told}");
    }
}
