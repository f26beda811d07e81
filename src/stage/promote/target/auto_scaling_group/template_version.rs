//! The launch template version with the new image: found, or created.

use std::time::Duration;

use aws_sdk_ec2::types::{LaunchTemplateVersion, RequestLaunchTemplateData};

use super::created_versions::FIRST;
use super::error::GroupError;
use super::rollout::{Plan, Rollout};
use crate::aws::{Aws, AwsError};
use crate::engine::{Progress, StageError};
use crate::stage::aws_view::launch_templates::{self, Mark, image};
use crate::stage::context::Cx;
use crate::stage::promote::inputs::Inputs;
use crate::stage::promote::target::Advance;

/// Creates the template version of a plan, or finds it created. The state `of` it waits first, so that CodePipeline has
/// the token before production is changed: any worker can then undo an action that is abandoned.
///
/// # Errors
/// A call failed; [`ViewError::OtherImage`](crate::stage::aws_view::ViewError::OtherImage) when the version launches another image.
pub async fn advance<D>(
    plan: Plan,
    of: impl FnOnce(Rollout) -> D,
    inputs: &Inputs,
    cx: &Cx,
) -> Result<Advance<D>, StageError> {
    let new = inputs.subject.machine_image()?.image_id.as_str();
    let token = cx.key().client_token(FIRST);
    let found = launch_templates::ours(&cx.aws, &plan.template, &token, new).await?;
    let to = if let Some((to, _)) = found {
        to
    } else {
        let mark = Mark { token: token.into(), from: plan.from, old: plan.old.clone() };
        create(&cx.aws, &plan.template, &mark, new).await?
    };
    let summary = format!("version {to} of {} is created; production is unchanged", plan.template);
    let progress = Progress { percent: 1, summary, external_id: None };
    Ok(Advance::Wait(of(Rollout::new(plan, to)), Duration::ZERO, progress))
}

/// Creates a version: the replaced one with another image, under `mark`.
///
/// # Errors
/// `CreateLaunchTemplateVersion` failed; [`GroupError::CreatedOtherImage`] when the version launches another image.
pub async fn create(aws: &Aws, template: &str, mark: &Mark, new: &str) -> Result<i64, StageError> {
    let answer = aws
        .ec2
        .create_launch_template_version()
        .launch_template_id(template)
        .source_version(mark.from.to_string())
        .client_token(&mark.token)
        .version_description(mark.to_string())
        .launch_template_data(RequestLaunchTemplateData::builder().image_id(new).build())
        .send()
        .await
        .map_err(|e| AwsError::new("ec2:CreateLaunchTemplateVersion", template, e))?;
    let created = answer.launch_template_version();
    let launches = created.and_then(image);
    match (created.and_then(LaunchTemplateVersion::version_number), launches) {
        (Some(number), Some(image)) if image == new => Ok(number),
        (version, found) => {
            let (template, expected) = (template.to_owned(), new.to_owned());
            Err(GroupError::CreatedOtherImage { template, version, found, expected }.into())
        }
    }
}
