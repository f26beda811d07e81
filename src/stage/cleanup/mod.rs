//! The cleanup stage: removes images of the service that nothing uses, and records why each of the others stays.
//!
//! Nothing changes unless every list was read to its end. An image is removed in steps that can be undone, except for
//! the last, and everything is read again right before each: see [`machine_images`] and [`container_images`].

pub mod container_images;
pub mod list_lengths;
pub mod machine_images;
pub mod plan;
pub mod plan_page;
mod reaping;
mod record;
mod sealing;
mod steps;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::machine_images::inventory::images;

use self::container_images::references::Definitions;
use self::machine_images::queue::QueuedImage;
use self::machine_images::removal::PendingRemoval;
use self::machine_images::retention::{KeepReason, KeepReasons};
use self::machine_images::survey::Scope;
use super::context::Cx;
use super::failure_reason::FailureReason;
use super::handover::Release;
use super::{StageMachine, not_unwinding};
use crate::engine::error::{ErrorClass, ModuleError};
use crate::engine::{Failure, Machine, Outcome, StageError, Step, Timestamp};
use crate::evidence::predicate::{Promotion, PromotionOutcome};
use crate::evidence::{Stage, StatementError};
use crate::spec;

/// Maximum number of machine images that one action changes: the token stores what EC2 cannot describe afterwards.
pub const MAX_IMAGES: usize = 12;

/// Bytes of the token for pending and finished removals.
pub const TOKEN_BYTES: usize = 1250;

/// Time limit of a cleanup.
const TIMEOUT: Duration = Duration::from_hours(4);

/// States of the cleanup stage between two steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Cleanup {
    /// No image is changed. The release's image may have its new tags already.
    TaggingRelease,
    /// No image has taken a step. The lengths of the lists may be saved.
    Surveying,
    /// The queued images are taken to quarantine, or restored. The first may have taken its step already.
    Quarantining { queue: Vec<QueuedImage> },
    /// These images are disabled and in quarantine, or at its end.
    Waiting { images: Vec<String> },
    /// The token lists what is to be removed. The first of `queue` may be removed already, `done` are finished.
    Removing { queue: Vec<PendingRemoval>, done: Vec<PendingRemoval> },
    /// No more machine images are removed. Container images take steps, one call at a time: ECR and the marks store how
    /// far each has come, and `calls` counts the calls of this action.
    ContainerImages {
        done: Vec<PendingRemoval>,
        #[serde(default)]
        calls: u8,
    },
    /// No more images are removed. Leftovers of ended runs are removed one by one, after `searches` searches. `recent`
    /// are the last removals, latest first: the CRC-32 of each id, since an ARN is long.
    Reaping {
        done: Vec<PendingRemoval>,
        searches: u8,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        recent: Vec<u32>,
    },
    /// Nothing more is removed; the statement may be handed over already. `why`: a list could not be read or a removal
    /// failed. Images in quarantine stay there: the next cleanup continues, `bakeline cleanup undo` restores them.
    Sealing {
        done: Vec<PendingRemoval>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<FailureReason>,
    },
}

/// The inputs of a cleanup.
#[derive(Debug)]
pub struct Inputs {
    pub release: Release,
    /// The release's promotion, if it was promoted.
    pub promotion: Option<Promotion>,
    pub rules: spec::Cleanup,
    /// The account whose images are cleaned up: the one of the release's image in this region.
    pub account: String,
    /// Reasons to keep images that follow from the release, by image id.
    pub known: KeepReasons,
    /// The images of task definitions that this slice has read.
    pub definitions: Definitions,
    /// When the action started.
    pub at: Timestamp,
}

/// Why a cleanup does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the release spec has no cleanup.machine_images")]
    NoMachineRules,
    #[error("cleanup removes nothing after a failed promotion: {reason}")]
    FailedPromotion { reason: String },
    #[error("the promotion statement cannot be read")]
    Promotion(#[source] StatementError),
}

impl ModuleError for StartError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoMachineRules => ErrorClass::Config,
            Self::FailedPromotion { .. } | Self::Promotion(_) => ErrorClass::Rejected,
        }
    }
}

impl Inputs {
    /// The scope for machine images, if the spec has rules for them.
    fn scope(&self) -> Option<Scope<'_>> {
        Some(Scope {
            service: &self.release.spec.service,
            rules: self.rules.machine_images.as_ref()?,
            groups: self.release.spec.promote.iter().flat_map(groups).collect(),
            known: self.known.clone(),
        })
    }

    /// The scope for machine images, in states that only exist with rules for them.
    fn machine_scope(&self) -> Result<Scope<'_>, StartError> {
        self.scope().ok_or(StartError::NoMachineRules)
    }

    /// The scope for container images, if the spec has rules for them.
    fn container_scope(&self, region: &str) -> Option<container_images::survey::Scope<'_>> {
        let rules = self.rules.container_images.as_ref()?;
        let known = container_images::steps::release_images(&self.release, region);
        Some(container_images::survey::Scope { rules, account: &self.account, known })
    }

    /// How many machine images this action changes at most.
    fn max_per_run(&self) -> usize {
        let max = self.rules.machine_images.as_ref().map_or(0, |rules| rules.max_per_run);
        usize::try_from(max).unwrap_or(MAX_IMAGES).min(MAX_IMAGES)
    }
}

/// The Auto Scaling groups of a promotion in its own environment and region: its target, and those of waves beside it.
#[must_use]
pub fn groups(promote: &spec::Promote) -> Vec<&str> {
    let mut groups: Vec<&str> = promote.auto_scaling_group().into_iter().collect();
    for wave in &promote.waves {
        let is_beside = wave.region.is_none()
            && wave.environment.as_ref().is_none_or(|name| Some(name) == promote.environment.as_ref());
        for target in wave.targets.iter().filter(|_| is_beside) {
            groups.extend(target.auto_scaling_group().ok().map(|group| group.name.as_str()));
        }
    }
    groups
}

impl StageMachine for Cleanup {
    const STAGE: Stage = Stage::Cleanup;

    async fn load(cx: &mut Cx, at: Timestamp) -> Result<Inputs, StageError> {
        let release = Release::open(cx, Stage::Cleanup, at).await?;
        let rules = release.spec.cleanup().map_err(StageError::config)?.clone();
        cx.act_in(Stage::Cleanup, rules.environment.as_deref()).await?;
        let promotion = promotion(&release)?;
        if let Some(Promotion {
            outcome: PromotionOutcome::RolledBack | PromotionOutcome::Indeterminate,
            reason,
            ..
        }) = &promotion
        {
            return Err(StartError::FailedPromotion { reason: reason.clone() }.into());
        }
        let region = cx.aws.region();
        let account = match release.chain.containers() {
            [] => release.image_in(region)?.account.clone(),
            _ => release.container_in(region)?.account.clone(),
        };
        let known = known(&release, promotion.as_ref(), cx.aws.region());
        Ok(Inputs { release, promotion, rules, account, known, definitions: Definitions::default(), at })
    }

    /// The images store what a first slice did to them: the next cleanup continues, `bakeline cleanup undo` restores them.
    fn recover_lost_first_slice(_: Failure) -> Option<Self> {
        None
    }

    async fn unwind_without_inputs(self, _: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            // The known removals are reported; queued images may be removed, too.
            Self::Sealing { done, why: Some(why) } => {
                let removed = done.iter().filter(|removal| removal.deregistered).count();
                let mut failure = Failure::from(why);
                failure.message =
                    format!("at least {removed} images were removed before the failure: {}", failure.message);
                Ok(Step::Done(Outcome::Failed(failure)))
            }
            forward @ (Self::TaggingRelease
            | Self::Surveying
            | Self::Quarantining { .. }
            | Self::Waiting { .. }
            | Self::Removing { .. }
            | Self::ContainerImages { .. }
            | Self::Reaping { .. }
            | Self::Sealing { why: None, .. }) => Err(not_unwinding(&forward)),
        }
    }
}

/// The promotion statement of the chain, if there is one.
fn promotion(release: &Release) -> Result<Option<Promotion>, StageError> {
    let Some(verified) = release.chain.stage(Stage::Promote) else { return Ok(None) };
    let read = verified.statement.predicate_as();
    Ok(read.map(Some).map_err(StartError::Promotion)?)
}

/// Reasons to keep the images of this release and the image that its promotion replaced.
fn known(release: &Release, promotion: Option<&Promotion>, region: &str) -> KeepReasons {
    let mut known = KeepReasons::new();
    for image in release.chain.images().iter().filter(|image| image.region == region) {
        known.entry(image.image_id.clone()).or_default().insert(KeepReason::ThisRelease);
    }
    if let Some(Promotion { previous: Some(previous), target, .. }) = promotion {
        let reason = KeepReason::Previous { target: target.name.clone() };
        known.entry(previous.image_id.clone()).or_default().insert(reason);
    }
    known
}

impl Machine for Cleanup {
    type Inputs = Inputs;
    type Context = Cx;

    fn start(_: &Inputs) -> Self {
        Self::TaggingRelease
    }

    fn timeout(_: &Inputs) -> Duration {
        TIMEOUT
    }

    fn unwind(self, why: Failure) -> Self {
        // A removal cannot be undone, but it is recorded.
        let why = Some(FailureReason::from(why));
        match self {
            Self::TaggingRelease | Self::Surveying | Self::Quarantining { .. } | Self::Waiting { .. } => {
                Self::Sealing { done: Vec::new(), why }
            }
            // A call whose reply was lost may have removed the first of the queue: sealing checks.
            Self::Removing { queue, mut done } => {
                done.extend(queue);
                Self::Sealing { done, why }
            }
            Self::ContainerImages { done, .. }
            | Self::Reaping { done, .. }
            | Self::Sealing { done, why: None } => Self::Sealing { done, why },
            sealing @ Self::Sealing { why: Some(_), .. } => sealing,
        }
    }

    fn is_unwinding(&self) -> bool {
        match self {
            Self::TaggingRelease
            | Self::Surveying
            | Self::Quarantining { .. }
            | Self::Waiting { .. }
            | Self::Removing { .. }
            | Self::ContainerImages { .. }
            | Self::Reaping { .. }
            | Self::Sealing { why: None, .. } => false,
            Self::Sealing { why: Some(_), .. } => true,
        }
    }

    async fn step(self, inputs: &Inputs, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::TaggingRelease => steps::tag_release(inputs, cx).await,
            Self::Surveying => steps::survey(inputs, cx).await,
            Self::Quarantining { queue } => steps::quarantine(queue, inputs, cx).await,
            Self::Waiting { images } => steps::wait(images, inputs, cx).await,
            Self::Removing { queue, done } => steps::remove(queue, done, inputs, cx).await,
            Self::ContainerImages { done, calls } => {
                container_images::steps::advance(done, calls, inputs, cx).await
            }
            Self::Reaping { done, searches, recent } => {
                reaping::reap(done, searches, recent, inputs, cx).await
            }
            Self::Sealing { done, why: None } => sealing::seal(done, inputs, cx).await,
            Self::Sealing { done, why: Some(why) } => sealing::seal_failed(done, why, inputs, cx).await,
        }
    }
}
