//! The two groups of a trial: a canary on the new image, a baseline of the same size and age on the old one, both
//! behind production's own target groups. While they stand, production is as it was.

use aws_sdk_autoscaling::types::{AutoScalingGroup, LaunchTemplateSpecification, Tag};

use super::trial::Side;
use crate::evidence::Stage;
use crate::aws::{Aws, AwsError, Class};
use crate::engine::{ExecutionKey, StageError};

/// The name of a side's group: this attempt's alone.
#[must_use]
pub fn name(key: &ExecutionKey, side: Side) -> String {
    key.name(side.name())
}

/// Whether a group's name is that of a trial's side, of whatever attempt.
#[must_use]
pub fn is_trial(name: &str) -> bool {
    Side::BOTH.iter().any(|side| name.starts_with(&format!("bakeline-{}-", side.name())))
}

/// Makes a side's group in production's image: subnets, target groups, health checks and tags are those of `like`.
/// Its name is its client token: a group that is there already is ours.
///
/// # Errors
/// As the calls; [`StageError::Rejected`] when production's group is gone.
pub async fn create(
    aws: &Aws,
    key: &ExecutionKey,
    side: Side,
    like: &str,
    template: (&str, i64),
    instances: u32,
) -> Result<(), StageError> {
    let group = raw(aws, like)
        .await?
        .ok_or_else(|| StageError::Rejected(format!("the Auto Scaling group {like} is gone")))?;
    let count = i32::try_from(instances).unwrap_or(i32::MAX);
    let (id, version) = template;
    let call = aws
        .autoscaling
        .create_auto_scaling_group()
        .auto_scaling_group_name(name(key, side))
        .launch_template(
            LaunchTemplateSpecification::builder()
                .launch_template_id(id)
                .version(version.to_string())
                .build(),
        )
        .min_size(count)
        .max_size(count)
        .desired_capacity(count)
        .set_vpc_zone_identifier(
            group.vpc_zone_identifier().filter(|list| !list.is_empty()).map(str::to_owned),
        )
        .set_availability_zones(
            group
                .vpc_zone_identifier()
                .is_none_or(str::is_empty)
                .then(|| group.availability_zones().to_vec()),
        )
        .set_target_group_arns(Some(group.target_group_arns().to_vec()))
        .set_health_check_type(group.health_check_type().map(str::to_owned))
        .set_health_check_grace_period(group.health_check_grace_period())
        .set_default_instance_warmup(group.default_instance_warmup())
        .set_tags(Some(tags(&group, key)));
    match call
        .send()
        .await
        .map_err(|e| AwsError::new("autoscaling:CreateAutoScalingGroup", name(key, side), e))
    {
        Ok(_) => Ok(()),
        Err(error) if error.is("AlreadyExists") => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Production's own tags, so that the application finds on its instances what it finds there, and ours.
fn tags(like: &AutoScalingGroup, key: &ExecutionKey) -> Vec<Tag> {
    let ours = key.tags(Stage::Promote);
    let tag = |name: &str, value: &str, at_launch| {
        Tag::builder().key(name).value(value).propagate_at_launch(at_launch).build()
    };
    let kept = like.tags().iter().filter_map(|found| {
        let name = found.key()?;
        let kept = !name.starts_with("aws:") && !ours.contains_key(name);
        kept.then(|| {
            tag(name, found.value().unwrap_or_default(), found.propagate_at_launch().unwrap_or(false))
        })
    });
    kept.chain(ours.iter().map(|(name, value)| tag(name, value, true))).collect()
}

/// Lets a side's instances drain and end. Sent once: whether a call whose answer was lost was carried out is seen by
/// looking again.
///
/// # Errors
/// As the call.
pub async fn empty(aws: &Aws, name: &str) -> Result<(), StageError> {
    let call = aws.once.autoscaling.update_auto_scaling_group().auto_scaling_group_name(name);
    let answer = call.min_size(0).max_size(0).desired_capacity(0).send().await;
    answer.map_err(|e| AwsError::new("autoscaling:UpdateAutoScalingGroup", name, e))?;
    Ok(())
}

/// Deletes a side's group once it is empty; whether it is deleted. One that still has an instance on its way is not.
///
/// # Errors
/// As the call.
pub async fn delete(aws: &Aws, name: &str) -> Result<bool, StageError> {
    let answer = aws.autoscaling.delete_auto_scaling_group().auto_scaling_group_name(name).send().await;
    match answer.map_err(|e| AwsError::new("autoscaling:DeleteAutoScalingGroup", name, e)) {
        Ok(_) => Ok(true),
        Err(error) if ["ResourceInUse", "ScalingActivityInProgress"].iter().any(|code| error.is(code)) => {
            Ok(false)
        }
        // The code for a group that is gone is that of any wrong request.
        Err(error) if error.class == Class::Missing || error.is("ValidationError") => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Every instance a side has ever had, from the group's own history, which outlives the group by six weeks; and why
/// its last launch failed, if it did.
///
/// # Errors
/// As the call.
pub async fn history(aws: &Aws, name: &str) -> Result<(Vec<String>, Option<String>), StageError> {
    let pages = aws
        .autoscaling
        .describe_scaling_activities()
        .auto_scaling_group_name(name)
        .include_deleted_groups(true)
        .into_paginator();
    let activities: Vec<_> = pages
        .items()
        .send()
        .try_collect()
        .await
        .map_err(|e| AwsError::new("autoscaling:DescribeScalingActivities", name, e))?;
    let mut instances: Vec<String> = Vec::new();
    let mut failed = None;
    // Newest first.
    for activity in &activities {
        let description = activity.description().unwrap_or_default();
        if let Some(id) = description.strip_prefix("Launching a new EC2 instance: ") {
            let id: String = id.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            instances.push(id);
        }
        let status = activity.status_code().map_or("", |status| status.as_str());
        if status == "Failed" && failed.is_none() {
            failed = activity.status_message().map(str::to_owned);
        }
    }
    instances.sort();
    instances.dedup();
    Ok((instances, failed))
}

async fn raw(aws: &Aws, name: &str) -> Result<Option<AutoScalingGroup>, StageError> {
    let answer = aws
        .autoscaling
        .describe_auto_scaling_groups()
        .auto_scaling_group_names(name)
        .send()
        .await
        .map_err(|e| AwsError::new("autoscaling:DescribeAutoScalingGroups", name, e))?;
    Ok(answer.auto_scaling_groups().iter().find(|g| g.auto_scaling_group_name() == Some(name)).cloned())
}
