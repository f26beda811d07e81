//! The rules of tests in tasks, each with a mistake that breaks it.

use super::parse;

const TASK: &str = "version: 2
service: web
test:
  task:
    cluster: staging
    subnets: [subnet-0123456789abcdef0]
    security_groups: [sg-0123456789abcdef0]
    cpu_units: 256
    memory_mib: 512
    execution_role: arn:aws:iam::123456789012:role/web-execution
    ports: [8080]
    health_check: { command: [CMD-SHELL, curl -f http://127.0.0.1:8080/healthz] }
  start_timeout: 5m
  timeout: 1h
  checks:
    - { name: serves, http: { url: \"http://127.0.0.1:8080/healthz\" }, timeout: 1m }
    - { name: port, tcp: { port: 8080 }, timeout: 1m }
";

#[test]
fn a_test_in_a_task_parses_and_survives_serialization() {
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
        "    expect_exit_code: 0\n",
    );
    let checks = job.find("  checks:").expect("there are checks");
    parse(&job[..checks]).unwrap_or_else(|errors| panic!("{errors}"));
    let output = parse(&job).expect_err("a job with checks").to_string();
    assert!(output.contains("ends with exit code 0, and test has checks"), "{output}");
}

#[test]
fn mistakes_in_tasks_are_reported_with_their_position() {
    let check = "    - { name: port, tcp: { port: 8080 }, timeout: 1m }\n";
    let cases = [
        ("cpu_units: 256", "cpu_units: 300", "8:16", "test.task.cpu_units is 300"),
        ("memory_mib: 512", "memory_mib: 768", "9:17", "test.task.memory_mib is 768 with 256 cpu_units"),
        ("memory_mib: 512", "memory_mib: 1536", "9:17", "512 to 2048 in steps of 512"),
        (
            "command: [CMD-SHELL",
            "command: [CMD SHELL",
            "12:21",
            "the command of the health check begins with \"CMD SHELL\"",
        ),
        ("ports: [8080]", "ports: [80]", "16:", "connects to port 8080, which is not in task.ports"),
        (
            "http://127.0.0.1:8080/healthz\"",
            "http://169.254.170.2:8080/\"",
            "16:",
            "connects to \"http://169.254.170.2:8080/\"",
        ),
        ("http://127.0.0.1:8080/healthz\"", "https://127.0.0.1:8080/\"", "16:", "the task itself: http"),
        ("tcp: { port: 8080 }", "tcp: { host: db, port: 8080 }", "17:", "connects to \"db\""),
        ("name: port", "name: task", "17:", "the check is named \"task\""),
        (
            check,
            "    - { name: port, script: { path: checks/a.sh }, timeout: 1m }\n",
            "17:",
            "needs an instance with Systems Manager",
        ),
        (check, "    - { name: port, reboot: {}, timeout: 1m }\n", "17:", "http and tcp checks only"),
        (
            "  start_timeout: 5m",
            "  start_timeout: 5m\n  output: s3://web-output/checks",
            "14:",
            "test has output and task",
        ),
        (
            "    ports: [8080]",
            "    ports: [8080]\n    env: { BAKELINE_SECRETS: b }",
            "12:",
            "the environment variable BAKELINE_SECRETS is reserved",
        ),
        (
            "    ports: [8080]",
            "    ports: [8080]\n    env: { A: b }\n    secrets: { A: ssm:/a }",
            "13:",
            "the variable A is given in secrets and in env",
        ),
        (
            "service: web\n",
            "service: web\nbake: { timeout: 2h, image_recipe: { parent_image: ami-0123456789abcdef0, components: [{ path: a.yaml }], infrastructure_configuration: \"arn:aws:imagebuilder:eu-west-1:123456789012:infrastructure-configuration/web\" } }\n",
            "5:",
            "bake.image_recipe makes a machine image, and test has a task",
        ),
    ];
    for (passage, replacement, place, message) in cases {
        assert_eq!(TASK.matches(passage).count(), 1, "{passage}");
        let output = parse(&TASK.replacen(passage, replacement, 1)).expect_err(replacement).to_string();
        assert!(
            output.contains(&format!("bakeline.yaml:{place}")) && output.contains(message),
            "{replacement}: {output}"
        );
    }
}

#[test]
fn a_test_needs_an_instance_or_a_task() {
    let bare = "version: 2\nservice: web\ntest:\n  start_timeout: 5m\n  timeout: 1h\n";
    let output = parse(bare).expect_err("neither an instance nor a task").to_string();
    assert!(output.contains("test has none of instance, task"), "{output}");
}
