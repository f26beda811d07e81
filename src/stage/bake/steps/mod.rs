//! The steps of a bake: one function for each state.

pub mod check_gates;
pub mod publish;
pub mod read_content;
pub mod report_findings;
pub mod seal;
pub mod start_build;
pub mod undo;
pub mod wait_for_build;

use std::time::Duration;

/// Interval between two polls of a build.
const BUILD_POLL_INTERVAL: Duration = Duration::from_secs(45);
/// Interval between two polls of anything that takes seconds.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
