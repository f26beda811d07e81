//! Errors of the test of a container image.

use crate::engine::{ErrorClass, ModuleError};

/// Why a test in a task fails or has to wait.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    #[error("ECS did not start a task of {image} within {seconds} s: {reason}")]
    NotStarted { image: String, seconds: u64, reason: String },
    /// A stale read: an earlier one found the task.
    #[error("task {task} was up and ECS does not find it")]
    TaskNotFound { task: String },
    /// A stale read: an earlier one found the address.
    #[error("task {task} was up and ECS reports no address")]
    NoAddress { task: String },
    #[error("ecs:RegisterTaskDefinition of {family} returned no revision")]
    NoRevision { family: String },
}

impl ModuleError for TaskError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotStarted { .. } => ErrorClass::Rejected,
            Self::TaskNotFound { .. } | Self::NoAddress { .. } | Self::NoRevision { .. } => {
                ErrorClass::NotYet
            }
        }
    }
}
