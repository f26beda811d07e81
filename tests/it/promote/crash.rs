//! Every call of a trial, of the weights and of the waves meets every fault, in both directions.

use bakeline::evidence::Stage;
use bakeline_rehearsal::transcript::Record;
use serde_json::json;

use super::{list, waves};
use crate::crash::{SHORT, crash_some, report};
use crate::support::{Moment, plan};
use crate::trail::ask;

const SPEC: &str = "tests/it/fixtures/trial/bakeline.yaml";
const TURNS: &str = "tests/it/fixtures/turns/bakeline.yaml";

/// Cases of each test, unless all are asked for.
const CASES: usize = 150;

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

fn survives(name: &str, moment: &Moment, part: impl FnOnce(&[Record]) -> std::ops::Range<usize>) {
    let (ran, wrong) = crash_some(name, Stage::Promote, moment, part, CASES);
    println!("{name}: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

fn whole(records: &[Record]) -> std::ops::Range<usize> {
    0..records.len()
}

/// The calls of the refresh after it are those of a promotion without a trial.
#[test]
fn every_call_of_a_trial_survives_every_fault() {
    survives("promote after a trial", &before(SPEC, ""), |records| {
        let refresh = records.iter().position(|record| record.operation == "StartInstanceRefresh");
        0..refresh.expect("a trial that passes leads to a refresh") + 1
    });
}

#[test]
fn every_call_of_a_trial_that_fails_survives_every_fault() {
    survives("a trial that fails", &before(SPEC, "images: {baked: {instance: {error_rate: 0.2}}}\n"), whole);
}

#[test]
fn every_call_of_two_groups_that_take_turns_survives_every_fault() {
    survives("promote by weights", &before(TURNS, ""), whole);
}

#[test]
fn every_call_that_takes_the_weights_back_survives_every_fault() {
    survives("weights taken back", &before(TURNS, "images: {baked: {instance: {error_rate: 0.2}}}\n"), whole);
}

/// The calls before the second refresh are those of a promotion of one group.
fn from_the_first_wave(records: &[Record]) -> std::ops::Range<usize> {
    let mut started =
        records.iter().enumerate().filter(|(_, record)| record.operation == "StartInstanceRefresh");
    let second = started.nth(1).map(|(at, _)| at).expect("a wave begins");
    second.saturating_sub(12)..records.len()
}

#[test]
fn every_call_of_a_wave_survives_every_fault() {
    survives("promote in waves", &before(waves::SPEC, ""), from_the_first_wave);
}

#[test]
fn every_call_that_takes_waves_back_survives_every_fault() {
    let mut moment = before(waves::SPEC, "");
    waves::unfit(&mut moment);
    survives("waves taken back", &moment, from_the_first_wave);
}
