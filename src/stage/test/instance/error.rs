//! Errors of the test of a machine image.

use std::str::Utf8Error;

use crate::engine::{ErrorClass, ModuleError};

/// Why a test on an instance fails or has to wait.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    #[error("the spec has no test.instance, and the release has a machine image")]
    NoInstance,
    #[error("the input artifact has no {path}, the script of check {check}")]
    NoScript { path: String, check: String },
    #[error("{path} is not a script: byte {} is not UTF-8 text", source.valid_up_to())]
    NotText { path: String, source: Utf8Error },
    #[error("image {image} has the {member} {found}; the image of the release has {expected}")]
    OtherImage { image: String, member: &'static str, found: String, expected: String },
    #[error("instance {instance} of image {image} ended before the checks: {state}: {reason}")]
    Ended { instance: String, image: String, state: String, reason: String },
    #[error(
        "instance {instance} of image {image} was not up within {seconds} s of its launch; missing: {missing}"
    )]
    NotUp { instance: String, image: String, seconds: u64, missing: String },
    #[error("there is no check {index}")]
    NoCheck { index: usize },
    /// A stale read: an earlier one found the image.
    #[error("{image} is not found")]
    ImageNotFound { image: String },
    /// A stale read: an earlier one found the command ended.
    #[error("command {command} on {instance} has ended, but Systems Manager still reports it as running")]
    StillRunning { command: String, instance: String },
    #[error("{operation} of {target} returned no {member}")]
    IncompleteResponse { operation: &'static str, target: String, member: &'static str },
    #[error("the response with {object} was cut off")]
    CutOff { object: String, source: aws_sdk_s3::primitives::ByteStreamError },
}

impl ModuleError for InstanceError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoInstance | Self::NotText { .. } => ErrorClass::Config,
            Self::NoScript { .. } | Self::OtherImage { .. } | Self::Ended { .. } | Self::NotUp { .. } => {
                ErrorClass::Rejected
            }
            Self::NoCheck { .. } => ErrorClass::Bug,
            Self::ImageNotFound { .. }
            | Self::StillRunning { .. }
            | Self::IncompleteResponse { .. }
            | Self::CutOff { .. } => ErrorClass::NotYet,
        }
    }
}
