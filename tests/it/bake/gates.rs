//! The gates of a bake, and what a bake that does not pass them leaves.

use bakeline_rehearsal::services::codepipeline::ActionStatus;
use serde_json::{Value, json};

use super::{Baked, GOOD, REUSED, again, bake, release, under};

#[test]
fn a_reused_image_with_a_new_finding_is_refused() {
    let first = bake(&release(&[REUSED], GOOD));
    let moment = under(again(&first), &finding("CVE-2026-2002", "CRITICAL", ""));
    let second = bake(&moment);
    assert_eq!(second.status, ActionStatus::Failed);
    assert!(second.why.contains("1 CRITICAL, max 0: CVE-2026-2002 in openssl-libs 3.0.8"), "{}", second.why);
    assert_eq!(second.images("eu-west-1").len(), 1, "an image that other releases may use stays");
}

fn finding(id: &str, severity: &str, more: &str) -> String {
    let severity = severity.to_lowercase();
    format!("build: {{duration: 10m, scan: {{{more} findings: [{{id: {id}, severity: {severity}}}]}}}}")
}

/// Bakes that fail: the change, the scenario, and parts of the message. Everything they created is removed.
#[test]
fn a_failed_bake_leaves_nothing_in_any_region() {
    type Case<'c> = (&'c str, Vec<(&'c str, &'c str)>, String, &'c [&'c str]);
    let cases: Vec<Case<'_>> = vec![
        ("a critical finding", vec![], finding("CVE-2026-7", "CRITICAL", ""), &["1 CRITICAL, max 0: CVE-2026-7"]),
        ("an untriaged finding", vec![], finding("CVE-2026-7", "UNTRIAGED", ""), &["1 CRITICAL"]),
        (
            "more findings than the limit",
            vec![],
            "build: {duration: 10m, scan: {findings: [{id: CVE-1, severity: high}, {id: CVE-2, severity: high}]}}".into(),
            &["2 HIGH, max 1", "CVE-1", "CVE-2"],
        ),
        (
            "an expired acceptance",
            vec![("2026-01-31", "2025-12-31")],
            finding("CVE-2026-1001", "CRITICAL", ""),
            &["CVE-2026-1001 was accepted by team-web until 2025-12-31"],
        ),
        (
            "a scan that was abandoned",
            vec![],
            "build: {duration: 10m, scan: {abandoned: true}}".into(),
            &["no completed vulnerability scan: it ended ABANDONED"],
        ),
        (
            "a scan that does not end",
            vec![("high: 1 }\n", "high: 1 }\n      timeout: 10m\n")],
            "build: {duration: 10m, scan: {delay: 300m}}".into(),
            &["is collecting 10m after the image was available"],
        ),
        (
            "an image that is not encrypted",
            vec![("{ size_gib: 10 }", "{ size_gib: 10, encrypted: false }")],
            GOOD.into(),
            &["1 of its 1 volumes are not encrypted"],
        ),
        ("an image that is too large", vec![("max_size_gib: 10", "max_size_gib: 9")], GOOD.into(), &["have 10 GiB, max 9"]),
        ("another boot mode", vec![("uefi_preferred", "legacy_bios")], GOOD.into(), &["boot mode is uefi-preferred, not legacy-bios"]),
        ("another architecture", vec![("x86_64, max", "arm64, max")], GOOD.into(), &["architecture is x86_64, not arm64"]),
        ("no IMDSv2", vec![("volume_encryption: required, boot", "imds: v2, boot")], GOOD.into(), &["ImdsSupport is not v2.0"]),
        (
            "a build that hangs",
            vec![],
            "build: {duration: 10m, outcome: {hangs: {}}}".into(),
            &["made no progress for", "bake.progress_timeout is 45m"],
        ),
        (
            "a build that takes too long",
            vec![("timeout: 2h", "timeout: 10m")],
            "build: {duration: 30m}".into(),
            &["did not end by its deadline"],
        ),
        (
            "a deadline in the middle of the distribution",
            vec![("timeout: 2h", "timeout: 27m")],
            "build: {duration: 30m}".into(),
            &["did not end by its deadline", "2 of the build's images were removed"],
        ),
        (
            "a component that fails",
            vec![],
            "build: {duration: 10m, outcome: {failed: {component: web-web, step: Download, message: no such key}}}".into(),
            &["web-web", "Download", "no such key"],
        ),
        (
            "a distribution that fails for good",
            vec![],
            "build: {duration: 10m, outcome: {distribution_failed: {region: eu-central-1, message: quota}}}".into(),
            &["region eu-central-1", "quota", "2 of the build's images were removed"],
        ),
        ("someone cancels it", vec![], "build: {duration: 10m, outcome: {cancelled: {}}}".into(), &["ended CANCELLED"]),
    ];
    for (name, changes, scenario, words) in &cases {
        let baked = bake(&release(changes, scenario));
        assert_eq!(baked.status, ActionStatus::Failed, "{name}");
        for word in *words {
            assert!(baked.why.contains(word), "{name}: {}", baked.why);
        }
        for region in ["eu-west-1", "eu-central-1"] {
            assert_eq!(baked.images(region), Vec::<Value>::new(), "{name}");
        }
        // Only the snapshot of the parent image is left.
        assert_eq!((baked.snapshots("eu-west-1"), baked.snapshots("eu-central-1")), (1, 0), "{name}");
    }
    println!("{} bakes", cases.len());
}

/// Bakes that succeed despite a difficulty.
#[test]
fn a_bake_succeeds_despite_difficulties() {
    type Case<'c> = (&'c str, Vec<(&'c str, &'c str)>, String);
    let cases: Vec<Case<'_>> = vec![
        ("an accepted finding", vec![], finding("CVE-2026-1001", "CRITICAL", "")),
        ("as many findings as the limit", vec![], finding("CVE-2026-5", "HIGH", "")),
        ("a severity without a limit", vec![], finding("CVE-2026-5", "MEDIUM", "")),
        ("a slow scan", vec![], "build: {duration: 10m, scan: {delay: 20m}}".into()),
        (
            "a finding without a fix",
            vec![("high: 1 }\n", "high: 1 }\n      count: fixable\n")],
            "build: {duration: 10m, scan: {findings: [{id: CVE-9, severity: critical, fix: none}]}}".into(),
        ),
        (
            "a distribution that fails once",
            vec![],
            "build: {duration: 10m, times: 1, outcome: {distribution_failed: {region: eu-central-1, message: quota}}}".into(),
        ),
        ("a long build with progress", vec![("timeout: 2h", "timeout: 8h")], "build: {duration: 120m}".into()),
        ("no root volume in the spec", vec![("    root_volume: { size_gib: 10 }\n", ""), ("volume_encryption: required, boot", "boot")], GOOD.into()),
        ("no parameter", vec![("  publish: { parameter: /bakeline/images/web/candidate }\n", "")], GOOD.into()),
        ("no gates on the scan", vec![("critical: 0, high: 1", "low: 0")], GOOD.into()),
    ];
    for (name, changes, scenario) in &cases {
        let baked = bake(&release(changes, scenario));
        assert_eq!(baked.status, ActionStatus::Succeeded, "{name}: {}", baked.why);
        assert_eq!(baked.images("eu-central-1").len(), 1, "{name}");
        let twice = crate::crash::applied_twice(&baked.records);
        assert!(twice.is_empty(), "{name}: {twice:?}");
    }
    println!("{} bakes", cases.len());
}

#[test]
fn a_failed_distribution_is_retried() {
    let scenario = "build: {duration: 10m, times: 1, outcome: {distribution_failed: {region: eu-central-1, message: quota}}}";
    let baked = bake(&release(&[], scenario));
    assert_eq!(baked.status, ActionStatus::Succeeded, "{}", baked.why);
    assert_eq!((baked.calls("CreateImage").len(), baked.calls("RetryImage").len()), (1, 1));
}

const TO_SECURITY_HUB: (&str, &str) = ("high: 1 }\n", "high: 1 }\n      report_to: [security_hub]\n");

/// The findings in Security Hub, by vulnerability id.
fn findings_in_security_hub(baked: &Baked) -> std::collections::BTreeMap<String, Value> {
    let mut all = std::collections::BTreeMap::new();
    let mut input = json!({});
    loop {
        let page = baked.ask("securityhub", "GetFindings", input);
        for finding in page["Findings"].as_array().unwrap() {
            let of = finding["Vulnerabilities"][0]["Id"].as_str().unwrap();
            all.insert(of.to_owned(), finding.clone());
        }
        match page.get("NextToken") {
            Some(next) => input = json!({ "NextToken": next }),
            None => return all,
        }
    }
}

#[test]
fn all_findings_go_to_security_hub_in_batches_before_the_gate_counts_them() {
    let many: Vec<String> = (0..150).map(|n| format!("{{id: CVE-2026-{n}, severity: low}}")).collect();
    let scenario = |more: &str| {
        format!(
            "build: {{duration: 10m, scan: {{findings: [{{id: CVE-2026-1001, severity: critical}}{more}]}}}}"
        )
    };
    let baked = bake(&release(&[TO_SECURITY_HUB], &scenario(&format!(", {}", many.join(", ")))));
    assert_eq!(baked.status, ActionStatus::Succeeded, "{}", baked.why);
    assert_eq!(baked.calls("BatchImportFindings").len(), 2, "151 findings, 100 a call");
    let found = findings_in_security_hub(&baked);
    assert_eq!(found.len(), 151);
    let accepted = &found["CVE-2026-1001"];
    assert_eq!(accepted["Workflow"]["Status"], "SUPPRESSED");
    assert!(
        accepted["Note"]["Text"].as_str().unwrap().contains("owner team-web, until 2026-01-31"),
        "{accepted}"
    );
    assert_eq!(found["CVE-2026-7"]["FindingProviderFields"]["Severity"]["Label"], "LOW");
    assert_eq!(found["CVE-2026-7"]["Workflow"]["Status"], "NEW");

    let refused = bake(&release(&[TO_SECURITY_HUB], &scenario(", {id: CVE-2026-7, severity: critical}")));
    assert_eq!(refused.status, ActionStatus::Failed);
    assert_eq!(
        findings_in_security_hub(&refused).len(),
        2,
        "the findings that stopped the release are in Security Hub"
    );
    assert_eq!(refused.images("eu-west-1"), Vec::<Value>::new());

    let not_asked = bake(&release(&[], &scenario("")));
    assert_eq!(not_asked.calls("BatchImportFindings").len(), 0);
}

#[test]
fn the_summary_names_findings_that_security_hub_rejects() {
    let scenario = "build: {duration: 10m, scan: {findings: [{id: CVE-1, severity: low}, {id: CVE-2, severity: low}]}}\n\
                    aws: {securityhub: {rejects: {CVE-2: no such generator}}}\n";
    let baked = bake(&release(&[TO_SECURITY_HUB], scenario));
    assert_eq!(baked.status, ActionStatus::Succeeded, "{}", baked.why);
    assert_eq!(findings_in_security_hub(&baked).into_keys().collect::<Vec<_>>(), ["CVE-1"]);
    let said = baked.calls("PutJobSuccessResult");
    let summaries = said.iter().filter_map(|record| record.input["executionDetails"]["summary"].as_str());
    let told: Vec<&str> = summaries.filter(|summary| summary.contains("Security Hub rejected")).collect();
    assert!(told.len() == 1 && told[0].contains("1 findings: CVE-2/"), "{told:?}");
    assert!(told[0].contains("no such generator"), "{told:?}");
}

#[test]
fn a_disabled_security_hub_fails_the_bake_with_a_hint() {
    let scenario = "build: {duration: 10m, scan: {findings: [{id: CVE-1, severity: low}]}}\naws: {securityhub: {enabled: false}}\n";
    let baked = bake(&release(&[TO_SECURITY_HUB], scenario));
    assert_eq!(baked.status, ActionStatus::Failed);
    assert!(baked.why.contains("enable Security Hub in this account and region"), "{}", baked.why);
    assert_eq!(baked.images("eu-west-1"), Vec::<Value>::new());
}
