//! The queue of custom-action jobs: polling, acknowledgement by nonce, job details.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::ids::Ids;
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::sts;
use super::action_type::{self, ActionTypeId};
use super::execution::ActionStatus;
use super::{Options, pipeline, validation};

/// The status of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobStatus {
    Queued,
    Dispatched,
    InProgress,
    TimedOut,
    Succeeded,
    Failed,
}

impl JobStatus {
    fn name(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Dispatched => "Dispatched",
            Self::InProgress => "InProgress",
            Self::TimedOut => "TimedOut",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }

    fn has_ended(self) -> bool {
        matches!(self, Self::TimedOut | Self::Succeeded | Self::Failed)
    }
}

/// A job of a custom action. Each continuation token makes another job of the same action.
#[derive(Clone, Debug)]
pub struct Job {
    pub id: String,
    pub execution: String,
    pub run: String,
    pub status: JobStatus,
    pub continuation_token: Option<String>,
    account: String,
    region: String,
    type_id: ActionTypeId,
    /// The nonce of the latest offer.
    nonce: Option<String>,
    offers: u64,
    /// The value of the type's queryable property.
    query_value: Option<String>,
    available: Time,
    offered: Option<Time>,
    acknowledged: Option<Time>,
    sequence: u64,
}

impl Job {
    fn is_offered_at(&self, now: Time, options: &Options) -> bool {
        let over =
            |since: Option<Time>, wait| since.zip(wait).is_some_and(|(since, wait)| since + wait <= now);
        match self.status {
            JobStatus::Queued => self.available <= now,
            JobStatus::Dispatched => over(self.offered, options.visibility),
            JobStatus::InProgress => over(self.acknowledged, options.redeliver_acknowledged_after),
            _ => false,
        }
    }
}

/// Queues a job of an action run. With `token`, it continues an earlier job.
pub(super) fn queue(world: &mut World, at: Time, execution: &str, run: &str, token: Option<String>) {
    let id = world.ids.uuid();
    let Some(found) = world.codepipeline.executions.get(execution) else { return };
    let home = found.pipeline.clone();
    let Some(action_run) = found.run(run) else { return };
    let type_id = action_run.type_id.clone();
    let query_value = action_type::find(world, &home.account, &home.region, &type_id)
        .and_then(|t| action_run.resolved.get(t.queryable()?).cloned());
    let wait = if token.is_some() {
        world.codepipeline.options.continuation_delay
    } else {
        std::time::Duration::ZERO
    };
    let job = Job {
        id: id.clone(),
        execution: execution.to_owned(),
        run: run.to_owned(),
        status: JobStatus::Queued,
        continuation_token: token,
        account: home.account,
        region: home.region,
        type_id,
        nonce: None,
        offers: 0,
        query_value,
        available: at + wait,
        offered: None,
        acknowledged: None,
        sequence: world.codepipeline.next_sequence(),
    };
    world.codepipeline.jobs.insert(id, job);
}

/// Ends every unfinished job of a run.
pub(super) fn end_all(world: &mut World, run: &str, status: JobStatus) {
    for job in world.codepipeline.jobs.values_mut().filter(|job| job.run == run && !job.status.has_ended()) {
        job.status = status;
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Poll {
    action_type_id: ActionTypeId,
    max_batch_size: Option<usize>,
    query_param: Option<BTreeMap<String, String>>,
}

pub(super) fn poll(world: &mut World, call: &Call) -> Answer {
    let input: Poll = call.parse()?;
    let id = input.action_type_id;
    if id.owner != "Custom" {
        return Err(validation(format!(
            "Owner {} is not valid: PollForJobs is for custom actions",
            id.owner
        )));
    }
    let Some(action_type) = action_type::find(world, &call.account, &call.region, &id) else {
        return Err(ApiError::new(
            "ActionTypeNotFoundException",
            format!("No action type {}/{} version {} in this account", id.category, id.provider, id.version),
        ));
    };
    let query = input.query_param.unwrap_or_default();
    let wanted = match (action_type.queryable(), query.len()) {
        (None, 0) => None,
        (None, _) => {
            return Err(validation("The action type has no queryable property: queryParam must be empty"));
        }
        (Some(property), 1) => {
            Some(query.get(property).cloned().ok_or_else(|| {
                validation(format!("queryParam must name the queryable property {property}"))
            })?)
        }
        (Some(property), _) => {
            return Err(validation(format!("queryParam must have exactly one entry, {property}")));
        }
    };
    let options = &world.codepipeline.options;
    let mut offers: Vec<(u64, String)> = world
        .codepipeline
        .jobs
        .values()
        .filter(|job| {
            job.account == call.account
                && job.region == call.region
                && job.type_id == id
                && job.is_offered_at(call.now, options)
                && (wanted.is_none() || job.query_value == wanted)
        })
        .map(|job| (job.sequence, job.id.clone()))
        .collect();
    offers.sort();
    let mut jobs = Vec::new();
    for (_, job_id) in offers.into_iter().take(input.max_batch_size.unwrap_or(1)) {
        let Some(job) = world.codepipeline.jobs.get_mut(&job_id) else { continue };
        job.offers += 1;
        // Not taken from the world's ids: the number of polls must not change any resource id.
        let nonce = (Ids::new((job.sequence << 32) | job.offers).next() >> 1).to_string();
        job.status = JobStatus::Dispatched;
        job.offered = Some(call.now);
        job.acknowledged = None;
        job.nonce = Some(nonce.clone());
        let job = job.clone();
        let data = data(world, &job);
        jobs.push(json!({ "id": job.id, "data": data, "nonce": nonce, "accountId": job.account }));
    }
    Ok(json!({ "jobs": jobs }))
}

pub(super) fn find<'w>(world: &'w World, call: &Call, id: &str) -> Result<&'w Job, ApiError> {
    world
        .codepipeline
        .jobs
        .get(id)
        .filter(|job| job.account == call.account && job.region == call.region)
        .ok_or_else(|| ApiError::new("JobNotFoundException", format!("No job with id {id}")))
}

pub(super) fn acknowledge(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        job_id: String,
        nonce: String,
    }
    let input: Input = call.parse()?;
    let job = find(world, call, &input.job_id)?;
    let again = job.status == JobStatus::InProgress;
    if !job.status.has_ended()
        && (job.nonce.as_ref() != Some(&input.nonce)
            || again && !world.codepipeline.options.repeat_acknowledgement)
    {
        return Err(ApiError::new(
            "InvalidNonceException",
            format!("The nonce of job {} is not valid: another worker has claimed it", job.id),
        ));
    }
    let Some(job) = world.codepipeline.jobs.get_mut(&input.job_id) else {
        return Err(ApiError::new("JobNotFoundException", input.job_id));
    };
    if job.status == JobStatus::Dispatched {
        job.status = JobStatus::InProgress;
        job.acknowledged = Some(call.now);
    }
    Ok(json!({ "status": job.status.name() }))
}

pub(super) fn details(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        job_id: String,
    }
    let input: Input = call.parse()?;
    let job = find(world, call, &input.job_id)?.clone();
    let data = data(world, &job);
    Ok(json!({ "jobDetails": { "id": job.id, "data": data, "accountId": job.account } }))
}

/// The job document, including secrets and new artifact credentials.
fn data(world: &mut World, job: &Job) -> Value {
    let Some(execution) = world.codepipeline.executions.get(&job.execution) else { return Value::Null };
    let Some(run) = execution.run(&job.run) else { return Value::Null };
    let store = execution.declaration.store(&job.region);
    let mut data = json!({
        "actionTypeId": job.type_id,
        "actionConfiguration": { "configuration": run.resolved },
        "pipelineContext": {
            "pipelineName": execution.pipeline.name,
            "stage": { "name": run.stage },
            "action": { "name": run.action, "actionExecutionId": run.id },
            "pipelineArn": pipeline::arn(&execution.pipeline),
            "pipelineExecutionId": execution.id,
        },
        "inputArtifacts": run.inputs.iter().map(super::Artifact::in_job).collect::<Vec<_>>(),
        "outputArtifacts": run.outputs.iter().map(super::Artifact::in_job).collect::<Vec<_>>(),
    });
    if let Some(key) = store.and_then(|store| store.encryption_key.clone()) {
        data["encryptionKey"] = key;
    }
    if let Some(token) = &job.continuation_token {
        data["continuationToken"] = token.as_str().into();
    }
    // The credentials belong to the pipeline's service role; the session name distinguishes them.
    let role = execution.declaration.role_arn.rsplit('/').next().unwrap_or("codepipeline").to_owned();
    let live = run.status == ActionStatus::InProgress;
    let wanted = action_type::find(world, &job.account, &job.region, &job.type_id)
        .is_some_and(|action_type| action_type.has_artifacts());
    if live && wanted {
        let partition = crate::partition::id(&job.region);
        let arn = format!("arn:{partition}:sts::{}:assumed-role/{role}/codepipeline-artifacts", job.account);
        let lifetime = world.codepipeline.options.credentials_lifetime;
        let credentials = sts::issue(world, &job.account, &arn, lifetime);
        data["artifactCredentials"] = json!({
            "accessKeyId": credentials.access_key_id,
            "secretAccessKey": credentials.secret_access_key,
            "sessionToken": credentials.session_token,
        });
    }
    data
}
