//! Image Builder's calls for a build: start, describe, retry and cancel.

use std::collections::BTreeMap;

use aws_sdk_imagebuilder::types::{self as wire, Image, ImageScanningConfiguration};

use super::super::error::BakeError;
use super::super::images::availability::BuiltImage;
use super::super::images::container;
use super::super::recipe::plan::{RecipeKind, RecipePlan};
use super::status::{self, Build, BuildFailure, ComponentFailure, RegionFailure, Workflow};
use crate::aws::{AwsError, Class};
use crate::engine::key::{ClientToken, tag};
use crate::engine::{Progress, StageError};
use crate::evidence::Stage;
use crate::stage::Cx;

/// Starts a build of an image pipeline, or finds the one of this attempt: the client token starts one build only.
pub async fn start_pipeline(cx: &Cx, pipeline: &str, service: &str) -> Result<String, StageError> {
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
    answer.image_build_version_arn.ok_or_else(|| no_arn("imagebuilder:StartImagePipelineExecution", pipeline))
}

fn no_arn(operation: &'static str, target: &str) -> StageError {
    BakeError::IncompleteResponse { operation, target: target.to_owned(), member: "ARN of a build" }.into()
}

/// What a build of a recipe is started with.
#[derive(Debug)]
pub struct BuildRequest {
    pub token: ClientToken,
    pub tags: BTreeMap<String, String>,
    /// Whether Image Builder scans the image.
    pub scan: bool,
}

/// Starts a build of a recipe, or finds the one that was started with the same client token.
pub async fn start_recipe(
    cx: &Cx,
    plan: &RecipePlan,
    recipe: &str,
    request: BuildRequest,
) -> Result<String, StageError> {
    let scan = ImageScanningConfiguration::builder().image_scanning_enabled(true).build();
    let call = cx.aws.imagebuilder.create_image();
    let call = match plan.kind {
        RecipeKind::MachineImage { .. } => call.image_recipe_arn(recipe),
        RecipeKind::ContainerImage { .. } => call.container_recipe_arn(recipe),
    };
    let answer = call
        .infrastructure_configuration_arn(&plan.infrastructure)
        .set_distribution_configuration_arn(plan.distribution.clone())
        .set_image_scanning_configuration(request.scan.then_some(scan))
        .client_token(request.token)
        .set_tags(Some(request.tags.into_iter().collect()))
        .send()
        .await
        .map_err(|error| AwsError::new("imagebuilder:CreateImage", recipe, error))?;
    answer.image_build_version_arn.ok_or_else(|| no_arn("imagebuilder:CreateImage", recipe))
}

/// Describes a build by the full ARN of its version. Image Builder reads a shorter ARN as the latest available version.
///
/// A build that has just started may not be found yet; the error is then transient.
pub async fn get(cx: &Cx, arn: &str) -> Result<Image, StageError> {
    match cx.aws.imagebuilder.get_image().image_build_version_arn(arn).send().await {
        Ok(answer) => answer.image.ok_or_else(|| {
            let (operation, target) = ("imagebuilder:GetImage", arn.to_owned());
            BakeError::IncompleteResponse { operation, target, member: "image" }.into()
        }),
        Err(error) => {
            let error = AwsError::new("imagebuilder:GetImage", arn, error);
            Err(if error.class == Class::Missing { StageError::RetryLater(error) } else { error.into() })
        }
    }
}

/// The status, the failure and the images of a build. Image Builder leaves out the account of an image in the build's
/// own account.
pub fn read(image: &Image, account: &str) -> Build {
    let state = image.state.as_ref();
    let amis = image.output_resources.iter().flat_map(|out| out.amis.iter().flatten());
    let containers = image.output_resources.iter().flat_map(|out| out.containers.iter().flatten());
    let uris = containers.flat_map(|container| container.image_uris.iter().flatten());
    Build {
        status: state.and_then(|s| s.status.as_ref()).map(|s| s.as_str().to_owned()).unwrap_or_default(),
        reason: state.and_then(|s| s.reason.clone()),
        failure: state.and_then(|s| s.failure_context.as_ref()).map(failure),
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

fn failure(context: &wire::ImageFailureContext) -> BuildFailure {
    let distribution = context.distribution_failure.as_ref();
    BuildFailure {
        workflow: context.workflow_arn.clone(),
        step: context.failed_step.clone(),
        component: context.component_failure.as_ref().map(|failure| ComponentFailure {
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
            .map(|failure| RegionFailure {
                region: failure.region.clone(),
                account: failure.target_account_id.clone(),
                status: failure.status.as_ref().map(|status| status.as_str().to_owned()),
                step: failure.image_configuration_step.as_ref().map(|step| step.as_str().to_owned()),
                message: failure.error_message.clone(),
            })
            .collect(),
    }
}

/// The progress of a build, and a fingerprint that changes with the progress. A build does not fail because its
/// workflows cannot be read.
pub async fn progress(cx: &Cx, arn: &str, status: &str) -> (Progress, u32) {
    let workflows = workflows(cx, arn).await.unwrap_or_default();
    let step = match status::running(&workflows) {
        Some(workflow) => running_step(cx, &workflow.id).await,
        None => None,
    };
    let (percent, summary) = status::progress(status, &workflows, step.as_deref());
    let fingerprint = status::fingerprint(status, &workflows, step.as_deref());
    (Progress { percent, summary, external_id: Some(arn.to_owned()) }, fingerprint)
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
            tracing::debug!(error = %AwsError::new("imagebuilder:ListWorkflowExecutions", arn, error), "the workflows of the build cannot be read");
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

/// Retries the failed distribution of a build. Each retry has a client token of its own.
pub async fn retry(cx: &Cx, arn: &str, retry: u8) -> Result<(), StageError> {
    let token = cx.key().client_token(&format!("retry {arn} {retry}"));
    let answer =
        cx.aws.imagebuilder.retry_image().image_build_version_arn(arn).client_token(token).send().await;
    answer.map_err(|error| AwsError::new("imagebuilder:RetryImage", arn, error))?;
    Ok(())
}

/// Requests the cancellation of a build. An error most likely means that the build has just ended; the next poll shows it.
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
        | Class::Other => Err(StageError::RetryLater(error)),
    }
}
