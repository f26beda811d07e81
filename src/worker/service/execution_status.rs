//! Notices that an execution was stopped, abandoned or superseded: nothing tells a worker, so it asks now and then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_codepipeline::types::{ActionExecutionFilter, ActionExecutionStatus, PipelineExecutionStatus};

use crate::aws::{Aws, AwsError};
use crate::engine::{Job, Timestamp};

/// Executions whose last look is remembered; past this many, old looks are forgotten.
const REMEMBERED: usize = 4096;

/// When each execution was last looked at.
#[derive(Debug)]
pub struct ExecutionStatusCache {
    every: Duration,
    looked: Mutex<HashMap<String, Timestamp>>,
}

impl ExecutionStatusCache {
    /// Looks at an execution at most once in `every`.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self { every, looked: Mutex::new(HashMap::new()) }
    }

    /// Why the action of a job is over without an answer of ours; none while it goes on.
    ///
    /// # Errors
    /// CodePipeline refused or did not answer.
    pub async fn look(&self, aws: &Aws, job: &Job, now: Timestamp) -> Result<Option<String>, AwsError> {
        if self.seen_lately(&job.key.run_id, now) {
            return Ok(None);
        }
        over(aws, job).await
    }

    fn seen_lately(&self, execution: &str, now: Timestamp) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if looked.get(execution).is_some_and(|last| now.since(*last) < self.every) {
            return true;
        }
        if looked.len() >= REMEMBERED {
            looked.retain(|_, last| now.since(*last) < self.every);
        }
        looked.insert(execution.to_owned(), now);
        false
    }
}

/// Why the action of a job is over without an answer of ours, asked now; none while it goes on.
///
/// A stop that does not abandon waits for the actions in progress (`StopPipelineExecution.abandon`): they go on.
///
/// # Errors
/// CodePipeline refused or did not answer.
pub async fn over(aws: &Aws, job: &Job) -> Result<Option<String>, AwsError> {
    let (pipeline, execution) = (&job.key.pipeline, &job.key.run_id);
    let asked =
        aws.codepipeline.get_pipeline_execution().pipeline_name(pipeline).pipeline_execution_id(execution);
    let answer = asked.send().await;
    let answer = answer.map_err(|e| AwsError::new("codepipeline:GetPipelineExecution", execution, e))?;
    let status = answer.pipeline_execution.and_then(|execution| execution.status);
    let Some(status) = status.filter(|status| *status != PipelineExecutionStatus::InProgress) else {
        return Ok(None);
    };
    let filter = ActionExecutionFilter::builder().pipeline_execution_id(execution).build();
    let mut pages = aws
        .codepipeline
        .list_action_executions()
        .pipeline_name(pipeline)
        .filter(filter)
        .into_paginator()
        .items()
        .send();
    while let Some(action) = pages.next().await {
        let action = action.map_err(|e| AwsError::new("codepipeline:ListActionExecutions", execution, e))?;
        if action.action_execution_id.as_deref() == Some(job.key.attempt_id.as_str()) {
            return Ok(match action.status {
                Some(ActionExecutionStatus::Abandoned) => {
                    Some(format!("the execution is {status}, the action abandoned"))
                }
                Some(ActionExecutionStatus::Failed) => {
                    Some(format!("the execution is {status}, the action has failed"))
                }
                _ => None,
            });
        }
    }
    Ok(None)
}
