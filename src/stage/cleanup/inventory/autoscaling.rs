//! Auto Scaling: launch configurations, groups with what they launch, refreshes under way, warm pools.

use aws_sdk_autoscaling::types::{
    AutoScalingGroup, InstanceRefreshStatus, LaunchTemplateSpecification, MixedInstancesPolicy,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::AT_ONCE;
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;
use crate::stage::cleanup::graph::{Facts, Kind, Source};
use crate::stage::aws_view::groups;

/// The largest page of Auto Scaling's lists.
const PAGE: i32 = 100;

/// Every list of this file.
pub async fn everything(aws: &Aws, facts: &mut Facts) -> Result<(), StageError> {
    configurations(aws, facts).await?;
    groups(aws, facts).await
}

/// Every launch configuration.
async fn configurations(aws: &Aws, facts: &mut Facts) -> Result<(), StageError> {
    let mut pages =
        aws.autoscaling.describe_launch_configurations().max_records(PAGE).into_paginator().send();
    let mut entries = 0;
    while let Some(page) = pages.next().await {
        let call = "autoscaling:DescribeLaunchConfigurations";
        let page = page.map_err(|e| AwsError::new(call, "every launch configuration", e))?;
        for one in page.launch_configurations() {
            entries += 1;
            let name = one.launch_configuration_name().unwrap_or_default();
            if let Some(image) = one.image_id() {
                facts.text(Kind::LaunchConfiguration, name, image);
            }
            let disks = one.block_device_mappings().iter().filter_map(|mapping| mapping.ebs()?.snapshot_id());
            facts.disk(Kind::LaunchConfiguration, name, disks);
        }
    }
    facts.count(Source::LaunchConfigurations, entries);
    Ok(())
}

/// Every group: what it launches, what a refresh under way brings, what waits in its warm pool.
async fn groups(aws: &Aws, facts: &mut Facts) -> Result<(), StageError> {
    let mut pages = aws.autoscaling.describe_auto_scaling_groups().max_records(PAGE).into_paginator().send();
    let mut groups: Vec<AutoScalingGroup> = Vec::new();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|e| AwsError::new("autoscaling:DescribeAutoScalingGroups", "every group", e))?;
        groups.extend(page.auto_scaling_groups.unwrap_or_default());
    }
    facts.count(Source::Groups, groups.len());
    let (mut names, mut pooled) = (Vec::new(), Vec::new());
    for group in &groups {
        let Some(name) = group.auto_scaling_group_name() else { continue };
        names.push(name.to_owned());
        facts.groups.insert(name.to_owned());
        if group.warm_pool_configuration().is_some() || group.warm_pool_size().is_some_and(|size| size > 0) {
            pooled.push(name.to_owned());
        }
        let user = (Kind::AutoScalingGroup, name);
        template(facts, user, group.launch_template());
        policy(facts, user, group.mixed_instances_policy());
        for instance in group.instances() {
            template(facts, user, instance.launch_template());
            if let Some(image) = instance.image_id() {
                facts.text(user.0, user.1, image);
            }
        }
    }
    refreshes(aws, facts, names).await?;
    warm_pools(aws, facts, pooled).await
}

/// Both sides of every refresh that is not over: what it brings stands in it, what it goes back to in its group.
async fn refreshes(aws: &Aws, facts: &mut Facts, groups: Vec<String>) -> Result<(), StageError> {
    let read = |group: String| async move {
        let mut pages = aws
            .autoscaling
            .describe_instance_refreshes()
            .auto_scaling_group_name(&group)
            .max_records(PAGE)
            .into_paginator()
            .send();
        let mut active = Vec::new();
        while let Some(page) = pages.next().await {
            let call = "autoscaling:DescribeInstanceRefreshes";
            let page = match page.map_err(|e| AwsError::new(call, &group, e)) {
                // The group may have been deleted since it was listed; anything else is not excused.
                Err(error) if error.is("ValidationError") && groups::group(aws, &group).await?.is_none() => {
                    break;
                }
                page => page?,
            };
            active.extend(page.instance_refreshes.unwrap_or_default().into_iter().filter(|refresh| {
                !matches!(
                    refresh.status(),
                    Some(
                        InstanceRefreshStatus::Successful
                            | InstanceRefreshStatus::Failed
                            | InstanceRefreshStatus::Cancelled
                            | InstanceRefreshStatus::RollbackSuccessful
                            | InstanceRefreshStatus::RollbackFailed
                    )
                )
            }));
        }
        Ok::<_, StageError>(active)
    };
    let all: Vec<_> = stream::iter(groups).map(read).buffered(AT_ONCE).try_collect().await?;
    for refresh in all.into_iter().flatten() {
        let user = (Kind::InstanceRefresh, refresh.instance_refresh_id().unwrap_or_default());
        let desired = refresh.desired_configuration();
        template(facts, user, desired.and_then(|desired| desired.launch_template()));
        policy(facts, user, desired.and_then(|desired| desired.mixed_instances_policy()));
    }
    Ok(())
}

async fn warm_pools(aws: &Aws, facts: &mut Facts, groups: Vec<String>) -> Result<(), StageError> {
    for group in groups {
        let ask = aws.autoscaling.describe_warm_pool().auto_scaling_group_name(&group).into_paginator();
        let mut pages = ask.send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| AwsError::new("autoscaling:DescribeWarmPool", &group, e))?;
            for instance in page.instances() {
                template(facts, (Kind::WarmPool, &group), instance.launch_template());
                if let Some(image) = instance.image_id() {
                    facts.text(Kind::WarmPool, &group, image);
                }
            }
        }
    }
    Ok(())
}

fn template(facts: &mut Facts, user: (Kind, &str), template: Option<&LaunchTemplateSpecification>) {
    if let Some(template) = template {
        let by = (template.launch_template_id(), template.launch_template_name());
        facts.template_of(user, by, template.version());
    }
}

fn policy(facts: &mut Facts, user: (Kind, &str), policy: Option<&MixedInstancesPolicy>) {
    let Some(launch) = policy.and_then(|policy| policy.launch_template()) else { return };
    template(facts, user, launch.launch_template_specification());
    for over in launch.overrides() {
        template(facts, user, over.launch_template_specification());
        if let Some(image) = over.image_id() {
            facts.text(user.0, user.1, image);
        }
    }
}
