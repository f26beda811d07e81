//! Auto Scaling groups as `DescribeAutoScalingGroups` returns them. Every list is read to its last page.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::{AutoScalingGroup, Instance, LifecycleState};

use crate::aws::{Aws, AwsError};
use crate::engine::StageError;

/// Names in one call of `DescribeAutoScalingGroups`.
const BATCH: usize = 50;

/// An Auto Scaling group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub arn: String,
    pub launch_source: LaunchSource,
    pub min: u32,
    pub max: u32,
    pub desired: u32,
    /// `Delete in progress`, while it is being deleted.
    pub status: Option<String>,
    /// Names of suspended processes.
    pub suspended: Vec<String>,
    pub instances: Vec<GroupInstance>,
    /// ARNs of the target groups it registers instances with.
    pub target_groups: BTreeSet<String>,
}

/// What a group launches its instances from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LaunchSource {
    /// A launch template by id, and its version as the group names it: a number, `$Latest` or `$Default`.
    Template { id: String, version: String },
    /// A mixed instances policy.
    Mixed,
    /// A launch configuration of this name.
    Configuration(String),
    /// No launch template by id, and nothing else that is known.
    Nothing,
}

/// An instance of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupInstance {
    pub id: String,
    pub lifecycle: Lifecycle,
    /// Auto Scaling reports it as healthy.
    pub healthy: bool,
    /// The template and version it was launched from.
    pub template: Option<(String, String)>,
    pub protected: bool,
}

/// The lifecycle state of an instance, in four classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    InService,
    Standby,
    /// Terminating or detaching.
    Terminating,
    /// Pending, and any other state before `InService`.
    Launching,
}

impl Group {
    /// The account that owns the group, from its ARN.
    #[must_use]
    pub fn account(&self) -> &str {
        self.arn.split(':').nth(4).unwrap_or_default()
    }

    /// Percentage of the desired capacity that is in service and launched from this template version, 0 to 100.
    #[must_use]
    pub fn share_of(&self, template: &str, version: i64) -> u8 {
        let version = version.to_string();
        let on = self.instances.iter().filter(|instance| {
            instance.lifecycle == Lifecycle::InService
                && instance.template.as_ref().is_some_and(|(id, at)| id == template && *at == version)
        });
        let on = u32::try_from(on.count()).unwrap_or(u32::MAX);
        let share = u64::from(on) * 100 / u64::from(self.desired.max(1));
        u8::try_from(share.min(100)).unwrap_or(100)
    }
}

/// The group of this name; none if it does not exist.
///
/// # Errors
/// `DescribeAutoScalingGroups` failed.
pub async fn group(aws: &Aws, name: &str) -> Result<Option<Group>, StageError> {
    let pages =
        aws.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(name).into_paginator();
    let groups: Vec<AutoScalingGroup> = pages
        .items()
        .send()
        .try_collect()
        .await
        .map_err(|e| AwsError::new("autoscaling:DescribeAutoScalingGroups", name, e))?;
    Ok(groups
        .into_iter()
        .find(|group| group.auto_scaling_group_name() == Some(name))
        .map(|group| read(&group)))
}

/// The groups of these names that exist, by name.
///
/// # Errors
/// `DescribeAutoScalingGroups` failed.
pub async fn groups(aws: &Aws, names: &[String]) -> Result<BTreeMap<String, Group>, StageError> {
    let mut found = BTreeMap::new();
    for batch in names.chunks(BATCH) {
        found.extend(batch_of_groups(aws, batch).await?);
    }
    Ok(found)
}

async fn batch_of_groups(aws: &Aws, names: &[String]) -> Result<Vec<(String, Group)>, StageError> {
    let names = names.to_vec();
    let asked = names.first().cloned().unwrap_or_default();
    let pages = aws
        .autoscaling
        .describe_auto_scaling_groups()
        .set_auto_scaling_group_names(Some(names))
        .into_paginator();
    let groups: Vec<AutoScalingGroup> = pages.items().send().try_collect().await.map_err(|e| {
        AwsError::new("autoscaling:DescribeAutoScalingGroups", format!("{asked} and others"), e)
    })?;
    Ok(named(&groups).collect())
}

fn named(groups: &[AutoScalingGroup]) -> impl Iterator<Item = (String, Group)> {
    groups.iter().filter_map(|group| Some((group.auto_scaling_group_name()?.to_owned(), read(group))))
}

/// Every group of the region, by name.
///
/// # Errors
/// `DescribeAutoScalingGroups` failed.
pub async fn all_groups(aws: &Aws) -> Result<Vec<(String, Group)>, StageError> {
    let pages = aws.autoscaling.describe_auto_scaling_groups().into_paginator();
    let groups: Vec<AutoScalingGroup> = pages
        .items()
        .send()
        .try_collect()
        .await
        .map_err(|e| AwsError::new("autoscaling:DescribeAutoScalingGroups", "every group", e))?;
    Ok(named(&groups).collect())
}

/// Every group that launches from a template, by name.
///
/// # Errors
/// `DescribeAutoScalingGroups` failed.
pub async fn launching(aws: &Aws, template: &str) -> Result<Vec<(String, Group)>, StageError> {
    let mut groups = all_groups(aws).await?;
    groups.retain(
        |(_, group)| matches!(&group.launch_source, LaunchSource::Template { id, .. } if id == template),
    );
    Ok(groups)
}

fn read(group: &AutoScalingGroup) -> Group {
    let launch_source = if group.mixed_instances_policy().is_some() {
        LaunchSource::Mixed
    } else if let Some(template) = group.launch_template() {
        // A group that names no version launches the default one.
        let version = template.version().unwrap_or("$Default").to_owned();
        template
            .launch_template_id()
            .map_or(LaunchSource::Nothing, |id| LaunchSource::Template { id: id.to_owned(), version })
    } else if let Some(name) = group.launch_configuration_name() {
        LaunchSource::Configuration(name.to_owned())
    } else {
        LaunchSource::Nothing
    };
    let count = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
    let sources = group.traffic_sources().iter().filter_map(|source| source.identifier());
    Group {
        arn: group.auto_scaling_group_arn().unwrap_or_default().to_owned(),
        launch_source,
        min: count(group.min_size()),
        max: count(group.max_size()),
        desired: count(group.desired_capacity()),
        status: group.status().map(str::to_owned),
        suspended: group
            .suspended_processes()
            .iter()
            .filter_map(|p| p.process_name())
            .map(str::to_owned)
            .collect(),
        instances: group.instances().iter().map(member).collect(),
        target_groups: group
            .target_group_arns()
            .iter()
            .map(String::as_str)
            .chain(sources.filter(|source| source.contains(":targetgroup/")))
            .map(str::to_owned)
            .collect(),
    }
}

fn member(instance: &Instance) -> GroupInstance {
    let lifecycle = match instance.lifecycle_state() {
        Some(LifecycleState::InService) => Lifecycle::InService,
        Some(LifecycleState::Standby | LifecycleState::EnteringStandby) => Lifecycle::Standby,
        Some(
            LifecycleState::Terminating
            | LifecycleState::TerminatingWait
            | LifecycleState::TerminatingProceed
            | LifecycleState::Terminated
            | LifecycleState::Detaching
            | LifecycleState::Detached,
        ) => Lifecycle::Terminating,
        Some(other) if other.as_str().starts_with("Terminating") => Lifecycle::Terminating,
        _ => Lifecycle::Launching,
    };
    let template = instance.launch_template().and_then(|template| {
        Some((template.launch_template_id()?.to_owned(), template.version()?.to_owned()))
    });
    GroupInstance {
        id: instance.instance_id().unwrap_or_default().to_owned(),
        lifecycle,
        healthy: instance.health_status().is_some_and(|health| health.eq_ignore_ascii_case("healthy")),
        template,
        protected: instance.protected_from_scale_in().unwrap_or(false),
    }
}
