//! The context of a slice: clients, clock, job, keys and artifact store.

use std::sync::{Arc, OnceLock};

use super::store::Store;
use crate::aws::{Aws, EnvironmentError, Environments};
use crate::engine::{Clock, ExecutionKey, Job, Network, StageError, Timestamp};
use crate::evidence::{Signer, Stage, TrustRoot};

/// The context of one slice.
#[derive(Clone, Debug)]
pub struct Cx {
    /// Clients for the stage's calls: under the worker's role, or under the role of the environment.
    pub aws: Aws,
    /// Clients under the worker's role, in the account of the pipeline.
    pub home: Aws,
    /// The environment of the clients in `aws`; `None` is the worker's own account.
    pub environment: Option<String>,
    /// The environments that the worker's configuration defines.
    pub environments: Environments,
    pub clock: Clock,
    /// TCP connections to containers under test.
    pub network: Network,
    pub job: Job,
    pub authority: Arc<Authority>,
    /// The job's artifacts, under the job's credentials.
    pub store: Store,
    /// The service of the release, once the stage has read the spec.
    pub service: Arc<OnceLock<String>>,
}

/// The signer of this worker and the keys it trusts. Both come from the worker's configuration, never from an artifact.
#[derive(Debug)]
pub struct Authority {
    pub signer: Signer,
    pub trust: TrustRoot,
}

impl Cx {
    /// Switches `aws` to the environment of this name. Signing, the job protocol and artifacts are not affected.
    ///
    /// # Errors
    /// The worker's configuration has no such environment for this pipeline, or its role cannot be assumed.
    pub async fn act_in(&mut self, stage: Stage, environment: Option<&str>) -> Result<(), StageError> {
        let Some(name) = environment else { return Ok(()) };
        let session = self.key().name(stage.name());
        let clients = self
            .environments
            .clients(&self.aws, name, (&self.key().pipeline, stage), &session, self.now().0)
            .await;
        self.aws = clients.map_err(|error| match error {
            EnvironmentError::Assume(error) => StageError::Aws(error),
            other => StageError::config(other),
        })?;
        self.environment = Some(name.to_owned());
        tracing::Span::current().record("environment", name);
        Ok(())
    }

    /// Records the service of the release for log lines and metrics.
    pub fn record_service(&self, service: &str) {
        if self.service.set(service.to_owned()).is_ok() {
            tracing::Span::current().record("service", service);
        }
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
