//! CodePipeline: pipelines that run in virtual time, and the queue of custom-action jobs.
//!
//! Rules come from the API reference (service model 2015-07-09) and the user guide. Where neither says what
//! happens (unacknowledged jobs, acknowledged jobs whose worker died), [`Options`] holds each possibility.

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

/// Operations this service offers.
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

/// What AWS does not document, and what a scenario may want otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// From a success result with a continuation token until the next job is offered.
    pub continuation_delay: Duration,
    /// From an offer nobody acknowledged until the job is offered again, with a new nonce; `None` is never.
    pub visibility: Option<Duration>,
    /// From an acknowledgement until a job without a result is offered again; `None` is never.
    pub redeliver_acknowledged_after: Option<Duration>,
    /// Whether the nonce that claimed a job is accepted once more while the job is in progress.
    pub repeat_acknowledgement: bool,
    /// Lifetime of a job's artifact credentials.
    pub credentials_lifetime: Duration,
    /// Longest a custom action may take, over all its jobs.
    pub action_timeout: Duration,
    /// From the start of a source action until it has fetched its revision.
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

/// Where a named thing lives.
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
    /// Deleted types: their version may never be used again.
    deleted_types: BTreeSet<(String, String, ActionTypeId)>,
    pipelines: BTreeMap<Home, Pipeline>,
    executions: BTreeMap<String, Execution>,
    jobs: BTreeMap<String, Job>,
    /// Executions and jobs in the order they came to be.
    sequence: u64,
}

impl State {
    fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }
}

/// What happens later.
#[derive(Clone, Debug)]
pub enum Event {
    /// A source action has fetched its revision.
    Source { execution: String, run: String },
    /// A custom action or an approval has taken too long.
    Timeout { execution: String, run: String },
}

/// An execution by its id, for reports on a rehearsal.
#[must_use]
pub fn execution<'w>(world: &'w World, id: &str) -> Option<&'w Execution> {
    world.codepipeline.executions.get(id)
}

/// Pipeline and id of every execution under way.
pub(in super::super) fn under_way(world: &World) -> Vec<(String, String)> {
    let executions = world.codepipeline.executions.values();
    executions.filter(|e| e.status.is_running()).map(|e| (e.pipeline.name.clone(), e.id.clone())).collect()
}

/// Pipeline and id of the execution begun last.
pub(in super::super) fn newest(world: &World) -> Option<(String, String)> {
    let newest = world.codepipeline.executions.values().max_by_key(|e| (e.started, e.sequence))?;
    Some((newest.pipeline.name.clone(), newest.id.clone()))
}

/// Account and Region of the pipelines: of a rehearsal, there is one.
pub(in super::super) fn home(world: &World) -> Option<(String, String)> {
    let home = world.codepipeline.pipelines.keys().next()?;
    Some((home.account.clone(), home.region.clone()))
}

/// Answers one call.
///
/// # Errors
/// The service's own refusal.
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

/// Applies one event.
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
