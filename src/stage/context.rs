//! What a step may look at and act with.

use std::sync::Arc;

use super::store::Store;
use crate::aws::Aws;
use crate::engine::{Clock, ExecutionKey, Job, Timestamp};
use crate::evidence::{Signer, TrustRoot};

/// The surroundings of one slice.
#[derive(Debug)]
pub struct Cx {
    /// Clients under the worker's own identity.
    pub aws: Aws,
    pub clock: Clock,
    pub job: Job,
    pub authority: Arc<Authority>,
    /// Where the job's artifacts lie, under the job's own credentials.
    pub store: Store,
}

/// Who signs here and who is believed: from the worker's configuration, never from an artifact.
#[derive(Debug)]
pub struct Authority {
    pub signer: Signer,
    pub trust: TrustRoot,
}

impl Cx {
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    #[must_use]
    pub fn key(&self) -> &ExecutionKey {
        &self.job.key
    }
}
