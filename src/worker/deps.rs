//! Dependencies of a worker: AWS clients, clock, signer, environments and journal.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::journal::Journal;
use crate::aws::{Aws, Environments};
use crate::engine::{Clock, Job, Network};
use crate::evidence::Stage;
use crate::stage::store::Store;
use crate::stage::{Authority, Cx};
use crate::telemetry::Telemetry;

/// Dependencies shared by all jobs of a worker.
#[derive(Clone, Debug)]
pub struct WorkerDeps {
    pub aws: Aws,
    pub clock: Clock,
    pub network: Network,
    pub authority: Arc<Authority>,
    /// The environments that releases may name.
    pub environments: Environments,
    pub journal: Arc<Journal>,
    pub telemetry: Telemetry,
    /// The stages whose jobs the worker polls for.
    pub stages: Vec<Stage>,
    /// Local files that replace input artifacts, by artifact name; empty in production.
    pub input_files: BTreeMap<String, PathBuf>,
    /// A folder that replaces the output locations in S3; `None` in production.
    pub output_folder: Option<PathBuf>,
}

impl WorkerDeps {
    /// Creates the context of one slice of `job`.
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
            service: Arc::default(),
        }
    }
}
