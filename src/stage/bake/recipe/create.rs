//! Creates the components and the recipe in Image Builder, unless they exist, and resolves the parent image.

use aws_sdk_imagebuilder::types::{
    ComponentConfiguration, ComponentParameter, ContainerRepositoryService, ContainerType,
    EbsInstanceBlockDeviceSpecification, EbsVolumeType, InstanceBlockDeviceMapping, Platform,
    TargetContainerRepository,
};

use super::super::images::registry;
use super::error::RecipeError;
use super::plan::{Component, RecipeKind, RecipePlan};
use super::version::{ComponentDocument, RecipeVersion};
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::tag;
use crate::evidence::Stage;
use crate::spec::RootVolume;
use crate::stage::Cx;

/// Resolves the parent image to a name that does not change its meaning: an AMI id, an exact version or a digest.
pub async fn resolve_parent(cx: &Cx, plan: &RecipePlan) -> Result<String, StageError> {
    let written = plan.parent_image.as_str();
    if let Some(name) = written.strip_prefix("ssm:") {
        return parameter(cx, name).await;
    }
    if written.starts_with("arn:") {
        return version(cx, written, &plan.scope.region).await;
    }
    match plan.kind {
        RecipeKind::MachineImage { .. } => Ok(written.to_owned()),
        RecipeKind::ContainerImage { .. } => with_digest(cx, written).await,
    }
}

/// The parent image of a container: in ECR with the digest that its tag names now, elsewhere as the spec has it.
async fn with_digest(cx: &Cx, written: &str) -> Result<String, StageError> {
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
    Err(RecipeError::ParentParameter { name: name.to_owned(), value }.into())
}

/// The newest image of an ARN with `x` in its version: its AMI in this region, or its exact version if it has none here.
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
    here.or_else(exact).ok_or_else(|| RecipeError::NoParentVersion { arn: arn.to_owned() }.into())
}

/// Creates a component unless it exists. An existing one must have the content that its version is derived from.
pub async fn ensure_component(cx: &Cx, plan: &RecipePlan, component: &Component) -> Result<(), StageError> {
    let Some(document) = &component.document else { return Ok(()) };
    if let Some(data) = content(cx, &component.arn).await? {
        if data.trim_end() == document.data.trim_end() {
            return Ok(());
        }
        return Err(RecipeError::ComponentDiffers {
            arn: component.arn.clone(),
            path: document.path.clone(),
        }
        .into());
    }
    create_component(cx, plan, document).await
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

async fn create_component(
    cx: &Cx,
    plan: &RecipePlan,
    document: &ComponentDocument,
) -> Result<(), StageError> {
    let token = cx.key().client_token(&format!("component {} {}", document.name, document.version));
    let mut call = cx
        .aws
        .imagebuilder
        .create_component()
        .name(&document.name)
        .semantic_version(&document.version)
        .description(format!("{} of service {}", document.path, plan.service))
        .platform(Platform::Linux)
        .data(&document.data)
        .client_token(token)
        .tags(tag::SERVICE, &plan.service);
    for (key, value) in cx.key().tags(Stage::Bake) {
        call = call.tags(key, value);
    }
    let created = call.send().await.map(|_| ());
    unless_exists(
        created.map_err(|error| AwsError::new("imagebuilder:CreateComponent", &document.name, error)),
    )
}

/// Creates the recipe on a parent image unless it exists. An existing one must have the content that its version is
/// derived from.
pub async fn ensure_recipe(cx: &Cx, plan: &RecipePlan, parent: &str) -> Result<(), StageError> {
    let version = plan.version_on(parent);
    let components = plan.components.iter().map(configuration).collect::<Result<Vec<_>, _>>()?;
    let new_recipe = NewRecipe { cx, plan, parent, components };
    match &plan.kind {
        RecipeKind::MachineImage { volume } => {
            let found =
                cx.aws.imagebuilder.get_image_recipe().image_recipe_arn(&version.recipe_arn).send().await;
            let found =
                found.map_err(|e| AwsError::new("imagebuilder:GetImageRecipe", &version.recipe_arn, e));
            match none_if_missing(found)? {
                None => new_recipe.image_recipe(volume.as_ref(), &version).await,
                Some(answer) => {
                    let found = answer.image_recipe;
                    let has_parent =
                        found.as_ref().and_then(|recipe| recipe.parent_image.as_deref()) == Some(parent);
                    let components = found.and_then(|recipe| recipe.components);
                    check_same(&version.recipe_arn, has_parent && has_components(components, plan))
                }
            }
        }
        RecipeKind::ContainerImage { dockerfile, repository } => {
            let found = cx
                .aws
                .imagebuilder
                .get_container_recipe()
                .container_recipe_arn(&version.recipe_arn)
                .send()
                .await;
            let found =
                found.map_err(|e| AwsError::new("imagebuilder:GetContainerRecipe", &version.recipe_arn, e));
            match none_if_missing(found)? {
                None => new_recipe.container_recipe(dockerfile, repository, &version).await,
                Some(answer) => {
                    let found = answer.container_recipe;
                    let template =
                        found.as_ref().and_then(|recipe| recipe.dockerfile_template_data.as_deref());
                    let has_template = template.map(str::trim_end) == Some(dockerfile.trim_end());
                    let components = found.and_then(|recipe| recipe.components);
                    check_same(&version.recipe_arn, has_template && has_components(components, plan))
                }
            }
        }
    }
}

fn has_components(found: Option<Vec<ComponentConfiguration>>, plan: &RecipePlan) -> bool {
    let found = found.unwrap_or_default();
    found.iter().map(|c| c.component_arn.as_str()).eq(plan.components.iter().map(|c| c.arn.as_str()))
}

fn check_same(recipe: &str, is_same: bool) -> Result<(), StageError> {
    if is_same {
        return Ok(());
    }
    Err(RecipeError::RecipeDiffers { arn: recipe.to_owned() }.into())
}

fn none_if_missing<A>(answer: Result<A, AwsError>) -> Result<Option<A>, StageError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.class == Class::Missing => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A recipe to create.
struct NewRecipe<'o> {
    cx: &'o Cx,
    plan: &'o RecipePlan,
    parent: &'o str,
    components: Vec<ComponentConfiguration>,
}

impl NewRecipe<'_> {
    fn description(&self) -> String {
        format!("service {}, from its release spec", self.plan.service)
    }

    async fn image_recipe(
        self,
        volume: Option<&RootVolume>,
        version: &RecipeVersion,
    ) -> Result<(), StageError> {
        let Self { cx, plan, parent, .. } = self;
        let mut call = cx
            .aws
            .imagebuilder
            .create_image_recipe()
            .name(&version.name)
            .semantic_version(&version.version)
            .description(self.description())
            .parent_image(parent)
            .set_components(Some(self.components))
            .set_block_device_mappings(volume.map(|volume| vec![root(volume)]))
            .ami_tags(tag::SERVICE, &plan.service)
            .client_token(cx.key().client_token(&format!("recipe {}", version.version)))
            .tags(tag::SERVICE, &plan.service);
        for (key, value) in cx.key().tags(Stage::Bake) {
            call = call.tags(key, value);
        }
        let created = call.send().await.map(|_| ());
        unless_exists(
            created
                .map_err(|error| AwsError::new("imagebuilder:CreateImageRecipe", &version.recipe_arn, error)),
        )
    }

    async fn container_recipe(
        self,
        dockerfile: &str,
        repository: &str,
        version: &RecipeVersion,
    ) -> Result<(), StageError> {
        let Self { cx, plan, parent, .. } = self;
        let target = TargetContainerRepository::builder()
            .service(ContainerRepositoryService::Ecr)
            .repository_name(repository)
            .build()
            .map_err(bug)?;
        // Image Builder takes the parent image with a tag. It is not documented to take one with tag and digest.
        let mut call = cx
            .aws
            .imagebuilder
            .create_container_recipe()
            .container_type(ContainerType::Docker)
            .name(&version.name)
            .semantic_version(&version.version)
            .description(self.description())
            .parent_image(if parent.starts_with("arn:") { parent } else { &plan.parent_image })
            .dockerfile_template_data(dockerfile)
            .target_repository(target)
            .platform_override(Platform::Linux)
            .client_token(cx.key().client_token(&format!("recipe {}", version.version)))
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
        let created = call.send().await.map(|_| ());
        unless_exists(
            created.map_err(|error| {
                AwsError::new("imagebuilder:CreateContainerRecipe", &version.recipe_arn, error)
            }),
        )
    }
}

fn bug(error: aws_sdk_imagebuilder::error::BuildError) -> StageError {
    StageError::bug(error)
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

/// A conflict means that another release creates the same resource now: the next slice finds it.
fn unless_exists(answer: Result<(), AwsError>) -> Result<(), StageError> {
    match answer {
        Err(error) if error.class == Class::Conflict => Err(StageError::RetryLater(error)),
        other => Ok(other?),
    }
}
