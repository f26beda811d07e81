//! The life cycle of an action: started, then completed by a job, an approver, or by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::super::super::time::Time;
use super::super::super::world::{self, World};
use super::super::s3::{self, Encryption};
use super::artifact::Artifact;
use super::execution::{ActionRun, ActionStatus, Execution, Failure};
use super::variables;
use super::{Event, approval, flow, job};

/// Starts an action of the execution's current stage.
pub(super) fn start(world: &mut World, at: Time, execution_id: &str, name: &str) {
    let run_id = world.ids.uuid();
    let Some(execution) = world.codepipeline.executions.get(execution_id) else { return };
    let Some(stage) = execution.declaration.stages.get(execution.stage) else { return };
    let Some(action) = stage.actions.iter().find(|a| a.name == name).cloned() else { return };
    let stage = stage.name.clone();
    let home = execution.pipeline.clone();
    let bucket =
        execution.declaration.store(&home.region).map(|store| store.location.clone()).unwrap_or_default();
    let outputs = action
        .output_artifacts
        .iter()
        .map(|output| Artifact::new(&mut world.ids, &home.name, &bucket, &output.name))
        .collect();

    let (inputs, resolved, problem) = prepare(execution, &action);
    let type_id = action.type_id.clone();
    let run = ActionRun {
        id: run_id.clone(),
        stage,
        action: action.name,
        type_id: type_id.clone(),
        status: ActionStatus::InProgress,
        started: at,
        updated: at,
        configuration: action.configuration,
        resolved,
        inputs,
        outputs,
        namespace: action.namespace,
        role_arn: action.role_arn,
        summary: None,
        external_id: None,
        external_url: None,
        percent: None,
        failure: None,
        output_variables: BTreeMap::new(),
        updated_by: None,
        approval_token: (type_id.category == "Approval").then(|| world.ids.uuid()),
    };
    let limit = match type_id.category.as_str() {
        // A week is the default of a manual approval.
        "Approval" => Duration::from_secs(60 * action.timeout_in_minutes.unwrap_or(7 * 24 * 60)),
        _ => world.codepipeline.options.action_timeout,
    };
    let Some(execution) = world.codepipeline.executions.get_mut(execution_id) else { return };
    execution.runs.push(run);
    execution.current.insert(name.to_owned(), run_id.clone());
    execution.updated = at;
    if let Some(failure) = problem {
        fail(world, at, execution_id, &run_id, failure);
        return;
    }
    let (execution, run) = (execution_id.to_owned(), run_id);
    if type_id.owner == "Custom" {
        job::queue(world, at, &execution, &run, None);
    } else if type_id.category == "Source" {
        let due = at + world.codepipeline.options.source_takes;
        world.schedule.add(due, world::Event::CodePipeline(Event::Source { execution, run }));
        return;
    }
    world.schedule.add(at + limit, world::Event::CodePipeline(Event::Timeout { execution, run }));
}

/// The inputs and resolved configuration of an action, or the reason why it cannot start.
fn prepare(
    execution: &Execution,
    action: &super::declaration::Action,
) -> (Vec<Artifact>, BTreeMap<String, String>, Option<Failure>) {
    let mut inputs = Vec::new();
    let mut resolved = BTreeMap::new();
    let mut problem = None;
    for input in &action.input_artifacts {
        match execution.artifacts.get(&input.name) {
            Some(artifact) => inputs.push(artifact.clone()),
            None => problem = Some(configuration_error(format!("Artifact {} was not found", input.name))),
        }
    }
    for (key, value) in &action.configuration {
        match variables::resolve(value, &execution.variables) {
            Ok(value) => {
                resolved.insert(key.clone(), value);
            }
            Err(reference) => {
                problem = Some(configuration_error(format!(
                    "{key}: the variable #{{{reference}}} could not be resolved"
                )));
            }
        }
    }
    (inputs, resolved, problem)
}

fn configuration_error(message: String) -> Failure {
    Failure { code: "ConfigurationError".to_owned(), message }
}

/// Completes an S3 source action: copies its object to the artifact's location.
pub(super) fn fetch_source(world: &mut World, at: Time, execution_id: &str, run_id: &str) {
    let Some(execution) = world.codepipeline.executions.get(execution_id) else { return };
    let Some(run) = execution.run(run_id) else { return };
    if run.status != ActionStatus::InProgress {
        return;
    }
    let configured = |key: &str| run.resolved.get(key).cloned().unwrap_or_default();
    let bucket = configured("S3Bucket");
    let key = execution.source_keys.get(&run.action).cloned().unwrap_or_else(|| configured("S3ObjectKey"));
    let places = run.outputs.clone();
    let encryption = Encryption::Kms { key_id: artifact_key(execution) };
    let failed = |message: String| Failure { code: "ConfigurationError".to_owned(), message };
    let Some(bytes) = s3::get(world, &bucket, &key).map(|object| object.body.clone()) else {
        let failure = failed(format!("The object with key '{key}' does not exist in bucket '{bucket}'"));
        fail(world, at, execution_id, run_id, failure);
        return;
    };
    // A hash of the object's content stands in for the S3 version id.
    let digest = Sha256::digest(&bytes);
    let revision = digest.iter().take(16).fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    for place in &places {
        let put = s3::put(world, &place.bucket, &place.key, bytes.clone(), encryption.clone());
        if let Err(refused) = put {
            fail(world, at, execution_id, run_id, failed(refused.message));
            return;
        }
    }
    if let Some(run) = world.codepipeline.executions.get_mut(execution_id).and_then(|e| e.run_mut(run_id)) {
        for output in &mut run.outputs {
            output.revision = Some(revision.clone());
        }
        run.external_id = Some(revision.clone());
        run.summary = Some(format!("Amazon S3 version id: {revision}"));
        run.output_variables =
            [("BucketName", bucket), ("ETag", revision.clone()), ("ObjectKey", key), ("VersionId", revision)]
                .map(|(name, value)| (name.to_owned(), value))
                .into();
    }
    succeed(world, at, execution_id, run_id);
}

/// The KMS key that encrypts artifacts; `None` for the AWS managed key.
fn artifact_key(execution: &Execution) -> Option<String> {
    let store = execution.declaration.store(&execution.pipeline.region)?;
    Some(store.encryption_key.as_ref()?.get("id")?.as_str()?.to_owned())
}

/// Fails an action that has no result or approval when its timeout expires.
pub(super) fn time_out(world: &mut World, at: Time, execution_id: &str, run_id: &str) {
    let Some(run) = world.codepipeline.executions.get(execution_id).and_then(|e| e.run(run_id)) else {
        return;
    };
    if run.status != ActionStatus::InProgress {
        return;
    }
    let message = if run.type_id.category == "Approval" {
        "The approval was not given in time"
    } else {
        "The action failed because its job was not completed in time"
    };
    let failure = Failure { code: "TimedOut".to_owned(), message: message.to_owned() };
    job::end_all(world, run_id, job::JobStatus::TimedOut);
    fail(world, at, execution_id, run_id, failure);
}

/// Marks a run as succeeded and advances the execution.
pub(super) fn succeed(world: &mut World, at: Time, execution_id: &str, run_id: &str) {
    let Some(execution) = world.codepipeline.executions.get_mut(execution_id) else { return };
    let Some(run) = execution.run_mut(run_id) else { return };
    run.status = ActionStatus::Succeeded;
    run.updated = at;
    let outputs = run.outputs.clone();
    let published = run.namespace.clone().map(|namespace| (namespace, run.output_variables.clone()));
    execution.artifacts.extend(outputs.into_iter().map(|artifact| (artifact.name.clone(), artifact)));
    execution.variables.extend(published);
    execution.updated = at;
    flow::settle(world, at, execution_id);
}

/// Marks a run and its stage as failed.
pub(super) fn fail(world: &mut World, at: Time, execution_id: &str, run_id: &str, failure: Failure) {
    let Some(execution) = world.codepipeline.executions.get_mut(execution_id) else { return };
    let Some(run) = execution.run_mut(run_id) else { return };
    run.status = ActionStatus::Failed;
    run.updated = at;
    run.failure = Some(failure);
    execution.updated = at;
    flow::settle(world, at, execution_id);
}

/// Abandons the action executions in progress. Their workers are not notified.
pub(super) fn abandon(world: &mut World, at: Time, execution_id: &str) {
    let Some(execution) = world.codepipeline.executions.get_mut(execution_id) else { return };
    let mut abandoned = Vec::new();
    for run in execution.runs.iter_mut().filter(|run| run.status == ActionStatus::InProgress) {
        run.status = ActionStatus::Abandoned;
        run.updated = at;
        abandoned.push(run.id.clone());
    }
    for run in abandoned {
        job::end_all(world, &run, job::JobStatus::Failed);
    }
    flow::settle(world, at, execution_id);
}

/// Completes a manual approval with the approver's decision.
pub(super) fn approve(
    world: &mut World,
    at: Time,
    execution_id: &str,
    run_id: &str,
    answer: &approval::Answer,
) {
    if let Some(run) = world.codepipeline.executions.get_mut(execution_id).and_then(|e| e.run_mut(run_id)) {
        run.summary = Some(answer.summary.clone()).filter(|text| !text.is_empty());
        run.updated_by.clone_from(&answer.by);
    }
    if answer.approved {
        succeed(world, at, execution_id, run_id);
    } else {
        let message = format!("Rejected: {}", answer.summary);
        fail(world, at, execution_id, run_id, Failure { code: "ApprovalRejected".to_owned(), message });
    }
}
