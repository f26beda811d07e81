//! Starts, stops, retries and rolls back executions, by API call or by a stage's declaration.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::sts;
use super::declaration::{Declaration, Mode};
use super::execution::{ActionStatus, Execution, ExecutionStatus, Trigger};
use super::variables::Variables;
use super::{Home, action, flow, pipeline, validation};

/// The limit of concurrent executions in modes QUEUED and PARALLEL (user guide, "Quotas").
const CONCURRENT_LIMIT: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    name: String,
    variables: Option<Vec<Variable>>,
    client_request_token: Option<String>,
    source_revisions: Option<Vec<SourceRevision>>,
}

#[derive(Deserialize)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SourceRevision {
    action_name: String,
    revision_type: String,
    revision_value: String,
}

pub(super) fn start(world: &mut World, call: &Call) -> Answer {
    let input: Start = call.parse()?;
    let home = Home::of(call, &input.name);
    let declaration = pipeline::declaration(world, &home)?;
    if let Some(token) = &input.client_request_token
        && let Some(earlier) = world
            .codepipeline
            .executions
            .values()
            .find(|e| e.pipeline == home && e.client_token.as_ref() == Some(token))
    {
        return Ok(json!({ "pipelineExecutionId": earlier.id }));
    }
    check_room(world, &home, &declaration)?;
    let values = pipeline_variables(&declaration, input.variables.unwrap_or_default())?;
    let mut source_keys = BTreeMap::new();
    for revision in input.source_revisions.unwrap_or_default() {
        if revision.revision_type != "S3_OBJECT_KEY" {
            return Err(validation(format!(
                "Revision type {} is not valid for source action {}",
                revision.revision_type, revision.action_name
            )));
        }
        source_keys.insert(revision.action_name, revision.revision_value);
    }
    let detail = sts::principal(world, &call.access_key).map(|p| p.arn).unwrap_or_default();
    let mut execution =
        new_execution(world, call.now, home, declaration, Trigger { kind: "StartPipelineExecution", detail });
    execution.client_token = input.client_request_token;
    execution.variables.insert("variables".to_owned(), values);
    execution.source_keys = source_keys;
    Ok(json!({ "pipelineExecutionId": begin(world, call.now, execution, 0) }))
}

fn check_room(world: &World, home: &Home, declaration: &Declaration) -> Result<(), ApiError> {
    let running = world
        .codepipeline
        .executions
        .values()
        .filter(|e| e.pipeline == *home && e.status.is_running())
        .count();
    if declaration.execution_mode != Mode::Superseded && running >= CONCURRENT_LIMIT {
        return Err(ApiError::new(
            "ConcurrentPipelineExecutionsLimitExceededException",
            format!("Pipeline {} has {running} executions in progress", home.name),
        ));
    }
    Ok(())
}

fn pipeline_variables(
    declaration: &Declaration,
    given: Vec<Variable>,
) -> Result<BTreeMap<String, String>, ApiError> {
    let mut values: BTreeMap<String, String> = declaration
        .variables
        .iter()
        .filter_map(|v| Some((v.name.clone(), v.default_value.clone()?)))
        .collect();
    for variable in given {
        if !declaration.variables.iter().any(|declared| declared.name == variable.name) {
            return Err(validation(format!("Variable {} is not declared in the pipeline", variable.name)));
        }
        values.insert(variable.name, variable.value);
    }
    if let Some(missing) = declaration.variables.iter().find(|v| !values.contains_key(&v.name)) {
        return Err(validation(format!("Variable {} has no default and was not given", missing.name)));
    }
    Ok(values)
}

fn new_execution(
    world: &mut World,
    at: Time,
    home: Home,
    declaration: Declaration,
    trigger: Trigger,
) -> Execution {
    let id = world.ids.uuid();
    let own: BTreeMap<String, String> = [("PipelineExecutionId".to_owned(), id.clone())].into();
    Execution {
        id,
        pipeline: home,
        status: ExecutionStatus::InProgress,
        started: at,
        updated: at,
        runs: Vec::new(),
        artifacts: BTreeMap::new(),
        declaration,
        sequence: world.codepipeline.next_sequence(),
        trigger,
        client_token: None,
        variables: Variables::from([("codepipeline".to_owned(), own)]),
        stage: 0,
        entered: false,
        current: BTreeMap::new(),
        retries: BTreeMap::new(),
        automatic_retries: BTreeMap::new(),
        stop_reason: None,
        rollback_of: None,
        source_keys: BTreeMap::new(),
        status_summary: None,
    }
}

fn begin(world: &mut World, at: Time, execution: Execution, stage: usize) -> String {
    let id = execution.id.clone();
    world.codepipeline.executions.insert(id.clone(), execution);
    flow::arrive(world, at, &id, stage);
    flow::settle(world, at, &id);
    id
}

/// An execution of the pipeline; both must exist.
pub(super) fn find<'w>(world: &'w World, home: &Home, id: &str) -> Result<&'w Execution, ApiError> {
    pipeline::find(world, home)?;
    world.codepipeline.executions.get(id).filter(|execution| execution.pipeline == *home).ok_or_else(|| {
        ApiError::new(
            "PipelineExecutionNotFoundException",
            format!("Pipeline {} has no execution {id}", home.name),
        )
    })
}

pub(super) fn stop(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        pipeline_name: String,
        pipeline_execution_id: String,
        abandon: Option<bool>,
        reason: Option<String>,
    }
    let input: Input = call.parse()?;
    let home = Home::of(call, &input.pipeline_name);
    pipeline::find(world, &home)?;
    let id = input.pipeline_execution_id;
    let abandon = input.abandon.unwrap_or(false);
    // StopPipelineExecution models no PipelineExecutionNotFoundException.
    let status = find(world, &home, &id).map_err(|e| validation(e.message))?.status;
    match status {
        ExecutionStatus::InProgress => {}
        // A second request is valid only if it changes a waiting stop to an abandoning one.
        ExecutionStatus::Stopping if abandon => {}
        ExecutionStatus::Stopping => {
            return Err(ApiError::new(
                "DuplicatedStopRequestException",
                format!("Execution {id} is already being stopped"),
            ));
        }
        other => {
            return Err(ApiError::new(
                "PipelineExecutionNotStoppableException",
                format!("Execution {id} is {} and cannot be stopped", other.name()),
            ));
        }
    }
    if let Some(execution) = world.codepipeline.executions.get_mut(&id) {
        execution.status = ExecutionStatus::Stopping;
        execution.stop_reason = input.reason;
        execution.updated = call.now;
    }
    if abandon {
        action::abandon(world, call.now, &id);
    } else {
        flow::settle(world, call.now, &id);
    }
    Ok(json!({ "pipelineExecutionId": id }))
}

pub(super) fn retry(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        pipeline_name: String,
        stage_name: String,
        pipeline_execution_id: String,
        retry_mode: String,
    }
    let input: Input = call.parse()?;
    let home = Home::of(call, &input.pipeline_name);
    let declaration = pipeline::declaration(world, &home)?;
    let Some(stage) = declaration.stage_index(&input.stage_name) else {
        return Err(ApiError::new("StageNotFoundException", format!("Stage {} not found", input.stage_name)));
    };
    let id = input.pipeline_execution_id;
    let not_retryable = |why: &str| {
        ApiError::new(
            "StageNotRetryableException",
            format!("Stage {} of execution {id} cannot be retried: {why}", input.stage_name),
        )
    };
    let execution = find(world, &home, &id).map_err(|e| not_retryable(&e.message))?;
    if execution.declaration.version != declaration.version {
        return Err(not_retryable("the pipeline has been changed since"));
    }
    let ended = matches!(execution.status, ExecutionStatus::Failed | ExecutionStatus::Stopped);
    if !ended || execution.stage != stage || !execution.entered {
        return Err(not_retryable("it has not failed there"));
    }
    let all = input.retry_mode == "ALL_ACTIONS";
    let busy = execution.runs.iter().any(|run| run.status == ActionStatus::InProgress);
    if all && busy {
        return Err(not_retryable("an action is in progress"));
    }
    let newer = world.codepipeline.executions.values().any(|other| {
        other.pipeline == home
            && other.sequence > execution.sequence
            && (other.stage > stage || other.stage == stage && other.entered)
    });
    if newer && declaration.execution_mode != Mode::Parallel {
        return Err(ApiError::new(
            "NotLatestPipelineExecutionException",
            format!("Execution {id} is not the latest in stage {}", input.stage_name),
        ));
    }
    if flow::is_locked(&world.codepipeline, execution) {
        return Err(ApiError::new("ConflictException", "Another execution is in progress in the stage"));
    }
    if let Some(execution) = world.codepipeline.executions.get_mut(&id) {
        *execution.retries.entry(stage).or_default() += 1;
        reopen(execution, call.now, all);
    }
    flow::settle(world, call.now, &id);
    Ok(json!({ "pipelineExecutionId": id }))
}

/// Removes the current runs that must be retried; `settle` starts them under new ids.
fn reopen(execution: &mut Execution, at: Time, all: bool) {
    let kept: BTreeMap<String, String> = execution
        .current
        .iter()
        .filter(|(_, run)| {
            !all && execution
                .run(run)
                .is_some_and(|r| matches!(r.status, ActionStatus::Succeeded | ActionStatus::InProgress))
        })
        .map(|(action, run)| (action.clone(), run.clone()))
        .collect();
    execution.current = kept;
    execution.status = ExecutionStatus::InProgress;
    execution.stop_reason = None;
    execution.updated = at;
}

pub(super) fn rollback(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        pipeline_name: String,
        stage_name: String,
        target_pipeline_execution_id: String,
    }
    let input: Input = call.parse()?;
    let home = Home::of(call, &input.pipeline_name);
    let declaration = pipeline::declaration(world, &home)?;
    let Some(stage) = declaration.stage_index(&input.stage_name) else {
        return Err(ApiError::new("StageNotFoundException", format!("Stage {} not found", input.stage_name)));
    };
    let unable =
        |why: &str| ApiError::new("UnableToRollbackStageException", format!("{}: {why}", input.stage_name));
    if declaration.pipeline_type != "V2" {
        return Err(validation("Rollback needs a pipeline of type V2"));
    }
    if stage == 0 {
        return Err(unable("a source stage cannot be rolled back"));
    }
    let target = find(world, &home, &input.target_pipeline_execution_id)?;
    if target.declaration.version != declaration.version {
        return Err(ApiError::new(
            "PipelineExecutionOutdatedException",
            format!("Execution {} ran another version of the pipeline", target.id),
        ));
    }
    if target.rollback_of.is_some() {
        return Err(unable("the target is itself a rollback"));
    }
    if !target.succeeded_in(stage) {
        return Err(unable("the target did not succeed in the stage"));
    }
    let target = target.id.clone();
    let detail = sts::principal(world, &call.access_key).map(|p| p.arn).unwrap_or_default();
    let id =
        begin_rollback(world, call.now, &home, stage, &target, Trigger { kind: "ManualRollback", detail });
    match id {
        Some(id) => Ok(json!({ "pipelineExecutionId": id })),
        None => Err(unable("the target execution no longer exists")),
    }
}

/// Starts a rollback: a new execution that runs one stage with the artifacts and variables of `target`.
fn begin_rollback(
    world: &mut World,
    at: Time,
    home: &Home,
    stage: usize,
    target: &str,
    trigger: Trigger,
) -> Option<String> {
    let target = world.codepipeline.executions.get(target)?.clone();
    let mut execution = new_execution(world, at, home.clone(), target.declaration, trigger);
    execution.artifacts = target.artifacts;
    for (namespace, values) in target.variables {
        execution.variables.entry(namespace).or_insert(values);
    }
    execution.rollback_of = Some(target.id);
    Some(begin(world, at, execution, stage))
}

/// Applies a failed stage's declared `onFailure`: one retry, or a rollback to the last execution that succeeded
/// there.
pub(super) fn after_failure(world: &mut World, at: Time, id: &str) {
    let Some(execution) = world.codepipeline.executions.get_mut(id) else { return };
    let stage = execution.stage;
    let Some(on_failure) = execution.declaration.stages.get(stage).and_then(|s| s.on_failure.clone()) else {
        return;
    };
    match on_failure.result.as_deref() {
        Some("RETRY") => {
            let retries = execution.automatic_retries.entry(stage).or_default();
            if *retries > 0 {
                return;
            }
            *retries += 1;
            let mode = on_failure.retry_configuration.and_then(|c| c.retry_mode);
            reopen(execution, at, mode.as_deref() == Some("ALL_ACTIONS"));
            flow::settle(world, at, id);
        }
        Some("ROLLBACK") if execution.rollback_of.is_none() => {
            let (home, version) = (execution.pipeline.clone(), execution.declaration.version);
            let target = world
                .codepipeline
                .executions
                .values()
                .filter(|e| {
                    e.pipeline == home
                        && e.id != id
                        && e.declaration.version == version
                        && e.rollback_of.is_none()
                        && e.succeeded_in(stage)
                })
                .max_by_key(|e| e.sequence)
                .map(|e| e.id.clone());
            if let Some(target) = target {
                let trigger = Trigger { kind: "AutomatedRollback", detail: id.to_owned() };
                begin_rollback(world, at, &home, stage, &target, trigger);
            }
        }
        _ => {}
    }
}
