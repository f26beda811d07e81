//! Crash tests of bakes with recipes and of checks of every kind; `crash.rs` has those of the plain release.

use bakeline::evidence::Stage;
use bakeline_rehearsal::transcript::Record;

use crate::crash::{SHORT, crash_everywhere, crash_within, report};
use crate::{bake, checks, content};

/// Bakes: successful, with a retried distribution, with a shared build, and failed by a finding.
#[test]
fn every_call_of_a_bake_by_recipe_survives_every_fault() {
    let failing = "outcome: {distribution_failed: {region: eu-central-1, message: quota}}";
    let finding = "scan: {findings: [{id: CVE-2026-7, severity: critical}]}";
    let cases = [
        ("recipe", vec![], SHORT.to_owned()),
        ("distribution retried", vec![], format!("build: {{duration: 4m, times: 1, {failing}}}")),
        ("content", vec![content::ALL], SHORT.to_owned()),
        ("shared build", vec![bake::REUSED], SHORT.to_owned()),
        ("finding", vec![], format!("build: {{duration: 4m, {finding}}}")),
    ];
    let mut failures = Vec::new();
    for (name, changes, scenario) in cases {
        let (ran, wrong) = crash_everywhere(name, Stage::Bake, &bake::release(&changes, &scenario));
        println!("{name}: {ran} cases, {} of them wrong", wrong.len());
        failures.extend(wrong);
    }
    report(&failures);
}

/// Checks in parallel, one of them retried.
#[test]
fn every_call_of_parallel_checks_survives_every_fault() {
    let flaky = checks::commands("{contains: healthz, exit_code: 1, times: 1}");
    let (ran, wrong) = crash_everywhere("checks", Stage::Test, &checks::baked(&[], &flaky));
    println!("checks: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

/// A long output, read from S3.
#[test]
fn every_read_of_an_output_survives_every_fault() {
    let moment = checks::baked(&[checks::OUTPUT], &checks::prints(2000, ""));
    let reads = |records: &[Record]| {
        let is_read = |call: &Record| call.operation == "GetObject" && call.input["Bucket"] == "web-output";
        let (first, last) = (records.iter().position(is_read), records.iter().rposition(is_read));
        first.expect("a long output is read")..last.expect("a long output is read") + 1
    };
    let (ran, wrong) = crash_within("output", Stage::Test, &moment, reads);
    println!("output: {ran} cases, {} of them wrong", wrong.len());
    assert!(ran > 0, "nothing was read");
    report(&wrong);
}

/// A soak.
#[test]
fn every_call_of_a_soak_survives_every_fault() {
    let (ran, wrong) = crash_everywhere("soak", Stage::Test, &checks::soaked(50.0, SHORT));
    println!("soak: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}
