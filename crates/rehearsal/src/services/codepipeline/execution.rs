//! Pipeline executions and action executions.

use std::collections::BTreeMap;

use super::super::super::time::Time;
use super::Home;
use super::action_type::ActionTypeId;
use super::artifact::Artifact;
use super::declaration::Declaration;
use super::variables::Variables;

/// The status of a pipeline execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecutionStatus {
    InProgress,
    Stopping,
    Stopped,
    Succeeded,
    Superseded,
    Failed,
}

impl ExecutionStatus {
    /// The name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Stopping => "Stopping",
            Self::Stopped => "Stopped",
            Self::Succeeded => "Succeeded",
            Self::Superseded => "Superseded",
            Self::Failed => "Failed",
        }
    }

    /// Whether the execution can still advance by itself.
    #[must_use]
    pub fn is_running(self) -> bool {
        matches!(self, Self::InProgress | Self::Stopping)
    }
}

/// The status of an action execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionStatus {
    InProgress,
    Abandoned,
    Succeeded,
    Failed,
}

impl ActionStatus {
    /// The name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Abandoned => "Abandoned",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// The failure of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A `FailureType` of the API, or an error code of the service.
    pub code: String,
    pub message: String,
}

/// An action execution: one attempt at an action.
#[derive(Clone, Debug)]
pub struct ActionRun {
    /// `actionExecutionId`: the same for all jobs of the attempt.
    pub id: String,
    pub stage: String,
    pub action: String,
    pub type_id: ActionTypeId,
    pub status: ActionStatus,
    pub started: Time,
    pub updated: Time,
    /// The configuration as declared, with unresolved references.
    pub(super) configuration: BTreeMap<String, String>,
    pub resolved: BTreeMap<String, String>,
    pub inputs: Vec<Artifact>,
    pub outputs: Vec<Artifact>,
    pub(super) namespace: Option<String>,
    pub(super) role_arn: Option<String>,
    pub summary: Option<String>,
    pub external_id: Option<String>,
    pub(super) external_url: Option<String>,
    pub(super) percent: Option<u8>,
    pub failure: Option<Failure>,
    pub output_variables: BTreeMap<String, String>,
    pub(super) updated_by: Option<String>,
    /// The token that completes a manual approval.
    pub(super) approval_token: Option<String>,
}

/// The trigger of an execution.
#[derive(Clone, Debug)]
pub(super) struct Trigger {
    pub kind: &'static str,
    pub detail: String,
}

/// A pipeline execution.
#[derive(Clone, Debug)]
pub struct Execution {
    pub id: String,
    pub pipeline: Home,
    pub status: ExecutionStatus,
    pub started: Time,
    pub updated: Time,
    /// Every action execution, in the order of their start.
    pub runs: Vec<ActionRun>,
    /// The artifacts produced so far, by name.
    pub artifacts: BTreeMap<String, Artifact>,
    pub(super) declaration: Declaration,
    pub(super) sequence: u64,
    pub(super) trigger: Trigger,
    pub(super) client_token: Option<String>,
    /// The variables that later actions may refer to.
    pub(super) variables: Variables,
    /// The index of the stage that it is in, or waits to enter.
    pub(super) stage: usize,
    pub(super) entered: bool,
    /// The id of the current run of each action of the current stage.
    pub(super) current: BTreeMap<String, String>,
    /// The number of retries by API call, by stage.
    pub(super) retries: BTreeMap<usize, u32>,
    /// The number of retries declared by `onFailure`, by stage.
    pub(super) automatic_retries: BTreeMap<usize, u32>,
    pub(super) stop_reason: Option<String>,
    /// For a rollback: the id of the execution whose stage it runs again.
    pub(super) rollback_of: Option<String>,
    /// The overridden source object keys, by action.
    pub(super) source_keys: BTreeMap<String, String>,
    pub(super) status_summary: Option<String>,
}

impl Execution {
    pub(super) fn run(&self, id: &str) -> Option<&ActionRun> {
        self.runs.iter().find(|run| run.id == id)
    }

    pub(super) fn run_mut(&mut self, id: &str) -> Option<&mut ActionRun> {
        self.runs.iter_mut().find(|run| run.id == id)
    }

    /// The current run of an action of the current stage.
    pub(super) fn current_run(&self, action: &str) -> Option<&ActionRun> {
        self.run(self.current.get(action)?)
    }

    /// Whether this execution succeeded in stage `index`.
    pub(super) fn succeeded_in(&self, index: usize) -> bool {
        if self.rollback_of.is_some() {
            return self.stage == index && self.status == ExecutionStatus::Succeeded;
        }
        self.stage > index || (self.stage == index && self.status == ExecutionStatus::Succeeded)
    }

    /// The name of the stage that it is in, or waits to enter.
    #[must_use]
    pub fn stage_name(&self) -> &str {
        self.declaration.stages.get(self.stage).map_or("", |stage| &stage.name)
    }
}
