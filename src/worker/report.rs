//! Reports the result of a slice to CodePipeline: exactly one result for each job.

use aws_sdk_codepipeline::types::{ExecutionDetails, FailureDetails, FailureType};

use super::claim::is_lost;
use super::deps::WorkerDeps;
use super::error::WorkerError;
use super::slice::Answer;
use crate::aws::AwsError;
use crate::engine::{Failure, FailureKind, Job, Outcome, Progress};

/// Whether CodePipeline accepted a result.
#[derive(Debug, PartialEq, Eq)]
pub enum Reported {
    Accepted,
    /// The job has ended or belongs to another worker: its result is valid, this one is dropped.
    Refused {
        reason: String,
    },
}

/// `ExecutionDetails.summary` has 1 to 2048 characters, `externalExecutionId` 1 to 1500.
const MAX_SUMMARY: usize = 2048;
const MAX_EXTERNAL_ID: usize = 1500;
/// `FailureDetails.message` has 1 to 5000 characters.
const MAX_MESSAGE: usize = 5000;

/// Reports a result and removes the job from the journal.
///
/// # Errors
/// CodePipeline did not answer. The journal keeps the job. A retry is safe: the first result counts.
pub async fn report(deps: &WorkerDeps, job: &Job, answer: &Answer) -> Result<Reported, WorkerError> {
    let sent = match answer {
        Answer::Continue { token, progress, .. } => {
            let call = deps.aws.codepipeline.put_job_success_result().job_id(&job.id);
            let call = call.continuation_token(token).execution_details(details(progress));
            call.send()
                .await
                .map(drop)
                .map_err(|e| AwsError::new("codepipeline:PutJobSuccessResult", &job.id, e))
        }
        Answer::End(Outcome::Succeeded { summary, external_id, variables }) => {
            let progress =
                Progress { percent: 100, summary: summary.clone(), external_id: external_id.clone() };
            let mut call = deps.aws.codepipeline.put_job_success_result().job_id(&job.id);
            for (key, value) in variables {
                call = call.output_variables(key, value);
            }
            let call = call.execution_details(details(&progress));
            call.send()
                .await
                .map(drop)
                .map_err(|e| AwsError::new("codepipeline:PutJobSuccessResult", &job.id, e))
        }
        Answer::End(Outcome::Failed(failure)) => fail(deps, job, failure).await,
    };
    let reported = match sent {
        Ok(()) => Reported::Accepted,
        Err(error) if is_lost(&error) => Reported::Refused { reason: error.to_string() },
        Err(error) => return Err(error.into()),
    };
    deps.journal.remove(&job.id).await?;
    Ok(reported)
}

async fn fail(deps: &WorkerDeps, job: &Job, failure: &Failure) -> Result<(), AwsError> {
    let message = truncated(&failure.message, MAX_MESSAGE);
    let message = if message.is_empty() { "no reason was given".to_owned() } else { message };
    let details = FailureDetails::builder()
        .r#type(failure_type(failure.kind))
        .message(message)
        .build()
        .map_err(aws_smithy_runtime_api::client::result::SdkError::construction_failure);
    let call = deps.aws.codepipeline.put_job_failure_result().job_id(&job.id);
    let sent = match details {
        Ok(details) => call.failure_details(details).send().await.map(drop),
        Err(error) => Err(error),
    };
    sent.map_err(|e| AwsError::new("codepipeline:PutJobFailureResult", &job.id, e))
}

fn details(progress: &Progress) -> ExecutionDetails {
    let summary = truncated(&progress.summary, MAX_SUMMARY);
    ExecutionDetails::builder()
        .percent_complete(i32::from(progress.percent.min(100)))
        .set_summary(Some(summary).filter(|text| !text.is_empty()))
        .set_external_execution_id(
            progress.external_id.clone().filter(|id| (1..=MAX_EXTERNAL_ID).contains(&id.len())),
        )
        .build()
}

/// Shortens a text to `max` characters.
fn truncated(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

fn failure_type(kind: FailureKind) -> FailureType {
    match kind {
        FailureKind::JobFailed | FailureKind::TimedOut => FailureType::JobFailed,
        FailureKind::ConfigurationError => FailureType::ConfigurationError,
        FailureKind::PermissionError => FailureType::PermissionError,
        FailureKind::RevisionOutOfSync => FailureType::RevisionOutOfSync,
        FailureKind::RevisionUnavailable => FailureType::RevisionUnavailable,
        FailureKind::SystemUnavailable => FailureType::SystemUnavailable,
    }
}
