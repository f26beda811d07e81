//! The states of a test, and how each one is undone. Pure.

pub mod task;

use serde::{Deserialize, Serialize};

use self::task::TaskTest;
use crate::engine::{Failure, Timestamp};

/// Max characters of a soak's failure in the token.
const REASON_CHARS: usize = 240;

/// The states of a test. Each says what is true in AWS when a slice ends in it.
///
/// `commands` are the ids of the checks' commands so far, in the order of the spec; of a retried check, the id of the last
/// attempt. `abandoned`: some of the commands may still run. `soak`: the result of the soak, if it was run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Test {
    /// An instance may have been launched in this subnet of the spec, counted from 0; its client token finds it. The
    /// subnets before have no capacity.
    Launching {
        #[serde(default, skip_serializing_if = "is_zero")]
        subnet: u8,
    },
    /// No subnet has Spot capacity. An on-demand instance may have been launched in this subnet; its client token finds
    /// it.
    LaunchingOnDemand {
        #[serde(default, skip_serializing_if = "is_zero")]
        subnet: u8,
    },
    /// The instance was launched at `since`.
    Booting { instance: String, since: Timestamp },
    /// The instance is up. The commands were sent. The command of another check may have been sent; its comment finds it.
    SendingChecks { instance: String, commands: Vec<String> },
    /// As before. The last of the commands was sent, or found, at `since`.
    RunningChecks { instance: String, commands: Vec<String>, since: Timestamp },
    /// A command missed its deadline. The running commands may have been cancelled.
    Overdue { instance: String, commands: Vec<String> },
    /// Systems Manager was asked to cancel the running commands, the last of them at `since`.
    CancellingChecks { instance: String, commands: Vec<String>, since: Timestamp },
    /// All checks passed. The soak started at `since`.
    Soaking { instance: String, commands: Vec<String>, since: Timestamp },
    /// No more checks will be sent. EC2 may have been asked to terminate the instance.
    Terminating {
        instance: String,
        commands: Vec<String>,
        abandoned: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        soak: Option<SoakResult>,
    },
    /// EC2 accepted the termination. The instance may still be running.
    ConfirmingTermination {
        instance: String,
        commands: Vec<String>,
        abandoned: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        soak: Option<SoakResult>,
    },
    /// The instance is terminated or shutting down. The output artifact may have been stored.
    Sealing {
        instance: String,
        commands: Vec<String>,
        abandoned: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        soak: Option<SoakResult>,
    },
    /// A container image is tested in a task.
    Task { task: TaskTest },
    /// Undo: an instance may have been launched. `empty_reads` reads in a row found none.
    UndoFindingInstances { empty_reads: u8, reason: Failure },
    /// Undo: the instance may be running. `empty_reads` reads in a row did not find it.
    UndoTerminating { instance: String, empty_reads: u8, reason: Failure },
    /// Undo: EC2 accepted the termination. The instance may still be running.
    UndoConfirmingTermination { instance: String, reason: Failure },
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_zero(subnet: &u8) -> bool {
    *subnet == 0
}

/// The result of a soak. The token has it: the metrics of the instance may be gone after the test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoakResult {
    pub since: Timestamp,
    pub until: Timestamp,
    /// Why the soak failed; none if it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl SoakResult {
    /// A result; cuts the failure to the length that fits in a token.
    #[must_use]
    pub fn new(since: Timestamp, until: Timestamp, failure: Option<&str>) -> Self {
        let failure = failure.map(|text| text.chars().take(REASON_CHARS).collect());
        Self { since, until, failure }
    }
}

impl Test {
    /// The state that undoes this one.
    #[must_use]
    pub fn undo(self, reason: Failure) -> Self {
        match self {
            Self::Launching { .. } | Self::LaunchingOnDemand { .. } => {
                Self::UndoFindingInstances { empty_reads: 0, reason }
            }
            Self::Booting { instance, .. }
            | Self::SendingChecks { instance, .. }
            | Self::RunningChecks { instance, .. }
            | Self::Overdue { instance, .. }
            | Self::CancellingChecks { instance, .. }
            | Self::Soaking { instance, .. }
            | Self::Terminating { instance, .. }
            | Self::ConfirmingTermination { instance, .. } => {
                Self::UndoTerminating { instance, empty_reads: 0, reason }
            }
            Self::Task { task } => task.undo(reason).into(),
            // In the first the instance is terminated already; the others belong to the undo.
            Self::Sealing { .. }
            | Self::UndoFindingInstances { .. }
            | Self::UndoTerminating { .. }
            | Self::UndoConfirmingTermination { .. } => self,
        }
    }

    /// Whether this state belongs to the undo.
    #[must_use]
    pub fn is_undo(&self) -> bool {
        match self {
            Self::Launching { .. }
            | Self::LaunchingOnDemand { .. }
            | Self::Booting { .. }
            | Self::SendingChecks { .. }
            | Self::RunningChecks { .. }
            | Self::Overdue { .. }
            | Self::CancellingChecks { .. }
            | Self::Soaking { .. }
            | Self::Terminating { .. }
            | Self::ConfirmingTermination { .. }
            | Self::Sealing { .. } => false,
            Self::UndoFindingInstances { .. }
            | Self::UndoTerminating { .. }
            | Self::UndoConfirmingTermination { .. } => true,
            Self::Task { task } => task.is_undo(),
        }
    }
}

impl From<TaskTest> for Test {
    fn from(task: TaskTest) -> Self {
        Self::Task { task }
    }
}
