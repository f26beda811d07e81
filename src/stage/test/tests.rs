//! The test stage's judgement as tables, its reports, and its resting places as tokens.

use super::judge::{Boot, Deadlines, Described, Invocation, Look, Verdict, Vitals};
use super::report::{self, Result as CheckResult};
use super::*;
use crate::engine::{FailureKind, Token};
use crate::evidence::predicate::TestOutcome;
use crate::spec::Check;
use crate::stage::store::Files;
use crate::stage::tokens::{golden, longest_failure, worst};

const INSTANCE: &str = "i-0123456789abcdef0";
const COMMANDS: [&str; 2] = ["5d0c2b1a-0000-4000-8000-000000000001", "5d0c2b1a-0000-4000-8000-000000000002"];

fn soaked(why: &str) -> Soaked {
    let since = Timestamp(1_767_229_200);
    Soaked { since, until: since, why: Some(why.to_owned()) }
}

/// One of every resting place, as the golden tokens hold them.
fn states() -> Vec<(&'static str, Test)> {
    let instance = || INSTANCE.to_owned();
    let commands = || COMMANDS.map(str::to_owned).to_vec();
    let why = || Failure::new(FailureKind::JobFailed, "the stage was not done by its deadline");
    let since = Timestamp(1_767_229_200);
    vec![
        ("launching", Test::Launching),
        ("launching_on_demand", Test::LaunchingOnDemand),
        ("booting", Test::Booting { instance: instance(), since }),
        ("checking", Test::Checking { instance: instance(), commands: commands()[..1].to_vec() }),
        ("running", Test::Running { instance: instance(), commands: commands(), since }),
        ("overdue", Test::Overdue { instance: instance(), commands: commands() }),
        ("cancelling", Test::Cancelling { instance: instance(), commands: commands(), since }),
        ("soaking", Test::Soaking { instance: instance(), commands: commands(), since }),
        (
            "terminating",
            Test::Terminating { instance: instance(), commands: commands(), given_up: true, soak: None },
        ),
        ("ending", Test::Ending { instance: instance(), commands: commands(), given_up: true, soak: None }),
        (
            "sealing",
            Test::Sealing { instance: instance(), commands: commands(), given_up: false, soak: None },
        ),
        (
            "sealing_soaked",
            Test::Sealing {
                instance: instance(),
                commands: commands(),
                given_up: false,
                soak: Some(soaked("hot")),
            },
        ),
        ("recalling", Test::Recalling { looks: 1, why: why() }),
        ("withdrawing", Test::Withdrawing { instance: instance(), looks: 1, why: why() }),
        ("withdrawn", Test::Withdrawn { instance: instance(), why: why() }),
    ]
}

#[test]
fn every_released_token_is_read_for_ever_and_every_state_has_one() {
    let states: Vec<(&str, Test)> = states().into_iter().chain(task::tests::states()).collect();
    golden("test", &states);
}

#[test]
fn as_many_checks_as_a_spec_may_have_fit_in_a_token() {
    let commands = vec![COMMANDS[0].to_owned(); 20];
    let soak = || Some(soaked(&soak::shortened(&"w".repeat(1000))));
    let since = Timestamp(i64::MIN);
    for (name, state) in states() {
        let instance = INSTANCE.to_owned();
        let commands = commands.clone();
        let grown = match state {
            Test::Launching => Test::Launching,
            Test::LaunchingOnDemand => Test::LaunchingOnDemand,
            Test::Booting { .. } => Test::Booting { instance, since },
            Test::Checking { .. } => Test::Checking { instance, commands },
            Test::Running { .. } => Test::Running { instance, commands, since },
            Test::Overdue { .. } => Test::Overdue { instance, commands },
            Test::Cancelling { .. } => Test::Cancelling { instance, commands, since },
            Test::Soaking { .. } => Test::Soaking { instance, commands, since },
            Test::Terminating { .. } => {
                Test::Terminating { instance, commands, given_up: false, soak: soak() }
            }
            Test::Ending { .. } => Test::Ending { instance, commands, given_up: false, soak: soak() },
            Test::Sealing { .. } => Test::Sealing { instance, commands, given_up: false, soak: soak() },
            Test::Recalling { .. } => Test::Recalling { looks: u8::MAX, why: longest_failure() },
            Test::Withdrawing { .. } => {
                Test::Withdrawing { instance, looks: u8::MAX, why: longest_failure() }
            }
            Test::Withdrawn { .. } => Test::Withdrawn { instance, why: longest_failure() },
            Test::Task { task } => task::tests::grown(task).into(),
        };
        let length = worst(grown).encode().unwrap_or_else(|error| panic!("{name}: {error}")).len();
        assert!(length <= Token::<()>::MAX, "{name}: {length}");
    }
}

#[test]
fn unwinding_ends_in_the_instance_terminated_wherever_it_begins() {
    let why = Failure::new(FailureKind::JobFailed, "why");
    for (name, state) in states() {
        let unwound = state.clone().unwind(why.clone());
        let expected = match name {
            "launching" | "launching_on_demand" => Test::Recalling { looks: 0, why: why.clone() },
            "sealing" | "sealing_soaked" | "recalling" | "withdrawing" | "withdrawn" => state.clone(),
            _ => Test::Withdrawing { instance: INSTANCE.into(), looks: 0, why: why.clone() },
        };
        assert_eq!(unwound, expected, "{name}");
        assert_eq!(unwound.is_unwinding(), !name.starts_with("sealing"), "{name}");
        assert_eq!(state.is_unwinding(), matches!(name, "recalling" | "withdrawing" | "withdrawn"), "{name}");
    }
}

#[test]
fn an_image_that_is_not_the_one_spoken_for_is_not_launched() {
    let identity = ImageIdentity {
        account: "123456789012".into(),
        creation_date: "2026-01-01T00:00:00.000Z".into(),
        image_id: "ami-1".into(),
        name: "web".into(),
        region: "eu-west-1".into(),
    };
    let good = Described {
        state: "available".into(),
        owner: Some("123456789012".into()),
        name: Some("web".into()),
        creation_date: Some("2026-01-01T00:00:00.000Z".into()),
    };
    assert_eq!(judge::same_image(&identity, &good), Ok(()));
    for (found, member) in [
        (Described { owner: Some("1".into()), ..good.clone() }, "owner 1"),
        (Described { owner: None, ..good.clone() }, "owner none"),
        (Described { name: Some("other".into()), ..good.clone() }, "name other"),
        (Described { creation_date: None, ..good.clone() }, "creation date none"),
        (Described { state: "deregistered".into(), ..good.clone() }, "state deregistered"),
    ] {
        let error = judge::same_image(&identity, &found).unwrap_err();
        assert!(error.contains(member), "{error}");
    }
}

#[test]
fn an_instance_is_up_when_both_checks_pass_and_systems_manager_hears_it() {
    let vitals = |state: &str, system: &str, instance: &str, ping: &str| Vitals {
        state: state.into(),
        system: system.into(),
        instance: instance.into(),
        ping: ping.into(),
    };
    for (vitals, expected) in [
        (vitals("running", "ok", "ok", "Online"), Boot::Ready),
        (vitals("running", "ok", "ok", ""), Boot::Waiting("Systems Manager ping not known yet".into())),
        (vitals("running", "ok", "ok", "ConnectionLost"), Boot::Waiting("Systems Manager ping ConnectionLost".into())),
        (
            vitals("running", "initializing", "impaired", "Online"),
            Boot::Waiting("system status initializing, instance status impaired".into()),
        ),
        (
            vitals("", "", "", ""),
            Boot::Waiting(
                "instance not known yet, system status not known yet, instance status not known yet, Systems Manager \
                 ping not known yet"
                    .into(),
            ),
        ),
        (vitals("pending", "ok", "ok", "Online"), Boot::Waiting("instance pending".into())),
        (vitals("stopping", "ok", "ok", "Online"), Boot::Ended),
        (vitals("stopped", "ok", "ok", "Online"), Boot::Ended),
        (vitals("shutting-down", "", "", ""), Boot::Ended),
        (vitals("terminated", "", "", ""), Boot::Ended),
    ] {
        assert_eq!(judge::boot(&vitals), expected, "{vitals:?}");
    }
}

const DEADLINES: Deadlines =
    Deadlines { delivery: Duration::from_mins(2), execution: Duration::from_mins(5) };

fn invocation(status: &str, details: &str, exit_code: i32) -> Invocation {
    Invocation { status: status.into(), details: details.into(), exit_code, ..Invocation::default() }
}

#[test]
fn a_command_is_overdue_only_a_grace_after_systems_managers_own_deadlines() {
    let going = |status: &str| Look::Going(status.into());
    for (status, elapsed, expected) in [
        (None, 0, going("sent")),
        (None, 180, going("sent")),
        (None, 181, Look::Overdue),
        (Some("Pending"), 180, going("pending")),
        (Some("Delayed"), 181, Look::Overdue),
        (Some("InProgress"), 181, going("inprogress")),
        (Some("InProgress"), 480, going("inprogress")),
        (Some("InProgress"), 481, Look::Overdue),
        (Some("Cancelling"), 181, going("cancelling")),
        (Some("Unknown"), 481, Look::Overdue),
        (Some("Success"), 10_000, Look::Ended),
        (Some("Failed"), 0, Look::Ended),
        (Some("TimedOut"), 0, Look::Ended),
        (Some("Cancelled"), 0, Look::Ended),
    ] {
        let found = status.map(|status| invocation(status, "", -1));
        let look = judge::look(found.as_ref(), Duration::from_secs(elapsed), DEADLINES);
        assert_eq!(look, expected, "{status:?} after {elapsed} s");
    }
}

#[test]
fn only_success_with_exit_code_0_passes_and_only_an_instance_that_answers_gets_the_next_check() {
    let failed = |why: &str| Verdict::Failed(why.into());
    let late = "the instance did not take the command within 120 s";
    for (status, details, exit, expected, reached) in [
        ("Success", "Success", 0, Verdict::Passed, true),
        ("Success", "", 0, Verdict::Passed, true),
        ("Success", "Success", 3, failed("exit code 3"), true),
        ("Failed", "Failed", 1, failed("exit code 1"), true),
        ("Failed", "NonZeroExitCode", 1, failed("the command ended Failed (NonZeroExitCode)"), true),
        ("TimedOut", "Execution Timed Out", -1, failed("the script ran for longer than 300 s"), true),
        ("TimedOut", "ExecutionTimedOut", -1, failed("the script ran for longer than 300 s"), true),
        ("TimedOut", "Delivery Timed Out", -1, failed(late), false),
        ("TimedOut", "DeliveryTimedOut", -1, failed(late), false),
        ("Failed", "Undeliverable", -1, failed("the command ended Failed (Undeliverable)"), false),
        ("Failed", "Terminated", -1, failed("the command ended Failed (Terminated)"), false),
        ("Cancelled", "Cancelled", -1, failed("the command ended Cancelled (Cancelled)"), true),
        (
            "InProgress",
            "InProgress",
            -1,
            failed("the command did not end and was given up while InProgress"),
            false,
        ),
        ("", "", 0, failed("the command did not end and was given up while "), false),
    ] {
        let found = invocation(status, details, exit);
        assert_eq!(judge::verdict(&found, DEADLINES), expected, "{status} {details}");
        assert_eq!(judge::reached(&found), reached, "{status} {details}");
    }
}

#[test]
fn elapsed_times_are_read_as_iso_8601_writes_them() {
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
        assert_eq!(judge::seconds(text), expected, "{text}");
    }
}

#[test]
fn the_last_words_are_standard_error_if_there_is_any() {
    assert_eq!(judge::tail("out\n", "  \n"), "out");
    assert_eq!(judge::tail("out\n", "1\n2\n\n3\n4\n5\n6\n"), "2 | 3 | 4 | 5 | 6");
    assert_eq!(judge::tail("", ""), "");
    let long = judge::tail(&"ä".repeat(1000), "");
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
    let verdicts: Vec<&Verdict> = results.iter().map(|result| &result.verdict).collect();
    assert_eq!(verdicts, [&Verdict::Passed, &Verdict::Failed("exit code 7".into()), &Verdict::NotRun]);
    let files = Files::from([
        ("bakeline.yaml".into(), b"1".to_vec()),
        ("a.sh".into(), b"2".to_vec()),
        ("b.sh".into(), b"3".to_vec()),
    ]);
    let said = report::test_result(&results, &files);
    assert_eq!(said.result, TestOutcome::Failed);
    assert_eq!(
        (said.passed_tests, said.failed_tests),
        (vec!["package".to_owned()], vec!["serves".to_owned()])
    );
    let names: Vec<&str> =
        said.configuration.iter().map(crate::evidence::ResourceDescriptor::label).collect();
    assert_eq!(names, ["a.sh", "b.sh", "bakeline.yaml"], "every file that was run, once");
    assert_eq!(
        report::failure(&results).unwrap(),
        "check \"serves\" (b.sh) failed: exit code 7; its last output: connection refused; not run: late"
    );
    assert_eq!(report::test_result(&results[..1], &files).result, TestOutcome::Passed);
    assert_eq!(report::failure(&results[..1]), None);
    assert!(!report::passed(&results[2..]), "not run is not passed");
}

#[test]
fn the_junit_report_is_this_document() {
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
fn a_junit_report_holds_any_text_and_can_be_read_back() {
    let mut results = run();
    let every: String = (0..=0x11_0000).filter_map(char::from_u32).step_by(97).collect();
    if let Some(invocation) = results.first_mut().and_then(|result| result.invocation.as_mut()) {
        invocation.stdout = every;
    }
    results[1].verdict = Verdict::Failed("\" < > & ' \u{0} \u{FFFF}".into());
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
fn outputs_lie_in_a_folder_of_the_checks_name_wherever_it_can_be_one() {
    let names = ["package", "a b", "a-b", "A-B", "..", "...", "../../etc", "x:y"];
    let results: Vec<CheckResult> = names
        .iter()
        .map(|name| CheckResult {
            name: (*name).into(),
            script: "s".into(),
            verdict: Verdict::Passed,
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
fn an_output_is_cut_where_a_character_ends() {
    let mut results = run();
    if let Some(invocation) = results.first_mut().and_then(|result| result.invocation.as_mut()) {
        invocation.stdout = format!("x{}", "ä".repeat(100_000));
    }
    let files = report::files("web", &results);
    let kept = std::str::from_utf8(&files["reports/test/checks/package/stdout.txt"]).unwrap();
    let room = super::output::KEPT + 200;
    assert_eq!(kept.len(), room - 1, "a character of two bytes does not fit any more");
}

#[test]
fn a_check_that_passed_at_its_second_attempt_is_flaky_everywhere() {
    let passed = invocation("Success", "Success", 0);
    let checks = [check("steady", "a.sh"), check("shaky", "b.sh")];
    let results = report::results(&checks, vec![passed.clone(), passed], &[1, 2]);
    let said = report::test_result(&results, &Files::new());
    assert_eq!(said.result, TestOutcome::Warned);
    assert_eq!((said.passed_tests, said.warned_tests), (vec!["steady".to_owned()], vec!["shaky".to_owned()]));
    assert_eq!(report::failure(&results), None);
    let junit = junit::report("web", &results);
    assert_eq!(junit.matches("<flakyFailure message=\"passed at attempt 2\"/>").count(), 1, "{junit}");
}
