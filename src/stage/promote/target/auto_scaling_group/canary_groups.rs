//! The two groups of a canary analysis: a canary on the new image, and a baseline of the same size and age on the old
//! one, both in production's target groups. Production's own group does not change meanwhile.

use aws_sdk_autoscaling::types::{AutoScalingGroup, LaunchTemplateSpecification, Tag};

use crate::aws::{Aws, AwsError};
use crate::engine::{ExecutionKey, StageError};
use crate::evidence::Stage;
use crate::stage::aws_view::ViewError;
use crate::stage::promote::analysis::windows::Side;

/// The name of a side's group. No other attempt has the same.
#[must_use]
pub fn name(key: &ExecutionKey, side: Side) -> String {
    key.name(side.name())
}

/// Creates the group of a side with the subnets, target groups, health checks and tags of `like`. Its name is its client
/// token: a group that exists already is this attempt's.
///
/// # Errors
/// A call failed; [`ViewError::NoGroup`] when production's group does not exist.
pub async fn create(
    aws: &Aws,
    key: &ExecutionKey,
    side: Side,
    like: &str,
    template: (&str, i64),
    instances: u32,
) -> Result<(), StageError> {
    let group = raw(aws, like).await?.ok_or_else(|| ViewError::NoGroup { group: like.to_owned() })?;
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

/// The tags of production's group, because the application may read them on its instances, and the tags of the attempt.
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
