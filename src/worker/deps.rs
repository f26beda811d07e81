//! What a worker brings along: its clients, its clock, its authority and its journal.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::claim::ClaimError;
use super::journal::{Journal, JournalError};
use crate::aws::{Aws, AwsError, Environments};
use crate::engine::{Clock, Job, Network};
use crate::evidence::Stage;
use crate::stage::store::Store;
use crate::stage::{Authority, Cx};
use crate::telemetry::Telemetry;

/// A worker's possessions, shared by all jobs it runs.
#[derive(Clone, Debug)]
pub struct WorkerDeps {
    pub aws: Aws,
    pub clock: Clock,
    pub network: Network,
    pub authority: Arc<Authority>,
    /// The roles that releases may name.
    pub environments: Environments,
    pub journal: Arc<Journal>,
    pub telemetry: Telemetry,
    /// The stages whose jobs are polled for.
    pub stages: Vec<Stage>,
    /// Files that stand in for input artifacts; empty in production.
    pub input_files: BTreeMap<String, PathBuf>,
    /// The folder that stands in for output artifacts; none in production.
    pub output_folder: Option<PathBuf>,
}

/// Why a worker could not go on with a job. The job itself is answered for elsewhere, or will be offered again.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Claim(#[from] ClaimError),
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl WorkerDeps {
    /// The surroundings of one slice of `job`.
    #[must_use]
    pub fn context(&self, job: Job) -> Cx {
        let store = Store {
            s3: self.aws.artifacts_of(job.credentials.clone()),
            encryption_key: job.encryption_key.clone(),
            input_files: self.input_files.clone(),
            output_folder: self.output_folder.clone(),
        };
        Cx {
            aws: self.aws.clone(),
            home: self.aws.clone(),
            environment: None,
            environments: self.environments.clone(),
            clock: self.clock.clone(),
            network: self.network.clone(),
            job,
            authority: Arc::clone(&self.authority),
            store,
        }
    }
}
