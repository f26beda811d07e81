//! Errors of reading the content of an image.

use crate::engine::{ErrorClass, ModuleError};

/// Why the content of an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    #[error("{image} has no EBS volume: there is no content to read")]
    NoVolume { image: String },
    #[error(
        "the blocks of {snapshot} do not have {expected} bytes; the content digest is defined for that size only"
    )]
    BlockSize { snapshot: String, expected: usize },
    /// A stale read: an earlier one found the image.
    #[error("{image} is not found")]
    NotFound { image: String },
    #[error("EC2 reports a volume of {image} without name, snapshot or size")]
    IncompleteVolume { image: String },
    #[error("EBS lists {what} of {snapshot}")]
    InconsistentList { what: &'static str, snapshot: String },
    #[error("the task that read block {index} ended early")]
    Aborted { index: u32, source: tokio::task::JoinError },
    #[error("the response with {block} was cut off")]
    CutOff { block: String, source: aws_sdk_ebs::primitives::ByteStreamError },
    #[error("{block} is incomplete")]
    Incomplete { block: String },
    #[error("{block} does not have the checksum that EBS reports")]
    Checksum { block: String },
}

impl ModuleError for ContentError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoVolume { .. } | Self::BlockSize { .. } => ErrorClass::Rejected,
            Self::NotFound { .. }
            | Self::IncompleteVolume { .. }
            | Self::InconsistentList { .. }
            | Self::Aborted { .. }
            | Self::CutOff { .. }
            | Self::Incomplete { .. }
            | Self::Checksum { .. } => ErrorClass::NotYet,
        }
    }
}
