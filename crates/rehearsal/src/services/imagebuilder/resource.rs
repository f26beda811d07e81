//! Components, recipes, configurations and pipelines.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::world::World;
use super::arn::{Arn, slug};
use super::{date, invalid, not_found};

/// The kinds of resources, with the names in operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Component,
    ImageRecipe,
    ContainerRecipe,
    InfrastructureConfiguration,
    DistributionConfiguration,
    ImagePipeline,
}

impl Kind {
    /// The kind in the name of an operation such as `GetImageRecipe` or `ListComponents`.
    pub(super) fn of(operation: &str) -> Option<Self> {
        let name = operation.trim_start_matches(|c: char| !c.is_uppercase());
        let name = ["Create", "Delete", "Get", "List"].iter().find_map(|verb| name.strip_prefix(verb))?;
        Some(match name.trim_end_matches('s') {
            "Component" => Self::Component,
            "ImageRecipe" => Self::ImageRecipe,
            "ContainerRecipe" => Self::ContainerRecipe,
            "InfrastructureConfiguration" => Self::InfrastructureConfiguration,
            "DistributionConfiguration" => Self::DistributionConfiguration,
            "ImagePipeline" => Self::ImagePipeline,
            _ => return None,
        })
    }

    /// The kind's name in an ARN.
    pub(super) fn in_arn(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::ImageRecipe => "image-recipe",
            Self::ContainerRecipe => "container-recipe",
            Self::InfrastructureConfiguration => "infrastructure-configuration",
            Self::DistributionConfiguration => "distribution-configuration",
            Self::ImagePipeline => "image-pipeline",
        }
    }

    /// The member of the resource in a `Get…` response.
    pub(super) fn member(self) -> &'static str {
        match self {
            Self::Component => "component",
            Self::ImageRecipe => "imageRecipe",
            Self::ContainerRecipe => "containerRecipe",
            Self::InfrastructureConfiguration => "infrastructureConfiguration",
            Self::DistributionConfiguration => "distributionConfiguration",
            Self::ImagePipeline => "imagePipeline",
        }
    }

    /// The member of its ARN in requests and `Create…` responses.
    fn arn_member(self) -> &'static str {
        match self {
            Self::Component => "componentBuildVersionArn",
            Self::ImageRecipe => "imageRecipeArn",
            Self::ContainerRecipe => "containerRecipeArn",
            Self::InfrastructureConfiguration => "infrastructureConfigurationArn",
            Self::DistributionConfiguration => "distributionConfigurationArn",
            Self::ImagePipeline => "imagePipelineArn",
        }
    }
}

/// A resource. The body is that of a `Get…` response.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub kind: Kind,
    pub account: String,
    pub region: String,
    pub body: Map<String, Value>,
}

impl Resource {
    pub(super) fn text(&self, member: &str) -> Option<&str> {
        self.body.get(member)?.as_str()
    }

    /// The string map of a member such as `tags`.
    pub(super) fn pairs(&self, member: &str) -> BTreeMap<String, String> {
        pairs(self.body.get(member))
    }
}

/// The string values of an object.
pub(super) fn pairs(object: Option<&Value>) -> BTreeMap<String, String> {
    object
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// The resource with this ARN; for a version with wildcards, the newest component or recipe.
pub(super) fn find<'w>(world: &'w World, text: &str) -> Option<&'w Resource> {
    if let Some(resource) = world.imagebuilder.resources.get(text) {
        return Some(resource);
    }
    let wanted = Arn::parse(text)?;
    world
        .imagebuilder
        .resources
        .iter()
        .filter_map(|(arn, resource)| Some((Arn::parse(arn)?, resource)))
        .filter(|(arn, _)| wanted.covers(arn))
        .max_by_key(|(arn, _)| arn.order())
        .map(|(_, resource)| resource)
}

pub(super) fn create(world: &mut World, call: &Call) -> Answer {
    let Some(kind) = Kind::of(&call.operation) else {
        return Err(ApiError::new("UnknownOperationException", call.operation.clone()));
    };
    let mut body = call.input.clone();
    body.remove("clientToken");
    if body.remove("dryRun").is_some_and(|dry| dry == true) {
        return Err(ApiError::new("DryRunOperationException", "The request would have succeeded"));
    }
    let Some(name) = body.get("name").and_then(Value::as_str).map(slug) else {
        return Err(invalid("name is required"));
    };
    let version = body.remove("semanticVersion").and_then(|v| v.as_str().map(str::to_owned));
    if let Some(version) = &version {
        check_version(version)?;
    }
    let mut arn = format!(
        "arn:{}:imagebuilder:{}:{}:{}/{name}",
        crate::partition::id(&call.region),
        call.region,
        call.account,
        kind.in_arn()
    );
    if let Some(version) = &version {
        arn = format!("{arn}/{version}");
        body.insert("version".into(), version.as_str().into());
    }
    complete(world, call, kind, &mut body)?;
    if kind == Kind::Component {
        let builds =
            world.imagebuilder.resources.keys().filter(|k| k.starts_with(&format!("{arn}/"))).count();
        arn = format!("{arn}/{}", builds + 1);
    } else if world.imagebuilder.resources.contains_key(&arn) {
        return Err(ApiError::new("ResourceAlreadyExistsException", format!("{arn} exists already")));
    }
    body.insert("arn".into(), arn.as_str().into());
    body.insert("dateCreated".into(), date(call.now).into());
    let resource = Resource { kind, account: call.account.clone(), region: call.region.clone(), body };
    world.imagebuilder.resources.insert(arn.clone(), resource);
    let mut answer = json!({});
    answer[kind.arn_member()] = arn.into();
    Ok(answer)
}

fn check_version(version: &str) -> Result<(), ApiError> {
    let numbers = version.split('.').filter(|part| part.parse::<u32>().is_ok()).count();
    if numbers == 3 && version.split('.').count() == 3 {
        return Ok(());
    }
    Err(ApiError::new("InvalidVersionNumberException", format!("{version} is not of the form 1.2.3")))
}

/// Fills in the members that the service sets, and rejects references to unknown resources.
fn complete(world: &World, call: &Call, kind: Kind, body: &mut Map<String, Value>) -> Result<(), ApiError> {
    match kind {
        Kind::Component => {
            if body.contains_key("data") == body.contains_key("uri") {
                let message = "A component has either data or uri";
                return Err(ApiError::new("InvalidParameterCombinationException", message));
            }
            body.remove("uri");
            let document = body.get("data").and_then(Value::as_str).unwrap_or_default();
            let has = |phase: &str| document.contains(&format!("name: {phase}\n"));
            let kind = if has("test") && !has("build") && !has("validate") { "TEST" } else { "BUILD" };
            body.insert("type".into(), kind.into());
            body.insert("owner".into(), call.account.as_str().into());
            body.insert("state".into(), json!({ "status": "ACTIVE" }));
        }
        Kind::ImageRecipe => {
            made_from_components(world, call, body)?;
            body.insert("type".into(), "AMI".into());
        }
        Kind::ContainerRecipe => {
            if body.contains_key("dockerfileTemplateData") == body.contains_key("dockerfileTemplateUri") {
                return Err(invalid(
                    "A container recipe has either dockerfileTemplateData or dockerfileTemplateUri",
                ));
            }
            made_from_components(world, call, body)?;
            body.remove("dockerfileTemplateUri");
            body.remove("imageOsVersionOverride");
            if let Some(platform) = body.remove("platformOverride") {
                body.insert("platform".into(), platform);
            }
            body.insert("encrypted".into(), true.into());
        }
        Kind::DistributionConfiguration => {
            body.insert("timeoutMinutes".into(), 720.into());
            let names = body
                .get("distributions")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|d| d.pointer("/amiDistributionConfiguration/name")?.as_str());
            for name in names {
                if !name.replace(' ', "").contains("{{imagebuilder:buildDate}}") {
                    return Err(invalid(format!("{name} must contain {{{{ imagebuilder:buildDate }}}}")));
                }
            }
        }
        Kind::InfrastructureConfiguration => {}
        Kind::ImagePipeline => {
            recipe_and_configurations(world, body)?;
            body.insert("platform".into(), "Linux".into());
            body.entry("status").or_insert("ENABLED".into());
            body.entry("imageTestsConfiguration")
                .or_insert(json!({ "imageTestsEnabled": true, "timeoutMinutes": 720 }));
        }
    }
    Ok(())
}

/// Checks the components of an image or container recipe, and sets its platform and owner.
fn made_from_components(world: &World, call: &Call, body: &mut Map<String, Value>) -> Result<(), ApiError> {
    for component in body.get("components").and_then(Value::as_array).into_iter().flatten() {
        refers(world, component.get("componentArn"))?;
    }
    body.insert("platform".into(), "Linux".into());
    body.insert("owner".into(), call.account.as_str().into());
    Ok(())
}

/// Checks that a build has exactly one recipe, and that its configurations exist.
pub(super) fn recipe_and_configurations(world: &World, body: &Map<String, Value>) -> Result<(), ApiError> {
    for member in [
        "imageRecipeArn",
        "containerRecipeArn",
        "infrastructureConfigurationArn",
        "distributionConfigurationArn",
    ] {
        refers(world, body.get(member))?;
    }
    if body.contains_key("imageRecipeArn") == body.contains_key("containerRecipeArn") {
        return Err(invalid("Exactly one of imageRecipeArn and containerRecipeArn is required"));
    }
    Ok(())
}

/// Checks that a referenced resource exists. AWS's own components always do.
pub(super) fn refers(world: &World, arn: Option<&Value>) -> Result<(), ApiError> {
    let Some(text) = arn.and_then(Value::as_str) else { return Ok(()) };
    let Some(parsed) = Arn::parse(text) else { return Err(invalid(format!("{text} is not a valid ARN"))) };
    if parsed.account == "aws" || find(world, text).is_some() {
        return Ok(());
    }
    Err(invalid(format!("The resource {text} does not exist")))
}

pub(super) fn get(world: &World, call: &Call) -> Answer {
    let Some(kind) = Kind::of(&call.operation) else {
        return Err(ApiError::new("UnknownOperationException", call.operation.clone()));
    };
    let arn = call.input.get(kind.arn_member()).and_then(Value::as_str).unwrap_or_default();
    let resource = find(world, arn).filter(|found| found.kind == kind).ok_or_else(|| not_found(arn))?;
    let mut answer = json!({});
    let mut body = Value::Object(resource.body.clone());
    if kind == Kind::ImagePipeline {
        last_run(world, arn, &mut body);
    }
    answer[kind.member()] = body;
    Ok(answer)
}

/// Deletes a component or a recipe, unless another resource or an image uses it.
pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let Some(kind) = Kind::of(&call.operation) else {
        return Err(ApiError::new("UnknownOperationException", call.operation.clone()));
    };
    let arn = call.input.get(kind.arn_member()).and_then(Value::as_str).unwrap_or_default().to_owned();
    let there = world.imagebuilder.resources.get(&arn).is_some_and(|found| {
        found.kind == kind && found.account == call.account && found.region == call.region
    });
    if !there {
        return Err(not_found(&arn));
    }
    if let Some(user) = user_of(world, &arn) {
        let message = format!("The resource {arn} is used by {user}");
        return Err(ApiError::new("ResourceDependencyException", message));
    }
    world.imagebuilder.resources.remove(&arn);
    let mut answer = json!({});
    answer[kind.arn_member()] = arn.into();
    Ok(answer)
}

/// A pipeline, recipe or image that uses a resource.
fn user_of(world: &World, arn: &str) -> Option<String> {
    let names = |text: Option<&Value>| {
        let text = text.and_then(Value::as_str).unwrap_or_default();
        text == arn || Arn::parse(text).zip(Arn::parse(arn)).is_some_and(|(named, one)| named.covers(&one))
    };
    let uses = |resource: &Resource| {
        let components = resource.body.get("components").and_then(Value::as_array);
        names(resource.body.get("imageRecipeArn"))
            || names(resource.body.get("containerRecipeArn"))
            || components.into_iter().flatten().any(|component| names(component.get("componentArn")))
    };
    let resource = world.imagebuilder.resources.iter().find(|(_, resource)| uses(resource));
    let image = || world.imagebuilder.images.values().find(|image| names(image.recipe.get("arn")));
    resource.map(|(user, _)| user.clone()).or_else(|| image().map(|image| image.arn.clone()))
}

/// Adds the latest build to a pipeline's view.
fn last_run(world: &World, pipeline: &str, body: &mut Value) {
    let latest = world
        .imagebuilder
        .images
        .values()
        .filter(|image| image.pipeline.as_deref() == Some(pipeline))
        .max_by_key(|image| (image.created, image.arn.clone()));
    if let Some(image) = latest {
        body["dateLastRun"] = date(image.created).into();
        body["lastRunStatus"] = image.phase.name().into();
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Tagging {
    resource_arn: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

/// Changes the tags of a resource or image with `change`.
fn with_tags(
    world: &mut World,
    arn: &str,
    change: impl FnOnce(&mut BTreeMap<String, String>),
) -> Result<BTreeMap<String, String>, ApiError> {
    if let Some(image) = world.imagebuilder.images.get_mut(arn) {
        change(&mut image.tags);
        return Ok(image.tags.clone());
    }
    let Some(resource) = world.imagebuilder.resources.get_mut(arn) else { return Err(not_found(arn)) };
    let mut tags = resource.pairs("tags");
    change(&mut tags);
    resource.body.insert("tags".into(), json!(tags));
    Ok(tags)
}

pub(super) fn tag(world: &mut World, call: &Call) -> Answer {
    let input: Tagging = call.parse()?;
    with_tags(world, &input.resource_arn, |tags| tags.extend(input.tags))?;
    Ok(json!({}))
}

pub(super) fn untag(world: &mut World, call: &Call) -> Answer {
    let input: Tagging = call.parse()?;
    with_tags(world, &input.resource_arn, |tags| tags.retain(|key, _| !input.tag_keys.contains(key)))?;
    Ok(json!({}))
}

pub(super) fn list_tags(world: &mut World, call: &Call) -> Answer {
    let input: Tagging = call.parse()?;
    let tags = with_tags(world, &input.resource_arn, |_| {})?;
    Ok(json!({ "tags": tags }))
}
