//! Scenario files: valid ones, and the errors and hints of invalid ones.

use std::time::Duration;

use super::super::faults::Fault;
use super::super::span::SpanOrNever;
use super::*;

fn parse(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse(&format!("version: 1\n{text}"), "s.yaml")
}

#[test]
fn a_scenario_with_only_its_version_is_the_default() {
    assert_eq!(parse("").unwrap(), Scenario::default());
}

#[test]
fn keys_that_are_not_given_keep_their_defaults() {
    let scenario = parse(
        "description: a bad day\nseed: 7\nimages: {baked: {instance: {error_rate: 0.2, boot: never}}}\nbuild:\n  \
         duration: 12m\n  outcome:\n    failed: {component: web, step: Install, message: no}\n",
    )
    .unwrap();
    assert_eq!(scenario.images.baked.instance.boot, SpanOrNever::Never);
    assert_eq!(scenario.images.baked.instance.latency, InstanceBehavior::default().latency);
    assert!(matches!(scenario.build.outcome, Outcome::Failed { ref phase, .. } if phase == "build"));
}

#[test]
fn one_of_keys_take_a_mapping() {
    let scenario = parse("build: {outcome: {hangs: {}}}\nevents: [{at: 10m, cancel_build: {}}]\n").unwrap();
    assert_eq!(scenario.build.outcome, Outcome::Hangs);
    let [event] = scenario.events.as_slice() else { panic!("{:?}", scenario.events) };
    assert_eq!(event.at.duration(), Duration::from_mins(10));
    for wrong in [
        "build: {outcome: hangs}",
        "build: {outcome: {hangs: {}, cancelled: {}}}",
        "events: [{at: 10m, cancel_build: }]",
        "events: [{at: 10m}]",
        "events: [{cancel_build: {}}]",
        "events: [{at: 10m, cancel_build: {}, deregister_baked_image: {}}]",
        "events: [{at: 10m, at: 11m, cancel_build: {}}]",
    ] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn a_fault_with_a_period_applies_only_within_it() {
    let scenario = parse(
        "faults:\n- match: {service: ec2, operation: RunInstances}\n  during: {from: 10m, duration: 5m}\n  \
         fault: {deny: {}}\n",
    )
    .unwrap();
    let start = Time(1_000_000);
    let minute = |minutes: u64| start + Duration::from_secs(minutes * 60);
    let mut plan = scenario.fault_plan(start);
    for (operation, at, met) in [
        ("RunInstances", minute(9), None),
        ("RunInstances", minute(10), Some(Fault::Deny)),
        ("DescribeImages", minute(12), None),
        ("RunInstances", minute(14), Some(Fault::Deny)),
        ("RunInstances", minute(15), None),
    ] {
        assert_eq!(plan.meet("ec2", operation, at), met, "{operation} at {at:?}");
    }
}

#[test]
fn errors_name_the_line() {
    for (text, line) in [("seed: 1\nsede: 2\n", "line 3"), ("build: {duration: soon}\n", "line 2")] {
        let error = parse(text).unwrap_err();
        assert!(error.to_string().starts_with("s.yaml"), "{error}");
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(line), "{cause}");
    }
}

#[test]
fn contradictory_keys_are_rejected() {
    for (text, mistake) in [
        ("faults: [{fault: {deny: {}}, nth: 1, chance: 0.5}]", Mistake::Triggers(0)),
        ("faults: [{fault: {deny: {}}, nth: 0}]", Mistake::Nth(0)),
        ("expect: {result: failure}", Mistake::Stage),
        ("expect: {stage: bake}", Mistake::Stage),
    ] {
        let error = parse(text).unwrap_err();
        assert!(
            matches!(error, ScenarioError::Mistake { mistake: found, .. } if found == mistake),
            "{error}"
        );
    }
}

#[test]
fn a_file_without_a_version_is_rejected() {
    assert!(matches!(Scenario::parse("seed: 1", "s"), Err(ScenarioError::NoVersion { .. })));
    assert!(matches!(Scenario::parse("version: 2", "s"), Err(ScenarioError::Version { version: 2, .. })));
}

#[test]
fn the_error_of_a_renamed_key_names_the_new_key() {
    for (text, successor) in [
        ("baked_image: {boot_seconds: 3}", "images.baked.instance"),
        ("images: {baked: {instance: {boot_seconds: 3}}}", "boot, such as 40s"),
        ("build: {minutes: 4}", "duration, such as 25m"),
        ("build: {outcome: hangs}", "outcome: { hangs: {} }"),
        ("happenings: [{at_minutes: 3, what: cancel_build}]", "events"),
        ("outages: [{service: ec2, from_minutes: 1, minutes: 1}]", "faults[] with `during`"),
        ("chaos: {seed: 1}", "faults[] with `chance`"),
        ("autoscaling: {alarm_at_start: fails}", "aws.autoscaling"),
        ("expect: {fails_in: bake}", "result: failure"),
        ("expect: {is_stopped: true}", "result: cancellation"),
        ("faults: [{when: {index: 1}, fault: {kind: deny}}]", "`nth`, `during` and `chance`"),
        ("security_hub: {enabled: false}", "aws.securityhub"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.hint().contains(successor), "{text}: {}", error.hint());
    }
}

#[test]
fn the_error_of_an_unknown_key_suggests_the_most_similar_key() {
    for (text, nearest) in [
        ("sede: 1", "`seed`"),
        ("images: {baked: {instance: {error_rat: 0.1}}}", "`error_rate`"),
        ("events: [{at: 1m, cancel_biuld: {}}]", "`cancel_build`"),
        ("faults: [{fault: {thottle: {}}}]", "`throttle`"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.hint().contains(nearest), "{text}: {}", error.hint());
    }
}
