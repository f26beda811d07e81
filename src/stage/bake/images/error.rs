//! Errors about the images of a build.

use crate::engine::{ErrorClass, ModuleError};

/// What is wrong with the images of a build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    #[error("the build is available and has no image")]
    NoImage,
    #[error("the build has two images in {region} of account {account}; one is expected")]
    TwoImages { region: String, account: String },
    /// `missing` and `found` name regions and accounts.
    #[error(
        "the build has no image in {missing}; it has images in {found}: compare bake.gates.copies with the \
         distribution configuration"
    )]
    MissingCopies { missing: String, found: String },
    #[error("none of the images is in account {account}, which builds")]
    NoOwnCopy { account: String },
    #[error("`{arn}` is not the ARN of a build")]
    NotABuild { arn: String },
    #[error(
        "the image in repository {place} was not pushed with the tag {build_tag}, which only this build has; its tags \
         {tags} may name the image of another build"
    )]
    NoBuildTag { place: String, build_tag: String, tags: String },
    #[error("the image in {place} has the digest `{digest}`, which is not a sha256 digest")]
    NotSha256 { place: String, digest: String },
    #[error("the build made the container image {build_tag}, not a machine image")]
    NotAMachineImage { build_tag: String },
    #[error(
        "SSM parameter {parameter} is in {region}, where the build has no image: distribute the image to {region}"
    )]
    NotInRegion { region: String, parameter: String },
    #[error("the parent image {uri} does not exist in ECR")]
    NoParent { uri: String },
    /// A stale read: an earlier one found the image.
    #[error("{image} is not found")]
    NotFound { image: String },
    #[error("EC2 reports no {member} of {image}")]
    NoIdentity { member: &'static str, image: String },
}

impl ModuleError for ImageError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoImage
            | Self::TwoImages { .. }
            | Self::MissingCopies { .. }
            | Self::NoOwnCopy { .. }
            | Self::NotABuild { .. }
            | Self::NoBuildTag { .. }
            | Self::NotSha256 { .. }
            | Self::NotAMachineImage { .. }
            | Self::NotInRegion { .. } => ErrorClass::Rejected,
            Self::NoParent { .. } => ErrorClass::Config,
            Self::NotFound { .. } | Self::NoIdentity { .. } => ErrorClass::NotYet,
        }
    }
}
