//! Every call of a trial meets every fault, in both directions.

use bakeline::evidence::Stage;

use crate::crash::{SHORT, crash_everywhere, report};
use crate::support::{Moment, plan};

const SPEC: &str = "tests/it/fixtures/promote/bakeline.yaml";

#[test]
#[ignore = "minutes long, and never run to its end yet: cargo test --test it promote::crash -- --ignored"]
fn every_call_of_a_trial_survives_every_fault() {
    let moment = Moment::before(&plan(SPEC, SHORT), Stage::Promote);
    let (ran, wrong) = crash_everywhere("promote after a trial", Stage::Promote, &moment);
    println!("promote after a trial: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

#[test]
#[ignore = "minutes long, and never run to its end yet: cargo test --test it promote::crash -- --ignored"]
fn every_call_of_a_trial_that_fails_survives_every_fault() {
    let release = plan(SPEC, &format!("{SHORT}baked_image: {{error_rate: 0.2}}\n"));
    let moment = Moment::before(&release, Stage::Promote);
    let (ran, wrong) = crash_everywhere("a trial that fails", Stage::Promote, &moment);
    println!("a trial that fails: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}
