//! The states of a bake, and how each one is undone. Pure.

use serde::{Deserialize, Serialize};

use crate::digest::Sha256;
use crate::engine::{Failure, Timestamp};
use crate::stage::content::Position;

/// The states of a bake. Each says what is true in AWS when a slice ends in it. `image` is the ARN of the build (an
/// image build version of Image Builder); `parent` is the resolved parent image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Bake {
    /// A build of the image pipeline may have been started; its client token finds it.
    StartingPipeline,
    /// Nothing exists yet. The parent image of the recipe is not resolved.
    ResolvingParent,
    /// The first `done` components of the recipe exist with the content that their version is derived from.
    CreatingComponents { parent: String, done: u16 },
    /// All components exist. The recipe may exist.
    CreatingRecipe { parent: String },
    /// The recipe exists. A build of it may have been started; its client token finds it.
    StartingBuild { parent: String },
    /// The build was started. Its distribution was retried `retries` times.
    Building {
        image: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_progress: Option<LastProgress>,
        #[serde(default, skip_serializing_if = "is_zero")]
        retries: u8,
    },
    /// The build failed in its distribution after `retries` retries. The next retry may have been requested.
    Retrying { image: String, retries: u8 },
    /// The build is available and lists every image that the spec expects. `seen` reads in a row found all of them
    /// available.
    Confirming { image: String, seen: u8 },
    /// All images are available, since `since`. The gates have not passed them yet.
    CheckingGates { image: String, since: Timestamp },
    /// The scan is complete. The first `done` batches of its findings are in Security Hub.
    ReportingFindings { image: String, since: Timestamp, done: u16 },
    /// The gates passed all images. The content of the first `copy` copies was read and has the digest `content`. The
    /// next copy was read as far as `position`, if reading it has begun.
    ReadingContent {
        image: String,
        copy: u16,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        position: Option<Position>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Sha256>,
    },
    /// The gates passed all images. The first `done` images of this account have their tags.
    Tagging {
        image: String,
        done: u16,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Sha256>,
    },
    /// All images of this account have their tags. The parameter may have been set.
    Publishing {
        image: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Sha256>,
    },
    /// `PutParameter` succeeded at `since`. Systems Manager may still be validating the value.
    ConfirmingParameter {
        image: String,
        since: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Sha256>,
    },
    /// The parameter, if the spec has one, names the new image. The output artifact may have been stored.
    Sealing {
        image: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        content: Option<Sha256>,
    },
    /// Undo: a build may have been started. `empty_reads` reads in a row found none.
    UndoFindingBuild {
        empty_reads: u8,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        parent: Option<String>,
        reason: Failure,
    },
    /// Undo: the build may be running. Its cancellation may have been requested.
    UndoCancelling { image: String, reason: Failure },
    /// Undo: Image Builder accepted the cancellation. The build may still be running.
    UndoConfirmingCancellation { image: String, reason: Failure },
    /// Undo: the build has ended. `removed` of its images were removed, and `empty_reads` reads in a row found no other.
    UndoRemovingImages { image: String, empty_reads: u8, removed: u16, reason: Failure },
    /// Undo: the build succeeded and the parameter may name its image. The images stay.
    UndoKeepingImages { image: String, reason: Failure },
}

/// When a build last made progress. The fingerprint changes whenever the build does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastProgress {
    pub fingerprint: u32,
    pub since: Timestamp,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(retries: &u8) -> bool {
    *retries == 0
}

impl Bake {
    /// The state that undoes this one.
    #[must_use]
    pub fn undo(self, reason: Failure) -> Self {
        match self {
            Self::StartingPipeline
            | Self::ResolvingParent
            | Self::CreatingComponents { .. }
            | Self::CreatingRecipe { .. } => Self::UndoFindingBuild { empty_reads: 0, parent: None, reason },
            Self::StartingBuild { parent } => {
                Self::UndoFindingBuild { empty_reads: 0, parent: Some(parent), reason }
            }
            Self::Building { image, .. } | Self::Retrying { image, .. } => {
                Self::UndoCancelling { image, reason }
            }
            Self::Confirming { image, .. }
            | Self::CheckingGates { image, .. }
            | Self::ReportingFindings { image, .. }
            | Self::ReadingContent { image, .. }
            | Self::Tagging { image, .. } => {
                Self::UndoRemovingImages { image, empty_reads: 0, removed: 0, reason }
            }
            Self::Publishing { image, .. }
            | Self::ConfirmingParameter { image, .. }
            | Self::Sealing { image, .. } => Self::UndoKeepingImages { image, reason },
            Self::UndoFindingBuild { .. }
            | Self::UndoCancelling { .. }
            | Self::UndoConfirmingCancellation { .. }
            | Self::UndoRemovingImages { .. }
            | Self::UndoKeepingImages { .. } => self,
        }
    }

    /// Whether this state belongs to the undo.
    #[must_use]
    pub fn is_undo(&self) -> bool {
        match self {
            Self::StartingPipeline
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
            | Self::Sealing { .. } => false,
            Self::UndoFindingBuild { .. }
            | Self::UndoCancelling { .. }
            | Self::UndoConfirmingCancellation { .. }
            | Self::UndoRemovingImages { .. }
            | Self::UndoKeepingImages { .. } => true,
        }
    }
}
