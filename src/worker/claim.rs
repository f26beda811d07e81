//! Polls CodePipeline for jobs and claims them. A worker owns a job only after CodePipeline answers `InProgress`.

use aws_sdk_codepipeline::types::{ActionCategory, ActionOwner, ActionTypeId, JobStatus};

use super::action::{VERSION, category, provider};
use super::deps::WorkerDeps;
use super::error::{ClaimError, WorkerError};
use crate::aws::AwsError;
use crate::engine::job::JobError;
use crate::engine::{Job, token};
use crate::evidence::Stage;

/// The result of a claim.
#[derive(Debug)]
pub enum Claim {
    /// This worker owns the job, and the journal has it.
    Ours(Box<Job>),
    /// The job belongs to another worker or has ended.
    Refused { job_id: String, reason: String },
}

/// Polls for at most `max` jobs of a stage.
///
/// # Errors
/// CodePipeline refused the poll or did not answer.
pub async fn poll(deps: &WorkerDeps, stage: Stage, max: i32) -> Result<Vec<Job>, WorkerError> {
    let action = ActionTypeId::builder()
        .category(ActionCategory::from(category(stage)))
        .owner(ActionOwner::Custom)
        .provider(provider(stage))
        .version(VERSION)
        .build()
        .map_err(ClaimError::from)?;
    let answer =
        deps.aws.codepipeline.poll_for_jobs().action_type_id(action).max_batch_size(max).send().await;
    let answer = answer.map_err(|e| AwsError::new("codepipeline:PollForJobs", provider(stage), e))?;
    let mut jobs = Vec::new();
    for offered in answer.jobs.unwrap_or_default() {
        match Job::from_poll(offered) {
            Ok(job) => match newer_version(&job) {
                None => jobs.push(job),
                // CodePipeline offers a job until a worker claims it: a newer one does.
                Some(version) => tracing::info!(
                    job = %job.id,
                    version,
                    "left a job to a newer worker: its continuation token has a newer version"
                ),
            },
            // An invalid job must not block the others; CodePipeline times it out.
            Err(error) => tracing::error!(%error, "CodePipeline offered an invalid job"),
        }
    }
    Ok(jobs)
}

/// The version of the job's token, if a newer bakeline wrote it.
fn newer_version(job: &Job) -> Option<u64> {
    token::newer_version(job.continuation_token.as_deref()?)
}

/// Claims an offered job.
///
/// The journal has the job before the call, so that a worker that crashes after it finds the job again.
///
/// # Errors
/// The journal cannot be written, or CodePipeline did not answer.
pub async fn acknowledge(deps: &WorkerDeps, job: Job) -> Result<Claim, WorkerError> {
    let Some(nonce) = job.nonce.clone() else {
        return Err(ClaimError::from(JobError::Missing { member: "nonce" }).into());
    };
    deps.journal.add(&job.id).await?;
    let answer = deps.aws.codepipeline.acknowledge_job().job_id(&job.id).nonce(nonce).send().await;
    let reason = match answer {
        Ok(answer) if answer.status == Some(JobStatus::InProgress) => return Ok(Claim::Ours(Box::new(job))),
        Ok(answer) => {
            let status = answer.status.map_or("unknown".to_owned(), |status| status.to_string());
            format!("its status is {status}")
        }
        Err(error) => {
            let error = AwsError::new("codepipeline:AcknowledgeJob", job.id.clone(), error);
            if !is_lost(&error) {
                // The call may have succeeded: the journal keeps the job, and `recover` finds out.
                return Err(error.into());
            }
            error.to_string()
        }
    };
    deps.journal.remove(&job.id).await?;
    Ok(Claim::Refused { job_id: job.id, reason })
}

/// Recovers a job from the journal; removes it from the journal if it does not exist any more.
///
/// # Errors
/// CodePipeline did not answer.
pub async fn recover(deps: &WorkerDeps, job_id: &str) -> Result<Claim, WorkerError> {
    let claim = read(deps, job_id).await?;
    if let Claim::Refused { .. } = &claim {
        deps.journal.remove(job_id).await?;
    }
    Ok(claim)
}

/// Reads a job again, with new artifact credentials.
///
/// # Errors
/// CodePipeline did not answer.
pub async fn read(deps: &WorkerDeps, job_id: &str) -> Result<Claim, WorkerError> {
    match deps.aws.codepipeline.get_job_details().job_id(job_id).send().await {
        Ok(answer) => match answer.job_details.map(Job::from_details) {
            Some(job) => Ok(Claim::Ours(Box::new(job.map_err(ClaimError::from)?))),
            None => Err(ClaimError::from(JobError::Missing { member: "jobDetails" }).into()),
        },
        Err(error) => {
            let error = AwsError::new("codepipeline:GetJobDetails", job_id, error);
            if !is_lost(&error) {
                return Err(error.into());
            }
            Ok(Claim::Refused { job_id: job_id.to_owned(), reason: error.to_string() })
        }
    }
}

/// Whether CodePipeline says that a job has ended or belongs to another worker.
#[must_use]
pub fn is_lost(error: &AwsError) -> bool {
    ["InvalidNonceException", "JobNotFoundException", "InvalidJobStateException"]
        .iter()
        .any(|code| error.is(code))
}
