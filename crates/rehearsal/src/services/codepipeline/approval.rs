//! Manual approvals.

use serde::Deserialize;
use serde_json::json;

use super::super::super::call::{self, ApiError, Call};
use super::super::super::world::World;
use super::super::sts;
use super::execution::ActionStatus;
use super::{Home, action, pipeline};

/// The decision of an approver.
pub(super) struct Answer {
    pub approved: bool,
    pub summary: String,
    pub by: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    pipeline_name: String,
    stage_name: String,
    action_name: String,
    result: InputResult,
    token: String,
}

#[derive(Deserialize)]
struct InputResult {
    summary: String,
    status: String,
}

pub(super) fn put(world: &mut World, call: &Call) -> call::Answer {
    let input: Input = call.parse()?;
    let home = Home::of(call, &input.pipeline_name);
    let declared = pipeline::declaration(world, &home)?;
    let Some(stage) = declared.stages.iter().find(|stage| stage.name == input.stage_name) else {
        return Err(ApiError::new("StageNotFoundException", format!("Stage {} not found", input.stage_name)));
    };
    if !stage.actions.iter().any(|action| action.name == input.action_name) {
        return Err(ApiError::new(
            "ActionNotFoundException",
            format!("Action {} not found", input.action_name),
        ));
    }
    let found = world
        .codepipeline
        .executions
        .values()
        .filter(|execution| execution.pipeline == home)
        .flat_map(|execution| execution.runs.iter().map(move |run| (execution, run)))
        .find(|(_, run)| {
            run.stage == input.stage_name
                && run.action == input.action_name
                && run.approval_token.as_ref() == Some(&input.token)
        });
    let Some((execution, run)) = found else {
        return Err(ApiError::new(
            "InvalidApprovalTokenException",
            "The approval request already received a response or has expired",
        ));
    };
    if run.status != ActionStatus::InProgress {
        return Err(ApiError::new(
            "ApprovalAlreadyCompletedException",
            "The approval action has already been completed",
        ));
    }
    let (execution, run) = (execution.id.clone(), run.id.clone());
    let answer = Answer {
        approved: input.result.status == "Approved",
        summary: input.result.summary,
        by: sts::principal(world, &call.access_key).map(|principal| principal.arn),
    };
    action::approve(world, call.now, &execution, &run, &answer);
    Ok(json!({ "approvedAt": call.now.epoch_seconds() }))
}
