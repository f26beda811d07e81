//! The bake stage: one Image Builder build, of an existing image pipeline or of the spec's own recipe. The stage confirms
//! the build's images, checks them by the gates, tags and publishes them, and signs their provenance.

mod arn;
mod build;
mod error;
mod gates;
mod images;
mod inputs;
mod parameter;
mod provenance;
mod recipe;
mod state;
mod steps;
#[cfg(test)]
mod tests;
mod variables;

use std::time::Duration;

use self::build::find;
pub use self::inputs::{BuildFrom, Inputs};
pub use self::state::Bake;
use self::steps::{
    check_gates, publish, read_content, report_findings, seal, start_build, undo, wait_for_build,
};
use super::{Cx, StageMachine, not_unwinding};
use crate::engine::{Failure, Machine, StageError, Step, Timestamp};
use crate::evidence::Stage;

impl StageMachine for Bake {
    const STAGE: Stage = Stage::Bake;

    async fn load(cx: &mut Cx, at: Timestamp) -> Result<Inputs, StageError> {
        Inputs::load(cx, at).await
    }

    fn recover_lost_first_slice(reason: Failure) -> Option<Self> {
        Some(Self::UndoFindingBuild { empty_reads: 0, parent: None, reason })
    }

    async fn unwind_without_inputs(self, cx: &Cx) -> Result<Step<Self>, StageError> {
        // The account of a build is that of its image pipeline, and is part of the build's ARN.
        let account =
            |image: &str| arn::account_and_region(image).map_or("", |(account, _)| account).to_owned();
        match self {
            Self::UndoFindingBuild { empty_reads, parent, reason } => {
                let found = find::any_build(cx, parent.is_some()).await;
                undo::find_build(found, empty_reads, parent, reason)
            }
            Self::UndoCancelling { image, reason } => undo::cancel(&account(&image), cx, image, reason).await,
            Self::UndoConfirmingCancellation { image, reason } => {
                undo::confirm_cancellation(&account(&image), cx, image, reason).await
            }
            Self::UndoRemovingImages { image, empty_reads, removed, reason } => {
                undo::remove_images(&account(&image), &[], cx, image, empty_reads, removed, reason).await
            }
            Self::UndoKeepingImages { image, reason } => {
                Ok(undo::keep_images(&account(&image), cx, &image, reason).await)
            }
            forward @ (Self::StartingPipeline
            | Self::ResolvingParent
            | Self::CreatingComponents { .. }
            | Self::CreatingRecipe { .. }
            | Self::StartingBuild { .. }
            | Self::Building { .. }
            | Self::Retrying { .. }
            | Self::Confirming { .. }
            | Self::CheckingGates { .. }
            | Self::ReportingFindings { .. }
            | Self::ReadingContent { .. }
            | Self::Tagging { .. }
            | Self::Publishing { .. }
            | Self::ConfirmingParameter { .. }
            | Self::Sealing { .. }) => Err(not_unwinding(&forward)),
        }
    }
}

impl Machine for Bake {
    type Inputs = Inputs;
    type Context = Cx;

    fn start(inputs: &Inputs) -> Self {
        match inputs.build_from {
            BuildFrom::ImagePipeline(_) => Self::StartingPipeline,
            BuildFrom::Recipe(_) => Self::ResolvingParent,
        }
    }

    fn timeout(inputs: &Inputs) -> Duration {
        inputs.bake.timeout.as_duration()
    }

    fn unwind(self, reason: Failure) -> Self {
        self.undo(reason)
    }

    fn is_unwinding(&self) -> bool {
        self.is_undo()
    }

    async fn step(self, inputs: &Inputs, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::StartingPipeline => start_build::start_pipeline(inputs, cx).await,
            Self::ResolvingParent => start_build::resolve_parent(inputs, cx).await,
            Self::CreatingComponents { parent, done } => {
                start_build::create_component(inputs, cx, parent, done).await
            }
            Self::CreatingRecipe { parent } => start_build::create_recipe(inputs, cx, parent).await,
            Self::StartingBuild { parent } => start_build::start_build(inputs, cx, &parent).await,
            Self::Building { image, last_progress, retries } => {
                wait_for_build::wait_for_build(inputs, cx, image, last_progress, retries).await
            }
            Self::Retrying { image, retries } => wait_for_build::retry(inputs, cx, image, retries).await,
            Self::Confirming { image, seen } => wait_for_build::confirm_images(inputs, cx, image, seen).await,
            Self::CheckingGates { image, since } => check_gates::check_gates(inputs, cx, image, since).await,
            Self::ReportingFindings { image, since, done } => {
                report_findings::report_findings(inputs, cx, image, since, done).await
            }
            Self::ReadingContent { image, copy, position, content } => {
                read_content::read_content(inputs, cx, image, copy, position, content).await
            }
            Self::Tagging { image, done, content } => {
                publish::tag_image(inputs, cx, image, done, content).await
            }
            Self::Publishing { image, content } => publish::publish(inputs, cx, image, content).await,
            Self::ConfirmingParameter { image, since, content } => {
                publish::confirm_parameter(inputs, cx, image, since, content).await
            }
            Self::Sealing { image, content } => seal::seal(inputs, cx, &image, content).await,
            Self::UndoFindingBuild { empty_reads, parent, reason } => {
                let found = undo::started_build(inputs, cx, parent.as_deref()).await?;
                undo::find_build(found, empty_reads, parent, reason)
            }
            Self::UndoCancelling { image, reason } => undo::cancel(&inputs.account, cx, image, reason).await,
            Self::UndoConfirmingCancellation { image, reason } => {
                undo::confirm_cancellation(&inputs.account, cx, image, reason).await
            }
            Self::UndoRemovingImages { image, empty_reads, removed, reason } => {
                let expected = &inputs.bake.gates.copies;
                undo::remove_images(&inputs.account, expected, cx, image, empty_reads, removed, reason).await
            }
            Self::UndoKeepingImages { image, reason } => {
                Ok(undo::keep_images(&inputs.account, cx, &image, reason).await)
            }
        }
    }
}
