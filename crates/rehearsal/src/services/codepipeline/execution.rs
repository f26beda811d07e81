//! One run of a pipeline, and the runs of its actions.

use std::collections::BTreeMap;

use super::super::super::time::Time;
use super::Home;
use super::action_type::ActionTypeId;
use super::artifact::Artifact;
use super::declaration::Declaration;
use super::variables::Variables;

/// State of a pipeline execution, named as the API names it.
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
    /// The API's word.
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

    /// Whether the execution can still move by itself.
    #[must_use]
    pub fn is_running(self) -> bool {
        matches!(self, Self::InProgress | Self::Stopping)
    }
}

/// State of an action execution, named as the API names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionStatus {
    InProgress,
    Abandoned,
    Succeeded,
    Failed,
}

impl ActionStatus {
    /// The API's word.
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

/// Why an action failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// A `FailureType` of the API, or the service's own code.
    pub code: String,
    pub message: String,
}

/// One attempt at one action.
#[derive(Clone, Debug)]
pub struct ActionRun {
    /// `actionExecutionId`: the same over all jobs of the attempt.
    pub id: String,
    pub stage: String,
    pub action: String,
    pub type_id: ActionTypeId,
    pub status: ActionStatus,
    pub started: Time,
    pub updated: Time,
    /// As declared, references unresolved.
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
    /// What a manual approval is answered with.
    pub(super) approval_token: Option<String>,
}

/// What set an execution going.
#[derive(Clone, Debug)]
pub(super) struct Trigger {
    pub kind: &'static str,
    pub detail: String,
}

/// One run of a pipeline.
#[derive(Clone, Debug)]
pub struct Execution {
    pub id: String,
    pub pipeline: Home,
    pub status: ExecutionStatus,
    pub started: Time,
    pub updated: Time,
    /// Every action run, in the order they began.
    pub runs: Vec<ActionRun>,
    /// Artifacts made so far, by name.
    pub artifacts: BTreeMap<String, Artifact>,
    pub(super) declaration: Declaration,
    pub(super) sequence: u64,
    pub(super) trigger: Trigger,
    pub(super) client_token: Option<String>,
    /// Variables later actions may refer to.
    pub(super) variables: Variables,
    /// The stage it is in, or waits to enter.
    pub(super) stage: usize,
    pub(super) entered: bool,
    /// The run that counts for each action of the present stage.
    pub(super) current: BTreeMap<String, String>,
    /// Retries by hand, by stage.
    pub(super) retries: BTreeMap<usize, u32>,
    /// Retries the stage's declaration asked for, by stage.
    pub(super) automatic_retries: BTreeMap<usize, u32>,
    pub(super) stop_reason: Option<String>,
    /// Set for a rollback: it runs one stage of the execution named here again.
    pub(super) rollback_of: Option<String>,
    /// Overrides of source object keys, by action.
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

    /// The run that counts for an action of the present stage.
    pub(super) fn current_run(&self, action: &str) -> Option<&ActionRun> {
        self.run(self.current.get(action)?)
    }

    /// Whether the stage `index` was run by this execution and ended well.
    pub(super) fn succeeded_in(&self, index: usize) -> bool {
        if self.rollback_of.is_some() {
            return self.stage == index && self.status == ExecutionStatus::Succeeded;
        }
        self.stage > index || (self.stage == index && self.status == ExecutionStatus::Succeeded)
    }

    /// Name of the stage it is in or waits for.
    #[must_use]
    pub fn stage_name(&self) -> &str {
        self.declaration.stages.get(self.stage).map_or("", |stage| &stage.name)
    }
}
