//! Job results. A result ends its job; without a continuation token it ends the action too.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::execution::Failure;
use super::job::{self, JobStatus};
use super::{action, action_type, validation};

/// The size limit of all output variables of one action, in bytes (user guide, "Quotas").
const VARIABLES_LIMIT: usize = 122_880;
/// The maximum length of a continuation token (`ContinuationToken`).
const TOKEN_LIMIT: usize = 2048;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Success {
    job_id: String,
    current_revision: Option<CurrentRevision>,
    continuation_token: Option<String>,
    execution_details: Option<Details>,
    output_variables: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct CurrentRevision {
    revision: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    summary: Option<String>,
    external_execution_id: Option<String>,
    percent_complete: Option<u8>,
}

/// The job's execution and run, if the job accepts a result.
fn open_job(world: &World, call: &Call, id: &str) -> Result<(String, String), ApiError> {
    let job = job::find(world, call, id)?;
    if job.status != JobStatus::InProgress {
        return Err(ApiError::new(
            "InvalidJobStateException",
            format!("Job {id} is not in progress and does not accept a result"),
        ));
    }
    Ok((job.execution.clone(), job.run.clone()))
}

pub(super) fn success(world: &mut World, call: &Call) -> Answer {
    let input: Success = call.parse()?;
    let variables = input.output_variables.unwrap_or_default();
    if let Some(token) = &input.continuation_token {
        if token.is_empty() || token.chars().count() > TOKEN_LIMIT {
            return Err(validation(format!("A continuation token has 1 to {TOKEN_LIMIT} characters")));
        }
        if !variables.is_empty() {
            return Err(validation("Output variables cannot be put together with a continuation token"));
        }
    }
    let size: usize = variables.iter().map(|(key, value)| key.len() + value.len()).sum();
    if size > VARIABLES_LIMIT {
        return Err(ApiError::new(
            "OutputVariablesSizeExceededException",
            format!("The output variables take {size} bytes, more than {VARIABLES_LIMIT}"),
        ));
    }
    let (execution, run) = open_job(world, call, &input.job_id)?;
    note(world, call, &execution, &run, input.execution_details);
    if let Some(job) = world.codepipeline.jobs.get_mut(&input.job_id) {
        job.status = JobStatus::Succeeded;
    }
    if let Some(token) = input.continuation_token {
        job::queue(world, call.now, &execution, &run, Some(token));
        return Ok(json!({}));
    }
    if let Some(found) = world.codepipeline.executions.get_mut(&execution).and_then(|e| e.run_mut(&run)) {
        found.output_variables = variables;
        found.percent = Some(100);
        if let Some(current) = input.current_revision {
            for output in &mut found.outputs {
                output.revision = Some(current.revision.clone());
            }
        }
    }
    action::succeed(world, call.now, &execution, &run);
    Ok(json!({}))
}

/// Stores the execution details of a job's result.
fn note(world: &mut World, call: &Call, execution: &str, run: &str, details: Option<Details>) {
    let Some(details) = details else { return };
    let Some(execution) = world.codepipeline.executions.get(execution) else { return };
    let (home, id) = (execution.pipeline.clone(), execution.id.clone());
    let Some(found) = execution.run(run) else { return };
    let url = details.external_execution_id.as_ref().and_then(|external| {
        action_type::find(world, &home.account, &home.region, &found.type_id)?.execution_url(external)
    });
    let Some(found) = world.codepipeline.executions.get_mut(&id).and_then(|e| e.run_mut(run)) else { return };
    found.updated = call.now;
    found.summary = details.summary.or(found.summary.take());
    found.external_id = details.external_execution_id.or(found.external_id.take());
    found.external_url = url.or(found.external_url.take());
    found.percent = details.percent_complete.or(found.percent);
}

pub(super) fn failure(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        job_id: String,
        failure_details: FailureDetails,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct FailureDetails {
        #[serde(rename = "type")]
        kind: String,
        message: String,
        external_execution_id: Option<String>,
    }
    let input: Input = call.parse()?;
    let details = input.failure_details;
    if details.message.is_empty() || details.message.chars().count() > 5000 {
        return Err(validation("A failure message has 1 to 5000 characters"));
    }
    let (execution, run) = open_job(world, call, &input.job_id)?;
    note(
        world,
        call,
        &execution,
        &run,
        Some(Details {
            summary: None,
            external_execution_id: details.external_execution_id,
            percent_complete: None,
        }),
    );
    if let Some(job) = world.codepipeline.jobs.get_mut(&input.job_id) {
        job.status = JobStatus::Failed;
    }
    let failure = Failure { code: details.kind, message: details.message };
    action::fail(world, call.now, &execution, &run, failure);
    Ok(json!({}))
}
