//! The manual approval that decides when the judge is inconclusive: an action of the same stage of the pipeline.

use aws_sdk_codepipeline::types::{ActionExecutionStatus, StageExecution, StageState};

use super::decide::Approval;
use super::error::AnalysisError;
use crate::aws::AwsError;
use crate::engine::StageError;
use crate::stage::context::Cx;

/// The state of the approval action in this pipeline execution.
///
/// # Errors
/// `GetPipelineState` failed; [`StageError::Config`] when the stage has no such action.
pub async fn read(cx: &Cx, action: &str) -> Result<Approval, StageError> {
    let key = cx.key();
    let answer = cx
        .aws
        .codepipeline
        .get_pipeline_state()
        .name(&key.pipeline)
        .send()
        .await
        .map_err(|e| AwsError::new("codepipeline:GetPipelineState", &key.pipeline, e))?;
    let stage = answer.stage_states().iter().find(|stage| stage.stage_name() == Some(&key.pipeline_stage));
    let found = stage
        .into_iter()
        .flat_map(StageState::action_states)
        .find(|state| state.action_name() == Some(action));
    let Some(found) = found else {
        let (stage, pipeline) = (key.pipeline_stage.clone(), key.pipeline.clone());
        return Err(AnalysisError::NoApproval { action: action.to_owned(), stage, pipeline }.into());
    };
    // `GetPipelineState` shows the latest execution of a stage; while this action runs, that is this execution.
    let ours = stage.and_then(|stage| stage.latest_execution()).map(StageExecution::pipeline_execution_id);
    if ours != Some(key.run_id.as_str()) {
        return Ok(Approval::Open);
    }
    let status =
        found.latest_execution().and_then(|execution| execution.status()).map(ActionExecutionStatus::as_str);
    Ok(match status {
        Some("Succeeded") => Approval::Approved,
        Some("Failed" | "Abandoned") => Approval::Rejected,
        _ => Approval::Open,
    })
}
