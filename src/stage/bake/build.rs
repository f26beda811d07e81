//! Image Builder's side of a bake: the build started, looked at, recalled and cancelled.

use std::collections::BTreeMap;

use aws_sdk_imagebuilder::types::{self as wire, Image, ImageScanningConfiguration};

use super::container;
use super::judge::{self, Breakdown, Build, BuiltImage, ComponentBreakdown, RegionBreakdown, Workflow};
use super::recipe::{Made, Plan};
use super::reuse::Earlier;
use crate::evidence::Stage;
use crate::aws::{AwsError, Class};
use crate::engine::key::{ClientToken, tag};
use crate::engine::{Progress, StageError};
use crate::spec::Reuse;
use crate::stage::Cx;

/// Starts the build of this attempt by an image pipeline, or finds it: the same token never starts a second one.
pub async fn start(cx: &Cx, pipeline: &str, service: &str) -> Result<String, StageError> {
    let mut call = cx
        .aws
        .imagebuilder
        .start_image_pipeline_execution()
        .image_pipeline_arn(pipeline)
        .client_token(cx.key().client_token("build"))
        .tags(tag::SERVICE, service);
    for (key, value) in cx.key().tags(Stage::Bake) {
        call = call.tags(key, value);
    }
    let answer = call
        .send()
        .await
        .map_err(|error| AwsError::new("imagebuilder:StartImagePipelineExecution", pipeline, error))?;
    answer
        .image_build_version_arn
        .ok_or_else(|| StageError::NotYet(format!("{pipeline} gave no ARN for its build")))
}

/// Under which client token and tags a build of a recipe is started.
#[derive(Debug)]
pub struct Order {
    pub token: ClientToken,
    pub tags: BTreeMap<String, String>,
    /// Whether the build is to be scanned.
    pub scan: bool,
}

/// Starts a build of a recipe, or finds the one that was started under the same token.
pub async fn start_recipe(cx: &Cx, plan: &Plan, recipe: &str, order: Order) -> Result<String, StageError> {
    let scan = ImageScanningConfiguration::builder().image_scanning_enabled(true).build();
    let call = cx.aws.imagebuilder.create_image();
    let call = match plan.made {
        Made::Machine { .. } => call.image_recipe_arn(recipe),
        Made::Container { .. } => call.container_recipe_arn(recipe),
    };
    let answer = call
        .infrastructure_configuration_arn(&plan.infrastructure)
        .set_distribution_configuration_arn(plan.distribution.clone())
        .set_image_scanning_configuration(order.scan.then_some(scan))
        .client_token(order.token)
        .set_tags(Some(order.tags.into_iter().collect()))
        .send()
        .await
        .map_err(|error| AwsError::new("imagebuilder:CreateImage", recipe, error))?;
    answer
        .image_build_version_arn
        .ok_or_else(|| StageError::NotYet(format!("{recipe} gave no ARN for its build")))
}

/// The build, by the full ARN of its version: a shorter ARN means the latest that is available.
///
/// A build that was just started may not be found at once, which is not a failure.
pub async fn get(cx: &Cx, arn: &str) -> Result<Image, StageError> {
    match cx.aws.imagebuilder.get_image().image_build_version_arn(arn).send().await {
        Ok(answer) => answer
            .image
            .ok_or_else(|| StageError::NotYet(format!("imagebuilder:GetImage of {arn} gave no image"))),
        Err(error) => {
            let error = AwsError::new("imagebuilder:GetImage", arn, error);
            Err(if error.class == Class::Missing {
                StageError::NotYet(error.to_string())
            } else {
                error.into()
            })
        }
    }
}

/// What is judged of a build. An image without an account is the pipeline's own account's.
pub fn read(image: &Image, account: &str) -> Build {
    let state = image.state.as_ref();
    let amis = image.output_resources.iter().flat_map(|out| out.amis.iter().flatten());
    let containers = image.output_resources.iter().flat_map(|out| out.containers.iter().flatten());
    let uris = containers.flat_map(|container| container.image_uris.iter().flatten());
    Build {
        status: state.and_then(|s| s.status.as_ref()).map(|s| s.as_str().to_owned()).unwrap_or_default(),
        reason: state.and_then(|s| s.reason.clone()),
        breakdown: state.and_then(|s| s.failure_context.as_ref()).map(breakdown),
        containers: container::built(uris.map(String::as_str)),
        images: amis
            .filter_map(|ami| {
                Some(BuiltImage {
                    region: ami.region.clone()?,
                    account: ami.account_id.clone().unwrap_or_else(|| account.to_owned()),
                    id: ami.image.clone()?,
                })
            })
            .collect(),
    }
}

fn breakdown(context: &wire::ImageFailureContext) -> Breakdown {
    let distribution = context.distribution_failure.as_ref();
    Breakdown {
        workflow: context.workflow_arn.clone(),
        step: context.failed_step.clone(),
        component: context.component_failure.as_ref().map(|failure| ComponentBreakdown {
            component: failure.component_arn.clone(),
            phase: failure.phase_name.clone(),
            step: failure.step_name.clone(),
            action: failure.action.clone(),
            message: failure.error_message.clone(),
        }),
        distribution: distribution.and_then(|failure| failure.error_message.clone()),
        regions: distribution
            .iter()
            .flat_map(|failure| failure.region_failures.iter().flatten())
            .map(|failure| RegionBreakdown {
                region: failure.region.clone(),
                account: failure.target_account_id.clone(),
                status: failure.status.as_ref().map(|status| status.as_str().to_owned()),
                step: failure.image_configuration_step.as_ref().map(|step| step.as_str().to_owned()),
                message: failure.error_message.clone(),
            })
            .collect(),
    }
}

/// How far the build has come, and a mark that changes whenever it moves. Its workflows are shown when they can be
/// read; a build does not fail for want of something to show.
pub async fn progress(cx: &Cx, arn: &str, status: &str) -> (Progress, u32) {
    let workflows = workflows(cx, arn).await.unwrap_or_default();
    let step = match judge::running(&workflows) {
        Some(workflow) => running_step(cx, &workflow.id).await,
        None => None,
    };
    let (percent, summary) = judge::progress(status, &workflows, step.as_deref());
    let mark = judge::mark(status, &workflows, step.as_deref());
    (Progress { percent, summary, external_id: Some(arn.to_owned()) }, mark)
}

async fn workflows(cx: &Cx, arn: &str) -> Option<Vec<Workflow>> {
    let call = cx.aws.imagebuilder.list_workflow_executions().image_build_version_arn(arn);
    let pages = call.into_paginator().items().send().try_collect().await;
    let read = |workflow: wire::WorkflowExecutionMetadata| Workflow {
        id: workflow.workflow_execution_id.unwrap_or_default(),
        kind: workflow.r#type.map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        status: workflow.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
        total: workflow.total_step_count,
        succeeded: workflow.total_steps_succeeded,
        skipped: workflow.total_steps_skipped,
    };
    match pages {
        Ok(all) => Some(all.into_iter().map(read).collect()),
        Err(error) => {
            tracing::debug!(error = %AwsError::new("imagebuilder:ListWorkflowExecutions", arn, error), "no progress to show");
            None
        }
    }
}

async fn running_step(cx: &Cx, workflow: &str) -> Option<String> {
    let call = cx.aws.imagebuilder.list_workflow_step_executions().workflow_execution_id(workflow);
    let steps = call.into_paginator().items().send().try_collect().await.ok()?;
    let running = |step: &wire::WorkflowStepMetadata| {
        step.status.as_ref().is_some_and(|status| status.as_str() == "RUNNING")
    };
    steps.into_iter().find(running)?.name
}

/// The build that an earlier step of this attempt started by an image pipeline, found by its tags.
pub async fn recall(cx: &Cx, pipeline: &str) -> Result<Option<String>, AwsError> {
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
pub async fn recall_recipe(cx: &Cx, image: &str, key: &str, value: &str) -> Result<Option<String>, AwsError> {
    let tagged = |image: &wire::ImageSummary| {
        image.tags.as_ref().and_then(|tags| tags.get(key)).is_some_and(|found| found == value)
    };
    let mut all: Vec<_> = versions(cx, image).await?.into_iter().filter(tagged).collect();
    all.sort_by(|a, b| b.date_created.cmp(&a.date_created));
    Ok(all.into_iter().next().and_then(|image| image.arn))
}

/// Builds of the plan's recipe on `parent`, or on any parent if a newer one alone bakes nothing.
pub async fn earlier(cx: &Cx, plan: &Plan, parent: &str) -> Result<Vec<Earlier>, AwsError> {
    let named = plan.named(parent);
    let mut images = vec![named.image.clone()];
    if plan.reuse == Reuse::UnchangedExceptParent {
        images.extend(other_parents(cx, plan, &named.image).await?);
    }
    let mut builds = Vec::new();
    for image in images {
        builds.extend(versions(cx, &image).await?.into_iter().filter_map(|build| {
            Some(Earlier {
                arn: build.arn?,
                status: build.state.and_then(|state| state.status).map(|s| s.as_str().to_owned())?,
                created: build.date_created.unwrap_or_default(),
                key: build.tags.and_then(|mut tags| tags.remove(tag::BAKE_KEY)),
            })
        }));
    }
    Ok(builds)
}

async fn other_parents(cx: &Cx, plan: &Plan, but: &str) -> Result<Vec<String>, AwsError> {
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

/// Runs a build on, in place, from where its distribution failed. The token of each try is its own.
pub async fn retry(cx: &Cx, arn: &str, tries: u8) -> Result<(), StageError> {
    let token = cx.key().client_token(&format!("retry {arn} {tries}"));
    let answer =
        cx.aws.imagebuilder.retry_image().image_build_version_arn(arn).client_token(token).send().await;
    answer.map_err(|error| AwsError::new("imagebuilder:RetryImage", arn, error))?;
    Ok(())
}

/// The build that an earlier step of this attempt started, whatever it is of. `of_recipe`: it is known to be of a recipe,
/// so that no image pipeline need be asked. A build that several releases may share carries no mark of this attempt and is left to the others.
pub async fn recall_from_any(cx: &Cx, of_recipe: bool) -> Result<Option<String>, AwsError> {
    if of_recipe {
        return recall_from_any_recipe(cx).await;
    }
    let mut pipelines = cx.aws.imagebuilder.list_image_pipelines().into_paginator().items().send();
    while let Some(pipeline) = pipelines.next().await {
        let pipeline = pipeline
            .map_err(|error| AwsError::new("imagebuilder:ListImagePipelines", "this account", error))?;
        let Some(arn) = pipeline.arn else { continue };
        if let Some(found) = recall(cx, &arn).await? {
            return Ok(Some(found));
        }
    }
    // What an action bakes is not known either if its first slice was not heard of.
    recall_from_any_recipe(cx).await
}

async fn recall_from_any_recipe(cx: &Cx) -> Result<Option<String>, AwsError> {
    let images = cx.aws.imagebuilder.list_images().owner(wire::Ownership::SelfValue);
    let mut images = images.into_paginator().items().send();
    while let Some(image) = images.next().await {
        let image = image.map_err(|error| AwsError::new("imagebuilder:ListImages", "this account", error))?;
        let Some(arn) = image.arn else { continue };
        let found = recall_recipe(cx, &arn, tag::ATTEMPT, &cx.key().attempt_id).await?;
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}

/// Asks for the build to be cancelled. A refusal most likely means that it has just ended, which the next look shows.
pub async fn cancel(cx: &Cx, arn: &str) -> Result<(), StageError> {
    let token = cx.key().client_token("cancel");
    let answer = cx
        .aws
        .imagebuilder
        .cancel_image_creation()
        .image_build_version_arn(arn)
        .client_token(token)
        .send()
        .await;
    let Err(error) = answer else { return Ok(()) };
    let error = AwsError::new("imagebuilder:CancelImageCreation", arn, error);
    match error.class {
        Class::Denied => Err(error.into()),
        Class::Transient
        | Class::Throttled
        | Class::ExpiredCredentials
        | Class::Missing
        | Class::Conflict
        | Class::Invalid
        | Class::Other => Err(StageError::NotYet(error.to_string())),
    }
}
