//! Findings of a scan in the AWS Security Finding Format (2018-10-08), for Security Hub.

use aws_sdk_securityhub::types::{
    AwsSecurityFinding, FindingProviderFields, FindingProviderSeverity, Note, Resource, SeverityLabel,
    SoftwarePackage, Vulnerability, VulnerabilityFixAvailable, Workflow, WorkflowStatus,
};

use super::error::GateError;
use super::scan::{Finding, FindingStatus, finding_status};
use crate::aws::{AwsError, Class};
use crate::digest::Sha256;
use crate::engine::{StageError, Timestamp};
use crate::spec::Scan;

/// Max characters of a title and of a description.
const TITLE: usize = 256;
const DESCRIPTION: usize = 1024;
/// What the findings of one build have in common.
pub struct Import<'a> {
    pub build: &'a str,
    pub account: &'a str,
    pub region: &'a str,
    /// When the images were available: the same whenever the findings are sent.
    pub since: Timestamp,
    pub now: Timestamp,
}

/// The error of a failed import: the spec's if Security Hub is not enabled, transient if it is throttled.
pub fn import_error(error: AwsError) -> StageError {
    if error.is("InvalidAccessException") {
        return GateError::SecurityHubDisabled(error).into();
    }
    if error.is("LimitExceededException") || error.class == Class::Throttled {
        return StageError::RetryLater(error);
    }
    error.into()
}

impl Import<'_> {
    /// The finding in the format of Security Hub.
    pub fn finding(&self, scan: &Scan, finding: &Finding) -> AwsSecurityFinding {
        let partition = self.build.split(':').nth(1).unwrap_or("aws");
        let (account, region) = (self.account, self.region);
        let packages = finding.packages.join(", ");
        let title = if finding.title.is_empty() { &finding.id } else { &finding.title };
        let description = format!("{} in {packages} of the image {}", finding.id, self.build);
        let accepted = match finding_status(scan, finding, self.now.date_time().date()) {
            FindingStatus::Accepted(acceptance) => Some(acceptance),
            FindingStatus::Counted | FindingStatus::NotCounted | FindingStatus::AcceptanceExpired(_) => None,
        };
        // Security Hub takes note and workflow from the first import only; later they belong to its users.
        let note = accepted.map(|acceptance| {
            let text =
                format!("{} (owner {}, until {})", acceptance.reason, acceptance.owner, acceptance.until);
            Note::builder().text(text).updated_by("bakeline").updated_at(date(self.now)).build()
        });
        let workflow = accepted.map(|_| Workflow::builder().status(WorkflowStatus::Suppressed).build());
        let severity = FindingProviderSeverity::builder()
            .label(label(&finding.severity))
            .original(&finding.severity)
            .build();
        let provider = FindingProviderFields::builder()
            .severity(severity)
            .types("Software and Configuration Checks/Vulnerabilities/CVE")
            .build();
        let vulnerability = Vulnerability::builder()
            .id(&finding.id)
            .set_vulnerable_packages(Some(finding.packages.iter().map(|name| package(name)).collect()))
            .set_reference_urls(finding.url.clone().map(|url| vec![url]))
            .fix_available(VulnerabilityFixAvailable::from(finding.fix.as_str()))
            .build();
        let resource = Resource::builder()
            .r#type("Other")
            .id(self.build)
            .partition(partition.into())
            .region(region)
            .build();
        AwsSecurityFinding::builder()
            .schema_version("2018-10-08")
            .id(self.id(finding))
            .product_arn(format!("arn:{partition}:securityhub:{region}:{account}:product/{account}/default"))
            .generator_id("bakeline/image-scan")
            .aws_account_id(account)
            .created_at(date(self.since))
            .updated_at(date(self.now))
            .title(short(title, TITLE))
            .description(short(&description, DESCRIPTION))
            .finding_provider_fields(provider)
            .vulnerabilities(vulnerability)
            .set_note(note)
            .set_workflow(workflow)
            .set_source_url(finding.url.clone())
            .resources(resource)
            .build()
    }

    /// The id of a finding: the same whenever it is sent.
    fn id(&self, finding: &Finding) -> String {
        let packages = Sha256::of(finding.packages.join("\n").as_bytes()).to_string();
        format!("{}/{}/{}", self.build, finding.id, packages.get(..8).unwrap_or_default())
    }
}

/// `name 1.2.3` as a package and its version.
fn package(named: &str) -> SoftwarePackage {
    let (name, version) = named.rsplit_once(' ').unwrap_or((named, "?"));
    SoftwarePackage::builder().name(name).version(version).build()
}

/// The severity of a finding. One that Inspector has not triaged counts as critical, as in the gate.
fn label(severity: &str) -> SeverityLabel {
    match severity {
        "CRITICAL" | "UNTRIAGED" => SeverityLabel::Critical,
        "HIGH" => SeverityLabel::High,
        "MEDIUM" => SeverityLabel::Medium,
        "LOW" => SeverityLabel::Low,
        _ => SeverityLabel::Informational,
    }
}

fn short(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

fn date(at: Timestamp) -> String {
    at.date_time().format(&time::format_description::well_known::Rfc3339).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding() -> Finding {
        Finding {
            id: "CVE-2026-1".into(),
            severity: "UNTRIAGED".into(),
            title: "t".repeat(300),
            fix: "YES".into(),
            packages: vec!["openssl-libs 3.0.8".into(), "odd".into()],
            url: None,
        }
    }

    fn import(now: i64) -> Import<'static> {
        Import {
            build: "arn:aws-cn:imagebuilder:cn-north-1:123456789012:image/web/1.0.0/1",
            account: "123456789012",
            region: "cn-north-1",
            since: Timestamp(1_700_000_000),
            now: Timestamp(now),
        }
    }

    #[test]
    fn a_finding_has_the_same_id_whenever_it_is_sent() {
        let scan: Scan = serde_json::from_str(r#"{"max_findings": {"critical": 0}}"#).unwrap();
        let first = import(1_700_000_100).finding(&scan, &finding());
        let again = import(1_700_000_900).finding(&scan, &finding());
        assert_eq!((&first.id, &first.created_at), (&again.id, &again.created_at));
        assert_ne!(first.updated_at, again.updated_at);
        assert_eq!(
            first.product_arn.as_deref(),
            Some("arn:aws-cn:securityhub:cn-north-1:123456789012:product/123456789012/default")
        );
        assert_eq!(first.title.as_deref().map(str::len), Some(256));
        let fields = first.finding_provider_fields.unwrap();
        assert_eq!(fields.severity.and_then(|severity| severity.label), Some(SeverityLabel::Critical));
        let packages = first.vulnerabilities.unwrap().remove(0).vulnerable_packages.unwrap();
        assert_eq!(
            (packages[0].name.as_deref(), packages[0].version.as_deref()),
            (Some("openssl-libs"), Some("3.0.8"))
        );
        assert!(first.note.is_none() && first.workflow.is_none());
        let other = Finding { packages: vec!["zlib 1.0".into()], ..finding() };
        assert_ne!(import(1).finding(&scan, &other).id, first.id, "another package makes another finding");
    }

    #[test]
    fn an_accepted_finding_is_suppressed_and_names_its_owner() {
        let scan: Scan = serde_json::from_str(
            r#"{"max_findings": {"critical": 0}, "accepted": [{"id": "CVE-2026-1", "owner": "web", "reason": "not loaded", "until": "2099-01-01"}]}"#,
        )
        .unwrap();
        let sent = import(1_700_000_100).finding(&scan, &finding());
        assert_eq!(sent.workflow.and_then(|workflow| workflow.status), Some(WorkflowStatus::Suppressed));
        assert_eq!(
            sent.note.and_then(|note| note.text).as_deref(),
            Some("not loaded (owner web, until 2099-01-01)")
        );
    }
}
