//! Errors of the job protocol.

use super::journal::JournalError;
use crate::aws::AwsError;
use crate::engine::job::JobError;

/// Why the worker could not process a job. CodePipeline offers the job again, or the journal keeps it.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// Why a job cannot be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("CodePipeline offered an invalid job")]
    InvalidJob(#[from] JobError),
    #[error("the action type is invalid")]
    ActionType(#[from] aws_smithy_types::error::operation::BuildError),
}
