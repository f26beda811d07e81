//! The gate on the vulnerability scan: which findings count, and how many of each severity may pass. Pure.

use std::collections::BTreeMap;

use time::Date;

use crate::spec::{AcceptedFinding, Scan};

/// Findings of one severity that the message quotes.
const QUOTED: usize = 5;

/// The state of a build's vulnerability scan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScanState {
    /// Complete: the list of findings is final.
    Completed,
    /// Not complete yet; its status.
    Running(String),
    /// Never complete, and why: the list of findings says nothing.
    Unusable(String),
}

/// The state of a scan with this `ImageScanState.status`; none: Image Builder does not scan the build.
#[must_use]
pub fn scan_state(status: Option<&str>) -> ScanState {
    match status {
        Some("COMPLETED") => ScanState::Completed,
        Some(ended @ ("ABANDONED" | "FAILED" | "TIMED_OUT")) => {
            ScanState::Unusable(format!("it ended {ended}"))
        }
        Some(status) => ScanState::Running(status.to_lowercase()),
        None => ScanState::Unusable("image scanning is not enabled for the build".to_owned()),
    }
}

/// A finding of a vulnerability scan.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The id of the vulnerability, such as CVE-2026-12345.
    pub id: String,
    /// CRITICAL, HIGH, MEDIUM, LOW, INFORMATIONAL or UNTRIAGED.
    pub severity: String,
    pub title: String,
    /// Whether there is a fix: YES, NO or PARTIAL.
    pub fix: String,
    /// The affected packages, as `name 1.2.3`.
    pub packages: Vec<String>,
    /// URL of its description.
    pub url: Option<String>,
}

/// Whether a finding counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FindingStatus<'s> {
    /// The finding counts.
    Counted,
    /// The spec has no limit on the severity, or counts only findings with a fix.
    NotCounted,
    /// The finding is accepted: someone answers for it.
    Accepted(&'s AcceptedFinding),
    /// The acceptance has expired: the finding counts.
    AcceptanceExpired(&'s AcceptedFinding),
}

/// Whether a finding counts on a day.
#[must_use]
pub fn finding_status<'s>(scan: &'s Scan, finding: &Finding, today: Date) -> FindingStatus<'s> {
    if limit(scan, &finding.severity).is_none() || (scan.counts_only_fixable() && finding.fix == "NO") {
        return FindingStatus::NotCounted;
    }
    match scan.accepted.iter().find(|accepted| accepted.id == finding.id) {
        None => FindingStatus::Counted,
        // The spec refuses a day that cannot be parsed; here it accepts nothing.
        Some(accepted) if last_day(accepted).is_some_and(|last| today <= last) => {
            FindingStatus::Accepted(accepted)
        }
        Some(accepted) => FindingStatus::AcceptanceExpired(accepted),
    }
}

fn last_day(accepted: &AcceptedFinding) -> Option<Date> {
    Date::parse(&accepted.until, time::macros::format_description!("[year]-[month]-[day]")).ok()
}

fn limit(scan: &Scan, severity: &str) -> Option<u32> {
    match severity {
        // Inspector has not triaged the finding yet: it counts as critical.
        "CRITICAL" | "UNTRIAGED" => scan.max_findings.critical,
        "HIGH" => scan.max_findings.high,
        "MEDIUM" => scan.max_findings.medium,
        "LOW" => scan.max_findings.low,
        _ => None,
    }
}

/// Checks the findings of a completed scan against the limits.
///
/// # Errors
/// More findings of a severity count than its limit; names the first of them.
pub fn check_findings(scan: &Scan, findings: &[Finding], today: Date) -> Result<(), String> {
    let mut counted: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    let mut expired = Vec::new();
    for finding in findings {
        match finding_status(scan, finding, today) {
            FindingStatus::NotCounted | FindingStatus::Accepted(_) => continue,
            FindingStatus::Counted => {}
            FindingStatus::AcceptanceExpired(accepted) => expired
                .push(format!("{} was accepted by {} until {}", accepted.id, accepted.owner, accepted.until)),
        }
        let severity = if finding.severity == "UNTRIAGED" { "CRITICAL" } else { finding.severity.as_str() };
        counted.entry(severity).or_default().push(finding);
    }
    let mut exceeded = Vec::new();
    for severity in ["CRITICAL", "HIGH", "MEDIUM", "LOW"] {
        let found = counted.get(severity).map_or(&[][..], Vec::as_slice);
        let Some(max) = limit(scan, severity).filter(|max| found.len() > *max as usize) else { continue };
        let named: Vec<String> = found.iter().take(QUOTED).map(|finding| describe(finding)).collect();
        let more = found.len().saturating_sub(QUOTED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        exceeded.push(format!("{} {severity}, max {max}: {}{more}", found.len(), named.join(", ")));
    }
    if exceeded.is_empty() {
        return Ok(());
    }
    expired.dedup();
    exceeded.extend(expired);
    Err(exceeded.join("; "))
}

fn describe(finding: &Finding) -> String {
    let package = finding.packages.first().map(|package| format!(" in {package}")).unwrap_or_default();
    format!("{}{package}", finding.id)
}

#[cfg(test)]
mod tests {
    use time::macros::date;

    use super::*;
    use crate::spec::bake::scan::Count;

    fn scan(text: &str) -> Scan {
        serde_json::from_str(text).unwrap()
    }

    fn finding(id: &str, severity: &str, fix: &str) -> Finding {
        Finding { id: id.into(), severity: severity.into(), fix: fix.into(), ..Finding::default() }
    }

    const TODAY: Date = date!(2026 - 03 - 01);

    #[test]
    fn only_a_completed_scan_counts() {
        assert_eq!(scan_state(Some("COMPLETED")), ScanState::Completed);
        for running in ["PENDING", "SCANNING", "COLLECTING", "SOMETHING_NEW"] {
            assert!(matches!(scan_state(Some(running)), ScanState::Running(_)), "{running}");
        }
        for unusable in [Some("ABANDONED"), Some("FAILED"), Some("TIMED_OUT"), None] {
            assert!(matches!(scan_state(unusable), ScanState::Unusable(_)), "{unusable:?}");
        }
    }

    #[test]
    fn each_severity_has_its_own_limit_and_a_severity_without_one_does_not_count() {
        let gate = scan(r#"{"max_findings": {"critical": 0, "high": 1}}"#);
        let (high, critical) = (finding("CVE-1", "HIGH", "YES"), finding("CVE-2", "CRITICAL", "NO"));
        for (found, ok) in [
            (vec![], true),
            (vec![high.clone()], true),
            (vec![high.clone(), high.clone()], false),
            (vec![critical.clone()], false),
            (vec![finding("CVE-3", "UNTRIAGED", "NO")], false),
            (vec![finding("CVE-4", "MEDIUM", "YES"); 9], true),
            (vec![finding("CVE-5", "INFORMATIONAL", "YES"); 9], true),
        ] {
            assert_eq!(check_findings(&gate, &found, TODAY).is_ok(), ok, "{found:?}");
        }
        let fixable = Scan { count: Count::Fixable, ..gate };
        assert!(check_findings(&fixable, &[critical], TODAY).is_ok());
        assert!(check_findings(&fixable, &[finding("CVE-2", "CRITICAL", "PARTIAL")], TODAY).is_err());
    }

    #[test]
    fn an_accepted_finding_does_not_count_until_its_last_day_is_over() {
        let gate = scan(
            r#"{"max_findings": {"critical": 0}, "accepted": [{"id": "CVE-1", "owner": "team-web", "reason": "r", "until": "2026-03-01"}]}"#,
        );
        let found = [finding("CVE-1", "CRITICAL", "YES")];
        assert!(check_findings(&gate, &found, TODAY).is_ok());
        let refused = check_findings(&gate, &found, TODAY.next_day().unwrap()).unwrap_err();
        assert_eq!(refused, "1 CRITICAL, max 0: CVE-1; CVE-1 was accepted by team-web until 2026-03-01");
        assert!(check_findings(&gate, &[finding("CVE-10", "CRITICAL", "YES")], TODAY).is_err());
    }

    #[test]
    fn the_message_quotes_the_first_findings_and_counts_the_rest() {
        let many: Vec<Finding> = (0..7).map(|n| finding(&format!("CVE-{n}"), "HIGH", "YES")).collect();
        let refused = check_findings(&scan(r#"{"max_findings": {"high": 2}}"#), &many, TODAY).unwrap_err();
        assert_eq!(refused, "7 HIGH, max 2: CVE-0, CVE-1, CVE-2, CVE-3, CVE-4 and 2 more");
    }
}
