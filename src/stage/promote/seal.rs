//! The end of a promotion: the statement is signed and handed over, whatever the outcome.

use super::analysis::input::{self, AnalysisInput, RECORDING, Recorded};
use super::check::Check;
use super::error::PromoteError;
use super::history::{End, History};
use super::inputs::Inputs;
use super::record::{self, REPORT};
use super::report::{self, PAGE};
use super::subject::Subject;
use super::target::{DeploymentTarget, Description};
use crate::digest::Sha256;
use crate::engine::{Failure, FailureKind, Outcome, StageError};
use crate::evidence::Stage;
use crate::evidence::predicate::{Promotion, PromotionOutcome};
use crate::stage::context::Cx;
use crate::stage::handover;

/// Hands over the statement of a promotion past its preflight.
///
/// # Errors
/// A read failed, or the artifact could not be written.
pub async fn seal<D: DeploymentTarget>(
    deployment: &D,
    history: &History,
    end: End,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Outcome, StageError> {
    let promoted = end.outcome == PromotionOutcome::Promoted;
    let description = deployment.describe(inputs, promoted, cx).await?;
    let recorded = match (history.analysis, deployment.metric_sides(inputs, cx).await?) {
        (Some(ended), Some(sides)) => {
            let input = AnalysisInput { judge: inputs.judge()?, sides, periods: history.periods.clone() };
            Some(input::record(ended, &input, &cx.aws).await?)
        }
        _ => None,
    };
    let mut variables = description.variables.clone();
    let name = variables.get("TargetName").cloned().unwrap_or_else(|| description.target.name.clone());
    let record = record::promotion(description, &inputs.settings, history, &end);
    let statement = hand_over(inputs, cx, record, recorded).await?;
    if let Some(why) = end.why {
        return Ok(Outcome::Failed(why.into()));
    }
    if !promoted {
        let message = format!("{} was not promoted to {name}", inputs.subject);
        return Ok(Outcome::Failed(Failure::new(FailureKind::JobFailed, message)));
    }
    variables.insert("Outcome".to_owned(), "promoted".to_owned());
    variables.insert("StatementDigest".to_owned(), statement.to_string());
    if let Subject::MachineImage(image) = &inputs.subject {
        variables.insert("ImageId".to_owned(), image.image_id.clone());
    }
    let who = match inputs.settings.groups() {
        1 => format!("{name} runs"),
        targets => format!("{name} and {} more targets run", targets - 1),
    };
    let summary = format!("{who} {} on {} units, all healthy", inputs.subject, end.units().total);
    Ok(Outcome::Succeeded { summary, external_id: deployment.external_id(), variables })
}

/// Hands over the checks of a preflight that failed. Nothing was changed.
///
/// # Errors
/// The artifact could not be written.
pub async fn refuse(
    description: Description,
    checks: &[Check],
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Outcome, StageError> {
    let failed: Vec<&Check> = checks.iter().filter(|check| !check.holds).collect();
    let what: Vec<String> =
        failed.iter().map(|check| format!("{} ({})", check.observed, check.hint)).collect();
    let message = format!("nothing was changed, because the preflight failed: {}", what.join("; "));
    let configuration = failed.iter().any(|check| check.kind == FailureKind::ConfigurationError);
    let kind = if configuration { FailureKind::ConfigurationError } else { FailureKind::JobFailed };
    let record = record::refusal(description, checks, &message, (inputs.at, cx.now()));
    hand_over(inputs, cx, record, None).await?;
    Ok(Outcome::Failed(Failure::new(kind, message)))
}

async fn hand_over(
    inputs: &Inputs,
    cx: &Cx,
    mut record: Promotion,
    recorded: Option<Recorded>,
) -> Result<Sha256, StageError> {
    let mut release = inputs.release.artifact.clone();
    let mut looks = Vec::new();
    if let Some(recorded) = recorded {
        record.canary = Some(recorded.canary);
        looks = recorded.looks;
        release.files.insert(RECORDING.to_owned(), recorded.recording);
    }
    let page = report::page(&record, &inputs.subject.to_string(), &looks)
        .map_err(|source| PromoteError::Page { source })?;
    release.files.insert(PAGE.to_owned(), page.into_bytes());
    let report = serde_json::to_vec_pretty(&record).map_err(|source| PromoteError::Report { source })?;
    release.files.insert(REPORT.to_owned(), report);
    let valid_for = inputs.release.spec.evidence.valid_for.as_duration();
    let subjects = inputs.subject.descriptors();
    handover::hand_over_about(cx, Stage::Promote, subjects, &record, release, valid_for).await
}
