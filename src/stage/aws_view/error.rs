//! Errors of the readers of AWS state.

use crate::engine::{ErrorClass, ModuleError};

/// Why a reader has no answer although the call succeeded.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    #[error("the Auto Scaling group {group} does not exist any more")]
    NoGroup { group: String },
    /// The list is eventually consistent.
    #[error("the instance refresh {refresh} of {group} is not listed yet")]
    RefreshNotListed { refresh: String, group: String },
    /// A version has this action's mark and another image.
    #[error(
        "version {version} of {template} says that this action created it, and launches {}, not {expected}",
        .found.as_deref().unwrap_or("no image")
    )]
    OtherImage { template: String, version: i64, found: Option<String>, expected: String },
}

impl ModuleError for ViewError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoGroup { .. } | Self::OtherImage { .. } => ErrorClass::Rejected,
            Self::RefreshNotListed { .. } => ErrorClass::NotYet,
        }
    }
}
