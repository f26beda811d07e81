//! Reads the world a promotion acts in. Every list is read to its end.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_autoscaling::types::{AutoScalingGroup, Instance, LifecycleState};
use aws_sdk_cloudwatch::types::{AlarmType, StateValue};
use aws_sdk_ec2::types::{Image, InstanceStateName, Reservation};
use aws_sdk_elasticloadbalancingv2::types::{TargetHealthReasonEnum, TargetHealthStateEnum};

use super::log::AlarmLetter;
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::evidence::ImageIdentity;

/// Ids in one call of `DescribeInstances` and `DescribeTargetHealth`.
const BATCH: usize = 100;

/// An Auto Scaling group, as far as a promotion depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The account that owns it, from its ARN.
    pub account: String,
    pub launches: Launches,
    pub min: u32,
    pub max: u32,
    pub desired: u32,
    /// `Delete in progress`, while it is being deleted.
    pub status: Option<String>,
    /// Names of suspended processes.
    pub suspended: Vec<String>,
    pub instances: Vec<Member>,
    /// ARNs of the target groups it registers instances with.
    pub target_groups: BTreeSet<String>,
}

/// What a group launches its instances from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Launches {
    /// A launch template by id, and its version as the group names it: a number, `$Latest` or `$Default`.
    Template {
        id: String,
        version: String,
    },
    /// A mixed instances policy.
    Mixed,
    /// A launch configuration of this name.
    Configuration(String),
    Nothing,
}

/// An instance of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub id: String,
    pub life: Life,
    /// Auto Scaling holds it healthy.
    pub healthy: bool,
    /// The template and version it was launched from.
    pub template: Option<(String, String)>,
    pub protected: bool,
}

/// Where an instance is in its life, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    InService,
    Standby,
    /// On its way out of the group.
    Leaving,
    /// Anything else: on its way in.
    Coming,
}

impl Group {
    /// The share of the desired capacity that is in service from this template version, 0 to 100.
    #[must_use]
    pub fn share_of(&self, template: &str, version: i64) -> u8 {
        let version = version.to_string();
        let on = self.instances.iter().filter(|instance| {
            instance.life == Life::InService
                && instance.template.as_ref().is_some_and(|(id, at)| id == template && *at == version)
        });
        let on = u32::try_from(on.count()).unwrap_or(u32::MAX);
        let share = u64::from(on) * 100 / u64::from(self.desired.max(1));
        u8::try_from(share.min(100)).unwrap_or(100)
    }
}

/// The group of this name; none if there is none.
///
/// # Errors
/// As the call.
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

/// Those of the groups of these names, at most fifty, that are there.
///
/// # Errors
/// As the call.
pub async fn groups(aws: &Aws, names: &[String]) -> Result<Vec<(String, Group)>, StageError> {
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
/// As the call.
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
/// As the call.
pub async fn launching(aws: &Aws, template: &str) -> Result<Vec<(String, Group)>, StageError> {
    let mut groups = all_groups(aws).await?;
    groups.retain(|(_, group)| matches!(&group.launches, Launches::Template { id, .. } if id == template));
    Ok(groups)
}

fn read(group: &AutoScalingGroup) -> Group {
    let launches = if group.mixed_instances_policy().is_some() {
        Launches::Mixed
    } else if let Some(template) = group.launch_template() {
        // A group that names no version launches the default one.
        let version = template.version().unwrap_or("$Default").to_owned();
        template
            .launch_template_id()
            .map_or(Launches::Nothing, |id| Launches::Template { id: id.to_owned(), version })
    } else if let Some(name) = group.launch_configuration_name() {
        Launches::Configuration(name.to_owned())
    } else {
        Launches::Nothing
    };
    let count = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
    let sources = group.traffic_sources().iter().filter_map(|source| source.identifier());
    Group {
        account: group
            .auto_scaling_group_arn()
            .and_then(|arn| arn.split(':').nth(4))
            .unwrap_or_default()
            .to_owned(),
        launches,
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

fn member(instance: &Instance) -> Member {
    let life = match instance.lifecycle_state() {
        Some(LifecycleState::InService) => Life::InService,
        Some(LifecycleState::Standby | LifecycleState::EnteringStandby) => Life::Standby,
        Some(
            LifecycleState::Terminating
            | LifecycleState::TerminatingWait
            | LifecycleState::TerminatingProceed
            | LifecycleState::Terminated
            | LifecycleState::Detaching
            | LifecycleState::Detached,
        ) => Life::Leaving,
        Some(other) if other.as_str().starts_with("Terminating") => Life::Leaving,
        _ => Life::Coming,
    };
    let template = instance.launch_template().and_then(|template| {
        Some((template.launch_template_id()?.to_owned(), template.version()?.to_owned()))
    });
    Member {
        id: instance.instance_id().unwrap_or_default().to_owned(),
        life,
        healthy: instance.health_status().is_some_and(|health| health.eq_ignore_ascii_case("healthy")),
        template,
        protected: instance.protected_from_scale_in().unwrap_or(false),
    }
}

/// An image as `DescribeImages` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageView {
    pub identity: ImageIdentity,
    /// `available`, `pending`, `disabled`, …
    pub state: String,
}

/// The image of this id in the clients' region; none if it does not exist or is deregistered.
///
/// # Errors
/// As the call.
pub async fn image(aws: &Aws, id: &str) -> Result<Option<ImageView>, StageError> {
    let pages = aws
        .ec2
        .describe_images()
        .image_ids(id)
        .include_deprecated(true)
        .include_disabled(true)
        .into_paginator();
    match pages.items().send().try_collect().await {
        Ok(images) => Ok(images.iter().find(|image| image.image_id() == Some(id)).map(|image| ImageView {
            identity: identity(image, aws.region()),
            state: image.state().map_or("unknown", |state| state.as_str()).to_owned(),
        })),
        Err(error) => match AwsError::new("ec2:DescribeImages", id, error) {
            error if error.class == Class::Missing || error.is("InvalidAMIID.Unavailable") => Ok(None),
            error => Err(error.into()),
        },
    }
}

/// What tells this image from every other.
#[must_use]
pub fn identity(image: &Image, region: &str) -> ImageIdentity {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    ImageIdentity {
        account: text(image.owner_id()),
        creation_date: text(image.creation_date()),
        image_id: text(image.image_id()),
        name: text(image.name()),
        region: region.to_owned(),
    }
}

/// The images of instances, by instance id. Terminated instances are left out.
///
/// # Errors
/// As the call.
pub async fn images_of(aws: &Aws, instances: &[String]) -> Result<BTreeMap<String, String>, StageError> {
    let mut images = BTreeMap::new();
    for batch in instances.chunks(BATCH) {
        let pages = aws.ec2.describe_instances().set_instance_ids(Some(batch.to_vec())).into_paginator();
        let reservations: Vec<_> = pages.items().send().try_collect().await.map_err(|e| {
            let error = AwsError::new("ec2:DescribeInstances", batch.join(", "), e);
            // An instance that just left, or is too new to be known: the caller looks again.
            if error.class == Class::Missing { StageError::NotYet(error.to_string()) } else { error.into() }
        })?;
        for instance in reservations.iter().flat_map(Reservation::instances) {
            let gone =
                instance.state().and_then(|state| state.name()) == Some(&InstanceStateName::Terminated);
            if let (Some(id), Some(image), false) = (instance.instance_id(), instance.image_id(), gone) {
                images.insert(id.to_owned(), image.to_owned());
            }
        }
    }
    Ok(images)
}

/// The health of every target of a target group, by instance id: none when it is healthy, else what it is.
///
/// # Errors
/// As the call.
pub async fn targets(aws: &Aws, target_group: &str) -> Result<BTreeMap<String, Option<Ailment>>, StageError> {
    let answer = aws
        .elbv2
        .describe_target_health()
        .target_group_arn(target_group)
        .send()
        .await
        .map_err(|e| AwsError::new("elasticloadbalancing:DescribeTargetHealth", target_group, e))?;
    let mut targets = BTreeMap::new();
    for target in answer.target_health_descriptions() {
        let Some(id) = target.target().and_then(|target| target.id()) else { continue };
        let health = target.target_health();
        let state = health.and_then(|health| health.state());
        let ailment = (state != Some(&TargetHealthStateEnum::Healthy)).then(|| Ailment {
            state: state.map_or("unknown", |state| state.as_str()).to_owned(),
            not_in_use: health.and_then(|health| health.reason()) == Some(&TargetHealthReasonEnum::NotInUse),
        });
        // An instance may be registered on several ports: it is healthy when all of them are.
        let known: &mut Option<Ailment> = targets.entry(id.to_owned()).or_default();
        *known = ailment.or(known.take());
    }
    Ok(targets)
}

/// Why a target is not healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ailment {
    pub state: String,
    /// No load balancer uses the target group or the zone: waiting does not help.
    pub not_in_use: bool,
}

/// The states of alarms of any type, in the order of `names`.
///
/// # Errors
/// As the call.
pub async fn alarms(aws: &Aws, names: &[String]) -> Result<Vec<AlarmLetter>, StageError> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let pages = aws
        .cloudwatch
        .describe_alarms()
        .set_alarm_names(Some(names.to_vec()))
        .alarm_types(AlarmType::MetricAlarm)
        .alarm_types(AlarmType::CompositeAlarm)
        .into_paginator();
    let mut found: BTreeMap<String, AlarmLetter> = BTreeMap::new();
    let mut pages = pages.send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("cloudwatch:DescribeAlarms", names.join(", "), e))?;
        let metric = page.metric_alarms().iter().map(|alarm| (alarm.alarm_name(), alarm.state_value()));
        let composite = page.composite_alarms().iter().map(|alarm| (alarm.alarm_name(), alarm.state_value()));
        for (name, state) in metric.chain(composite) {
            let Some(name) = name else { continue };
            found.insert(name.to_owned(), letter(state.map(StateValue::as_str)));
        }
    }
    // Names that CloudWatch does not know are left out of its answer without a word.
    Ok(names.iter().map(|name| found.get(name).copied().unwrap_or(AlarmLetter::Gone)).collect())
}

fn letter(state: Option<&str>) -> AlarmLetter {
    match state {
        Some("OK") => AlarmLetter::Ok,
        Some("ALARM") => AlarmLetter::Alarm,
        Some("INSUFFICIENT_DATA") => AlarmLetter::InsufficientData,
        _ => AlarmLetter::Unread,
    }
}
