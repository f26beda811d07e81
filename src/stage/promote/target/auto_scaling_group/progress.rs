//! What people see while a deployment waits, and how long it waits.

use std::time::Duration;

use super::error::GroupError;
use crate::engine::{Progress, StageError};

/// The time between two polls of what AWS changes.
pub const POLL: Duration = Duration::from_secs(15);

/// Polls without success after which a wait ends: 20 minutes.
pub const MAX_POLLS: u16 = 80;

/// Polls in a row that must agree, because one read may be stale.
pub const CONFIRMATIONS: u8 = 2;

/// Progress of a step whose share is not known.
pub fn progress(summary: String) -> Progress {
    Progress { percent: 1, summary, external_id: None }
}

/// The error of a step in the wrong direction: forward from a state that is rolling back, or back from one that is not.
pub fn wrong_direction(state: &impl std::fmt::Debug) -> StageError {
    GroupError::WrongDirection { state: format!("{state:?}") }.into()
}
