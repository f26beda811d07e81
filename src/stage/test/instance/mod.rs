//! The test of a machine image on one instance.

mod boot;
mod command;
mod document_run;
mod ec2;
mod error;
mod output;
mod run_checks;
mod script;
mod soak;
mod steps;
#[cfg(test)]
mod tests;
pub mod undo;

use std::time::Duration;

use self::document_run::DocumentRun;
use super::state::Test;
use crate::engine::{Progress, StageError, Step};
use crate::evidence::ImageIdentity;
use crate::spec;
use crate::stage::handover::Release;
use crate::stage::{Cx, not_unwinding};

/// Reads in a row that must find nothing before the stage relies on there being nothing: EC2 is eventually consistent.
const EMPTY_READS: u8 = 3;
/// Interval between two attempts to launch an instance without capacity in any subnet.
const CAPACITY_POLL_INTERVAL: Duration = Duration::from_secs(30);
/// Interval between two polls of a booting instance.
const BOOT_POLL_INTERVAL: Duration = Duration::from_secs(15);
/// Interval between two polls of the metrics of a soak.
const SOAK_POLL_INTERVAL: Duration = Duration::from_mins(1);
/// Interval between two polls of anything that takes seconds.
const POLL_INTERVAL: Duration = Duration::from_secs(10);

/// What the test of a machine image works from.
#[derive(Debug)]
pub struct InstanceInputs {
    pub release: Release,
    pub test: spec::Test,
    /// The image of the release in the worker's region.
    pub image: ImageIdentity,
    /// The document run of every check.
    pub documents: Vec<DocumentRun>,
}

impl InstanceInputs {
    /// Reads the scripts of the checks.
    ///
    /// # Errors
    /// A script is missing, or is not text.
    pub fn new(release: Release, test: spec::Test, image: ImageIdentity) -> Result<Self, StageError> {
        let documents = document_run::all(&test.checks, &release.artifact.files)?;
        Ok(Self { release, test, image, documents })
    }
}

/// Runs the step of a state.
pub async fn step(state: Test, inputs: &InstanceInputs, cx: &Cx) -> Result<Step<Test>, StageError> {
    match state {
        Test::Launching { subnet } => steps::launch(inputs, cx, subnet, false).await,
        Test::LaunchingOnDemand { subnet } => steps::launch(inputs, cx, subnet, true).await,
        Test::Booting { instance, since } => steps::wait_for_boot(inputs, cx, instance, since).await,
        Test::SendingChecks { instance, commands } => {
            let since = cx.now();
            run_checks::run_checks(inputs, cx, instance, commands, since).await
        }
        Test::RunningChecks { instance, commands, since } => {
            run_checks::run_checks(inputs, cx, instance, commands, since).await
        }
        Test::Overdue { instance, commands } => run_checks::cancel(cx, instance, commands).await,
        Test::CancellingChecks { instance, commands, since } => {
            run_checks::confirm_cancellation(cx, instance, commands, since).await
        }
        Test::Soaking { instance, commands, since } => {
            steps::soak(inputs, cx, instance, commands, since).await
        }
        Test::Terminating { instance, commands, abandoned, soak } => {
            steps::terminate(cx, instance, commands, abandoned, soak).await
        }
        Test::ConfirmingTermination { instance, commands, abandoned, soak } => {
            steps::confirm_termination(cx, instance, commands, abandoned, soak).await
        }
        Test::Sealing { instance, commands, abandoned, soak } => {
            steps::seal(inputs, cx, &instance, &commands, abandoned, soak).await
        }
        other @ (Test::Task { .. }
        | Test::UndoFindingInstances { .. }
        | Test::UndoTerminating { .. }
        | Test::UndoConfirmingTermination { .. }) => Err(not_unwinding(&other)),
    }
}

fn progress(percent: u8, summary: String, id: &str) -> Progress {
    Progress { percent, summary, external_id: Some(id.to_owned()) }
}
