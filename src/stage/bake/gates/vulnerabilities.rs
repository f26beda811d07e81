//! The findings of a scan as a statement of the in-toto predicate vulns v0.2. Pure.

use serde_json::json;
use time::{Date, OffsetDateTime};

use super::scan::{Finding, FindingStatus, finding_status};
use crate::evidence::predicate::{
    ScanMetadata, Scanner, Severity, VULNERABILITIES, Vulnerabilities, Vulnerability,
};
use crate::evidence::{ResourceDescriptor, Statement, StatementError};
use crate::spec::Scan;

/// The statement on the findings about `subjects`. The scan ran between `started` and `finished`.
///
/// # Errors
/// There is no subject.
pub fn statement(
    scan: &Scan,
    findings: &[Finding],
    subjects: Vec<ResourceDescriptor>,
    started: OffsetDateTime,
    finished: OffsetDateTime,
) -> Result<Statement, StatementError> {
    let result = findings.iter().map(|finding| vulnerability(scan, finding, finished.date()));
    let predicate = Vulnerabilities {
        scanner: Scanner { uri: "https://aws.amazon.com/inspector/".to_owned(), result: result.collect() },
        metadata: ScanMetadata { scan_started_on: started, scan_finished_on: finished },
    };
    Statement::standalone(subjects, VULNERABILITIES, &predicate)
}

fn vulnerability(scan: &Scan, finding: &Finding, today: Date) -> Vulnerability {
    let mut annotation = json!({ "packages": finding.packages, "fixAvailable": finding.fix });
    if let Some(url) = &finding.url {
        annotation["url"] = url.as_str().into();
    }
    if let FindingStatus::Accepted(accepted) = finding_status(scan, finding, today) {
        annotation["accepted"] =
            json!({ "owner": accepted.owner, "reason": accepted.reason, "until": accepted.until });
    }
    Vulnerability {
        id: finding.id.clone(),
        severity: vec![Severity { method: "inspector".to_owned(), score: finding.severity.clone() }],
        annotations: vec![annotation],
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::evidence::Sha256;

    #[test]
    fn every_finding_has_its_severity_and_packages() {
        let scan: Scan = serde_json::from_value(json!({
            "max_findings": { "high": 0 },
            "accepted": [{"id": "CVE-1", "owner": "web", "reason": "not reachable", "until": "2026-03-01"}],
        }))
        .unwrap();
        let finding = Finding {
            id: "CVE-1".into(),
            severity: "HIGH".into(),
            fix: "YES".into(),
            packages: vec!["openssl 3.0.1".into()],
            ..Finding::default()
        };
        let subject = ResourceDescriptor::named("image", &Sha256::of(b"image"));
        let (started, finished) = (datetime!(2026-02-01 10:00 UTC), datetime!(2026-02-01 11:00 UTC));
        let made = statement(&scan, &[finding], vec![subject], started, finished).unwrap();
        assert_eq!(made.predicate_type(), "https://in-toto.io/attestation/vulns/v0.2");
        assert_eq!(
            *made.predicate(),
            json!({
                "scanner": {
                    "uri": "https://aws.amazon.com/inspector/",
                    "result": [{
                        "id": "CVE-1",
                        "severity": [{ "method": "inspector", "score": "HIGH" }],
                        "annotations": [{
                            "packages": ["openssl 3.0.1"],
                            "fixAvailable": "YES",
                            "accepted": { "owner": "web", "reason": "not reachable", "until": "2026-03-01" },
                        }],
                    }],
                },
                "metadata": { "scanStartedOn": "2026-02-01T10:00:00Z", "scanFinishedOn": "2026-02-01T11:00:00Z" },
            })
        );
    }
}
