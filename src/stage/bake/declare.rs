//! Image Builder's side of a recipe: its parent image resolved, its components and itself found or made.

use aws_sdk_imagebuilder::types::{
    ComponentConfiguration, ComponentParameter, ContainerRepositoryService, ContainerType,
    EbsInstanceBlockDeviceSpecification, EbsVolumeType, InstanceBlockDeviceMapping, Platform,
    TargetContainerRepository,
};

use super::recipe::{Component, Declared, Made, Named, Plan};
use super::registry;
use crate::evidence::Stage;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::tag;
use crate::spec::RootVolume;
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
    match plan.made {
        Made::Machine { .. } => Ok(written.to_owned()),
        Made::Container { .. } => held_by_digest(cx, written).await,
    }
}

/// A base image of a container: one in ECR with the digest its tag stands for today, any other as it is written.
async fn held_by_digest(cx: &Cx, written: &str) -> Result<String, StageError> {
    if written.contains('@') {
        return Ok(written.to_owned());
    }
    let digest = registry::digest_of(cx, written).await?;
    Ok(digest.map_or_else(|| written.to_owned(), |digest| format!("{written}@sha256:{digest}")))
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
    for (key, value) in cx.key().tags(Stage::Bake) {
        call = call.tags(key, value);
    }
    let made = call.send().await.map(|_| ());
    unless_made(made.map_err(|error| AwsError::new("imagebuilder:CreateComponent", &declared.name, error)))
}

/// Sees to it that the plan's recipe exists on a parent image.
pub async fn recipe(cx: &Cx, plan: &Plan, parent: &str) -> Result<(), StageError> {
    let named = plan.named(parent);
    let components = plan.components.iter().map(configuration).collect::<Result<Vec<_>, _>>()?;
    let order = Order { cx, plan, parent, components };
    match &plan.made {
        Made::Machine { volume } => {
            let found = cx.aws.imagebuilder.get_image_recipe().image_recipe_arn(&named.recipe).send().await;
            let found = found.map_err(|e| AwsError::new("imagebuilder:GetImageRecipe", &named.recipe, e));
            match unless_missing(found)? {
                None => order.image_recipe(volume.as_ref(), &named).await,
                Some(answer) => {
                    let found = answer.image_recipe;
                    let has_parent =
                        found.as_ref().and_then(|recipe| recipe.parent_image.as_deref()) == Some(parent);
                    let components = found.and_then(|recipe| recipe.components);
                    same(&named.recipe, has_parent && is_of(components, plan))
                }
            }
        }
        Made::Container { dockerfile, repository } => {
            let found =
                cx.aws.imagebuilder.get_container_recipe().container_recipe_arn(&named.recipe).send().await;
            let found = found.map_err(|e| AwsError::new("imagebuilder:GetContainerRecipe", &named.recipe, e));
            match unless_missing(found)? {
                None => order.container_recipe(dockerfile, repository, &named).await,
                Some(answer) => {
                    let found = answer.container_recipe;
                    let template =
                        found.as_ref().and_then(|recipe| recipe.dockerfile_template_data.as_deref());
                    let has_template = template.map(str::trim_end) == Some(dockerfile.trim_end());
                    let components = found.and_then(|recipe| recipe.components);
                    same(&named.recipe, has_template && is_of(components, plan))
                }
            }
        }
    }
}

fn is_of(found: Option<Vec<ComponentConfiguration>>, plan: &Plan) -> bool {
    let found = found.unwrap_or_default();
    found.iter().map(|c| c.component_arn.as_str()).eq(plan.components.iter().map(|c| c.arn.as_str()))
}

fn same(recipe: &str, is_same: bool) -> Result<(), StageError> {
    if is_same {
        return Ok(());
    }
    Err(StageError::Rejected(format!(
        "recipe {recipe} exists and is not the spec's: someone made it by hand; delete it"
    )))
}

fn unless_missing<A>(answer: Result<A, AwsError>) -> Result<Option<A>, StageError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.class == Class::Missing => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A recipe that is to be made.
struct Order<'o> {
    cx: &'o Cx,
    plan: &'o Plan,
    parent: &'o str,
    components: Vec<ComponentConfiguration>,
}

impl Order<'_> {
    fn description(&self) -> String {
        format!("service {}, from its release spec", self.plan.service)
    }

    async fn image_recipe(self, volume: Option<&RootVolume>, named: &Named) -> Result<(), StageError> {
        let Self { cx, plan, parent, .. } = self;
        let mut call = cx
            .aws
            .imagebuilder
            .create_image_recipe()
            .name(&named.name)
            .semantic_version(&named.version)
            .description(self.description())
            .parent_image(parent)
            .set_components(Some(self.components))
            .set_block_device_mappings(volume.map(|volume| vec![root(volume)]))
            .ami_tags(tag::SERVICE, &plan.service)
            .client_token(cx.key().client_token(&format!("recipe {}", named.version)))
            .tags(tag::SERVICE, &plan.service);
        for (key, value) in cx.key().tags(Stage::Bake) {
            call = call.tags(key, value);
        }
        let made = call.send().await.map(|_| ());
        unless_made(
            made.map_err(|error| AwsError::new("imagebuilder:CreateImageRecipe", &named.recipe, error)),
        )
    }

    async fn container_recipe(
        self,
        dockerfile: &str,
        repository: &str,
        named: &Named,
    ) -> Result<(), StageError> {
        let Self { cx, plan, parent, .. } = self;
        let target = TargetContainerRepository::builder()
            .service(ContainerRepositoryService::Ecr)
            .repository_name(repository)
            .build()
            .map_err(bug)?;
        // The service is known to take what FROM takes by tag; by tag and digest it is not known to.
        let mut call = cx
            .aws
            .imagebuilder
            .create_container_recipe()
            .container_type(ContainerType::Docker)
            .name(&named.name)
            .semantic_version(&named.version)
            .description(self.description())
            .parent_image(if parent.starts_with("arn:") { parent } else { &plan.parent_image })
            .dockerfile_template_data(dockerfile)
            .target_repository(target)
            .platform_override(Platform::Linux)
            .client_token(cx.key().client_token(&format!("recipe {}", named.version)))
            .tags(tag::SERVICE, &plan.service);
        if !self.components.is_empty() {
            call = call.set_components(Some(self.components));
        }
        if let Some((_, digest)) = parent.split_once('@') {
            call = call.tags(tag::PARENT_DIGEST, digest);
        }
        for (key, value) in cx.key().tags(Stage::Bake) {
            call = call.tags(key, value);
        }
        let made = call.send().await.map(|_| ());
        unless_made(
            made.map_err(|error| AwsError::new("imagebuilder:CreateContainerRecipe", &named.recipe, error)),
        )
    }
}

fn bug(error: aws_sdk_imagebuilder::error::BuildError) -> StageError {
    StageError::Bug(error.to_string())
}

fn configuration(component: &Component) -> Result<ComponentConfiguration, StageError> {
    let mut configuration = ComponentConfiguration::builder().component_arn(&component.arn);
    for (name, value) in &component.parameters {
        let parameter = ComponentParameter::builder().name(name).value(value).build().map_err(bug)?;
        configuration = configuration.parameters(parameter);
    }
    configuration.build().map_err(bug)
}

fn root(volume: &RootVolume) -> InstanceBlockDeviceMapping {
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
