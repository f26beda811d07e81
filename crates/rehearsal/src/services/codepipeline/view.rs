//! API views of executions.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::world::World;
use super::super::page::page;
use super::artifact::Artifact;
use super::declaration::{HIDDEN, Mode};
use super::execution::{ActionRun, ActionStatus, Execution, ExecutionStatus};
use super::{Home, action_type, bad_token, control, pipeline};

/// Adds a member to `object` if there is a value.
fn put(object: &mut Value, member: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object[member] = value.into();
    }
}

fn execution_type(execution: &Execution) -> &'static str {
    if execution.rollback_of.is_some() { "ROLLBACK" } else { "STANDARD" }
}

/// The members that `GetPipelineExecution` and `ListPipelineExecutions` share.
fn summary(execution: &Execution) -> Value {
    let mut view = json!({
        "pipelineExecutionId": execution.id,
        "status": execution.status.name(),
        "trigger": { "triggerType": execution.trigger.kind, "triggerDetail": execution.trigger.detail },
        "executionMode": execution.declaration.execution_mode,
        "executionType": execution_type(execution),
    });
    put(&mut view, "statusSummary", execution.status_summary.clone());
    if let Some(target) = &execution.rollback_of {
        view["rollbackMetadata"] = json!({ "rollbackTargetPipelineExecutionId": target });
    }
    view
}

pub(super) fn get_pipeline_execution(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        pipeline_name: String,
        pipeline_execution_id: String,
    }
    let input: Input = call.parse()?;
    let home = Home::of(call, &input.pipeline_name);
    let execution = control::find(world, &home, &input.pipeline_execution_id)?;
    let mut view = summary(execution);
    view["pipelineName"] = home.name.into();
    view["pipelineVersion"] = execution.declaration.version.into();
    view["artifactRevisions"] = execution
        .artifacts
        .values()
        .filter_map(|a| Some(json!({ "name": a.name, "revisionId": a.revision.as_ref()? })))
        .collect();
    view["variables"] = execution
        .variables
        .get("variables")
        .into_iter()
        .flatten()
        .map(|(name, value)| json!({ "name": name, "resolvedValue": value }))
        .collect();
    Ok(json!({ "pipelineExecution": view }))
}

pub(super) fn list_pipeline_executions(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        pipeline_name: String,
        max_results: Option<usize>,
        filter: Option<Filter>,
        next_token: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Filter {
        succeeded_in_stage: Option<InStage>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct InStage {
        stage_name: Option<String>,
    }
    let input: Input = call.parse()?;
    let home = Home::of(call, &input.pipeline_name);
    pipeline::find(world, &home)?;
    let wanted = input.filter.and_then(|f| f.succeeded_in_stage).and_then(|s| s.stage_name);
    let mut found: Vec<&Execution> = world
        .codepipeline
        .executions
        .values()
        .filter(|e| e.pipeline == home)
        .filter(|e| {
            wanted
                .as_ref()
                .is_none_or(|name| e.declaration.stage_index(name).is_some_and(|index| e.succeeded_in(index)))
        })
        .collect();
    found.sort_by_key(|e| std::cmp::Reverse(e.sequence));
    let summaries: Vec<Value> = found
        .into_iter()
        .map(|execution| {
            let mut view = summary(execution);
            view["startTime"] = execution.started.epoch_seconds().into();
            view["lastUpdateTime"] = execution.updated.epoch_seconds().into();
            view["sourceRevisions"] = execution
                .runs
                .iter()
                .filter(|run| run.type_id.category == "Source")
                .filter_map(|run| {
                    Some(json!({ "actionName": run.action, "revisionId": run.external_id.as_ref()? }))
                })
                .collect();
            if let Some(reason) = &execution.stop_reason {
                view["stopTrigger"] = json!({ "reason": reason });
            }
            view
        })
        .collect();
    let size = input.max_results.unwrap_or(100);
    let (page, next) = page(summaries, input.next_token.as_deref(), size).ok_or_else(bad_token)?;
    let mut answer = json!({ "pipelineExecutionSummaries": page });
    put(&mut answer, "nextToken", next);
    Ok(answer)
}

pub(super) fn list_action_executions(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        pipeline_name: String,
        filter: Option<Filter>,
        max_results: Option<usize>,
        next_token: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Filter {
        pipeline_execution_id: Option<String>,
        latest_in_pipeline_execution: Option<Latest>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Latest {
        pipeline_execution_id: String,
    }
    let input: Input = call.parse()?;
    let home = Home::of(call, &input.pipeline_name);
    pipeline::find(world, &home)?;
    let wanted = input.filter.and_then(|f| {
        f.pipeline_execution_id.or(f.latest_in_pipeline_execution.map(|l| l.pipeline_execution_id))
    });
    if let Some(id) = &wanted {
        control::find(world, &home, id)?;
    }
    let mut executions: Vec<&Execution> = world
        .codepipeline
        .executions
        .values()
        .filter(|e| e.pipeline == home && wanted.as_ref().is_none_or(|id| *id == e.id))
        .collect();
    executions.sort_by_key(|e| std::cmp::Reverse(e.sequence));
    let details: Vec<Value> = executions
        .into_iter()
        .flat_map(|execution| {
            execution.runs.iter().rev().map(move |run| action_detail(world, execution, run))
        })
        .collect();
    let size = input.max_results.unwrap_or(100);
    let (page, next) = page(details, input.next_token.as_deref(), size).ok_or_else(bad_token)?;
    let mut answer = json!({ "actionExecutionDetails": page });
    put(&mut answer, "nextToken", next);
    Ok(answer)
}

fn action_detail(world: &World, execution: &Execution, run: &ActionRun) -> Value {
    let home = &execution.pipeline;
    let action_type = action_type::find(world, &home.account, &home.region, &run.type_id);
    let hide = |(key, value): (&String, &String)| {
        let secret = action_type.as_ref().is_none_or(|t| t.is_secret(key));
        (key.clone(), Value::from(if secret { HIDDEN } else { value.as_str() }))
    };
    let done = run.status == ActionStatus::Succeeded;
    let outputs: Vec<Value> = run.outputs.iter().filter(|_| done).map(Artifact::in_history).collect();
    let mut result = json!({});
    put(&mut result, "externalExecutionId", run.external_id.clone());
    put(&mut result, "externalExecutionSummary", run.summary.clone());
    put(&mut result, "externalExecutionUrl", run.external_url.clone());
    put(&mut result, "errorDetails", error_details(run));
    let mut input = json!({
        "actionTypeId": run.type_id,
        "configuration": run.configuration.iter().map(hide).collect::<serde_json::Map<_, _>>(),
        "resolvedConfiguration": run.resolved.iter().map(hide).collect::<serde_json::Map<_, _>>(),
        "region": home.region,
        "inputArtifacts": run.inputs.iter().map(Artifact::in_history).collect::<Vec<_>>(),
    });
    put(&mut input, "namespace", run.namespace.clone());
    put(&mut input, "roleArn", run.role_arn.clone());
    let mut view = json!({
        "pipelineExecutionId": execution.id,
        "actionExecutionId": run.id,
        "pipelineVersion": execution.declaration.version,
        "stageName": run.stage,
        "actionName": run.action,
        "startTime": run.started.epoch_seconds(),
        "lastUpdateTime": run.updated.epoch_seconds(),
        "status": run.status.name(),
        "input": input,
        "output": {
            "outputArtifacts": outputs,
            "executionResult": result,
            "outputVariables": run.output_variables,
        },
    });
    put(&mut view, "updatedBy", run.updated_by.clone());
    view
}

fn error_details(run: &ActionRun) -> Option<Value> {
    run.failure.as_ref().map(|failure| json!({ "code": failure.code, "message": failure.message }))
}

pub(super) fn get_pipeline_state(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    struct Input {
        name: String,
    }
    let input: Input = call.parse()?;
    let home = Home::of(call, &input.name);
    let found = pipeline::find(world, &home)?;
    let declaration = pipeline::declaration(world, &home)?;
    let mut executions: Vec<&Execution> =
        world.codepipeline.executions.values().filter(|e| e.pipeline == home).collect();
    executions.sort_by_key(|e| std::cmp::Reverse(e.sequence));
    let stages: Vec<Value> = declaration
        .stages
        .iter()
        .enumerate()
        .map(|(index, stage)| {
            let actions: Vec<Value> = stage
                .actions
                .iter()
                .map(|action| action_state(&executions, &stage.name, &action.name))
                .collect();
            let mut view = json!({
                "stageName": stage.name,
                "inboundTransitionState": { "enabled": true },
                "actionStates": actions,
            });
            stage_executions(&mut view, &executions, index, &stage.name);
            view
        })
        .collect();
    Ok(json!({
        "pipelineName": home.name,
        "pipelineVersion": declaration.version,
        "stageStates": stages,
        "created": found.created().epoch_seconds(),
        "updated": found.updated().epoch_seconds(),
    }))
}

fn stage_executions(view: &mut Value, executions: &[&Execution], index: usize, name: &str) {
    let shown = |execution: &Execution, status: &str| {
        json!({
            "pipelineExecutionId": execution.id,
            "status": status,
            "type": execution_type(execution),
        })
    };
    let waiting: Vec<&&Execution> = executions
        .iter()
        .filter(|e| e.stage == index && !e.entered && e.status == ExecutionStatus::InProgress)
        .collect();
    if let Some(first) = waiting.last() {
        view["inboundExecution"] = shown(first, "InProgress");
        if first.declaration.execution_mode == Mode::Queued {
            view["inboundExecutions"] = waiting.iter().rev().map(|e| shown(e, "InProgress")).collect();
        }
    }
    // The latest execution of a stage is the one whose newest run started last, so a retry can make an older one the
    // latest.
    let latest = executions
        .iter()
        .filter_map(|e| e.runs.iter().rev().find(|run| run.stage == name).map(|run| (run.started, *e)))
        .max_by_key(|(started, e)| (*started, e.sequence));
    let Some((_, execution)) = latest else { return };
    let status = if execution.stage > index { "Succeeded" } else { execution.status.name() };
    view["latestExecution"] = shown(execution, status);
    let by_hand = execution.retries.get(&index);
    let automatic = execution.automatic_retries.get(&index);
    if by_hand.is_some() || automatic.is_some() {
        let mut retries = json!({
            "latestRetryTrigger": if by_hand.is_some() { "ManualStageRetry" } else { "AutomatedStageRetry" },
        });
        put(&mut retries, "manualStageRetryAttempt", by_hand.copied());
        put(&mut retries, "autoStageRetryAttempt", automatic.copied());
        view["retryStageMetadata"] = retries;
    }
}

fn action_state(executions: &[&Execution], stage: &str, action: &str) -> Value {
    let mut view = json!({ "actionName": action });
    let latest = executions
        .iter()
        .flat_map(|e| {
            e.runs
                .iter()
                .filter(|run| run.stage == stage && run.action == action)
                .map(|run| (run, e.sequence))
        })
        .max_by_key(|(run, sequence)| (run.started, *sequence));
    let Some((run, _)) = latest else { return view };
    let mut execution = json!({
        "actionExecutionId": run.id,
        "status": run.status.name(),
        "lastStatusChange": run.updated.epoch_seconds(),
    });
    put(&mut execution, "summary", run.summary.clone());
    put(&mut execution, "externalExecutionId", run.external_id.clone());
    put(&mut execution, "externalExecutionUrl", run.external_url.clone());
    put(&mut execution, "percentComplete", run.percent);
    put(&mut execution, "lastUpdatedBy", run.updated_by.clone());
    put(&mut execution, "errorDetails", error_details(run));
    if run.status == ActionStatus::InProgress {
        put(&mut execution, "token", run.approval_token.clone());
    }
    view["latestExecution"] = execution;
    if let Some(revision) = run.outputs.iter().find_map(|output| output.revision.clone()) {
        let change: String = revision.chars().take(100).collect();
        view["currentRevision"] = json!({
            "revisionId": revision,
            "revisionChangeId": change,
            "created": run.started.epoch_seconds(),
        });
    }
    view
}
