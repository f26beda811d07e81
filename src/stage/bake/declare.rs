//! Image Builder's side of a recipe: its parent image resolved, its components and itself found or made.

use aws_sdk_imagebuilder::types::{
    ComponentConfiguration, ComponentParameter, EbsInstanceBlockDeviceSpecification, EbsVolumeType,
    InstanceBlockDeviceMapping, Platform,
};

use super::recipe::{Component, Declared, Plan};
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::tag;
use crate::spec::Volume;
use crate::stage::Cx;

/// The parent image by a name that means the same tomorrow.
pub async fn parent(cx: &Cx, plan: &Plan) -> Result<String, StageError> {
    let written = plan.parent_image.as_str();
    if let Some(name) = written.strip_prefix("ssm:") {
        return parameter(cx, name).await;
    }
    if written.starts_with("arn:") {
        return version(cx, written, &plan.home.region).await;
    }
    Ok(written.to_owned())
}

async fn parameter(cx: &Cx, name: &str) -> Result<String, StageError> {
    let answer = cx.aws.ssm.get_parameter().name(name).send().await;
    let answer = answer.map_err(|error| AwsError::new("ssm:GetParameter", name, error))?;
    let value = answer.parameter.and_then(|parameter| parameter.value).unwrap_or_default();
    if value.starts_with("ami-") {
        return Ok(value);
    }
    Err(StageError::Config(format!(
        "SSM parameter {name}, the parent image, holds no AMI's id but `{value}`"
    )))
}

/// The newest image of an ARN with open numbers: its AMI here, or its exact version where none is told.
async fn version(cx: &Cx, arn: &str, region: &str) -> Result<String, StageError> {
    let answer = cx.aws.imagebuilder.get_image().image_build_version_arn(arn).send().await;
    let answer = answer.map_err(|error| AwsError::new("imagebuilder:GetImage", arn, error))?;
    let image = answer.image;
    let amis = image.iter().flat_map(|i| &i.output_resources).flat_map(|out| out.amis.iter().flatten());
    let here = amis.filter(|ami| ami.region.as_deref() == Some(region)).find_map(|ami| ami.image.clone());
    let exact = || {
        let build = image.as_ref().and_then(|i| i.arn.as_deref());
        build.map(|build| build.rsplit_once('/').map_or(build, |(version, _)| version).to_owned())
    };
    here.or_else(exact)
        .ok_or_else(|| StageError::NotYet(format!("imagebuilder:GetImage of {arn} gave no image")))
}

/// Sees to it that a component of the plan exists with the content it is named for.
pub async fn component(cx: &Cx, plan: &Plan, component: &Component) -> Result<(), StageError> {
    let Some(declared) = &component.declared else { return Ok(()) };
    if let Some(data) = content(cx, &component.arn).await? {
        if data.trim_end() == declared.data.trim_end() {
            return Ok(());
        }
        return Err(StageError::Rejected(format!(
            "component {} exists and is not {}: someone made it by hand; delete it",
            component.arn, declared.path
        )));
    }
    create_component(cx, plan, declared).await
}

async fn content(cx: &Cx, arn: &str) -> Result<Option<String>, StageError> {
    match cx.aws.imagebuilder.get_component().component_build_version_arn(arn).send().await {
        Ok(answer) => Ok(Some(answer.component.and_then(|component| component.data).unwrap_or_default())),
        Err(error) => {
            let error = AwsError::new("imagebuilder:GetComponent", arn, error);
            if error.class == Class::Missing { Ok(None) } else { Err(error.into()) }
        }
    }
}

async fn create_component(cx: &Cx, plan: &Plan, declared: &Declared) -> Result<(), StageError> {
    let token = cx.key().client_token(&format!("component {} {}", declared.name, declared.version));
    let mut call = cx
        .aws
        .imagebuilder
        .create_component()
        .name(&declared.name)
        .semantic_version(&declared.version)
        .description(format!("{} of service {}", declared.path, plan.service))
        .platform(Platform::Linux)
        .data(&declared.data)
        .client_token(token)
        .tags(tag::SERVICE, &plan.service);
    for (key, value) in cx.key().tags() {
        call = call.tags(key, value);
    }
    let made = call.send().await.map(|_| ());
    unless_made(made.map_err(|error| AwsError::new("imagebuilder:CreateComponent", &declared.name, error)))
}

/// Sees to it that the plan's recipe exists on a parent image.
pub async fn recipe(cx: &Cx, plan: &Plan, parent: &str) -> Result<(), StageError> {
    let named = plan.named(parent);
    match cx.aws.imagebuilder.get_image_recipe().image_recipe_arn(&named.recipe).send().await {
        Ok(answer) => {
            let found = answer.image_recipe;
            let components = found.iter().flat_map(|recipe| recipe.components.iter().flatten());
            let same = components
                .map(|c| c.component_arn.as_str())
                .eq(plan.components.iter().map(|c| c.arn.as_str()))
                && found.as_ref().and_then(|recipe| recipe.parent_image.as_deref()) == Some(parent);
            if same {
                return Ok(());
            }
            Err(StageError::Rejected(format!(
                "image recipe {} exists and is not the spec's: someone made it by hand; delete it",
                named.recipe
            )))
        }
        Err(error) => {
            let error = AwsError::new("imagebuilder:GetImageRecipe", &named.recipe, error);
            if error.class != Class::Missing {
                return Err(error.into());
            }
            create_recipe(cx, plan, parent).await
        }
    }
}

async fn create_recipe(cx: &Cx, plan: &Plan, parent: &str) -> Result<(), StageError> {
    let named = plan.named(parent);
    let components = plan.components.iter().map(configuration).collect::<Result<Vec<_>, _>>()?;
    let mut call = cx
        .aws
        .imagebuilder
        .create_image_recipe()
        .name(&named.name)
        .semantic_version(&named.version)
        .description(format!("service {}, from its release spec", plan.service))
        .parent_image(parent)
        .set_components(Some(components))
        .set_block_device_mappings(plan.volume.as_ref().map(|volume| vec![root(volume)]))
        .ami_tags(tag::SERVICE, &plan.service)
        .client_token(cx.key().client_token(&format!("recipe {}", named.version)))
        .tags(tag::SERVICE, &plan.service);
    for (key, value) in cx.key().tags() {
        call = call.tags(key, value);
    }
    let made = call.send().await.map(|_| ());
    unless_made(made.map_err(|error| AwsError::new("imagebuilder:CreateImageRecipe", &named.recipe, error)))
}

fn configuration(component: &Component) -> Result<ComponentConfiguration, StageError> {
    let bug = |error: aws_sdk_imagebuilder::error::BuildError| StageError::Bug(error.to_string());
    let mut configuration = ComponentConfiguration::builder().component_arn(&component.arn);
    for (name, value) in &component.parameters {
        let parameter = ComponentParameter::builder().name(name).value(value).build().map_err(bug)?;
        configuration = configuration.parameters(parameter);
    }
    configuration.build().map_err(bug)
}

fn root(volume: &Volume) -> InstanceBlockDeviceMapping {
    let ebs = EbsInstanceBlockDeviceSpecification::builder()
        .volume_size(i32::try_from(volume.size_gib).unwrap_or(i32::MAX))
        .volume_type(EbsVolumeType::Gp3)
        .encrypted(volume.encrypted)
        .delete_on_termination(true)
        .set_kms_key_id(volume.kms_key.clone())
        .build();
    InstanceBlockDeviceMapping::builder().ebs(ebs).device_name(&volume.device).build()
}

/// Another release may make the same at this moment: the next look finds it.
fn unless_made(answer: Result<(), AwsError>) -> Result<(), StageError> {
    match answer {
        Err(error) if error.class == Class::Conflict => Err(StageError::NotYet(error.to_string())),
        other => Ok(other?),
    }
}
