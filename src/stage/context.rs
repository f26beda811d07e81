//! What a step may look at and act with.

use std::sync::Arc;

use super::store::Store;
use crate::aws::{Aws, EnvironmentError, Environments};
use crate::engine::{Clock, ExecutionKey, Job, Network, StageError, Timestamp};
use crate::evidence::{Signer, Stage, TrustRoot};

/// The surroundings of one slice.
#[derive(Clone, Debug)]
pub struct Cx {
    /// Clients with the worker's own credentials, or the environment's once the stage acts in one.
    pub aws: Aws,
    /// Clients with the worker's own credentials: the pipelines are in its account, whatever environment a stage acts in.
    pub home: Aws,
    /// The environment that the clients act in; none is the worker's own account.
    pub environment: Option<String>,
    /// The environments of the worker.
    pub environments: Environments,
    pub clock: Clock,
    /// How ports are reached that are no AWS API.
    pub network: Network,
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
    /// Replaces the clients by those of an environment. Signing, the job protocol and artifacts keep the worker's.
    ///
    /// # Errors
    /// The pipeline or the stage may not use the environment, or its role cannot be assumed.
    pub async fn act_in(&mut self, stage: Stage, environment: Option<&str>) -> Result<(), StageError> {
        let Some(name) = environment else { return Ok(()) };
        let (key, now) = (self.key(), self.now().0);
        let session = key.name(stage.name());
        let clients = self.environments.clients(&self.aws, name, (&key.pipeline, stage), &session, now).await;
        self.aws = clients.map_err(|error| match error {
            EnvironmentError::Assume(error) => StageError::Aws(error),
            other => StageError::Config(other.to_string()),
        })?;
        self.environment = Some(name.to_owned());
        Ok(())
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    #[must_use]
    pub fn key(&self) -> &ExecutionKey {
        &self.job.key
    }
}
