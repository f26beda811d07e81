//! Workflow executions: the steps of a build's phases.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::ids::Ids;
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::page::page;
use super::image::Image;
use super::phase::Phase;
use super::{date, not_found};

/// The maximum page size of both lists.
const PAGE: usize = 25;

/// The steps of a phase's workflow: name, action, share of the phase in percent.
type Steps = &'static [(&'static str, &'static str, u32)];

const BUILD: Steps = &[
    ("LaunchBuildInstance", "LaunchInstance", 15),
    ("ApplyBuildComponents", "ExecuteComponents", 60),
    ("InventoryCollection", "CollectImageMetadata", 3),
    ("RunSanitizeScript", "SanitizeInstance", 2),
    ("CreateOutputAMI", "CreateImage", 15),
    ("TerminateBuildInstance", "TerminateInstance", 5),
];
const BUILD_CONTAINER: Steps = &[
    ("LaunchBuildInstance", "LaunchInstance", 15),
    ("BuildContainer", "ExecuteComponents", 75),
    ("TerminateBuildInstance", "TerminateInstance", 10),
];
const TEST: Steps = &[
    ("LaunchTestInstance", "LaunchInstance", 25),
    ("ApplyTestComponents", "ExecuteComponents", 60),
    ("TerminateTestInstance", "TerminateInstance", 15),
];
const DISTRIBUTION: Steps = &[("DistributeAMI", "DistributeImage", 100)];
const DISTRIBUTE_CONTAINER: Steps = &[("DistributeContainer", "DistributeImage", 100)];

/// The status of a workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Status {
    Running,
    Completed(Time),
    Failed(Time, String),
    Cancelled(Time),
}

/// A workflow execution of a build.
#[derive(Clone, Debug)]
pub(super) struct Workflow {
    pub id: String,
    pub arn: String,
    kind: &'static str,
    started: Time,
    status: Status,
    steps: Vec<Step>,
    retried: bool,
}

#[derive(Clone, Debug)]
struct Step {
    id: String,
    name: &'static str,
    action: &'static str,
    /// The planned start; `ends` is the planned end.
    begins: Time,
    ends: Time,
}

impl Workflow {
    /// The workflow of a phase that begins at `at`; `None` for phases without one.
    pub(super) fn begin(
        ids: &mut Ids,
        image: &Image,
        phase: Phase,
        at: Time,
        takes: Duration,
    ) -> Option<Self> {
        let (kind, path, steps) = match (phase, image.is_container) {
            (Phase::Building, false) => ("BUILD", "build/build-image", BUILD),
            (Phase::Building, true) => ("BUILD", "build/build-container", BUILD_CONTAINER),
            (Phase::Testing, false) => ("TEST", "test/test-image", TEST),
            (Phase::Testing, true) => ("TEST", "test/test-container", TEST),
            (Phase::Distributing, false) => ("DISTRIBUTION", "distribution/distribute-image", DISTRIBUTION),
            (Phase::Distributing, true) => {
                ("DISTRIBUTION", "distribution/distribute-container", DISTRIBUTE_CONTAINER)
            }
            _ => return None,
        };
        let region = &image.region;
        let mut begins = at;
        let steps = steps
            .iter()
            .map(|&(name, action, share)| {
                let step = Step {
                    id: format!("step-{}", ids.uuid()),
                    name,
                    action,
                    begins,
                    ends: begins + takes * share / 100,
                };
                begins = step.ends;
                step
            })
            .collect();
        Some(Self {
            id: format!("wf-{}", ids.uuid()),
            arn: format!(
                "arn:{}:imagebuilder:{region}:aws:workflow/{path}/1.0.0/1",
                crate::partition::id(region)
            ),
            kind,
            started: at,
            status: Status::Running,
            steps,
            retried: false,
        })
    }

    /// Id and name of the step in progress at `at`.
    pub(super) fn step_at(&self, at: Time) -> Option<(String, &'static str)> {
        let step = self.steps.iter().find(|step| step.ends > at).or(self.steps.last())?;
        Some((step.id.clone(), step.name))
    }

    pub(super) fn is_running(&self) -> bool {
        self.status == Status::Running
    }

    pub(super) fn complete(&mut self, at: Time) {
        self.status = Status::Completed(at);
    }

    pub(super) fn fail(&mut self, at: Time, message: &str) {
        // `WorkflowStepMessage` has at most 500 characters.
        self.status = Status::Failed(at, message.chars().take(500).collect());
    }

    pub(super) fn cancel(&mut self, at: Time) {
        self.status = Status::Cancelled(at);
    }

    pub(super) fn mark_retried(&mut self) {
        self.retried = !matches!(self.status, Status::Completed(_));
    }

    fn step_status(&self, step: &Step, now: Time) -> &'static str {
        let (until, cut) = match &self.status {
            Status::Completed(_) => return "COMPLETED",
            Status::Running => (now, "RUNNING"),
            Status::Failed(at, _) => (*at, "FAILED"),
            Status::Cancelled(at) => (*at, "CANCELLED"),
        };
        match (step.ends <= until, step.begins <= until) {
            (true, _) => "COMPLETED",
            (false, true) => cut,
            (false, false) if self.is_running() => "PENDING",
            (false, false) => "SKIPPED",
        }
    }

    fn view(&self, now: Time) -> Value {
        let count = |wanted: &str| self.steps.iter().filter(|s| self.step_status(s, now) == wanted).count();
        let (status, ended, message) = match &self.status {
            Status::Running => ("RUNNING", None, None),
            Status::Completed(at) => ("COMPLETED", Some(at), None),
            Status::Failed(at, message) => ("FAILED", Some(at), Some(message)),
            Status::Cancelled(at) => ("CANCELLED", Some(at), None),
        };
        let mut view = json!({
            "workflowBuildVersionArn": self.arn,
            "workflowExecutionId": self.id,
            "type": self.kind,
            "status": status,
            "totalStepCount": self.steps.len(),
            "totalStepsSucceeded": count("COMPLETED"),
            "totalStepsFailed": count("FAILED"),
            "totalStepsSkipped": count("SKIPPED"),
            "startTime": date(self.started),
        });
        if let Some(at) = ended {
            view["endTime"] = date(*at).into();
        }
        if let Some(message) = message {
            view["message"] = message.as_str().into();
        }
        view
    }

    fn step_view(&self, step: &Step, now: Time) -> Value {
        let status = self.step_status(step, now);
        let mut view = json!({
            "stepExecutionId": step.id,
            "name": step.name,
            "action": step.action,
            "status": status,
        });
        let ended = match (&self.status, status) {
            (_, "PENDING" | "SKIPPED") => return view,
            (_, "RUNNING") => None,
            (Status::Failed(at, message), "FAILED") => {
                view["message"] = message.as_str().into();
                Some(*at)
            }
            (Status::Cancelled(at), "CANCELLED") => Some(*at),
            _ => Some(step.ends),
        };
        view["startTime"] = date(step.begins).into();
        if let Some(at) = ended {
            view["endTime"] = date(at).into();
        }
        view
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Input {
    #[serde(default)]
    image_build_version_arn: String,
    #[serde(default)]
    workflow_execution_id: String,
    max_results: Option<usize>,
    next_token: Option<String>,
}

fn bad_token() -> ApiError {
    ApiError::new("InvalidPaginationTokenException", "The pagination token is not valid")
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let arn = input.image_build_version_arn;
    let image = world.imagebuilder.images.get(&arn).ok_or_else(|| not_found(&arn))?;
    let all: Vec<Value> = image
        .workflows
        .iter()
        .map(|workflow| {
            let mut view = workflow.view(call.now);
            view["retried"] = workflow.retried.into();
            view
        })
        .collect();
    let size = input.max_results.unwrap_or(PAGE);
    let (page, next) = page(all, input.next_token.as_deref(), size).ok_or_else(bad_token)?;
    let mut answer = json!({ "workflowExecutions": page, "imageBuildVersionArn": arn });
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    Ok(answer)
}

fn find<'w>(world: &'w World, id: &str) -> Result<(&'w Image, &'w Workflow), ApiError> {
    world
        .imagebuilder
        .images
        .values()
        .flat_map(|image| image.workflows.iter().map(move |workflow| (image, workflow)))
        .find(|(_, workflow)| workflow.id == id)
        .ok_or_else(|| not_found(id))
}

pub(super) fn get(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let (image, workflow) = find(world, &input.workflow_execution_id)?;
    let mut answer = workflow.view(call.now);
    answer["imageBuildVersionArn"] = image.arn.as_str().into();
    Ok(answer)
}

pub(super) fn list_steps(world: &World, call: &Call) -> Answer {
    let input: Input = call.parse()?;
    let (image, workflow) = find(world, &input.workflow_execution_id)?;
    let all: Vec<Value> = workflow.steps.iter().map(|step| workflow.step_view(step, call.now)).collect();
    let size = input.max_results.unwrap_or(PAGE);
    let (page, next) = page(all, input.next_token.as_deref(), size).ok_or_else(bad_token)?;
    let mut answer = json!({
        "steps": page,
        "workflowBuildVersionArn": workflow.arn,
        "workflowExecutionId": workflow.id,
        "imageBuildVersionArn": image.arn,
    });
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    Ok(answer)
}
