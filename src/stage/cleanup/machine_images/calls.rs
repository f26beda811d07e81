//! Calls that change a machine image. Each may be repeated: the result is the same.

use std::time::Duration;

use aws_sdk_ec2::types::{
    ImageAttributeName, LaunchPermission, LaunchPermissionModifications, PermissionGroup, Tag,
};
use aws_smithy_types::DateTime;

use super::image::Image;
use super::quarantine::{QuarantineRecord, UndoStep};
use crate::aws::{Aws, AwsError, Class};
use crate::engine::{StageError, Timestamp};

/// The launch permission of everyone.
const EVERYONE: &str = "all";

/// How far in the future a deprecation date must be: EC2 rounds to the minute and refuses past dates.
const DEPRECATION_DELAY: Duration = Duration::from_mins(1);

/// Result of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallResult {
    Done,
    /// EC2 does not know the image.
    NotFound,
}

fn result_of<T>(answer: Result<T, AwsError>) -> Result<CallResult, StageError> {
    match answer {
        Ok(_) => Ok(CallResult::Done),
        Err(error) if error.class == Class::Missing || error.is("InvalidAMIID.Unavailable") => {
            Ok(CallResult::NotFound)
        }
        Err(error) => Err(error.into()),
    }
}

/// Adds tags to an image.
///
/// # Errors
/// As the call.
pub async fn tag<'a>(
    aws: &Aws,
    image: &str,
    tags: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<CallResult, StageError> {
    let tags = tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
    let sent = aws.once.ec2.create_tags().resources(image).set_tags(Some(tags)).send().await;
    result_of(sent.map_err(|e| AwsError::new("ec2:CreateTags", image, e)))
}

/// Deprecates an image now.
///
/// # Errors
/// As the call.
pub async fn deprecate(aws: &Aws, image: &str, now: Timestamp) -> Result<CallResult, StageError> {
    deprecate_at(aws, image, now.plus(DEPRECATION_DELAY)).await
}

async fn deprecate_at(aws: &Aws, image: &str, at: Timestamp) -> Result<CallResult, StageError> {
    let ask = aws.once.ec2.enable_image_deprecation().image_id(image).deprecate_at(DateTime::from_secs(at.0));
    result_of(ask.send().await.map_err(|e| AwsError::new("ec2:EnableImageDeprecation", image, e)))
}

/// Disables an image.
///
/// # Errors
/// As the call.
pub async fn disable(aws: &Aws, image: &str) -> Result<CallResult, StageError> {
    let sent = aws.once.ec2.disable_image().image_id(image).send().await;
    result_of(sent.map_err(|e| AwsError::new("ec2:DisableImage", image, e)))
}

/// Makes the call of one undo step.
///
/// # Errors
/// As the call.
pub async fn undo(aws: &Aws, image: &Image, step: &UndoStep) -> Result<CallResult, StageError> {
    let id = image.id();
    match step {
        UndoStep::Enable => {
            let sent = aws.once.ec2.enable_image().image_id(id).send().await;
            result_of(sent.map_err(|e| AwsError::new("ec2:EnableImage", id, e)))
        }
        UndoStep::SetDeprecation(None) => {
            let sent = aws.once.ec2.disable_image_deprecation().image_id(id).send().await;
            result_of(sent.map_err(|e| AwsError::new("ec2:DisableImageDeprecation", id, e)))
        }
        UndoStep::SetDeprecation(Some(at)) => deprecate_at(aws, id, *at).await,
        UndoStep::Share(with) => {
            let add = with.iter().map(|share| permission(share)).collect();
            let change = LaunchPermissionModifications::builder().set_add(Some(add)).build();
            let sent =
                aws.once.ec2.modify_image_attribute().image_id(id).launch_permission(change).send().await;
            result_of(sent.map_err(|e| AwsError::new("ec2:ModifyImageAttribute", id, e)))
        }
        UndoStep::Protect { with_cooldown } => {
            let ask = aws.once.ec2.enable_image_deregistration_protection().image_id(id);
            let sent = ask.with_cooldown(*with_cooldown).send().await;
            result_of(sent.map_err(|e| AwsError::new("ec2:EnableImageDeregistrationProtection", id, e)))
        }
        UndoStep::RemoveRecord => {
            let of_record = image.tags.keys().filter(|key| QuarantineRecord::is_record_tag(key));
            let tags = of_record.map(|key| Tag::builder().key(key).build()).collect();
            let sent = aws.once.ec2.delete_tags().resources(id).set_tags(Some(tags)).send().await;
            result_of(sent.map_err(|e| AwsError::new("ec2:DeleteTags", id, e)))
        }
    }
}

/// Reads who may launch an image besides its owner: account ids, `all`, ARNs of organizations and organizational
/// units. `None` if EC2 does not know the image.
///
/// # Errors
/// As the call.
pub async fn launch_permissions(aws: &Aws, image: &str) -> Result<Option<Vec<String>>, StageError> {
    let ask =
        aws.ec2.describe_image_attribute().image_id(image).attribute(ImageAttributeName::LaunchPermission);
    let answer = match ask.send().await.map_err(|e| AwsError::new("ec2:DescribeImageAttribute", image, e)) {
        Ok(answer) => answer,
        Err(error) if error.class == Class::Missing => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut shared_with: Vec<String> = answer.launch_permissions().iter().map(share).collect();
    shared_with.sort_unstable();
    Ok(Some(shared_with))
}

/// A permission of an unknown kind counts as shared with everyone, which keeps the image.
fn share(permission: &LaunchPermission) -> String {
    let named =
        permission.user_id().or(permission.organization_arn()).or(permission.organizational_unit_arn());
    named.map_or_else(
        || permission.group().map_or(EVERYONE, PermissionGroup::as_str).to_owned(),
        str::to_owned,
    )
}

fn permission(share: &str) -> LaunchPermission {
    let one = LaunchPermission::builder();
    if share == EVERYONE {
        one.group(PermissionGroup::All).build()
    } else if share.contains(":ou/") {
        one.organizational_unit_arn(share).build()
    } else if share.starts_with("arn:") {
        one.organization_arn(share).build()
    } else {
        one.user_id(share).build()
    }
}
