//! Calls that change the size of an Auto Scaling group or delete it.
//!
//! `UpdateAutoScalingGroup` takes no client token, so the client does not retry it: the caller reads whether a call
//! without an answer was carried out.

use aws_sdk_autoscaling::types::LaunchTemplateSpecification;

use super::{Aws, AwsError, Class};

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Sets the launch template version, the size and the maximum size of a group. Its minimum becomes its size, so that no
/// scaling policy removes instances.
///
/// # Errors
/// `UpdateAutoScalingGroup` failed.
pub async fn fill(
    aws: &Aws,
    group: &str,
    (template, version): (&str, i64),
    [size, max]: [u32; 2],
) -> Result<(), AwsError> {
    let template = LaunchTemplateSpecification::builder()
        .launch_template_id(template)
        .version(version.to_string())
        .build();
    let call = aws.once.autoscaling.update_auto_scaling_group().auto_scaling_group_name(group);
    let call = call.launch_template(template).min_size(count(size)).max_size(count(max));
    let answer = call.desired_capacity(count(size)).send().await;
    answer.map_err(|e| AwsError::new("autoscaling:UpdateAutoScalingGroup", group, e))?;
    Ok(())
}

/// Sets the minimum size of a group.
///
/// # Errors
/// `UpdateAutoScalingGroup` failed.
pub async fn set_min_size(aws: &Aws, group: &str, size: u32) -> Result<(), AwsError> {
    let call = aws.once.autoscaling.update_auto_scaling_group().auto_scaling_group_name(group);
    let answer = call.min_size(count(size)).send().await;
    answer.map_err(|e| AwsError::new("autoscaling:UpdateAutoScalingGroup", group, e))?;
    Ok(())
}

/// Scales a group in to no instance. Its maximum size stays.
///
/// # Errors
/// `UpdateAutoScalingGroup` failed.
pub async fn scale_in(aws: &Aws, group: &str) -> Result<(), AwsError> {
    let call = aws.once.autoscaling.update_auto_scaling_group().auto_scaling_group_name(group);
    let answer = call.min_size(0).desired_capacity(0).send().await;
    answer.map_err(|e| AwsError::new("autoscaling:UpdateAutoScalingGroup", group, e))?;
    Ok(())
}

/// Scales a group in to no instance for good: its maximum size becomes 0.
///
/// # Errors
/// `UpdateAutoScalingGroup` failed.
pub async fn empty(aws: &Aws, group: &str) -> Result<(), AwsError> {
    let call = aws.once.autoscaling.update_auto_scaling_group().auto_scaling_group_name(group);
    let answer = call.min_size(0).max_size(0).desired_capacity(0).send().await;
    answer.map_err(|e| AwsError::new("autoscaling:UpdateAutoScalingGroup", group, e))?;
    Ok(())
}

/// Deletes an empty group. False when it still has an instance or a scaling activity.
///
/// # Errors
/// `DeleteAutoScalingGroup` failed.
pub async fn delete(aws: &Aws, group: &str) -> Result<bool, AwsError> {
    let answer = aws.autoscaling.delete_auto_scaling_group().auto_scaling_group_name(group).send().await;
    match answer.map_err(|e| AwsError::new("autoscaling:DeleteAutoScalingGroup", group, e)) {
        Ok(_) => Ok(true),
        Err(error) if ["ResourceInUse", "ScalingActivityInProgress"].iter().any(|code| error.is(code)) => {
            Ok(false)
        }
        // The error code for a group that does not exist is that of any invalid request.
        Err(error) if error.class == Class::Missing || error.is("ValidationError") => Ok(true),
        Err(error) => Err(error),
    }
}
