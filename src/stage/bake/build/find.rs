//! Finds builds in Image Builder: the one that this attempt started, and earlier ones to reuse.

use aws_sdk_imagebuilder::types as wire;

use super::super::recipe::plan::RecipePlan;
use super::reuse::EarlierBuild;
use crate::aws::AwsError;
use crate::engine::key::tag;
use crate::spec::Reuse;
use crate::stage::Cx;

/// The build of an image pipeline that this attempt started, found by its tags.
pub async fn pipeline_build(cx: &Cx, pipeline: &str) -> Result<Option<String>, AwsError> {
    let call = cx.aws.imagebuilder.list_image_pipeline_images().image_pipeline_arn(pipeline);
    let all = call
        .into_paginator()
        .items()
        .send()
        .try_collect()
        .await
        .map_err(|error| AwsError::new("imagebuilder:ListImagePipelineImages", pipeline, error))?;
    let ours = |image: &wire::ImageSummary| {
        let of = image.tags.as_ref().and_then(|tags| tags.get(tag::ATTEMPT));
        of == Some(&cx.key().attempt_id)
    };
    Ok(all.into_iter().find(ours).and_then(|image| image.arn))
}

/// The build of the image version `image` that carries the tag `key` with `value`.
pub async fn recipe_build(cx: &Cx, image: &str, key: &str, value: &str) -> Result<Option<String>, AwsError> {
    let tagged = |image: &wire::ImageSummary| {
        image.tags.as_ref().and_then(|tags| tags.get(key)).is_some_and(|found| found == value)
    };
    let mut all: Vec<_> = versions(cx, image).await?.into_iter().filter(tagged).collect();
    all.sort_by(|a, b| b.date_created.cmp(&a.date_created));
    Ok(all.into_iter().next().and_then(|image| image.arn))
}

/// The build that this attempt started, without the spec: of any image pipeline, or of any recipe. With `of_recipe`, only
/// recipes are searched. A build that several releases may share has no tag of this attempt; the others keep it.
pub async fn any_build(cx: &Cx, of_recipe: bool) -> Result<Option<String>, AwsError> {
    if of_recipe {
        return any_recipe_build(cx).await;
    }
    let mut pipelines = cx.aws.imagebuilder.list_image_pipelines().into_paginator().items().send();
    while let Some(pipeline) = pipelines.next().await {
        let pipeline = pipeline
            .map_err(|error| AwsError::new("imagebuilder:ListImagePipelines", "this account", error))?;
        let Some(arn) = pipeline.arn else { continue };
        if let Some(found) = pipeline_build(cx, &arn).await? {
            return Ok(Some(found));
        }
    }
    // If the first slice of an action was lost, nobody knows whether it built a pipeline or a recipe.
    any_recipe_build(cx).await
}

async fn any_recipe_build(cx: &Cx) -> Result<Option<String>, AwsError> {
    let images = cx.aws.imagebuilder.list_images().owner(wire::Ownership::SelfValue);
    let mut images = images.into_paginator().items().send();
    while let Some(image) = images.next().await {
        let image = image.map_err(|error| AwsError::new("imagebuilder:ListImages", "this account", error))?;
        let Some(arn) = image.arn else { continue };
        let found = recipe_build(cx, &arn, tag::ATTEMPT, &cx.key().attempt_id).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Builds of the recipe on `parent`; also on other parents if `reuse` ignores the parent.
pub async fn earlier_builds(cx: &Cx, plan: &RecipePlan, parent: &str) -> Result<Vec<EarlierBuild>, AwsError> {
    let version = plan.version_on(parent);
    let mut images = vec![version.image_arn.clone()];
    if plan.reuse == Reuse::UnchangedExceptParent {
        images.extend(other_parents(cx, plan, &version.image_arn).await?);
    }
    let mut builds = Vec::new();
    for image in images {
        builds.extend(versions(cx, &image).await?.into_iter().filter_map(|build| {
            Some(EarlierBuild {
                arn: build.arn?,
                status: build.state.and_then(|state| state.status).map(|s| s.as_str().to_owned())?,
                created: build.date_created.unwrap_or_default(),
                key: build.tags.and_then(|mut tags| tags.remove(tag::BAKE_KEY)),
            })
        }));
    }
    Ok(builds)
}

async fn other_parents(cx: &Cx, plan: &RecipePlan, but: &str) -> Result<Vec<String>, AwsError> {
    let call = cx.aws.imagebuilder.list_images().owner(wire::Ownership::SelfValue);
    let of_name = wire::Filter::builder().name("name").values(&plan.service).build();
    let all = call.filters(of_name).into_paginator().items().send().try_collect().await;
    let all = all.map_err(|error| AwsError::new("imagebuilder:ListImages", &plan.service, error))?;
    let same = |image: &wire::ImageVersion| {
        image.version.as_deref().is_some_and(|version| plan.is_version(version))
            && image.arn.as_deref() != Some(but)
    };
    Ok(all.into_iter().filter(same).filter_map(|image| image.arn).collect())
}

async fn versions(cx: &Cx, image: &str) -> Result<Vec<wire::ImageSummary>, AwsError> {
    let call = cx.aws.imagebuilder.list_image_build_versions().image_version_arn(image);
    let all = call.into_paginator().items().send().try_collect().await;
    all.map_err(|error| AwsError::new("imagebuilder:ListImageBuildVersions", image, error))
}
