//! The findings of a scan on their way to Security Hub, in its own format (AWS Security Finding Format, 2018-10-08).

use aws_sdk_securityhub::types::{
    AwsSecurityFinding, FindingProviderFields, FindingProviderSeverity, Note, Resource, SeverityLabel,
    SoftwarePackage, Vulnerability, VulnerabilityFixAvailable, Workflow, WorkflowStatus,
};

use super::gate::{Finding, Standing, standing};
use super::{Bake, Inputs, forward, inspect};
use crate::aws::{AwsError, Class};
use crate::digest::Sha256;
use crate::engine::{Progress, StageError, Step, Timestamp};
use crate::spec::Scan;
use crate::stage::Cx;

/// Findings in one call (`BatchImportFindings`, member Findings).
const BATCH: usize = 100;
/// Characters of a title and of a description.
const TITLE: usize = 256;
const DESCRIPTION: usize = 1024;
/// Findings that were not taken, of which the summary tells.
const TOLD: usize = 3;

/// Whose findings they are, and of what.
struct About<'a> {
    build: &'a str,
    account: &'a str,
    region: &'a str,
    /// When the image was there to be scanned: the same whenever the findings are sent.
    since: Timestamp,
    now: Timestamp,
}

/// Sends the next batch. The same finding has the same id, so that a batch that is sent again changes nothing.
pub async fn telling(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    since: Timestamp,
    done: u16,
) -> Result<Step<Bake>, StageError> {
    let Some(scan) = &inputs.bake.gates.scan else { return Ok(Step::Next(forward::reading(image))) };
    let findings = inspect::findings(cx, &image).await?;
    let Some(batch) = findings.chunks(BATCH).nth(usize::from(done)) else {
        return forward::counted(scan, &findings, cx, image);
    };
    let about =
        About { build: &image, account: &inputs.account, region: cx.aws.region(), since, now: cx.now() };
    let batch = batch.iter().map(|finding| about.finding(scan, finding)).collect();
    let answer = cx.aws.securityhub.batch_import_findings().set_findings(Some(batch)).send().await;
    let answer =
        answer.map_err(|error| refused(AwsError::new("securityhub:BatchImportFindings", &image, error)))?;
    let state = Bake::ReportingFindings { image: image.clone(), since, done: done.saturating_add(1) };
    let failed = answer.failed_findings.unwrap_or_default();
    if failed.is_empty() {
        return Ok(Step::Next(state));
    }
    // What it does not take for what it is, it will not take the next time either: the release has its findings in the
    // artifact, and is judged by them.
    let told: Vec<String> = failed
        .iter()
        .take(TOLD)
        .map(|one| {
            let id = one.id.as_deref().unwrap_or("?");
            let why = one.error_message.as_deref().unwrap_or("no message");
            format!("{}: {why}", id.strip_prefix(&format!("{image}/")).unwrap_or(id))
        })
        .collect();
    let summary = format!("Security Hub did not take {} findings: {}", failed.len(), told.join("; "));
    tracing::warn!(build = %image, refused = failed.len(), "{summary}");
    let progress = Progress { percent: 97, summary, external_id: Some(image) };
    Ok(Step::Wait { state, again_in: std::time::Duration::ZERO, progress })
}

/// A service that is not enabled is for whoever wrote the release to mend; one that is busy is asked again.
fn refused(error: AwsError) -> StageError {
    if error.is("InvalidAccessException") {
        return StageError::Config(format!(
            "{error}: enable Security Hub here, or remove security_hub from bake.gates.scan.report_to"
        ));
    }
    if error.is("LimitExceededException") || error.class == Class::Throttled {
        return StageError::NotYet(error.to_string());
    }
    error.into()
}

impl About<'_> {
    fn finding(&self, scan: &Scan, finding: &Finding) -> AwsSecurityFinding {
        let partition = self.build.split(':').nth(1).unwrap_or("aws");
        let (account, region) = (self.account, self.region);
        let packages = finding.packages.join(", ");
        let title = if finding.title.is_empty() { &finding.id } else { &finding.title };
        let description = format!("{} in {packages} of the image {}", finding.id, self.build);
        let excepted = match standing(scan, finding, self.now.date_time().date()) {
            Standing::Excepted(exception) => Some(exception),
            Standing::Counted | Standing::NotCounted | Standing::Expired(_) => None,
        };
        // Set by the first import only: afterwards they belong to whoever works on the finding.
        let note = excepted.map(|exception| {
            let text = format!("{} (owner {}, until {})", exception.reason, exception.owner, exception.until);
            Note::builder().text(text).updated_by("bakeline").updated_at(date(self.now)).build()
        });
        let workflow = excepted.map(|_| Workflow::builder().status(WorkflowStatus::Suppressed).build());
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

    /// The same for the same finding of the same build.
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

/// A finding that nobody has weighed yet counts as the gravest, here as in the gate.
fn label(severity: &str) -> SeverityLabel {
    match severity {
        "CRITICAL" | "UNTRIAGED" => SeverityLabel::Critical,
        "HIGH" => SeverityLabel::High,
        "MEDIUM" => SeverityLabel::Medium,
        "LOW" => SeverityLabel::Low,
        _ => SeverityLabel::Informational,
    }
}

fn short(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
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

    fn about(now: i64) -> About<'static> {
        About {
            build: "arn:aws-cn:imagebuilder:cn-north-1:123456789012:image/web/1.0.0/1",
            account: "123456789012",
            region: "cn-north-1",
            since: Timestamp(1_700_000_000),
            now: Timestamp(now),
        }
    }

    #[test]
    fn a_finding_fits_the_format_and_is_the_same_whenever_it_is_sent() {
        let scan: Scan = serde_json::from_str(r#"{"max_findings": {"critical": 0}}"#).unwrap();
        let first = about(1_700_000_100).finding(&scan, &finding());
        let again = about(1_700_000_900).finding(&scan, &finding());
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
        assert_ne!(about(1).finding(&scan, &other).id, first.id, "another package, another finding");
    }

    #[test]
    fn what_someone_answers_for_arrives_suppressed_and_says_who() {
        let scan: Scan = serde_json::from_str(
            r#"{"max_findings": {"critical": 0}, "accepted": [{"id": "CVE-2026-1", "owner": "web", "reason": "not loaded", "until": "2099-01-01"}]}"#,
        )
        .unwrap();
        let sent = about(1_700_000_100).finding(&scan, &finding());
        assert_eq!(sent.workflow.and_then(|workflow| workflow.status), Some(WorkflowStatus::Suppressed));
        assert_eq!(
            sent.note.and_then(|note| note.text).as_deref(),
            Some("not loaded (owner web, until 2099-01-01)")
        );
    }
}
