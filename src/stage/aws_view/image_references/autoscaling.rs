//! References from Auto Scaling: launch configurations, groups, active instance refreshes, warm pools.

use aws_sdk_autoscaling::types::{
    AutoScalingGroup, InstanceRefreshStatus, LaunchTemplateSpecification, MixedInstancesPolicy,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::AT_ONCE;
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;
use crate::stage::aws_view::groups;

use super::graph::{ListName, Listings, ResourceKind};

/// The largest page of Auto Scaling's lists.
const PAGE: i32 = 100;

/// Reads every list of this file.
pub async fn everything(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    configurations(aws, listings).await?;
    groups(aws, listings).await
}

/// Reads every launch configuration.
async fn configurations(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
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
                listings.add_text(ResourceKind::LaunchConfiguration, name, image);
            }
            let disks = one.block_device_mappings().iter().filter_map(|mapping| mapping.ebs()?.snapshot_id());
            listings.add_snapshots(ResourceKind::LaunchConfiguration, name, disks);
        }
    }
    listings.set_length(ListName::LaunchConfigurations, entries);
    Ok(())
}

/// Reads every group: its launch template, its overrides, its active instance refreshes and its warm pool.
async fn groups(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    let mut pages = aws.autoscaling.describe_auto_scaling_groups().max_records(PAGE).into_paginator().send();
    let mut groups: Vec<AutoScalingGroup> = Vec::new();
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|e| AwsError::new("autoscaling:DescribeAutoScalingGroups", "every group", e))?;
        groups.extend(page.auto_scaling_groups.unwrap_or_default());
    }
    listings.set_length(ListName::Groups, groups.len());
    let (mut names, mut pooled) = (Vec::new(), Vec::new());
    for group in &groups {
        let Some(name) = group.auto_scaling_group_name() else { continue };
        names.push(name.to_owned());
        listings.groups.insert(name.to_owned());
        if group.warm_pool_configuration().is_some() || group.warm_pool_size().is_some_and(|size| size > 0) {
            pooled.push(name.to_owned());
        }
        let user = (ResourceKind::AutoScalingGroup, name);
        template(listings, user, group.launch_template());
        policy(listings, user, group.mixed_instances_policy());
        for instance in group.instances() {
            template(listings, user, instance.launch_template());
            if let Some(image) = instance.image_id() {
                listings.add_text(user.0, user.1, image);
            }
        }
    }
    refreshes(aws, listings, names).await?;
    warm_pools(aws, listings, pooled).await
}

/// Reads the desired configuration of every active instance refresh. The group itself references what a refresh rolls
/// back to.
async fn refreshes(aws: &Aws, listings: &mut Listings, groups: Vec<String>) -> Result<(), StageError> {
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
                // The group may have been deleted since it was listed. Every other error is returned.
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
        let user = (ResourceKind::InstanceRefresh, refresh.instance_refresh_id().unwrap_or_default());
        let desired = refresh.desired_configuration();
        template(listings, user, desired.and_then(|desired| desired.launch_template()));
        policy(listings, user, desired.and_then(|desired| desired.mixed_instances_policy()));
    }
    Ok(())
}

async fn warm_pools(aws: &Aws, listings: &mut Listings, groups: Vec<String>) -> Result<(), StageError> {
    for group in groups {
        let ask = aws.autoscaling.describe_warm_pool().auto_scaling_group_name(&group).into_paginator();
        let mut pages = ask.send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| AwsError::new("autoscaling:DescribeWarmPool", &group, e))?;
            for instance in page.instances() {
                template(listings, (ResourceKind::WarmPool, &group), instance.launch_template());
                if let Some(image) = instance.image_id() {
                    listings.add_text(ResourceKind::WarmPool, &group, image);
                }
            }
        }
    }
    Ok(())
}

fn template(
    listings: &mut Listings,
    user: (ResourceKind, &str),
    template: Option<&LaunchTemplateSpecification>,
) {
    if let Some(template) = template {
        let by = (template.launch_template_id(), template.launch_template_name());
        listings.add_template(user, by, template.version());
    }
}

fn policy(listings: &mut Listings, user: (ResourceKind, &str), policy: Option<&MixedInstancesPolicy>) {
    let Some(launch) = policy.and_then(|policy| policy.launch_template()) else { return };
    template(listings, user, launch.launch_template_specification());
    for over in launch.overrides() {
        template(listings, user, over.launch_template_specification());
        if let Some(image) = over.image_id() {
            listings.add_text(user.0, user.1, image);
        }
    }
}
