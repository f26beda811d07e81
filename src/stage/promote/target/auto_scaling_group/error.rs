//! Errors of promotions to Auto Scaling groups.

use crate::engine::{ErrorClass, ModuleError};

/// Why a promotion to Auto Scaling groups fails or has to wait.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    #[error("{group} no longer has exactly one target group")]
    TargetGroups { group: String },
    #[error("no listener forwards to the two target groups any more")]
    NoListener,
    #[error(
        "the version {} that was created of {template} launches {}, not {expected}",
        .version.map_or_else(|| "without a number".to_owned(), |number| number.to_string()),
        .found.as_deref().unwrap_or("no image")
    )]
    CreatedOtherImage { template: String, version: Option<i64>, found: Option<String>, expected: String },
    #[error(
        "the instance refresh {refresh} of {group} was started by someone else after the preflight; its status is \
         {status}"
    )]
    OthersRefresh { refresh: String, group: String, status: String },
    #[error("{group} cannot take the image: {}", .failed.join("; "))]
    Unfit { group: String, failed: Vec<String> },
    #[error("{group} launches version {version} of {template}, which is not a number")]
    VersionNotANumber { group: String, template: String, version: String },
    #[error("{group} does not launch from a launch template any more")]
    NoTemplate { group: String },
    /// The refresh is found by its list later.
    #[error("StartInstanceRefresh of {group} answered without an id")]
    NoRefreshId { group: String },
    #[error("an instance refresh of {group} is polled that was not started")]
    RefreshNotStarted { group: String },
    #[error("the deployment was stepped in the wrong direction from {state}")]
    WrongDirection { state: String },
    #[error("nothing was changed in {deployment}")]
    NothingChanged { deployment: String },
}

impl ModuleError for GroupError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::TargetGroups { .. }
            | Self::NoListener
            | Self::CreatedOtherImage { .. }
            | Self::OthersRefresh { .. }
            | Self::Unfit { .. }
            | Self::VersionNotANumber { .. }
            | Self::NoTemplate { .. } => ErrorClass::Rejected,
            Self::NoRefreshId { .. } => ErrorClass::NotYet,
            Self::RefreshNotStarted { .. } | Self::WrongDirection { .. } | Self::NothingChanged { .. } => {
                ErrorClass::Bug
            }
        }
    }
}
