//! Tells CodePipeline what a slice came to: exactly one result a job.

use aws_sdk_codepipeline::types::{ExecutionDetails, FailureDetails, FailureType};

use super::claim::ended_or_lost;
use super::deps::{WorkerDeps, WorkerError};
use super::slice::Answer;
use crate::aws::AwsError;
use crate::engine::{Failure, FailureKind, Job, Outcome, Progress};

/// Whether CodePipeline took the result.
#[derive(Debug, PartialEq, Eq)]
pub enum Reported {
    Taken,
    /// The job had ended or was another worker's: its answer stands, ours is dropped.
    Dropped {
        why: String,
    },
}

/// `ExecutionDetails.summary` takes 1 to 2048 characters, `externalExecutionId` 1 to 1500.
const SUMMARY: usize = 2048;
const EXTERNAL_ID: usize = 1500;
/// `FailureDetails.message` takes 1 to 5000 characters.
const MESSAGE: usize = 5000;

/// Reports and strikes the job from the journal.
///
/// # Errors
/// CodePipeline did not answer; the journal keeps the job, and a second try is safe: the first result stands.
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
        Ok(()) => Reported::Taken,
        Err(error) if ended_or_lost(&error) => Reported::Dropped { why: error.to_string() },
        Err(error) => return Err(error.into()),
    };
    deps.journal.forget(&job.id).await?;
    Ok(reported)
}

async fn fail(deps: &WorkerDeps, job: &Job, failure: &Failure) -> Result<(), AwsError> {
    let message = shown(&failure.message, MESSAGE);
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
    let summary = shown(&progress.summary, SUMMARY);
    ExecutionDetails::builder()
        .percent_complete(i32::from(progress.percent.min(100)))
        .set_summary(Some(summary).filter(|text| !text.is_empty()))
        .set_external_execution_id(
            progress.external_id.clone().filter(|id| (1..=EXTERNAL_ID).contains(&id.len())),
        )
        .build()
}

/// At most `most` characters of a text for people.
fn shown(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(most.saturating_sub(1)).collect();
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
