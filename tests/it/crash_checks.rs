//! The crash test of what bakes by recipes and checks of every kind call beside the plain release of `crash.rs`.

use bakeline::evidence::Stage;
use bakeline_rehearsal::transcript::Record;

use crate::crash::{SHORT, crash_everywhere, crash_within, report};
use crate::{bake, checks, content};

/// Bakes: forward, with a retried distribution, a shared build, and back from a finding.
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

/// Checks: side by side, one of them tried again.
#[test]
fn every_call_of_checks_side_by_side_survives_every_fault() {
    let flaky = checks::commands("{contains: healthz, exit_code: 1, times: 1}");
    let (ran, wrong) = crash_everywhere("checks", Stage::Test, &checks::baked(&[], &flaky));
    println!("checks: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}

/// What a check prints, read back from S3.
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

/// A soak, to its end.
#[test]
fn every_call_of_a_soak_survives_every_fault() {
    let (ran, wrong) = crash_everywhere("soak", Stage::Test, &checks::soaked(50.0, SHORT));
    println!("soak: {ran} cases, {} of them wrong", wrong.len());
    report(&wrong);
}
