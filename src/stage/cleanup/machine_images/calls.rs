//! The calls that change an image, one each. Each is the same call however often it is sent.

use std::time::Duration;

use aws_sdk_ec2::types::{
    ImageAttributeName, LaunchPermission, LaunchPermissionModifications, PermissionGroup, Tag,
};
use aws_smithy_types::DateTime;

use super::image::Image;
use super::quarantine::{Back, Mark};
use crate::aws::{Aws, AwsError, Class};
use crate::engine::{StageError, Timestamp};

/// The share of an image that everyone may launch.
const EVERYONE: &str = "all";

/// How far ahead a deprecation is set: EC2 rounds to the minute and takes no date in the past.
const AHEAD: Duration = Duration::from_mins(1);

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acted {
    Done,
    /// There is no such image any more.
    Gone,
}

fn settled<T>(answer: Result<T, AwsError>) -> Result<Acted, StageError> {
    match answer {
        Ok(_) => Ok(Acted::Done),
        Err(error) if error.class == Class::Missing || error.is("InvalidAMIID.Unavailable") => {
            Ok(Acted::Gone)
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes tags onto an image.
///
/// # Errors
/// As the call.
pub async fn tag<'a>(
    aws: &Aws,
    image: &str,
    tags: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<Acted, StageError> {
    let tags = tags.into_iter().map(|(key, value)| Tag::builder().key(key).value(value).build()).collect();
    let sent = aws.once.ec2.create_tags().resources(image).set_tags(Some(tags)).send().await;
    settled(sent.map_err(|e| AwsError::new("ec2:CreateTags", image, e)))
}

/// Deprecates an image as of now.
///
/// # Errors
/// As the call.
pub async fn deprecate(aws: &Aws, image: &str, now: Timestamp) -> Result<Acted, StageError> {
    deprecate_at(aws, image, now.plus(AHEAD)).await
}

async fn deprecate_at(aws: &Aws, image: &str, at: Timestamp) -> Result<Acted, StageError> {
    let ask = aws.once.ec2.enable_image_deprecation().image_id(image).deprecate_at(DateTime::from_secs(at.0));
    settled(ask.send().await.map_err(|e| AwsError::new("ec2:EnableImageDeprecation", image, e)))
}

/// Disables an image.
///
/// # Errors
/// As the call.
pub async fn disable(aws: &Aws, image: &str) -> Result<Acted, StageError> {
    let sent = aws.once.ec2.disable_image().image_id(image).send().await;
    settled(sent.map_err(|e| AwsError::new("ec2:DisableImage", image, e)))
}

/// Takes one step back.
///
/// # Errors
/// As the call.
pub async fn back(aws: &Aws, image: &Image, back: &Back) -> Result<Acted, StageError> {
    let id = image.id();
    match back {
        Back::Enable => {
            let sent = aws.once.ec2.enable_image().image_id(id).send().await;
            settled(sent.map_err(|e| AwsError::new("ec2:EnableImage", id, e)))
        }
        Back::Deprecation(None) => {
            let sent = aws.once.ec2.disable_image_deprecation().image_id(id).send().await;
            settled(sent.map_err(|e| AwsError::new("ec2:DisableImageDeprecation", id, e)))
        }
        Back::Deprecation(Some(at)) => deprecate_at(aws, id, *at).await,
        Back::Share(with) => {
            let add = with.iter().map(|share| permission(share)).collect();
            let change = LaunchPermissionModifications::builder().set_add(Some(add)).build();
            let sent =
                aws.once.ec2.modify_image_attribute().image_id(id).launch_permission(change).send().await;
            settled(sent.map_err(|e| AwsError::new("ec2:ModifyImageAttribute", id, e)))
        }
        Back::Protect { with_cooldown } => {
            let ask = aws.once.ec2.enable_image_deregistration_protection().image_id(id);
            let sent = ask.with_cooldown(*with_cooldown).send().await;
            settled(sent.map_err(|e| AwsError::new("ec2:EnableImageDeregistrationProtection", id, e)))
        }
        Back::Unmark => {
            let of_mark = image.tags.keys().filter(|key| Mark::holds(key));
            let tags = of_mark.map(|key| Tag::builder().key(key).build()).collect();
            let sent = aws.once.ec2.delete_tags().resources(id).set_tags(Some(tags)).send().await;
            settled(sent.map_err(|e| AwsError::new("ec2:DeleteTags", id, e)))
        }
    }
}

/// Who besides its owner may launch an image: account ids, `all`, ARNs of organizations and of their units; none
/// when the image is gone.
///
/// # Errors
/// As the call.
pub async fn shares(aws: &Aws, image: &str) -> Result<Option<Vec<String>>, StageError> {
    let ask =
        aws.ec2.describe_image_attribute().image_id(image).attribute(ImageAttributeName::LaunchPermission);
    let answer = match ask.send().await.map_err(|e| AwsError::new("ec2:DescribeImageAttribute", image, e)) {
        Ok(answer) => answer,
        Err(error) if error.class == Class::Missing => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let mut shares: Vec<String> = answer.launch_permissions().iter().map(share).collect();
    shares.sort_unstable();
    Ok(Some(shares))
}

/// A permission of a kind that is not known is kept as a share that cannot be given back: it holds the image.
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
