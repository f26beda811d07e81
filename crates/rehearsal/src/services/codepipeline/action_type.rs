//! Action types: S3 source, manual approval, and custom ones.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::super::page::page;
use super::{bad_token, validation};

/// The categories of custom action types (user guide, "Create and add a custom action").
const CUSTOM_CATEGORIES: [&str; 4] = ["Build", "Deploy", "Test", "Invoke"];
/// Custom action types per account and Region (user guide, "Quotas").
const LIMIT: usize = 50;

/// The id of an action type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ActionTypeId {
    pub category: String,
    pub owner: String,
    pub provider: String,
    pub version: String,
}

/// The allowed number of artifacts of an action.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counts {
    pub minimum_count: usize,
    pub maximum_count: usize,
}

/// A configuration property of an action type.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Property {
    pub name: String,
    pub required: bool,
    pub key: bool,
    pub secret: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queryable: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// An action type.
#[derive(Clone, Debug)]
pub struct ActionType {
    pub id: ActionTypeId,
    settings: Option<Map<String, Value>>,
    pub(super) properties: Vec<Property>,
    pub(super) inputs: Counts,
    pub(super) outputs: Counts,
}

impl ActionType {
    /// The property that `PollForJobs` can filter by.
    pub(super) fn queryable(&self) -> Option<&str> {
        self.properties.iter().find(|p| p.queryable == Some(true)).map(|p| p.name.as_str())
    }

    /// Whether values of the property are hidden from everyone but the job worker.
    pub(super) fn is_secret(&self, property: &str) -> bool {
        self.properties.iter().any(|p| p.secret && p.name == property)
    }

    /// Whether jobs of the type come with credentials for the artifact bucket.
    pub(super) fn has_artifacts(&self) -> bool {
        self.inputs.maximum_count > 0 || self.outputs.maximum_count > 0
    }

    /// The URL of an external execution, if the action type has a template for it.
    pub(super) fn execution_url(&self, external_id: &str) -> Option<String> {
        let template = self.settings.as_ref()?.get("executionUrlTemplate")?.as_str()?;
        Some(template.replace("{ExternalExecutionId}", external_id))
    }

    fn view(&self) -> Value {
        let mut view = json!({
            "id": self.id,
            "actionConfigurationProperties": self.properties,
            "inputArtifactDetails": self.inputs,
            "outputArtifactDetails": self.outputs,
        });
        if let Some(settings) = &self.settings {
            view["settings"] = Value::Object(settings.clone());
        }
        view
    }
}

/// The action type in this account and Region, built in or custom.
pub(super) fn find(world: &World, account: &str, region: &str, id: &ActionTypeId) -> Option<ActionType> {
    if id.owner == "Custom" {
        let key = (account.to_owned(), region.to_owned(), id.clone());
        return world.codepipeline.action_types.get(&key).cloned();
    }
    built_in().into_iter().find(|t| t.id == *id)
}

fn built_in() -> [ActionType; 2] {
    let aws = |category: &str, provider: &str| ActionTypeId {
        category: category.into(),
        owner: "AWS".into(),
        provider: provider.into(),
        version: "1".into(),
    };
    let property = |name: &str, required: bool| Property {
        name: name.into(),
        required,
        key: required,
        secret: false,
        queryable: None,
        description: None,
        kind: None,
    };
    let exactly = |count| Counts { minimum_count: count, maximum_count: count };
    [
        ActionType {
            id: aws("Source", "S3"),
            settings: None,
            properties: vec![
                property("S3Bucket", true),
                property("S3ObjectKey", true),
                property("PollForSourceChanges", false),
                property("AllowOverrideForS3ObjectKey", false),
            ],
            inputs: exactly(0),
            outputs: exactly(1),
        },
        ActionType {
            id: aws("Approval", "Manual"),
            settings: None,
            properties: vec![
                property("CustomData", false),
                property("ExternalEntityLink", false),
                property("NotificationArn", false),
            ],
            inputs: exactly(0),
            outputs: exactly(0),
        },
    ]
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Create {
    category: String,
    provider: String,
    version: String,
    settings: Option<Map<String, Value>>,
    configuration_properties: Option<Vec<Property>>,
    input_artifact_details: Counts,
    output_artifact_details: Counts,
    tags: Option<Value>,
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let input: Create = call.parse()?;
    if !CUSTOM_CATEGORIES.contains(&input.category.as_str()) {
        return Err(validation(format!("Category {} is not valid for a custom action type", input.category)));
    }
    let properties = input.configuration_properties.unwrap_or_default();
    check_properties(&properties)?;
    check_settings(input.settings.as_ref(), &properties)?;
    for (what, counts) in [("Input", input.input_artifact_details), ("Output", input.output_artifact_details)]
    {
        if counts.minimum_count > counts.maximum_count || counts.maximum_count > 5 {
            return Err(validation(format!(
                "{what} artifact counts must be 0 to 5, minimum not above maximum"
            )));
        }
    }
    let id = ActionTypeId {
        category: input.category,
        owner: "Custom".into(),
        provider: input.provider,
        version: input.version,
    };
    let key = (call.account.clone(), call.region.clone(), id.clone());
    let state = &mut world.codepipeline;
    if state.action_types.contains_key(&key) || state.deleted_types.contains(&key) {
        return Err(validation(format!(
            "An action type {}/{} version {} exists or has existed; use another version",
            id.category, id.provider, id.version
        )));
    }
    let held = state.action_types.keys().filter(|k| k.0 == key.0 && k.1 == key.1).count();
    if held >= LIMIT {
        return Err(ApiError::new("LimitExceededException", "The number of custom action types is exceeded"));
    }
    let created = ActionType {
        id,
        settings: input.settings,
        properties,
        inputs: input.input_artifact_details,
        outputs: input.output_artifact_details,
    };
    let mut answer = json!({ "actionType": created.view() });
    if let Some(tags) = input.tags {
        answer["tags"] = tags;
    }
    state.action_types.insert(key, created);
    Ok(answer)
}

fn check_properties(properties: &[Property]) -> Result<(), ApiError> {
    if properties.len() > 10 {
        return Err(validation("An action type has at most 10 configuration properties"));
    }
    let names: BTreeSet<&str> = properties.iter().map(|p| p.name.as_str()).collect();
    if names.len() != properties.len() {
        return Err(validation("Configuration property names must be unique"));
    }
    let queryable: Vec<_> = properties.iter().filter(|p| p.queryable == Some(true)).collect();
    if queryable.len() > 1 {
        return Err(validation("At most one configuration property can be queryable"));
    }
    if queryable.iter().any(|p| !p.required || p.secret) {
        return Err(validation("A queryable configuration property must be required and not secret"));
    }
    Ok(())
}

/// Checks that `{Config:name}` names only required properties that are not secret.
fn check_settings(settings: Option<&Map<String, Value>>, properties: &[Property]) -> Result<(), ApiError> {
    for (member, template) in settings.into_iter().flatten() {
        for part in template.as_str().unwrap_or_default().split("{Config:").skip(1) {
            let name = part.split('}').next().unwrap_or(part);
            if !properties.iter().any(|p| p.name == name && p.required && !p.secret) {
                return Err(validation(format!(
                    "{member}: {{Config:{name}}} must name a required, non-secret configuration property"
                )));
            }
        }
    }
    Ok(())
}

pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    struct Input {
        category: String,
        provider: String,
        version: String,
    }
    let input: Input = call.parse()?;
    let id = ActionTypeId {
        category: input.category,
        owner: "Custom".into(),
        provider: input.provider,
        version: input.version,
    };
    let key = (call.account.clone(), call.region.clone(), id);
    if world.codepipeline.action_types.remove(&key).is_some() {
        world.codepipeline.deleted_types.insert(key);
    }
    Ok(json!({}))
}

pub(super) fn list(world: &World, call: &Call) -> Answer {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Input {
        action_owner_filter: Option<String>,
        next_token: Option<String>,
    }
    let input: Input = call.parse()?;
    let custom = world
        .codepipeline
        .action_types
        .iter()
        .filter(|(key, _)| key.0 == call.account && key.1 == call.region)
        .map(|(_, action_type)| action_type.clone());
    let types: Vec<Value> = built_in()
        .into_iter()
        .chain(custom)
        .filter(|t| input.action_owner_filter.as_ref().is_none_or(|owner| *owner == t.id.owner))
        .map(|t| t.view())
        .collect();
    let (types, next) = page(types, input.next_token.as_deref(), 100).ok_or_else(bad_token)?;
    let mut answer = json!({ "actionTypes": types });
    if let Some(next) = next {
        answer["nextToken"] = next.into();
    }
    Ok(answer)
}
