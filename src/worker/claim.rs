//! Poll and acknowledge: a job is ours only once CodePipeline says `InProgress`.

use aws_sdk_codepipeline::types::{ActionCategory, ActionOwner, ActionTypeId, JobStatus};

use super::action::{VERSION, category, provider};
use super::deps::{WorkerDeps, WorkerError};
use crate::aws::AwsError;
use crate::engine::Job;
use crate::engine::job::JobError;
use crate::evidence::Stage;

/// Why a job that was offered cannot be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("CodePipeline offered a job that cannot be read: {0}")]
    Unreadable(#[from] JobError),
    #[error("the action type cannot be named: {0}")]
    ActionType(#[from] aws_smithy_types::error::operation::BuildError),
}

/// What became of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The job is ours and remembered.
    Ours(Box<Job>),
    /// Another worker has it, or it has ended: nothing is to be done.
    NotOurs { job: String, why: String },
}

/// Asks for at most `most` jobs of a stage.
///
/// # Errors
/// CodePipeline refused the poll or did not answer.
pub async fn poll(deps: &WorkerDeps, stage: Stage, most: i32) -> Result<Vec<Job>, WorkerError> {
    let action = ActionTypeId::builder()
        .category(ActionCategory::from(category(stage)))
        .owner(ActionOwner::Custom)
        .provider(provider(stage))
        .version(VERSION)
        .build()
        .map_err(ClaimError::from)?;
    let answer =
        deps.aws.codepipeline.poll_for_jobs().action_type_id(action).max_batch_size(most).send().await;
    let answer = answer.map_err(|e| AwsError::new("codepipeline:PollForJobs", category(stage), e))?;
    let mut jobs = Vec::new();
    for offered in answer.jobs.unwrap_or_default() {
        match Job::from_poll(offered) {
            Ok(job) => jobs.push(job),
            // One unreadable job must not keep the others from being run; it stays with CodePipeline.
            Err(error) => tracing::error!(%error, "a job was offered that cannot be read"),
        }
    }
    Ok(jobs)
}

/// Claims an offered job, remembering it first: a worker that dies after the acknowledgement finds it again.
///
/// # Errors
/// The journal could not be written, or CodePipeline did not answer.
pub async fn acknowledge(deps: &WorkerDeps, job: Job) -> Result<Claim, WorkerError> {
    let Some(nonce) = job.nonce.clone() else {
        return Err(ClaimError::from(JobError::Missing { member: "nonce" }).into());
    };
    deps.journal.remember(&job.id).await?;
    let answer = deps.aws.codepipeline.acknowledge_job().job_id(&job.id).nonce(nonce).send().await;
    let not_ours = match answer {
        Ok(answer) if answer.status == Some(JobStatus::InProgress) => return Ok(Claim::Ours(Box::new(job))),
        Ok(answer) => {
            format!("it is {}", answer.status.map_or("of unknown status".to_owned(), |s| s.to_string()))
        }
        Err(error) => {
            let error = AwsError::new("codepipeline:AcknowledgeJob", job.id.clone(), error);
            if !ended_or_lost(&error) {
                // The acknowledgement may have arrived. The journal keeps the job; looking it up decides.
                return Err(error.into());
            }
            error.to_string()
        }
    };
    deps.journal.forget(&job.id).await?;
    Ok(Claim::NotOurs { job: job.id, why: not_ours })
}

/// Takes up a job that was acknowledged by a worker which is gone; one that is no more is struck from the journal.
///
/// # Errors
/// CodePipeline did not answer.
pub async fn take_up(deps: &WorkerDeps, id: &str) -> Result<Claim, WorkerError> {
    let claim = look_up(deps, id).await?;
    if let Claim::NotOurs { .. } = &claim {
        deps.journal.forget(id).await?;
    }
    Ok(claim)
}

/// Reads a job anew, with fresh artifact credentials.
///
/// # Errors
/// CodePipeline did not answer.
pub async fn look_up(deps: &WorkerDeps, id: &str) -> Result<Claim, WorkerError> {
    match deps.aws.codepipeline.get_job_details().job_id(id).send().await {
        Ok(answer) => match answer.job_details.map(Job::from_details) {
            Some(job) => Ok(Claim::Ours(Box::new(job.map_err(ClaimError::from)?))),
            None => Err(ClaimError::from(JobError::Missing { member: "jobDetails" }).into()),
        },
        Err(error) => {
            let error = AwsError::new("codepipeline:GetJobDetails", id, error);
            if !ended_or_lost(&error) {
                return Err(error.into());
            }
            Ok(Claim::NotOurs { job: id.to_owned(), why: error.to_string() })
        }
    }
}

/// Whether CodePipeline says that a job is not ours any more.
#[must_use]
pub fn ended_or_lost(error: &AwsError) -> bool {
    ["InvalidNonceException", "JobNotFoundException", "InvalidJobStateException"]
        .iter()
        .any(|code| error.is(code))
}
