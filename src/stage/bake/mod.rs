//! The bake stage: one build of Image Builder, of a pipeline that exists or of the spec's own recipe; its images
//! confirmed, held against the gates, tagged and spoken for.

mod back;
mod build;
mod container;
mod content;
mod copies;
mod declare;
mod dockerfile;
mod document;
mod forward;
pub mod gate;
mod hub;
mod inspect;
pub mod judge;
mod leftovers;
pub mod log;
mod parameter;
mod product;
pub mod provenance;
pub mod recipe;
mod registry;
pub mod reuse;
pub mod sarif;
mod start;
#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::judge::Stand;
use self::product::Product;
use super::content::Position;
use super::handover::Source;
use super::{Cx, StageMachine, not_unwinding};
use crate::digest::Sha256;
use crate::engine::{Failure, Machine, StageError, Step, Timestamp};
use crate::evidence::Stage;
use crate::spec;

/// Looks that must find nothing before it is believed that nothing is there.
const RECALLS: u8 = 3;
/// Between looks at a build.
const BUILD_EVERY: Duration = Duration::from_secs(45);
/// Between looks at anything that moves fast.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The resting places of a bake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Bake {
    /// No build of the image pipeline is known. One may have been started: its client token finds it again.
    Start,
    /// A recipe: what its parent image means today is not known yet.
    Resolving,
    /// A recipe on `parent`: the first `done` of its components exist with the content they are named for.
    Declaring { parent: String, done: u16 },
    /// A recipe on `parent`: all its components exist. The recipe itself may.
    Composing { parent: String },
    /// A recipe on `parent` exists. No build of it is known; one may have been started: its client token finds it.
    Starting { parent: String },
    /// The build `image` was started, and run on in place `retries` times. `watch` is where it last moved.
    Building {
        image: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        watch: Option<Watch>,
        #[serde(default, skip_serializing_if = "is_zero")]
        retries: u8,
    },
    /// The build `image` failed in its distribution, or did `retries` times before; it is to be run on in place.
    Retrying { image: String, retries: u8 },
    /// The build is available, with every image the spec expects; `seen` looks in a row found them all available.
    Confirming { image: String, seen: u8 },
    /// All images were seen available often enough, at `since`. Whether they pass the gates is not known yet.
    Inspecting { image: String, since: Timestamp },
    /// The scan is complete, and its findings are to be counted; `done` batches of them are in Security Hub.
    ReportingFindings { image: String, since: Timestamp, done: u16 },
    /// All images passed the gates. `copy` of those whose content is asked for were read, and hold `content`; the next
    /// one is read as far as `position`, or was not begun.
    Reading {
        image: String,
        copy: u16,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<Position>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Sha256>,
    },
    /// All images passed the gates, and hold `content` if that was asked for; the first `done` of the account's own
    /// carry their tags.
    Tagging {
        image: String,
        done: u16,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Sha256>,
    },
    /// All images of the account are tagged.
    Publishing {
        image: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Sha256>,
    },
    /// SSM was asked at `since` to set the parameter, and may still be validating the value.
    Validating {
        image: String,
        since: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Sha256>,
    },
    /// The parameter, if the spec has one, holds the new image. Only the hand-over is left.
    Sealing {
        image: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Sha256>,
    },
    /// Unwinding: a build may have been started; `looks` looks in a row did not find one. Of a recipe, on `parent`.
    Recalling {
        looks: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
        why: Failure,
    },
    /// Unwinding: the build `image` is to be cancelled.
    Cancelling { image: String, why: Failure },
    /// Unwinding: Image Builder was asked to cancel the build and does so in its own time.
    Stopping { image: String, why: Failure },
    /// Unwinding: the build has ended; `gone` of its images were removed, and `looks` looks in a row found no more.
    Removing { image: String, looks: u8, gone: u16, why: Failure },
    /// Unwinding: the build ended well before, the parameter may name its image, and its images stay.
    Leaving { image: String, why: Failure },
}

/// Where a build last moved: a mark of what was seen of it, and since when that is all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    pub mark: u32,
    pub since: Timestamp,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(retries: &u8) -> bool {
    *retries == 0
}

/// What a bake works from.
#[derive(Debug)]
pub struct Inputs {
    pub source: Source,
    pub bake: spec::Bake,
    pub of: Of,
    /// The account that builds.
    pub account: String,
    /// When the action began.
    pub began: Timestamp,
}

/// What an image is built of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// The image pipeline by its ARN.
    Pipeline(String),
    Recipe(Box<recipe::Plan>),
}

impl Of {
    fn read(source: &Source, bake: &spec::Bake) -> Result<Self, StageError> {
        let service = &source.spec.service;
        let plan = match (bake.image_pipeline(), &bake.image_recipe, &bake.container_recipe) {
            (Some(arn), None, None) => return Ok(Self::Pipeline(arn.to_owned())),
            (None, Some(recipe), None) => recipe::Plan::of(service, recipe, &source.files),
            (None, None, Some(container)) => recipe::Plan::of_container(service, container, &source.files),
            _ => Err("bake has not exactly one of image_pipeline, image_recipe and container_recipe".to_owned()),
        };
        plan.map(|plan| Self::Recipe(Box::new(plan))).map_err(StageError::Config)
    }

    /// The ARN that says where it is built.
    fn arn(&self) -> &str {
        match self {
            Self::Pipeline(arn) => arn,
            Self::Recipe(plan) => &plan.infrastructure,
        }
    }

    /// Whether the build may be other releases' too.
    fn is_shared(&self) -> bool {
        matches!(self, Self::Recipe(plan) if plan.is_shared())
    }
}

impl StageMachine for Bake {
    const STAGE: Stage = Stage::Bake;

    async fn load(cx: &mut Cx, at: Timestamp) -> Result<Inputs, StageError> {
        let source = Source::open(cx).await?;
        let bake = source.spec.bake().map_err(|missing| StageError::Config(missing.to_string()))?.clone();
        cx.act_in(Stage::Bake, bake.environment.as_deref()).await?;
        let of = Of::read(&source, &bake)?;
        let arn = of.arn();
        let (account, region) =
            judge::home(arn).ok_or_else(|| StageError::Config(format!("`{arn}` in bake is not an ARN")))?;
        if region != cx.aws.region() {
            return Err(StageError::Config(format!(
                "`{arn}` in bake is in {region}; this worker works in {}",
                cx.aws.region()
            )));
        }
        let account = account.to_owned();
        Ok(Inputs { source, bake, of, account, began: at })
    }

    fn recover_lost_first_slice(why: Failure) -> Option<Self> {
        Some(Self::Recalling { looks: 0, parent: None, why })
    }

    async fn unwind_without_inputs(self, cx: &Cx) -> Result<Step<Self>, StageError> {
        // A build is its pipeline's account's, which its own ARN names too.
        let account = |image: &str| judge::home(image).map_or("", |(account, _)| account).to_owned();
        match self {
            Self::Recalling { looks, parent, why } => {
                let found = build::recall_from_any(cx, parent.is_some()).await;
                back::recalling(found, looks, parent, why)
            }
            Self::Cancelling { image, why } => back::cancelling(&account(&image), cx, image, why).await,
            Self::Stopping { image, why } => back::stopping(&account(&image), cx, image, why).await,
            Self::Removing { image, looks, gone, why } => {
                back::removing(&account(&image), &[], cx, image, looks, gone, why).await
            }
            Self::Leaving { image, why } => Ok(back::leaving(&account(&image), cx, &image, why).await),
            forward @ (Self::Start
            | Self::Resolving
            | Self::Declaring { .. }
            | Self::Composing { .. }
            | Self::Starting { .. }
            | Self::Building { .. }
            | Self::Retrying { .. }
            | Self::Confirming { .. }
            | Self::Inspecting { .. }
            | Self::ReportingFindings { .. }
            | Self::Reading { .. }
            | Self::Tagging { .. }
            | Self::Publishing { .. }
            | Self::Validating { .. }
            | Self::Sealing { .. }) => Err(not_unwinding(&forward)),
        }
    }
}

impl Machine for Bake {
    type Inputs = Inputs;
    type Context = Cx;

    fn start(inputs: &Inputs) -> Self {
        match inputs.of {
            Of::Pipeline(_) => Self::Start,
            Of::Recipe(_) => Self::Resolving,
        }
    }

    fn timeout(inputs: &Inputs) -> Duration {
        inputs.bake.timeout.as_duration()
    }

    fn unwind(self, why: Failure) -> Self {
        match self {
            Self::Start | Self::Resolving | Self::Declaring { .. } | Self::Composing { .. } => {
                Self::Recalling { looks: 0, parent: None, why }
            }
            Self::Starting { parent } => Self::Recalling { looks: 0, parent: Some(parent), why },
            Self::Building { image, .. } | Self::Retrying { image, .. } => Self::Cancelling { image, why },
            Self::Confirming { image, .. }
            | Self::Inspecting { image, .. }
            | Self::ReportingFindings { image, .. }
            | Self::Reading { image, .. }
            | Self::Tagging { image, .. } => Self::Removing { image, looks: 0, gone: 0, why },
            Self::Publishing { image, .. } | Self::Validating { image, .. } | Self::Sealing { image, .. } => {
                Self::Leaving { image, why }
            }
            Self::Recalling { .. }
            | Self::Cancelling { .. }
            | Self::Stopping { .. }
            | Self::Removing { .. }
            | Self::Leaving { .. } => self,
        }
    }

    fn is_unwinding(&self) -> bool {
        match self {
            Self::Start
            | Self::Resolving
            | Self::Declaring { .. }
            | Self::Composing { .. }
            | Self::Starting { .. }
            | Self::Building { .. }
            | Self::Retrying { .. }
            | Self::Confirming { .. }
            | Self::Inspecting { .. }
            | Self::ReportingFindings { .. }
            | Self::Reading { .. }
            | Self::Tagging { .. }
            | Self::Publishing { .. }
            | Self::Validating { .. }
            | Self::Sealing { .. } => false,
            Self::Recalling { .. }
            | Self::Cancelling { .. }
            | Self::Stopping { .. }
            | Self::Removing { .. }
            | Self::Leaving { .. } => true,
        }
    }

    async fn step(self, inputs: &Inputs, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::Start => start::pipeline(inputs, cx).await,
            Self::Resolving => start::resolving(inputs, cx).await,
            Self::Declaring { parent, done } => start::declaring(inputs, cx, parent, done).await,
            Self::Composing { parent } => start::composing(inputs, cx, parent).await,
            Self::Starting { parent } => start::starting(inputs, cx, &parent).await,
            Self::Building { image, watch, retries } => {
                forward::building(inputs, cx, image, watch, retries).await
            }
            Self::Retrying { image, retries } => forward::retrying(inputs, cx, image, retries).await,
            Self::Confirming { image, seen } => forward::confirming(inputs, cx, image, seen).await,
            Self::Inspecting { image, since } => forward::inspecting(inputs, cx, image, since).await,
            Self::ReportingFindings { image, since, done } => {
                hub::telling(inputs, cx, image, since, done).await
            }
            Self::Reading { image, copy, position, content } => {
                content::reading(inputs, cx, image, copy, position, content).await
            }
            Self::Tagging { image, done, content } => {
                forward::tagging(inputs, cx, image, done, content).await
            }
            Self::Publishing { image, content } => forward::publishing(inputs, cx, image, content).await,
            Self::Validating { image, since, content } => {
                forward::validating(inputs, cx, image, since, content).await
            }
            Self::Sealing { image, content } => forward::sealing(inputs, cx, &image, content).await,
            Self::Recalling { looks, parent, why } => {
                let found = back::recall(inputs, cx, parent.as_deref()).await?;
                back::recalling(found, looks, parent, why)
            }
            Self::Cancelling { image, why } => back::cancelling(&inputs.account, cx, image, why).await,
            Self::Stopping { image, why } => back::stopping(&inputs.account, cx, image, why).await,
            Self::Removing { image, looks, gone, why } => {
                back::removing(&inputs.account, &inputs.bake.gates.copies, cx, image, looks, gone, why).await
            }
            Self::Leaving { image, why } => Ok(back::leaving(&inputs.account, cx, &image, why).await),
        }
    }
}

/// What came out of the build, read anew: the token carries no lists.
async fn reread(inputs: &Inputs, cx: &Cx, image: &str) -> Result<Product, StageError> {
    let build = build::read(&build::get(cx, image).await?, &inputs.account);
    available(inputs, cx, &build, image)
}

/// What came out of a build that was available before: a look that shows it otherwise is an old one, unless it shows
/// an end that comes after a good one.
fn available(inputs: &Inputs, cx: &Cx, build: &judge::Build, image: &str) -> Result<Product, StageError> {
    match judge::stand(&build.status) {
        Stand::Available => release(inputs, cx, build, image),
        Stand::Ended if judge::ends_after_available(&build.status) => {
            Err(StageError::Rejected(judge::failure_summary(image, build)))
        }
        Stand::Going | Stand::Ended => {
            Err(StageError::NotYet(format!("image build {image} was available and is {}", build.status)))
        }
    }
}

fn release(inputs: &Inputs, cx: &Cx, build: &judge::Build, image: &str) -> Result<Product, StageError> {
    let product =
        Product::of(build, image, &inputs.bake.gates.copies, &inputs.account).map_err(StageError::Rejected)?;
    if let Some(name) = inputs.bake.parameter() {
        product.reaches(cx.aws.region(), name)?;
    }
    Ok(product)
}
