//! Takes images of the service that nothing uses out of use, and says why each of the others stays.
//!
//! Nothing changes unless every list was read to its end. An image goes by steps, each of which but the last can be
//! undone, and everything is looked at again right before each: see [`quarantine`].

pub mod act;
pub mod apply;
pub mod containers;
pub mod graph;
pub mod image;
pub mod inventory;
pub mod memory;
pub mod page;
pub mod plan;
pub mod quarantine;
mod record;
pub mod references;
mod removal;
pub mod retain;
mod sealing;
pub mod snapshots;
mod steps;
pub mod survey;
#[cfg(test)]
mod tests;
mod todo;
mod usage;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::inventory::images;
pub use self::removal::{PendingRemoval, Removed, Snapshot, delete_next, remove as deregister};
pub use self::steps::{advance, fit, take_back};
pub use self::todo::Todo;

use self::containers::inventory::Definitions;
use self::retain::{Reason, Uses};
use self::survey::Scope;
use super::context::Cx;
use super::failure_reason::FailureReason;
use super::handover::Release;
use super::{StageMachine, not_unwinding};
use crate::engine::{Failure, Machine, Outcome, StageError, Step, Timestamp};
use crate::evidence::Stage;
use crate::evidence::predicate::{Promotion, PromotionOutcome};
use crate::spec;

/// Images that one action takes steps with: what is known of an image must travel in the token once it is gone.
pub const MOST: usize = 12;

/// Bytes of a token for what is to go and what went.
pub const ROOM: usize = 1250;

/// How long a cleanup may take.
const TIMEOUT: Duration = Duration::from_hours(4);

/// The cleanup stage, at rest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Cleanup {
    /// Nothing is changed. The release's image may carry the dates already that keep it later.
    TaggingRelease,
    /// No image has taken a step; how long the lists are may have been written down.
    Surveying,
    /// Images are taken out of use, by steps that can be undone. The first may have taken its step already.
    Quarantining { queue: Vec<Todo> },
    /// These images are out of use and rest, or rested long enough and may go.
    Resting { images: Vec<String> },
    /// What is to go is written down. The first of `queue` may be gone already, and those after it too.
    Removing { queue: Vec<PendingRemoval>, done: Vec<PendingRemoval> },
    /// No more machine images go. Container images take steps, one call at a time; how far each has come is written in
    /// ECR and beside it, and `tries` counts the calls.
    Containers {
        done: Vec<PendingRemoval>,
        #[serde(default)]
        tries: u8,
    },
    /// No more images go. Leftovers of runs that have ended are removed, one by one, after `tries` looks. `asked` are
    /// those that were asked to go, the latest first: the CRC-32 of the id of each, since an ARN is long.
    Reaping {
        done: Vec<PendingRemoval>,
        tries: u8,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        asked: Vec<u32>,
    },
    /// Nothing more is removed; the statement may have been handed over already. `why`: not everything could be
    /// read or removed. What is in quarantine stays there: the next cleanup goes on, `bakeline cleanup undo` back.
    Sealing {
        done: Vec<PendingRemoval>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<FailureReason>,
    },
}

/// What a cleanup works from.
#[derive(Debug)]
pub struct Inputs {
    pub release: Release,
    /// What the release was promoted by, if it was.
    pub promotion: Option<Promotion>,
    pub rules: spec::Cleanup,
    /// The account whose images are cleaned up: that of the release's image here.
    pub account: String,
    /// What the release says of images, by image id.
    pub known: Uses,
    /// What the containers of task definitions run, as far as this slice has read it.
    pub definitions: Definitions,
    /// When the action began.
    pub at: Timestamp,
}

impl Inputs {
    /// What a survey of machine images looks for; none without rules for them.
    fn scope(&self) -> Option<Scope<'_>> {
        Some(Scope {
            service: &self.release.spec.service,
            rules: self.rules.machine_images.as_ref()?,
            policy: &self.rules,
            group: self.release.spec.promote.as_ref().and_then(spec::Promote::auto_scaling_group),
            known: self.known.clone(),
        })
    }

    /// The same, for steps that only exist with rules for machine images.
    fn machine_scope(&self) -> Result<Scope<'_>, StageError> {
        let missing = || StageError::Config("the release spec has no cleanup.machine_images".to_owned());
        self.scope().ok_or_else(missing)
    }

    /// How many images this action takes steps with.
    fn most(&self) -> usize {
        let max = self.rules.machine_images.as_ref().map_or(0, |rules| rules.max_per_run);
        usize::try_from(max).unwrap_or(MOST).min(MOST)
    }
}

impl StageMachine for Cleanup {
    const STAGE: Stage = Stage::Cleanup;

    async fn load(cx: &mut Cx, at: Timestamp) -> Result<Inputs, StageError> {
        let release = Release::open(cx, Stage::Cleanup, at).await?;
        let promotion = promotion(&release)?;
        if let Some(Promotion {
            outcome: PromotionOutcome::RolledBack | PromotionOutcome::Indeterminate,
            reason,
            ..
        }) = &promotion
        {
            return Err(StageError::Rejected(format!(
                "nothing is cleaned up after a failed promotion: {reason}"
            )));
        }
        let rules =
            release.spec.cleanup().map_err(|missing| StageError::Config(missing.to_string()))?.clone();
        cx.act_in(Stage::Cleanup, rules.environment.as_deref()).await?;
        let region = cx.aws.region();
        let account = match release.chain.containers() {
            [] => release.image_in(region)?.account.clone(),
            _ => release.container_in(region)?.account.clone(),
        };
        let known = known(&release, promotion.as_ref(), cx.aws.region());
        Ok(Inputs { release, promotion, rules, account, known, definitions: Definitions::default(), at })
    }

    /// What a first slice does to images is written on them: the next cleanup goes on, and `bakeline cleanup undo` back.
    fn recover_lost_first_slice(_: Failure) -> Option<Self> {
        None
    }

    async fn unwind_without_inputs(self, _: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            // What is known to be gone is told; what was in the queue may be gone too.
            Self::Sealing { done, why: Some(why) } => {
                let gone = done.iter().filter(|doomed| doomed.gone).count();
                let mut failure = Failure::from(why);
                failure.message =
                    format!("{gone} images or more were removed before this: {}", failure.message);
                Ok(Step::Done(Outcome::Failed(failure)))
            }
            forward @ (Self::TaggingRelease
            | Self::Surveying
            | Self::Quarantining { .. }
            | Self::Resting { .. }
            | Self::Removing { .. }
            | Self::Containers { .. }
            | Self::Reaping { .. }
            | Self::Sealing { why: None, .. }) => Err(not_unwinding(&forward)),
        }
    }
}

/// What the chain says of the release's promotion, if there was one.
fn promotion(release: &Release) -> Result<Option<Promotion>, StageError> {
    let Some(verified) = release.chain.stage(Stage::Promote) else { return Ok(None) };
    let read = verified.statement.predicate_as();
    read.map(Some)
        .map_err(|fault| StageError::Rejected(format!("the promotion statement cannot be read: {fault}")))
}

/// The images of this release, and the one its promotion replaced.
fn known(release: &Release, promotion: Option<&Promotion>, region: &str) -> Uses {
    let mut known = Uses::new();
    for image in release.chain.images().iter().filter(|image| image.region == region) {
        known.entry(image.image_id.clone()).or_default().insert(Reason::ThisRelease);
    }
    if let Some(Promotion { previous: Some(previous), target, .. }) = promotion {
        let reason = Reason::Previous { group: target.name.clone() };
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
        // A removal cannot be undone; what was removed can be told.
        let why = Some(FailureReason::from(why));
        match self {
            Self::TaggingRelease | Self::Surveying | Self::Quarantining { .. } | Self::Resting { .. } => {
                Self::Sealing { done: Vec::new(), why }
            }
            // The first of the queue may be gone by a call whose answer was lost: sealing looks.
            Self::Removing { queue, mut done } => {
                done.extend(queue);
                Self::Sealing { done, why }
            }
            Self::Containers { done, .. }
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
            | Self::Resting { .. }
            | Self::Removing { .. }
            | Self::Containers { .. }
            | Self::Reaping { .. }
            | Self::Sealing { why: None, .. } => false,
            Self::Sealing { why: Some(_), .. } => true,
        }
    }

    async fn step(self, inputs: &Inputs, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::TaggingRelease => steps::name(inputs, cx).await,
            Self::Surveying => steps::survey(inputs, cx).await,
            Self::Quarantining { queue } => steps::quarantine(queue, inputs, cx).await,
            Self::Resting { images } => steps::rest(images, inputs, cx).await,
            Self::Removing { queue, done } => steps::remove(queue, done, inputs, cx).await,
            Self::Containers { done, tries } => containers::steps::further(done, tries, inputs, cx).await,
            Self::Reaping { done, tries, asked } => steps::reap(done, tries, asked, inputs, cx).await,
            Self::Sealing { done, why: None } => sealing::seal(done, inputs, cx).await,
            Self::Sealing { done, why: Some(why) } => sealing::seal_failed(done, why, inputs, cx).await,
        }
    }
}
