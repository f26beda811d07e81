//! Every call of a trial meets every fault, in both directions.

use bakeline::evidence::Stage;
use bakeline::rehearsal::transcript::Record;
use serde_json::json;

use super::list;
use crate::crash::{SHORT, crash_everywhere, crash_within, report};
use crate::support::{Moment, plan};
use crate::trail::ask;

const SPEC: &str = "tests/it/fixtures/trial/bakeline.yaml";

/// The moment before the promotion; targets drain in seconds, or most of the looks would be at that.
fn before(spec: &str, scenario: &str) -> Moment {
    let mut moment = Moment::before(&plan(spec, &format!("{SHORT}{scenario}")), Stage::Promote);
    let told = moment.clone();
    let found = ask(&told, &mut moment.world, "elbv2", "DescribeTargetGroups", json!({}));
    for group in list(&found, "TargetGroups") {
        let delay = json!([{"Key": "deregistration_delay.timeout_seconds", "Value": "10"}]);
        let input = json!({"TargetGroupArn": group["TargetGroupArn"], "Attributes": delay});
        ask(&told, &mut moment.world, "elbv2", "ModifyTargetGroupAttributes", input);
    }
    moment
}

/// The calls of the refresh after it are those of a promotion without a trial.
#[test]
#[ignore = "not yet run to its end: cargo test --test it promote::crash -- --ignored"]
fn every_call_of_a_trial_survives_every_fault() {
    let moment = before(SPEC, "");
    let trial = |records: &[Record]| {
        let refresh = records.iter().position(|record| record.operation == "StartInstanceRefresh");
        0..refresh.expect("a trial that passes leads to a refresh") + 1
    };
    let (ran, wrong) = crash_within("promote after a trial", Stage::Promote, &moment, trial);
    println!("promote after a trial: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

#[test]
#[ignore = "not yet run to its end: cargo test --test it promote::crash -- --ignored"]
fn every_call_of_a_trial_that_fails_survives_every_fault() {
    let moment = before(SPEC, "baked_image: {error_rate: 0.2}\n");
    let (ran, wrong) = crash_everywhere("a trial that fails", Stage::Promote, &moment);
    println!("a trial that fails: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

const TURNS: &str = "tests/it/fixtures/turns/bakeline.yaml";

#[test]
#[ignore = "not yet run to its end: cargo test --test it promote::crash -- --ignored"]
fn every_call_of_two_groups_that_take_turns_survives_every_fault() {
    let moment = before(TURNS, "");
    let (ran, wrong) = crash_everywhere("promote by weights", Stage::Promote, &moment);
    println!("promote by weights: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

#[test]
#[ignore = "not yet run to its end: cargo test --test it promote::crash -- --ignored"]
fn every_call_that_takes_the_weights_back_survives_every_fault() {
    let moment = before(TURNS, "baked_image: {error_rate: 0.2}\n");
    let (ran, wrong) = crash_everywhere("weights taken back", Stage::Promote, &moment);
    println!("weights taken back: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}
