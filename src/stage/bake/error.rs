//! Errors of the bake stage that are not about recipes, images or gates.

use crate::engine::{ErrorClass, ModuleError};

/// Why a bake fails or has to wait.
#[derive(Debug, thiserror::Error)]
pub enum BakeError {
    #[error("`{arn}` in bake is not an ARN")]
    NotAnArn { arn: String },
    #[error("`{arn}` in bake is in {found}; this worker works in {region}")]
    OtherRegion { arn: String, found: String, region: String },
    #[error("bake needs exactly one of image_recipe, container_recipe and image_pipeline")]
    NoSource,
    #[error("the action started with a recipe, but the spec names {arn}")]
    NotARecipe { arn: String },
    /// The summary has everything that Image Builder reports.
    #[error("{summary}")]
    BuildFailed { summary: String },
    #[error(
        "image build {build} made no progress for {seconds} s ({last}); bake.progress_timeout is {limit}"
    )]
    NoProgress { build: String, seconds: u64, last: String, limit: String },
    #[error("{reason}")]
    ImageUnusable { reason: String },
    #[error(
        "SSM parameter {name} was not set to {value} within {seconds} s; it holds {found}: Systems Manager rejects an \
         image that the caller may not describe, and reports it in an EventBridge event only"
    )]
    ParameterNotSet { name: String, value: String, found: String, seconds: u64 },
    #[error(
        "the copies of the image have different content: the digest of {copy} is {digest}, the digest of {first} is \
         {expected}"
    )]
    ContentDiffers { copy: String, digest: String, first: String, expected: String },
    /// A stale read: an earlier one found the build available.
    #[error("image build {build} was available and is {status}")]
    NoLongerAvailable { build: String, status: String },
    /// A stale read: the build was retried since.
    #[error("image build {build} was retried and Image Builder reports it as {status}")]
    RetryNotVisible { build: String, status: String },
    #[error("{operation} of {target} returned no {member}")]
    IncompleteResponse { operation: &'static str, target: String, member: &'static str },
}

impl ModuleError for BakeError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotAnArn { .. } | Self::OtherRegion { .. } | Self::NoSource | Self::NotARecipe { .. } => {
                ErrorClass::Config
            }
            Self::BuildFailed { .. }
            | Self::NoProgress { .. }
            | Self::ImageUnusable { .. }
            | Self::ParameterNotSet { .. }
            | Self::ContentDiffers { .. } => ErrorClass::Rejected,
            Self::NoLongerAvailable { .. }
            | Self::RetryNotVisible { .. }
            | Self::IncompleteResponse { .. } => ErrorClass::NotYet,
        }
    }
}
