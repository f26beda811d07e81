//! Pipelines: create, update, get, list, delete. Every version is kept.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::page::page;
use super::declaration::{Declaration, HIDDEN};
use super::tags::{Tag, Tags, tags};
use super::{Home, action_type, bad_token, structure, validation};

/// A pipeline with all its versions, the newest last.
#[derive(Clone, Debug)]
pub struct Pipeline {
    versions: Vec<Declaration>,
    created: Time,
    updated: Time,
    tags: Tags,
}

impl Pipeline {
    pub(super) fn tags(&mut self) -> &mut Tags {
        &mut self.tags
    }

    /// The declaration that new executions use.
    pub(super) fn current(&self) -> Option<&Declaration> {
        self.versions.last()
    }

    pub(super) fn created(&self) -> Time {
        self.created
    }

    pub(super) fn updated(&self) -> Time {
        self.updated
    }
}

/// The pipeline's ARN.
pub(super) fn arn(home: &Home) -> String {
    format!(
        "arn:{}:codepipeline:{}:{}:{}",
        crate::partition::id(&home.region),
        home.region,
        home.account,
        home.name
    )
}

pub(super) fn find<'w>(world: &'w World, home: &Home) -> Result<&'w Pipeline, ApiError> {
    world.codepipeline.pipelines.get(home).ok_or_else(|| not_found(home))
}

/// A copy of the declaration that new executions use.
pub(super) fn declaration(world: &World, home: &Home) -> Result<Declaration, ApiError> {
    find(world, home)?.current().cloned().ok_or_else(|| not_found(home))
}

fn not_found(home: &Home) -> ApiError {
    ApiError::new(
        "PipelineNotFoundException",
        format!("Account '{}' does not have a pipeline with name '{}'", home.account, home.name),
    )
}

#[derive(Deserialize)]
struct Input {
    pipeline: Declaration,
    #[serde(default)]
    tags: Vec<Tag>,
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let mut input: Input = call.parse()?;
    let home = Home::of(call, &input.pipeline.name);
    if world.codepipeline.pipelines.contains_key(&home) {
        return Err(ApiError::new(
            "PipelineNameInUseException",
            format!("A pipeline with the name '{}' already exists in account '{}'", home.name, home.account),
        ));
    }
    structure::check(world, &home, &input.pipeline)?;
    input.pipeline.version = 1;
    let shown = masked(world, &home, input.pipeline.clone());
    let tags = tags(input.tags);
    let mut answer = json!({ "pipeline": shown });
    if !tags.is_empty() {
        answer["tags"] = tags.iter().map(|(key, value)| json!({ "key": key, "value": value })).collect();
    }
    let made = Pipeline { versions: vec![input.pipeline], created: call.now, updated: call.now, tags };
    world.codepipeline.pipelines.insert(home, made);
    Ok(answer)
}

pub(super) fn update(world: &mut World, call: &Call) -> Answer {
    let mut declared = call.parse::<Input>()?.pipeline;
    let home = Home::of(call, &declared.name);
    // UpdatePipeline models no PipelineNotFoundException.
    let old = declaration(world, &home).map_err(|e| validation(e.message))?;
    keep_secrets(&mut declared, &old);
    structure::check(world, &home, &declared)?;
    declared.version = old.version + 1;
    let shown = masked(world, &home, declared.clone());
    if let Some(pipeline) = world.codepipeline.pipelines.get_mut(&home) {
        pipeline.versions.push(declared);
        pipeline.updated = call.now;
    }
    Ok(json!({ "pipeline": shown }))
}

/// Keeps a secret whose hidden placeholder the caller sent back.
fn keep_secrets(declared: &mut Declaration, old: &Declaration) {
    for stage in &mut declared.stages {
        let Some(old_stage) = old.stages.iter().find(|s| s.name == stage.name) else { continue };
        for action in &mut stage.actions {
            let Some(old_action) = old_stage.actions.iter().find(|a| a.name == action.name) else { continue };
            for (key, value) in action.configuration.iter_mut().filter(|(_, value)| *value == HIDDEN) {
                if let Some(kept) = old_action.configuration.get(key) {
                    value.clone_from(kept);
                }
            }
        }
    }
}

/// The declaration with secret configuration values hidden.
fn masked(world: &World, home: &Home, mut declared: Declaration) -> Declaration {
    for action in declared.stages.iter_mut().flat_map(|stage| &mut stage.actions) {
        let found = action_type::find(world, &home.account, &home.region, &action.type_id);
        let Some(action_type) = found else { continue };
        for (key, value) in &mut action.configuration {
            if action_type.is_secret(key) {
                HIDDEN.clone_into(value);
            }
        }
    }
    declared
}

pub(super) fn get(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    struct Input {
        name: String,
        version: Option<u32>,
    }
    let input: Input = call.parse()?;
    let home = Home::of(call, &input.name);
    let pipeline = find(world, &home)?;
    let version = match input.version {
        None => pipeline.versions.last(),
        Some(wanted) => pipeline.versions.iter().find(|v| v.version == wanted),
    };
    let Some(version) = version else {
        return Err(ApiError::new(
            "PipelineVersionNotFoundException",
            format!("Pipeline {} has no version {}", home.name, input.version.unwrap_or_default()),
        ));
    };
    Ok(json!({
        "pipeline": masked(world, &home, version.clone()),
        "metadata": {
            "pipelineArn": arn(&home),
            "created": pipeline.created.epoch_seconds(),
            "updated": pipeline.updated.epoch_seconds(),
        },
    }))
}

/// `DeletePipeline`: succeeds even if the pipeline does not exist. Executions in progress continue until their jobs
/// end.
pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    struct Input {
        name: String,
    }
    let input: Input = call.parse()?;
    world.codepipeline.pipelines.remove(&Home::of(call, &input.name));
    Ok(json!({}))
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        next_token: Option<String>,
        max_results: Option<usize>,
    }
    let input: Input = call.parse()?;
    let all: Vec<Value> = world
        .codepipeline
        .pipelines
        .iter()
        .filter(|(home, _)| home.account == call.account && home.region == call.region)
        .filter_map(|(home, pipeline)| {
            let current = pipeline.current()?;
            Some(json!({
                "name": home.name,
                "version": current.version,
                "pipelineType": current.pipeline_type,
                "executionMode": current.execution_mode,
                "created": pipeline.created.epoch_seconds(),
                "updated": pipeline.updated.epoch_seconds(),
            }))
        })
        .collect();
    let size = input.max_results.unwrap_or(1000);
    let (pipelines, next) = page(all, input.next_token.as_deref(), size).ok_or_else(bad_token)?;
    let mut answer = json!({ "pipelines": pipelines });
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    Ok(answer)
}
