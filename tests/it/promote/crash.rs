//! Every call of a trial meets every fault, in both directions.

use bakeline::evidence::Stage;

use crate::crash::{SHORT, crash_everywhere, report};
use crate::support::{Moment, plan};

const SPEC: &str = "tests/it/fixtures/trial/bakeline.yaml";

#[test]
fn every_call_of_a_trial_survives_every_fault() {
    let moment = Moment::before(&plan(SPEC, SHORT), Stage::Promote);
    let (ran, wrong) = crash_everywhere("promote after a trial", Stage::Promote, &moment);
    println!("promote after a trial: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

#[test]
fn every_call_of_a_trial_that_fails_survives_every_fault() {
    let release = plan(SPEC, &format!("{SHORT}baked_image: {{error_rate: 0.2}}\n"));
    let moment = Moment::before(&release, Stage::Promote);
    let (ran, wrong) = crash_everywhere("a trial that fails", Stage::Promote, &moment);
    println!("a trial that fails: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

const TURNS: &str = "tests/it/fixtures/turns/bakeline.yaml";

#[test]
fn every_call_of_two_groups_that_take_turns_survives_every_fault() {
    let moment = Moment::before(&plan(TURNS, SHORT), Stage::Promote);
    let (ran, wrong) = crash_everywhere("promote by weights", Stage::Promote, &moment);
    println!("promote by weights: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

#[test]
fn every_call_that_takes_the_weights_back_survives_every_fault() {
    let release = plan(TURNS, &format!("{SHORT}baked_image: {{error_rate: 0.2}}\n"));
    let moment = Moment::before(&release, Stage::Promote);
    let (ran, wrong) = crash_everywhere("weights taken back", Stage::Promote, &moment);
    println!("weights taken back: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}
