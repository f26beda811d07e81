//! What a step may look at and act with.

use std::sync::Arc;

use super::store::Store;
use crate::aws::{Aws, TargetError, Targets};
use crate::engine::{Clock, ExecutionKey, Job, Network, StageError, Timestamp};
use crate::evidence::{Signer, TrustRoot};

/// The surroundings of one slice.
#[derive(Clone, Debug)]
pub struct Cx {
    /// Clients to act with: under the worker's own identity, or under the target's once a stage acts in one.
    pub aws: Aws,
    /// Clients under the worker's own identity: the pipelines are in its account, whatever target a stage acts in.
    pub home: Aws,
    /// The target the clients act in; none is the worker itself.
    pub target: Option<String>,
    /// The targets that the worker knows.
    pub targets: Targets,
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
    /// Acts from here on in the target of this name. Signing, the job protocol and artifacts stay as they are.
    ///
    /// # Errors
    /// The worker's configuration has no such target for this pipeline, or its role cannot be assumed.
    pub async fn act_in(&mut self, target: Option<&str>) -> Result<(), StageError> {
        let Some(alias) = target else { return Ok(()) };
        let session = self.key().name("target");
        let acting =
            self.targets.clients(&self.aws, alias, &self.key().pipeline, &session, self.now().0).await;
        self.aws = acting.map_err(|error| match error {
            TargetError::Assume(error) => StageError::Aws(error),
            other => StageError::Config(other.to_string()),
        })?;
        self.target = Some(alias.to_owned());
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
