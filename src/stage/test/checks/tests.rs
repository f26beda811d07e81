//! Tests of outcomes and reports.

use std::time::Duration;

use super::outcome::{
    CheckOutcome, CommandState, Deadlines, Invocation, command_state, instance_answered, last_lines, outcome,
    seconds,
};
use super::result::CheckResult;
use super::{junit, report};
use crate::evidence::predicate::TestOutcome;
use crate::spec::Check;
use crate::stage::store::Files;

const DEADLINES: Deadlines =
    Deadlines { delivery: Duration::from_mins(2), execution: Duration::from_mins(5) };

fn invocation(status: &str, details: &str, exit_code: i32) -> Invocation {
    Invocation { status: status.into(), details: details.into(), exit_code, ..Invocation::default() }
}

#[test]
fn a_command_is_overdue_one_minute_after_the_deadlines_of_systems_manager() {
    let running = |status: &str| CommandState::Running(status.into());
    for (status, elapsed, expected) in [
        (None, 0, running("sent")),
        (None, 180, running("sent")),
        (None, 181, CommandState::Overdue),
        (Some("Pending"), 180, running("pending")),
        (Some("Delayed"), 181, CommandState::Overdue),
        (Some("InProgress"), 181, running("inprogress")),
        (Some("InProgress"), 480, running("inprogress")),
        (Some("InProgress"), 481, CommandState::Overdue),
        (Some("Cancelling"), 181, running("cancelling")),
        (Some("Unknown"), 481, CommandState::Overdue),
        (Some("Success"), 10_000, CommandState::Ended),
        (Some("Failed"), 0, CommandState::Ended),
        (Some("TimedOut"), 0, CommandState::Ended),
        (Some("Cancelled"), 0, CommandState::Ended),
    ] {
        let found = status.map(|status| invocation(status, "", -1));
        let state = command_state(found.as_ref(), Duration::from_secs(elapsed), DEADLINES);
        assert_eq!(state, expected, "{status:?} after {elapsed} s");
    }
}

#[test]
fn only_exit_code_0_passes_and_only_an_instance_that_answers_gets_the_next_check() {
    let failed = |why: &str| CheckOutcome::Failed(why.into());
    let late = "the instance did not receive the command within 120 s";
    for (status, details, exit, expected, answered) in [
        ("Success", "Success", 0, CheckOutcome::Passed, true),
        ("Success", "", 0, CheckOutcome::Passed, true),
        ("Success", "Success", 3, failed("exit code 3"), true),
        ("Failed", "Failed", 1, failed("exit code 1"), true),
        ("Failed", "NonZeroExitCode", 1, failed("the command ended Failed (NonZeroExitCode)"), true),
        ("TimedOut", "Execution Timed Out", -1, failed("the script ran longer than 300 s"), true),
        ("TimedOut", "ExecutionTimedOut", -1, failed("the script ran longer than 300 s"), true),
        ("TimedOut", "Delivery Timed Out", -1, failed(late), false),
        ("TimedOut", "DeliveryTimedOut", -1, failed(late), false),
        ("Failed", "Undeliverable", -1, failed("the command ended Failed (Undeliverable)"), false),
        ("Failed", "Terminated", -1, failed("the command ended Failed (Terminated)"), false),
        ("Cancelled", "Cancelled", -1, failed("the command ended Cancelled (Cancelled)"), true),
        (
            "InProgress",
            "InProgress",
            -1,
            failed("the command did not end and was abandoned while InProgress"),
            false,
        ),
        ("", "", 0, failed("the command did not end and was abandoned while "), false),
    ] {
        let found = invocation(status, details, exit);
        assert_eq!(outcome(&found, DEADLINES), expected, "{status} {details}");
        assert_eq!(instance_answered(&found), answered, "{status} {details}");
    }
}

#[test]
fn an_elapsed_time_is_an_iso_8601_duration() {
    for (text, expected) in [
        ("PT0.5S", Some(0.5)),
        ("PT12S", Some(12.0)),
        ("PT1M5.25S", Some(65.25)),
        ("PT2H1S", Some(7201.0)),
        ("PT", Some(0.0)),
        ("", None),
        ("P1D", None),
        ("PT5", None),
        ("PT5X", None),
        ("PT.S", None),
        ("PT1ÄS", None),
    ] {
        assert_eq!(seconds(text), expected, "{text}");
    }
}

#[test]
fn the_last_lines_are_of_standard_error_unless_it_is_empty() {
    assert_eq!(last_lines("out\n", "  \n"), "out");
    assert_eq!(last_lines("out\n", "1\n2\n\n3\n4\n5\n6\n"), "2 | 3 | 4 | 5 | 6");
    assert_eq!(last_lines("", ""), "");
    let long = last_lines(&"ä".repeat(1000), "");
    assert_eq!(long.chars().count(), 401);
    assert!(long.starts_with("…ä"));
}

fn check(name: &str, script: &str) -> Check {
    serde_json::from_value(serde_json::json!({
        "name": name, "script": { "path": script, "delivery_timeout": "120s" }, "timeout": "300s",
    }))
    .unwrap()
}

fn run() -> Vec<CheckResult> {
    let checks = [check("package", "a.sh"), check("serves", "b.sh"), check("late", "a.sh")];
    let passed = Invocation {
        stdout: "fine\n".into(),
        elapsed: "PT1.5S".into(),
        ..invocation("Success", "Success", 0)
    };
    let failed = Invocation {
        stdout: "<got> & \u{1}]]>".into(),
        stderr: "connection refused\n".into(),
        elapsed: "PT2S".into(),
        ..invocation("Failed", "Failed", 7)
    };
    report::results(&checks, vec![passed, failed], &[])
}

#[test]
fn a_check_that_was_not_run_is_neither_passed_nor_failed() {
    let results = run();
    let outcomes: Vec<&CheckOutcome> = results.iter().map(|result| &result.outcome).collect();
    assert_eq!(
        outcomes,
        [&CheckOutcome::Passed, &CheckOutcome::Failed("exit code 7".into()), &CheckOutcome::NotRun]
    );
    let files = Files::from([
        ("source/bakeline.yaml".into(), b"1".to_vec()),
        ("source/a.sh".into(), b"2".to_vec()),
        ("source/b.sh".into(), b"3".to_vec()),
    ]);
    let signed = report::test_result(&results, &files);
    assert_eq!(signed.result, TestOutcome::Failed);
    assert_eq!(
        (signed.passed_tests, signed.failed_tests),
        (vec!["package".to_owned()], vec!["serves".to_owned()])
    );
    let names: Vec<&str> =
        signed.configuration.iter().map(crate::evidence::ResourceDescriptor::label).collect();
    assert_eq!(
        names,
        ["source/a.sh", "source/b.sh", "source/bakeline.yaml"],
        "every file that was run, once"
    );
    assert_eq!(
        report::failure(&results).unwrap(),
        "check \"serves\" (b.sh) failed: exit code 7; its last output: connection refused; not run: late"
    );
    assert_eq!(report::test_result(&results[..1], &files).result, TestOutcome::Passed);
    assert_eq!(report::failure(&results[..1]), None);
    assert!(!report::passed(&results[2..]), "not run is not passed");
}

#[test]
fn the_junit_report_has_one_case_for_each_check() {
    let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="web" tests="3" failures="1" errors="0" skipped="1" time="3.500">
    <testcase classname="web" name="package" file="a.sh" time="1.500">
      <system-out>fine
</system-out>
    </testcase>
    <testcase classname="web" name="serves" file="b.sh" time="2.000">
      <failure message="exit code 7"/>
      <system-out>&lt;got&gt; &amp; �]]&gt;</system-out>
      <system-err>connection refused
</system-err>
    </testcase>
    <testcase classname="web" name="late" file="a.sh" time="0.000">
      <skipped/>
    </testcase>
  </testsuite>
</testsuites>"#;
    assert_eq!(junit::report("web", &run()), expected);
}

#[test]
fn a_junit_report_with_any_text_is_valid_xml() {
    let mut results = run();
    let every: String = (0..=0x11_0000).filter_map(char::from_u32).step_by(97).collect();
    if let Some(invocation) = results.first_mut().and_then(|result| result.invocation.as_mut()) {
        invocation.stdout = every;
    }
    results[1].outcome = CheckOutcome::Failed("\" < > & ' \u{0} \u{FFFF}".into());
    let text = junit::report("web", &results);
    let mut reader = quick_xml::Reader::from_str(&text);
    let mut cases = 0;
    loop {
        match reader.read_event().unwrap() {
            quick_xml::events::Event::Eof => break,
            quick_xml::events::Event::Start(start) => {
                cases += u32::from(start.name().as_ref() == b"testcase");
                assert!(start.attributes().all(|attribute| attribute.is_ok()));
            }
            _ => {}
        }
    }
    assert_eq!(cases, 3);
    assert!(!text.contains(['\u{0}', '\u{FFFF}']));
}

#[test]
fn every_check_has_a_folder_of_its_own_with_a_plain_name() {
    let names = ["package", "a b", "a-b", "A-B", "..", "...", "../../etc", "x:y"];
    let results: Vec<CheckResult> = names
        .iter()
        .map(|name| CheckResult {
            name: (*name).into(),
            subject: "s".into(),
            outcome: CheckOutcome::Passed,
            limit: Duration::from_secs(1),
            attempts: 1,
            invocation: Some(invocation("Success", "", 0)),
        })
        .collect();
    let files = report::files("web", &results);
    let folders: std::collections::BTreeSet<&str> = files
        .keys()
        .filter_map(|path| path.strip_prefix("reports/test/checks/")?.strip_suffix("/stdout.txt"))
        .collect();
    let expected = ["package", "a-b", "a-b-2", "A-B-3", "check", "check-2", "-..-etc", "x-y"];
    assert_eq!(folders, expected.into_iter().collect());
    assert!(files.keys().all(|path| crate::artifact::EntryPath::new(path.as_str()).is_ok()));
    assert_eq!(files.len(), 1 + 2 * names.len());
}

#[test]
fn an_output_is_cut_at_the_end_of_a_character() {
    let mut results = run();
    if let Some(invocation) = results.first_mut().and_then(|result| result.invocation.as_mut()) {
        invocation.stdout = format!("x{}", "ä".repeat(100_000));
    }
    let files = report::files("web", &results);
    let kept = std::str::from_utf8(&files["reports/test/checks/package/stdout.txt"]).unwrap();
    let room = report::READ_BYTES + 200;
    assert_eq!(kept.len(), room - 1, "a character of two bytes does not fit");
}

#[test]
fn a_check_that_passed_in_its_second_attempt_is_flaky_in_every_report() {
    let passed = invocation("Success", "Success", 0);
    let checks = [check("steady", "a.sh"), check("shaky", "b.sh")];
    let results = report::results(&checks, vec![passed.clone(), passed], &[1, 2]);
    let signed = report::test_result(&results, &Files::new());
    assert_eq!(signed.result, TestOutcome::Warned);
    assert_eq!(
        (signed.passed_tests, signed.warned_tests),
        (vec!["steady".to_owned()], vec!["shaky".to_owned()])
    );
    assert_eq!(report::failure(&results), None);
    let junit = junit::report("web", &results);
    assert_eq!(junit.matches("<flakyFailure message=\"passed in attempt 2\"/>").count(), 1, "{junit}");
}
