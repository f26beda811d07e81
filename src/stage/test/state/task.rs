//! The states of the test of a container image, and how each one is undone. Pure.

use serde::{Deserialize, Serialize};

use crate::engine::{Failure, Timestamp};

/// Max bytes of a task's failure in the token.
const FAILURE_BYTES: usize = 300;

/// The states of the test of a container image. Each says what is true in ECS when a slice ends in it.
///
/// `revision` is the revision of the task definition in this attempt's family, `task` the id of the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum TaskTest {
    /// A task definition may have been registered; its family finds it.
    Registering,
    /// The task definition was registered at `since`. A task may have been started; its client token finds it.
    Starting { revision: i32, since: Timestamp },
    /// The task was started at `since`.
    WaitingForTask { revision: i32, task: String, since: Timestamp },
    /// The task has been up since `since`, `start_seconds` after its start. The checks so far were begun.
    Probing { revision: i32, task: String, since: Timestamp, start_seconds: u32, probes: Vec<Probe> },
    /// No more checks will be begun. ECS may have been asked to stop the task.
    Stopping { revision: i32, task: String, findings: TaskFindings },
    /// ECS accepted the stop, or the task has stopped by itself.
    ConfirmingStop { revision: i32, task: String, findings: TaskFindings },
    /// The task has stopped. The task definition may have been deregistered.
    Deregistering { revision: i32, task: String, findings: TaskFindings },
    /// The task definition is being deregistered, and may have been deleted.
    Deleting { revision: i32, task: String, findings: TaskFindings },
    /// The task and its definition are gone. The output artifact may have been stored.
    Sealing { task: String, findings: TaskFindings },
    /// Undo: a task definition may have been registered. `empty_reads` reads in a row found none. `then_instances`: the
    /// spec is unknown, and instances are looked for next.
    UndoFindingDefinitions { empty_reads: u8, then_instances: bool, reason: Failure },
    /// Undo: a task of this definition may be running. `empty_reads` reads in a row found none.
    UndoStopping { revision: i32, empty_reads: u8, then_instances: bool, reason: Failure },
    /// Undo: the task is stopping, or there is none. The definition may have been deregistered.
    UndoDeregistering { revision: i32, then_instances: bool, reason: Failure },
    /// Undo: the definition is being deregistered, and may have been deleted.
    UndoDeleting { revision: i32, then_instances: bool, reason: Failure },
}

impl TaskTest {
    /// The state that undoes this one.
    #[must_use]
    pub fn undo(self, reason: Failure) -> Self {
        match self {
            Self::Registering
            | Self::Starting { .. }
            | Self::WaitingForTask { .. }
            | Self::Probing { .. }
            | Self::Stopping { .. }
            | Self::ConfirmingStop { .. }
            | Self::Deregistering { .. }
            | Self::Deleting { .. } => {
                Self::UndoFindingDefinitions { empty_reads: 0, then_instances: false, reason }
            }
            // In the first nothing is left to undo; the others belong to the undo.
            Self::Sealing { .. }
            | Self::UndoFindingDefinitions { .. }
            | Self::UndoStopping { .. }
            | Self::UndoDeregistering { .. }
            | Self::UndoDeleting { .. } => self,
        }
    }

    /// Whether this state belongs to the undo.
    #[must_use]
    pub fn is_undo(&self) -> bool {
        match self {
            Self::Registering
            | Self::Starting { .. }
            | Self::WaitingForTask { .. }
            | Self::Probing { .. }
            | Self::Stopping { .. }
            | Self::ConfirmingStop { .. }
            | Self::Deregistering { .. }
            | Self::Deleting { .. }
            | Self::Sealing { .. } => false,
            Self::UndoFindingDefinitions { .. }
            | Self::UndoStopping { .. }
            | Self::UndoDeregistering { .. }
            | Self::UndoDeleting { .. } => true,
        }
    }
}

/// What is known of a task and its checks. The token has it: ECS deletes stopped tasks after a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFindings {
    /// Seconds from the start of the task until it was up, had ended or had failed.
    pub start_seconds: u32,
    /// Why the task failed; none if it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// The checks that were begun, in the order of the spec.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probe>,
}

impl TaskFindings {
    /// The findings; cuts the failure to the length that fits in a token.
    #[must_use]
    pub fn new(start_seconds: u32, failure: Option<&str>, probes: Vec<Probe>) -> Self {
        Self { start_seconds, failure: failure.map(shortened), probes }
    }
}

/// A text cut to the length that fits in a token. Replaces quotes and control characters, which JSON escapes.
fn shortened(text: &str) -> String {
    let plain = text.chars().map(|c| match c {
        '"' | '\\' => '\'',
        c if c.is_control() => ' ',
        c => c,
    });
    let mut kept = String::new();
    for c in plain {
        if kept.len() + c.len_utf8() > FAILURE_BYTES {
            break;
        }
        kept.push(c);
    }
    kept
}

/// A check of a task that was begun. Short field names keep twenty of them in one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The number of attempts.
    #[serde(rename = "n")]
    pub attempts: u8,
    /// When the last attempt was begun, in seconds since the task was up.
    #[serde(rename = "s")]
    pub since: u32,
    /// Its answer, and after how many seconds; none while it is running.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<(u32, ProbeAnswer)>,
}

/// The answer to a request to a port of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeAnswer {
    /// The expected answer.
    #[serde(rename = "g")]
    Expected,
    /// An unexpected HTTP status.
    #[serde(rename = "s")]
    Status(u16),
    /// A body without the expected text.
    #[serde(rename = "l")]
    TextMissing,
    /// The port refuses connections.
    #[serde(rename = "r")]
    Refused,
    /// No answer in time.
    #[serde(rename = "q")]
    Timeout,
    /// Not an HTTP response.
    #[serde(rename = "u")]
    NotHttp,
}
