//! Validation of a declared pipeline: the structure rules of the user guide's "Pipeline structure reference".

use std::collections::BTreeSet;

use super::super::super::call::ApiError;
use super::super::super::world::World;
use super::Home;
use super::action_type::{self, ActionType, Counts};
use super::declaration::{Action, Declaration, Mode};

/// # Errors
/// The first rule that the declaration violates.
pub(super) fn check(world: &World, home: &Home, declaration: &Declaration) -> Result<(), ApiError> {
    if declaration.stages.len() < 2 {
        return Err(structure(
            "Pipeline has only 1 stage(s). There should be a minimum of 2 stages in a pipeline",
        ));
    }
    if declaration.artifact_store.is_some() == declaration.artifact_stores.is_some() {
        return Err(structure("A pipeline has either an artifactStore or artifactStores"));
    }
    if declaration.store(&home.region).is_none() {
        return Err(structure(format!("No artifact store for region {}", home.region)));
    }
    if declaration.execution_mode != Mode::Superseded && declaration.pipeline_type != "V2" {
        return Err(structure("Execution modes other than SUPERSEDED need pipeline type V2"));
    }
    let mut names = Names::default();
    for (index, stage) in declaration.stages.iter().enumerate() {
        if !names.stages.insert(&stage.name) {
            return Err(ApiError::new(
                "InvalidStageDeclarationException",
                format!("Stage name {} is not unique", stage.name),
            ));
        }
        if stage.actions.is_empty() {
            return Err(ApiError::new(
                "InvalidStageDeclarationException",
                format!("Stage {} has no actions", stage.name),
            ));
        }
        let mut in_stage = BTreeSet::new();
        let mut actions: Vec<&Action> = stage.actions.iter().collect();
        actions.sort_by_key(|action| action.run_order);
        for action in actions {
            if !in_stage.insert(&action.name) {
                return Err(invalid(format!(
                    "Action name {} is not unique in stage {}",
                    action.name, stage.name
                )));
            }
            let is_source = action.type_id.category == "Source";
            if is_source != (index == 0) {
                return Err(structure(format!(
                    "Pipeline should start with a stage that only contains source actions, and only there: \
                     action {} in stage {}",
                    action.name, stage.name
                )));
            }
            check_action(world, home, action, &mut names)?;
        }
    }
    Ok(())
}

/// Names that must be unique in the whole pipeline.
#[derive(Default)]
struct Names<'d> {
    stages: BTreeSet<&'d str>,
    artifacts: BTreeSet<&'d str>,
    namespaces: BTreeSet<&'d str>,
}

fn check_action<'d>(
    world: &World,
    home: &Home,
    action: &'d Action,
    names: &mut Names<'d>,
) -> Result<(), ApiError> {
    let id = &action.type_id;
    let Some(action_type) = action_type::find(world, &home.account, &home.region, id) else {
        return Err(invalid(format!(
            "ActionType (Category: '{}', Provider: '{}', Owner: '{}', Version: '{}') in action '{}' is not \
             available in region {}",
            id.category,
            id.provider,
            id.owner,
            id.version,
            action.name,
            home.region.to_uppercase().replace('-', "_")
        )));
    };
    check_configuration(action, &action_type)?;
    check_count(action, "input", action.input_artifacts.len(), action_type.inputs)?;
    check_count(action, "output", action.output_artifacts.len(), action_type.outputs)?;
    for input in &action.input_artifacts {
        if !names.artifacts.contains(input.name.as_str()) {
            return Err(structure(format!(
                "Action {} declares input artifact {} that no earlier action produces",
                action.name, input.name
            )));
        }
    }
    for output in &action.output_artifacts {
        if !names.artifacts.insert(&output.name) {
            return Err(structure(format!("Output artifact name {} is not unique", output.name)));
        }
    }
    if let Some(namespace) = &action.namespace
        && !names.namespaces.insert(namespace)
    {
        return Err(invalid(format!("Namespace {namespace} is not unique in the pipeline")));
    }
    if action.timeout_in_minutes.is_some() && id.category != "Approval" {
        return Err(invalid(format!(
            "timeoutInMinutes of action {} is only for manual approvals",
            action.name
        )));
    }
    Ok(())
}

fn check_configuration(action: &Action, action_type: &ActionType) -> Result<(), ApiError> {
    for property in action_type.properties.iter().filter(|p| p.required) {
        if !action.configuration.contains_key(&property.name) {
            return Err(invalid(format!(
                "Action configuration for action '{}' is missing required configuration '{}'",
                action.name, property.name
            )));
        }
    }
    for key in action.configuration.keys() {
        if !action_type.properties.iter().any(|p| p.name == *key) {
            return Err(invalid(format!(
                "Action configuration for action '{}' contains unknown configuration '{key}'",
                action.name
            )));
        }
    }
    // The documentation of the queryable property limits its value more than the model does.
    if let Some(value) = action_type.queryable().and_then(|key| action.configuration.get(key))
        && (value.len() > 20 || !value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'))
    {
        return Err(invalid(format!(
            "Action '{}': a queryable value has at most 20 letters, digits, '-' and '_'",
            action.name
        )));
    }
    Ok(())
}

fn check_count(action: &Action, what: &str, count: usize, allowed: Counts) -> Result<(), ApiError> {
    if (allowed.minimum_count..=allowed.maximum_count).contains(&count) {
        return Ok(());
    }
    Err(invalid(format!(
        "Action {} has an invalid number of {what} artifacts: {count}, allowed {} to {}",
        action.name, allowed.minimum_count, allowed.maximum_count
    )))
}

fn structure(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidStructureException", message)
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidActionDeclarationException", message)
}
