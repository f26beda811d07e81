//! Detects executions that were stopped, abandoned or superseded. CodePipeline does not notify a worker, so the worker
//! asks at intervals.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_codepipeline::types::{ActionExecutionFilter, ActionExecutionStatus, PipelineExecutionStatus};

use crate::aws::{Aws, AwsError};
use crate::engine::{Job, Timestamp};

/// The cache removes old entries above this number of executions.
const MAX_ENTRIES: usize = 4096;

/// When the status of each execution was last read.
#[derive(Debug)]
pub struct ExecutionStatusCache {
    interval: Duration,
    read: Mutex<HashMap<String, Timestamp>>,
}

impl ExecutionStatusCache {
    /// Reads the status of an execution at most once in `interval`.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self { interval, read: Mutex::new(HashMap::new()) }
    }

    /// As [`ended_outside`], but returns `None` without a call if the status was read recently.
    ///
    /// # Errors
    /// CodePipeline refused the call or did not answer.
    pub async fn ended_outside(
        &self,
        aws: &Aws,
        job: &Job,
        now: Timestamp,
    ) -> Result<Option<String>, AwsError> {
        if self.is_recent(&job.key.run_id, now) {
            return Ok(None);
        }
        ended_outside(aws, job).await
    }

    fn is_recent(&self, run_id: &str, now: Timestamp) -> bool {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.get(run_id).is_some_and(|last| now.since(*last) < self.interval) {
            return true;
        }
        if read.len() >= MAX_ENTRIES {
            read.retain(|_, last| now.since(*last) < self.interval);
        }
        read.insert(run_id.to_owned(), now);
        false
    }
}

/// Why the action of a job ended without a result from this worker; `None` if it continues.
///
/// A stop without abandon waits for the running actions (`StopPipelineExecution.abandon`): they continue.
///
/// # Errors
/// CodePipeline refused the call or did not answer.
pub async fn ended_outside(aws: &Aws, job: &Job) -> Result<Option<String>, AwsError> {
    let (pipeline, run_id) = (&job.key.pipeline, &job.key.run_id);
    let call =
        aws.codepipeline.get_pipeline_execution().pipeline_name(pipeline).pipeline_execution_id(run_id);
    let answer =
        call.send().await.map_err(|e| AwsError::new("codepipeline:GetPipelineExecution", run_id, e))?;
    let status = answer.pipeline_execution.and_then(|execution| execution.status);
    let Some(status) = status.filter(|status| *status != PipelineExecutionStatus::InProgress) else {
        return Ok(None);
    };
    let filter = ActionExecutionFilter::builder().pipeline_execution_id(run_id).build();
    let mut pages = aws
        .codepipeline
        .list_action_executions()
        .pipeline_name(pipeline)
        .filter(filter)
        .into_paginator()
        .items()
        .send();
    while let Some(action) = pages.next().await {
        let action = action.map_err(|e| AwsError::new("codepipeline:ListActionExecutions", run_id, e))?;
        if action.action_execution_id.as_deref() == Some(job.key.attempt_id.as_str()) {
            return Ok(match action.status {
                Some(ActionExecutionStatus::Abandoned) => {
                    Some(format!("the execution is {status}, and the action was abandoned"))
                }
                Some(ActionExecutionStatus::Failed) => {
                    Some(format!("the execution is {status}, and the action has failed"))
                }
                _ => None,
            });
        }
    }
    Ok(None)
}
