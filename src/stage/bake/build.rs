//! Image Builder's side of a bake: the build started, looked at, recalled and cancelled.

use aws_sdk_imagebuilder::types::{self as wire, Image};

use super::judge::{self, Breakdown, Build, BuiltImage, ComponentBreakdown, RegionBreakdown, Workflow};
use crate::aws::{AwsError, Class};
use crate::engine::key::tag;
use crate::engine::{Progress, StageError};
use crate::stage::Cx;

/// Starts the build of this attempt, or finds it: the same token never starts a second one.
pub async fn start(cx: &Cx, pipeline: &str, service: &str) -> Result<String, StageError> {
    let mut call = cx
        .aws
        .imagebuilder
        .start_image_pipeline_execution()
        .image_pipeline_arn(pipeline)
        .client_token(cx.key().client_token("build"))
        .tags(tag::SERVICE, service);
    for (key, value) in cx.key().tags() {
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
    Build {
        status: state.and_then(|s| s.status.as_ref()).map(|s| s.as_str().to_owned()).unwrap_or_default(),
        reason: state.and_then(|s| s.reason.clone()),
        breakdown: state.and_then(|s| s.failure_context.as_ref()).map(breakdown),
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

/// How far the build has come. Its workflows are shown when they can be read; a build does not fail for want of
/// something to show.
pub async fn progress(cx: &Cx, arn: &str, status: &str) -> Progress {
    let workflows = workflows(cx, arn).await.unwrap_or_default();
    let step = match judge::running(&workflows) {
        Some(workflow) => running_step(cx, &workflow.id).await,
        None => None,
    };
    let (percent, summary) = judge::progress(status, &workflows, step.as_deref());
    Progress { percent, summary, external_id: Some(arn.to_owned()) }
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

/// The build that an earlier step of this attempt started, found by its tags.
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
        let of = image.tags.as_ref().and_then(|tags| tags.get(tag::ACTION_EXECUTION));
        of == Some(&cx.key().action_execution)
    };
    Ok(all.into_iter().find(ours).and_then(|image| image.arn))
}

/// The build that an earlier step of this attempt started, whatever image pipeline it is of.
pub async fn recall_from_any(cx: &Cx) -> Result<Option<String>, AwsError> {
    let mut pipelines = cx.aws.imagebuilder.list_image_pipelines().into_paginator().items().send();
    while let Some(pipeline) = pipelines.next().await {
        let pipeline = pipeline
            .map_err(|error| AwsError::new("imagebuilder:ListImagePipelines", "this account", error))?;
        let Some(arn) = pipeline.arn else { continue };
        if let Some(found) = recall(cx, &arn).await? {
            return Ok(Some(found));
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
