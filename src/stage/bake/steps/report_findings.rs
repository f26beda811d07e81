//! Reports the findings of the scan to Security Hub, one batch in each step.

use super::super::gates::read;
use super::super::gates::security_hub::{Import, import_error};
use super::super::inputs::Inputs;
use super::super::state::Bake;
use super::check_gates::{after_gates, check_findings};
use crate::aws::AwsError;
use crate::engine::{Progress, StageError, Step, Timestamp};
use crate::stage::Cx;

/// Findings in one call (`BatchImportFindings`, member `Findings`).
const BATCH: usize = 100;
/// Rejected findings that the summary names.
const NAMED: usize = 3;

/// Sends the next batch. A finding has the same id whenever it is sent, so a repeated batch changes nothing.
pub async fn report_findings(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    since: Timestamp,
    done: u16,
) -> Result<Step<Bake>, StageError> {
    let Some(scan) = &inputs.bake.gates.scan else { return Ok(Step::Next(after_gates(image))) };
    let findings = read::findings(cx, &image).await?;
    let Some(batch) = findings.chunks(BATCH).nth(usize::from(done)) else {
        return check_findings(scan, &findings, cx, image);
    };
    let import =
        Import { build: &image, account: &inputs.account, region: cx.aws.region(), since, now: cx.now() };
    let batch = batch.iter().map(|finding| import.finding(scan, finding)).collect();
    let answer = cx.aws.securityhub.batch_import_findings().set_findings(Some(batch)).send().await;
    let answer = answer
        .map_err(|error| import_error(AwsError::new("securityhub:BatchImportFindings", &image, error)))?;
    let state = Bake::ReportingFindings { image: image.clone(), since, done: done.saturating_add(1) };
    let rejected = answer.failed_findings.unwrap_or_default();
    if rejected.is_empty() {
        return Ok(Step::Next(state));
    }
    // Security Hub would reject the same finding again. The release goes on: its findings are in the artifact, and the
    // gate counts them.
    let named: Vec<String> = rejected
        .iter()
        .take(NAMED)
        .map(|one| {
            let id = one.id.as_deref().unwrap_or("?");
            let message = one.error_message.as_deref().unwrap_or("no message");
            format!("{}: {message}", id.strip_prefix(&format!("{image}/")).unwrap_or(id))
        })
        .collect();
    let summary = format!("Security Hub rejected {} findings: {}", rejected.len(), named.join("; "));
    tracing::warn!(build = %image, rejected = rejected.len(), "{summary}");
    let progress = Progress { percent: 97, summary, external_id: Some(image) };
    Ok(Step::Wait { state, again_in: std::time::Duration::ZERO, progress })
}
