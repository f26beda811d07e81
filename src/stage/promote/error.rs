//! Errors of the promotion that are not a target's own.

use crate::engine::{ErrorClass, ModuleError};

/// Why a promotion fails.
#[derive(Debug, thiserror::Error)]
pub enum PromoteError {
    #[error("promote.target takes a machine image, and the release is {subject}")]
    NotAMachineImage { subject: String },
    /// The spec was read before the analysis began.
    #[error("an analysis is under way and the spec has no judge")]
    NoJudge,
    #[error("the spec has no wave {index}")]
    NoWave { index: u8 },
    #[error("there are no clients for the wave {wave}")]
    NoClients { wave: String },
    #[error("{deployment} has no two sides to compare")]
    NoSides { deployment: String },
    #[error("{deployment} cannot be read back")]
    NoUnits { deployment: String },
    #[error("the promotion's page cannot be written")]
    Page { source: askama::Error },
    #[error("the promotion cannot be written as JSON")]
    Report { source: serde_json::Error },
}

impl ModuleError for PromoteError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotAMachineImage { .. } => ErrorClass::Config,
            Self::NoJudge
            | Self::NoWave { .. }
            | Self::NoClients { .. }
            | Self::NoSides { .. }
            | Self::NoUnits { .. }
            | Self::Page { .. }
            | Self::Report { .. } => ErrorClass::Bug,
        }
    }
}
