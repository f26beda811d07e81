//! Tests of Run Command and managed nodes.

use super::super::super::super::span::Span;
use super::*;

fn rule(contains: &str, exit_code: i32, stdout: &str, seconds: u64) -> CommandRule {
    CommandRule {
        contains: contains.into(),
        exit_code,
        stdout: stdout.into(),
        stderr: format!("{contains} said so\n"),
        duration: Span::from_secs(seconds),
        times: None,
    }
}

fn input(instance: &str, script: &str) -> Value {
    json!({ "InstanceIds": [instance], "DocumentName": "AWS-RunShellScript",
        "Parameters": { "commands": script.split('\n').collect::<Vec<_>>() } })
}

fn send(world: &mut World, instance: &str, script: &str) -> String {
    let answer = ask(world, "SendCommand", input(instance, script)).unwrap();
    assert_eq!(answer["Command"]["Status"], "Pending");
    answer["Command"]["CommandId"].as_str().unwrap().to_owned()
}

fn look(world: &mut World, command: &str, instance: &str) -> Result<Value, ApiError> {
    ask(world, "GetCommandInvocation", json!({ "CommandId": command, "InstanceId": instance }))
}

#[test]
fn an_invocation_appears_runs_and_ends() {
    let (mut world, id) = online(vec![rule("curl", 0, "ok\n", 10)]);
    let command = send(&mut world, &id, "set -e\ncurl -f localhost");
    assert_eq!(look(&mut world, &command, &id).unwrap_err().code, "InvocationDoesNotExist");
    for (seconds, status, code, output) in [
        (1, "Pending", -1, ""),
        (1, "InProgress", -1, ""),
        (9, "InProgress", -1, ""),
        (1, "Success", 0, "ok\n"),
    ] {
        wait(&mut world, seconds);
        let seen = look(&mut world, &command, &id).unwrap();
        assert_eq!(
            (&seen["Status"], &seen["ResponseCode"], &seen["StandardOutputContent"]),
            (&json!(status), &json!(code), &json!(output))
        );
        assert_eq!(seen["StatusDetails"], seen["Status"]);
    }
}

#[test]
fn the_first_matching_rule_applies_and_without_one_the_command_succeeds() {
    let rules = vec![rule("bad", 3, "", 0), rule("ba", 4, "", 0)];
    for (script, status, code) in
        [("run bad", "Failed", 3), ("run bar", "Failed", 4), ("other", "Success", 0)]
    {
        let (mut world, id) = online(rules.clone());
        let command = send(&mut world, &id, script);
        wait(&mut world, 10);
        let seen = look(&mut world, &command, &id).unwrap();
        assert_eq!((&seen["Status"], &seen["ResponseCode"]), (&json!(status), &json!(code)), "{script}");
    }
}

#[test]
fn the_returned_output_is_truncated() {
    let long = CommandRule { stderr: "e".repeat(9000), ..rule("x", 1, &"o".repeat(30_000), 0) };
    let (mut world, id) = online(vec![long]);
    let command = send(&mut world, &id, "x");
    wait(&mut world, 10);
    let seen = look(&mut world, &command, &id).unwrap();
    assert_eq!(seen["StandardOutputContent"].as_str().unwrap().len(), 24_000);
    assert_eq!(seen["StandardErrorContent"].as_str().unwrap().len(), 8_000);
    let details = json!({ "CommandId": command, "Details": true });
    let listed = ask(&mut world, "ListCommandInvocations", details).unwrap();
    let plugin = &listed["CommandInvocations"][0]["CommandPlugins"][0];
    assert_eq!(plugin["Output"].as_str().unwrap().len(), 2_500);
}

#[test]
fn a_script_is_killed_by_its_execution_timeout() {
    let (mut world, id) = online(vec![rule("sleep", 0, "", 600)]);
    let mut request = input(&id, "sleep 600");
    request["Parameters"]["executionTimeout"] = json!(["30"]);
    let answer = ask(&mut world, "SendCommand", request).unwrap();
    let command = answer["Command"]["CommandId"].as_str().unwrap().to_owned();
    wait(&mut world, 31);
    assert_eq!(look(&mut world, &command, &id).unwrap()["Status"], "InProgress");
    wait(&mut world, 1);
    let seen = look(&mut world, &command, &id).unwrap();
    assert_eq!(
        (&seen["Status"], &seen["StatusDetails"]),
        (&json!("TimedOut"), &json!("Execution Timed Out"))
    );
}

#[test]
fn an_undelivered_command_times_out() {
    let (mut world, id) = online(vec![]);
    let mut request = input(&id, "true");
    request["TimeoutSeconds"] = json!(30);
    let answer = ask(&mut world, "SendCommand", request).unwrap();
    let command = answer["Command"]["CommandId"].as_str().unwrap().to_owned();
    call(&mut world, "ec2", "TerminateInstances", json!({ "InstanceIds": [id] })).unwrap();
    wait(&mut world, 29);
    assert_eq!(look(&mut world, &command, &id).unwrap()["Status"], "Pending");
    wait(&mut world, 1);
    assert_eq!(look(&mut world, &command, &id).unwrap()["StatusDetails"], "Delivery Timed Out");
    let listed = ask(&mut world, "ListCommands", json!({ "CommandId": command })).unwrap();
    let shown = &listed["Commands"][0];
    assert_eq!((&shown["Status"], &shown["DeliveryTimedOutCount"]), (&json!("TimedOut"), &json!(1)));
    assert_eq!(shown["StatusDetails"], "Delivery Timed Out");
}

#[test]
fn a_command_can_be_cancelled() {
    let (mut world, id) = online(vec![rule("sleep", 0, "", 600)]);
    let command = send(&mut world, &id, "sleep 600");
    wait(&mut world, 5);
    ask(&mut world, "CancelCommand", json!({ "CommandId": command })).unwrap();
    assert_eq!(look(&mut world, &command, &id).unwrap()["Status"], "Cancelling");
    wait(&mut world, 1);
    assert_eq!(look(&mut world, &command, &id).unwrap()["Status"], "Cancelled");
    wait(&mut world, 3600);
    assert_eq!(look(&mut world, &command, &id).unwrap()["Status"], "Cancelled");
}

#[test]
fn invalid_requests_are_rejected() {
    let (mut world, id) = online(vec![]);
    let with = |member: &str, value: Value| {
        let mut request = input(&id, "true");
        request[member] = value;
        request
    };
    let too_many: Vec<String> = (0..51).map(|n| format!("i-{n}")).collect();
    for (request, code) in [
        (with("InstanceIds", json!(["i-0none"])), "InvalidInstanceId"),
        (with("InstanceIds", json!([id, id])), "DuplicateInstanceId"),
        (with("InstanceIds", json!(too_many)), "ValidationException"),
        (with("Targets", json!([{ "Key": "tag:a", "Values": ["b"] }])), "ValidationException"),
        (with("DocumentName", json!("Mine")), "InvalidDocument"),
        (with("DocumentVersion", json!("7")), "InvalidDocumentVersion"),
        (with("Parameters", json!({})), "InvalidParameters"),
        (with("Parameters", json!({ "commands": ["x"], "other": ["y"] })), "InvalidParameters"),
        (with("TimeoutSeconds", json!(29)), "ValidationException"),
    ] {
        assert_eq!(ask(&mut world, "SendCommand", request.clone()).unwrap_err().code, code, "{request}");
    }
}

#[test]
fn a_command_whose_targets_match_nothing_succeeds() {
    let (mut world, _) = online(vec![]);
    let request = json!({ "Targets": [{ "Key": "tag:service", "Values": ["none"] }],
        "DocumentName": "AWS-RunShellScript", "Parameters": { "commands": ["true"] } });
    let command = ask(&mut world, "SendCommand", request).unwrap()["Command"].clone();
    assert_eq!((&command["Status"], &command["TargetCount"]), (&json!("Success"), &json!(0)));
}

#[test]
fn the_same_request_twice_sends_two_commands() {
    let (mut world, id) = online(vec![]);
    assert_ne!(send(&mut world, &id, "true"), send(&mut world, &id, "true"));
    let filter = json!({ "InstanceId": id, "Filters": [{ "key": "Status", "value": "Pending" }] });
    let listed = ask(&mut world, "ListCommands", filter).unwrap();
    assert_eq!(listed["Commands"].as_array().unwrap().len(), 2);
}

#[test]
fn an_instance_is_online_after_its_status_checks_and_only_with_an_instance_profile() {
    for (profile, boots, seconds, expected) in [
        (Some("Staging"), true, 44, 0),
        (Some("Staging"), true, 45, 1),
        (Some("Staging"), false, 3600, 0),
        (None, true, 3600, 0),
    ] {
        let mut world = new_world();
        let image = image(
            &mut world,
            if boots { InstanceBehavior::default() } else { InstanceBehavior::never_boots() },
            0,
        );
        let id = launch(&mut world, &image, profile);
        wait(&mut world, seconds);
        let filter = json!({ "Filters": [{ "Key": "InstanceIds", "Values": [id] }] });
        let seen = ask(&mut world, "DescribeInstanceInformation", filter).unwrap();
        let nodes = seen["InstanceInformationList"].as_array().unwrap();
        assert_eq!(nodes.len(), expected, "{profile:?} {boots} {seconds}");
        assert!(nodes.iter().all(|node| node["PingStatus"] == "Online"));
    }
}

#[test]
fn a_document_has_its_own_parameters_and_steps() {
    let patch = |operation: &str| json!({ "Operation": [operation] });
    let asked =
        |document: &str, parameters: Value| json!({ "DocumentName": document, "Parameters": parameters });
    let refusals = [
        (asked("None", json!({})), "InvalidDocument"),
        (asked("AWS-RunPatchBaseline", json!({})), "InvalidParameters"),
        (asked("AWS-RunPatchBaseline", patch("Look")), "InvalidParameters"),
        (asked("AWS-RunPatchBaseline", json!({ "commands": ["true"] })), "InvalidParameters"),
        (asked("AWS-RunPowerShellScript", patch("Scan")), "InvalidParameters"),
        (asked("smoke", json!({ "Path": ["/"] })), "InvalidParameters"),
    ];
    let (mut world, id) = online(vec![rule("RunPatchBaseline Operation=Scan", 2, "3 missing", 10)]);
    write_document(&mut world, ACCOUNT, REGION, "smoke", &["Url".to_owned()]);
    for (mut request, code) in refusals {
        request["InstanceIds"] = json!([id]);
        assert_eq!(ask(&mut world, "SendCommand", request.clone()).unwrap_err().code, code, "{request}");
    }
    for (document, parameters, steps) in [
        ("smoke", json!({ "Url": ["/"] }), vec![("runDocument", "Success", 0)]),
        (
            "AWS-RunPowerShellScript",
            json!({ "commands": ["exit"] }),
            vec![("aws:runPowerShellScript", "Success", 0)],
        ),
        (
            "AWS-RunPatchBaseline",
            patch("Scan"),
            vec![("PatchWindows", "Success", 0), ("PatchLinux", "Failed", 2), ("PatchMacOS", "Success", 0)],
        ),
    ] {
        let mut request = asked(document, parameters);
        request["InstanceIds"] = json!([id]);
        let sent = ask(&mut world, "SendCommand", request).unwrap();
        assert_eq!(sent["Command"]["DocumentName"], document);
        let command = sent["Command"]["CommandId"].as_str().unwrap().to_owned();
        wait(&mut world, 30);
        let listed =
            ask(&mut world, "ListCommandInvocations", json!({ "CommandId": command, "Details": true }))
                .unwrap();
        let plugins = listed["CommandInvocations"][0]["CommandPlugins"].as_array().unwrap().clone();
        let shown = |plugin: &Value| {
            (plugin["Name"].clone(), plugin["Status"].clone(), plugin["ResponseCode"].clone())
        };
        let expected: Vec<_> = steps.iter().map(|(n, s, c)| (json!(n), json!(s), json!(c))).collect();
        assert_eq!(plugins.iter().map(shown).collect::<Vec<_>>(), expected);
        // The step's name can be omitted only if there is one step.
        let unnamed = look(&mut world, &command, &id);
        assert_eq!(unnamed.is_ok(), steps.len() == 1, "{document}");
        for (name, status, _) in steps {
            let asked = json!({ "CommandId": command, "InstanceId": id, "PluginName": name });
            assert_eq!(ask(&mut world, "GetCommandInvocation", asked).unwrap()["Status"], status);
        }
    }
}
