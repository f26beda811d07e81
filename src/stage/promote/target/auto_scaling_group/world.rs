//! What AWS shows of the groups before a promotion.

use std::collections::BTreeMap;

use super::alternate::AlternateGroups;
use super::created_versions::FIRST;
use super::group_traffic;
use super::rollout::{Plan, Rollout};
use crate::aws::Aws;
use crate::engine::{StageError, Timestamp};
use crate::stage::aws_view::alarms::{self, AlarmState};
use crate::stage::aws_view::groups::{self, Group, LaunchSource};
use crate::stage::aws_view::images::{self, ImageView};
use crate::stage::aws_view::instance_refreshes::{self, Refresh};
use crate::stage::aws_view::launch_templates::number;
use crate::stage::aws_view::target_health::{self, TargetProblem};
use crate::stage::aws_view::{launch_templates, metric_data};
use crate::stage::context::Cx;
use crate::stage::promote::inputs::Inputs;
use crate::stage::promote::settings::{Settings, WaveSettings};

/// What AWS shows before a promotion.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// The rollout that an earlier run of this slice began.
    pub adopted: Option<Rollout>,
    /// The group that serves; none if it does not exist.
    pub group: Option<Group>,
    /// `ImageId` of the group's template version, as it is written there.
    pub template_image: Option<String>,
    /// The image of that id, if it is an AMI id and exists.
    pub previous: Option<ImageView>,
    /// The image to promote, in this Region.
    pub image: Option<ImageView>,
    pub refreshes: Vec<Refresh>,
    /// In the order of the spec.
    pub alarms: Vec<AlarmState>,
    /// Problems of targets by target group and instance; none for a healthy target.
    pub targets: BTreeMap<String, BTreeMap<String, Option<TargetProblem>>>,
    /// For blue/green: the two groups that alternate; `group` is the one that serves.
    pub alternate: Option<AlternateGroups>,
    /// The groups of the waves by name, in the order of the spec.
    pub waves: Vec<(String, Option<Group>)>,
}

/// Reads what the preflight of a promotion checks.
///
/// # Errors
/// A read failed.
pub async fn observe(inputs: &Inputs, cx: &Cx) -> Result<World, StageError> {
    let (settings, aws) = (&inputs.settings, &cx.aws);
    let image = inputs.subject.machine_image()?.image_id.as_str();
    let (alternate, group) = serving_group(settings, aws).await?;
    if let Some(group) = &group
        && let LaunchSource::Template { id, .. } = &group.launch_source
        && let Some((to, mark)) =
            launch_templates::ours(aws, id, &cx.key().client_token(FIRST), image).await?
    {
        // An earlier run of this slice created the version: what its preflight proved is still valid.
        let plan = Plan {
            template: id.clone(),
            from: mark.from,
            old: mark.old,
            size: [group.desired, group.max],
            swapped: alternate.as_ref().and_then(AlternateGroups::serving) == Some(1),
        };
        let adopted = Some(Rollout::new(plan, to));
        return Ok(World { adopted, group: Some(group.clone()), alternate, ..World::default() });
    }
    let mut waves = Vec::with_capacity(settings.waves.len());
    for wave in &settings.waves {
        waves.push((wave, inputs.region_of(wave)?.aws.clone()));
    }
    read_group(settings, Some(image), (alternate, group), &waves, (aws, cx.now())).await
}

/// The group that serves and, for blue/green, both groups. Until it is clear which one serves, it is the first one of
/// the spec.
///
/// # Errors
/// A read failed.
pub async fn serving_group(
    settings: &Settings,
    aws: &Aws,
) -> Result<(Option<AlternateGroups>, Option<Group>), StageError> {
    let Some(second) = &settings.alternate else {
        return Ok((None, groups::group(aws, &settings.group).await?));
    };
    let both = group_traffic::before(aws, &settings.group, second).await?;
    let [first, second] = both.groups.clone();
    let group = if both.serving() == Some(1) { second } else { first };
    Ok((Some(both), group))
}

/// Reads everything about a group that the preflight checks; `image` is the one to promote, if there is one yet, and
/// `waves` are those whose groups are read too, with the clients of each.
///
/// # Errors
/// A read failed.
pub async fn read_group(
    settings: &Settings,
    image: Option<&str>,
    (alternate, group): (Option<AlternateGroups>, Option<Group>),
    waves: &[(&WaveSettings, Aws)],
    (aws, now): (&Aws, Timestamp),
) -> Result<World, StageError> {
    let mut world = World { alternate, ..World::default() };
    if let Some(image) = image {
        world.image = images::image(aws, image).await?;
    }
    let Some(group) = group else { return Ok(world) };
    if let LaunchSource::Template { id, version } = &group.launch_source
        && number(version).is_some()
    {
        world.template_image = launch_templates::image_of(aws, id, version).await?;
        if let Some(old) = world.template_image.as_deref().filter(|image| image.starts_with("ami-")) {
            world.previous = images::image(aws, old).await?;
        }
    }
    for name in [Some(&settings.group), settings.alternate.as_ref()].into_iter().flatten() {
        world.refreshes.extend(instance_refreshes::list(aws, name).await?);
    }
    world.alarms = alarms::alarms(aws, &settings.alarms).await?;
    for arn in &group.target_groups {
        world.targets.insert(arn.clone(), target_health::targets(aws, arn).await?);
    }
    // Missing access to a metric must show now, not as missing data in the middle of the deployment.
    for metric in &settings.limits {
        let from = Timestamp(now.0.saturating_sub(3 * i64::from(metric.period().as_secs()) + 600));
        metric_data::read(aws, metric, from, now).await?;
    }
    world.group = Some(group);
    for (wave, aws) in waves {
        let mut found = groups::groups(aws, &wave.groups).await?;
        world.waves.extend(wave.groups.iter().map(|name| (name.clone(), found.remove(name))));
    }
    Ok(world)
}
