//! CodePipeline: pipelines, executions, and the queue of custom-action jobs.
//!
//! The rules come from the API reference (service model 2015-07-09) and the user guide. Where both are silent
//! (unacknowledged jobs, acknowledged jobs whose worker died), [`Options`] selects the behavior.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::call::{Answer, ApiError, Call};
use super::super::time::Time;
use super::super::world::World;

mod action;
mod action_type;
mod approval;
mod artifact;
mod control;
mod declaration;
mod execution;
mod flow;
mod job;
mod pipeline;
mod result;
mod structure;
mod tags;
mod variables;
mod view;

pub use action_type::{ActionType, ActionTypeId};
pub use artifact::Artifact;
pub use execution::{ActionRun, ActionStatus, Execution, ExecutionStatus, Failure};
pub use job::{Job, JobStatus};
pub use pipeline::Pipeline;

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &[
    "AcknowledgeJob",
    "CreateCustomActionType",
    "CreatePipeline",
    "DeleteCustomActionType",
    "DeletePipeline",
    "GetJobDetails",
    "GetPipeline",
    "GetPipelineExecution",
    "GetPipelineState",
    "ListActionExecutions",
    "ListActionTypes",
    "ListPipelineExecutions",
    "ListPipelines",
    "ListTagsForResource",
    "PollForJobs",
    "PutApprovalResult",
    "PutJobFailureResult",
    "PutJobSuccessResult",
    "RetryStageExecution",
    "RollbackStage",
    "StartPipelineExecution",
    "StopPipelineExecution",
    "TagResource",
    "UntagResource",
    "UpdatePipeline",
];

/// Behavior that AWS does not document, and timings that a scenario can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// From a success result with a continuation token until the next job is offered.
    pub continuation_delay: Duration,
    /// From an unacknowledged offer until the job is offered again, with a new nonce; `None` means never.
    pub visibility: Option<Duration>,
    /// From an acknowledgement until a job without a result is offered again; `None` means never.
    pub redeliver_acknowledged_after: Option<Duration>,
    /// Whether the nonce that claimed a job is accepted once more while the job is in progress.
    pub repeat_acknowledgement: bool,
    /// Lifetime of a job's artifact credentials.
    pub credentials_lifetime: Duration,
    /// The timeout of a custom action, over all its jobs.
    pub action_timeout: Duration,
    /// The duration of a source action.
    pub source_takes: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            continuation_delay: Duration::from_secs(1),
            visibility: Some(Duration::from_mins(1)),
            redeliver_acknowledged_after: None,
            repeat_acknowledgement: true,
            credentials_lifetime: Duration::from_mins(15),
            action_timeout: Duration::from_hours(24),
            source_takes: Duration::from_secs(1),
        }
    }
}

/// Account, Region and name of a pipeline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Home {
    pub account: String,
    pub region: String,
    pub name: String,
}

impl Home {
    fn of(call: &Call, name: &str) -> Self {
        Self { account: call.account.clone(), region: call.region.clone(), name: name.to_owned() }
    }
}

/// Every action type, pipeline, execution and job.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub options: Options,
    action_types: BTreeMap<(String, String, ActionTypeId), ActionType>,
    /// Deleted action types: a version cannot be used again.
    deleted_types: BTreeSet<(String, String, ActionTypeId)>,
    pipelines: BTreeMap<Home, Pipeline>,
    executions: BTreeMap<String, Execution>,
    jobs: BTreeMap<String, Job>,
    /// The counter that orders executions and jobs by creation.
    sequence: u64,
}

impl State {
    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

/// A scheduled event.
#[derive(Clone, Debug)]
pub enum Event {
    /// A source action has fetched its revision.
    Source { execution: String, run: String },
    /// The timeout of a custom action or an approval expires.
    Timeout { execution: String, run: String },
}

/// An execution by its id, for reports on a rehearsal.
#[must_use]
pub fn execution<'w>(world: &'w World, id: &str) -> Option<&'w Execution> {
    world.codepipeline.executions.get(id)
}

/// Pipeline and id of every execution in progress.
pub(in super::super) fn under_way(world: &World) -> Vec<(String, String)> {
    let executions = world.codepipeline.executions.values();
    executions.filter(|e| e.status.is_running()).map(|e| (e.pipeline.name.clone(), e.id.clone())).collect()
}

/// Pipeline and id of the newest execution.
pub(in super::super) fn newest(world: &World) -> Option<(String, String)> {
    let newest = world.codepipeline.executions.values().max_by_key(|e| (e.started, e.sequence))?;
    Some((newest.pipeline.name.clone(), newest.id.clone()))
}

/// Account and Region of the pipelines; a rehearsal has one of each.
pub(in super::super) fn home(world: &World) -> Option<(String, String)> {
    let home = world.codepipeline.pipelines.keys().next()?;
    Some((home.account.clone(), home.region.clone()))
}

/// Handles one API call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &mut World, call: &Call) -> Answer {
    match call.operation.as_str() {
        "AcknowledgeJob" => job::acknowledge(world, call),
        "CreateCustomActionType" => action_type::create(world, call),
        "CreatePipeline" => pipeline::create(world, call),
        "DeleteCustomActionType" => action_type::delete(world, call),
        "DeletePipeline" => pipeline::delete(world, call),
        "GetJobDetails" => job::details(world, call),
        "GetPipeline" => pipeline::get(world, call),
        "GetPipelineExecution" => view::get_pipeline_execution(world, call),
        "GetPipelineState" => view::get_pipeline_state(world, call),
        "ListActionExecutions" => view::list_action_executions(world, call),
        "ListActionTypes" => action_type::list(world, call),
        "ListPipelineExecutions" => view::list_pipeline_executions(world, call),
        "ListPipelines" => pipeline::list(world, call),
        "ListTagsForResource" => tags::list(world, call),
        "PollForJobs" => job::poll(world, call),
        "PutApprovalResult" => approval::put(world, call),
        "PutJobFailureResult" => result::failure(world, call),
        "PutJobSuccessResult" => result::success(world, call),
        "RetryStageExecution" => control::retry(world, call),
        "RollbackStage" => control::rollback(world, call),
        "StartPipelineExecution" => control::start(world, call),
        "StopPipelineExecution" => control::stop(world, call),
        "TagResource" => tags::tag(world, call),
        "UntagResource" => tags::untag(world, call),
        "UpdatePipeline" => pipeline::update(world, call),
        other => Err(ApiError::new("UnknownOperationException", other)),
    }
}

/// Applies a due event.
pub fn on_event(world: &mut World, at: Time, event: Event) {
    match event {
        Event::Source { execution, run } => action::fetch_source(world, at, &execution, &run),
        Event::Timeout { execution, run } => action::time_out(world, at, &execution, &run),
    }
}

fn validation(message: impl Into<String>) -> ApiError {
    ApiError::new("ValidationException", message)
}

fn bad_token() -> ApiError {
    ApiError::new("InvalidNextTokenException", "The next token was specified in an invalid format")
}

#[cfg(test)]
mod tests;
