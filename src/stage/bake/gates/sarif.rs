//! The findings of a scan as a SARIF 2.1.0 report, which code hosts and editors read. Pure.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};
use time::Date;

use super::scan::{Finding, FindingStatus, finding_status};
use crate::spec::Scan;

/// The report on the findings of `subject`, an image build. An accepted finding is a suppressed result, with its owner
/// and last day. `spec` is the path of the spec in the source: code hosts show a result only at a file.
#[must_use]
pub fn report(scan: &Scan, findings: &[Finding], subject: &str, spec: &str, today: Date) -> Vec<u8> {
    let rules: BTreeMap<&str, Value> =
        findings.iter().map(|finding| (finding.id.as_str(), rule(finding))).collect();
    let results: Vec<Value> =
        findings.iter().map(|finding| result(scan, finding, (subject, spec), today)).collect();
    let report = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "Amazon Inspector",
                "informationUri": "https://aws.amazon.com/inspector/",
                "rules": rules.into_values().collect::<Vec<_>>(),
            }},
            "results": results,
        }],
    });
    // Serializing a JSON value does not fail.
    serde_json::to_vec_pretty(&report).unwrap_or_default()
}

fn rule(finding: &Finding) -> Value {
    let title = if finding.title.is_empty() { &finding.id } else { &finding.title };
    let help = match &finding.url {
        Some(url) => format!("{title}. See {url}"),
        None => format!("{title}. Look {} up in the National Vulnerability Database.", finding.id),
    };
    let mut rule = json!({
        "id": finding.id,
        "name": finding.id.replace('-', ""),
        "shortDescription": { "text": title },
        "fullDescription": { "text": title },
        "help": { "text": help },
        "defaultConfiguration": { "level": level(&finding.severity) },
        "properties": { "tags": ["security"], "security-severity": score(&finding.severity) },
    });
    if let Some(url) = &finding.url {
        rule["helpUri"] = url.as_str().into();
    }
    rule
}

fn level(severity: &str) -> &'static str {
    match severity {
        "CRITICAL" | "HIGH" | "UNTRIAGED" => "error",
        "MEDIUM" => "warning",
        _ => "note",
    }
}

/// A score within the bounds of CVSS that code hosts read the severity from: over 9.0 critical, from 7.0 high, from 4.0
/// medium. Inspector's class is known here, not its score.
fn score(severity: &str) -> &'static str {
    match severity {
        "CRITICAL" => "9.5",
        "HIGH" | "UNTRIAGED" => "8.0",
        "MEDIUM" => "5.5",
        "LOW" => "2.0",
        _ => "0.0",
    }
}

fn result(scan: &Scan, finding: &Finding, (subject, spec): (&str, &str), today: Date) -> Value {
    let packages =
        if finding.packages.is_empty() { "the image".to_owned() } else { finding.packages.join(", ") };
    let mut result = json!({
        "ruleId": finding.id,
        "level": level(&finding.severity),
        "message": { "text": format!("{} ({}) in {packages}; fix: {}", finding.id, finding.severity, finding.fix) },
        "locations": [{
            "physicalLocation": { "artifactLocation": { "uri": uri(spec) }, "region": { "startLine": 1 } },
            "logicalLocations": [{ "fullyQualifiedName": subject, "kind": "resource" }],
        }],
        "properties": { "severity": finding.severity, "fixAvailable": finding.fix },
    });
    if let FindingStatus::Accepted(exception) = finding_status(scan, finding, today) {
        result["suppressions"] = json!([{
            "kind": "external",
            "status": "accepted",
            "justification": format!("{} (owner {}, until {})", exception.reason, exception.owner, exception.until),
        }]);
    }
    result
}

/// A path as a URI reference (RFC 3986).
fn uri(path: &str) -> String {
    let mut uri = String::with_capacity(path.len());
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => {
                // Writing to a text does not fail.
                let _ = write!(uri, "%{byte:02X}");
            }
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_finding_is_a_result_and_an_accepted_one_is_suppressed() {
        let scan: Scan = serde_json::from_value(json!({
            "max_findings": {"high": 0},
            "accepted": [{"id": "CVE-1", "owner": "web", "reason": "not reachable", "until": "2026-03-01"}],
        }))
        .unwrap();
        let finding = |id: &str, severity: &str| Finding {
            id: id.into(),
            severity: severity.into(),
            fix: "YES".into(),
            packages: vec!["openssl 3.0.1".into()],
            ..Finding::default()
        };
        let found = [finding("CVE-1", "HIGH"), finding("CVE-2", "MEDIUM"), finding("CVE-2", "MEDIUM")];
        let report: Value = serde_json::from_slice(&super::report(
            &scan,
            &found,
            "arn",
            "services/a b.yaml",
            time::macros::date!(2026 - 02 - 01),
        ))
        .unwrap();
        assert_eq!(report["version"], "2.1.0");
        let run = &report["runs"][0];
        assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), 2);
        let results = run["results"].as_array().unwrap();
        assert_eq!(results.len(), 3);
        assert_eq!(
            results[0]["suppressions"][0]["justification"],
            "not reachable (owner web, until 2026-03-01)"
        );
        assert_eq!((&results[0]["level"], &results[1]["level"]), (&json!("error"), &json!("warning")));
        assert!(results[1].get("suppressions").is_none());
        let at = &results[1]["locations"][0]["physicalLocation"];
        assert_eq!(at["artifactLocation"]["uri"], "services/a%20b.yaml");
        assert_eq!(at["region"]["startLine"], 1);
        let rule = &run["tool"]["driver"]["rules"][0];
        assert_eq!(rule["properties"]["security-severity"], "8.0");
        assert!(rule["help"]["text"].is_string() && rule["fullDescription"]["text"].is_string());
        assert_eq!(results[1]["locations"][0]["logicalLocations"][0]["fullyQualifiedName"], "arn");
    }
}
