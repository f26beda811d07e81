//! Finds the groups of a deployment whose input artifact is gone: by the template version that only this attempt
//! launches.

use std::collections::BTreeMap;

use super::alternate::{ForwardAction, TargetGroupPair};
use super::created_versions::{self, refresh_of};
use super::group_traffic::launches;
use super::instance_refresh::CapacityLimits;
use super::listener_weights;
use super::rollout::Rollout;
use super::wave_groups::WaveGroup;
use crate::engine::StageError;
use crate::stage::aws_view::groups::{self, Group, LaunchSource};
use crate::stage::aws_view::{instance_refreshes, launch_templates};
use crate::stage::context::Cx;

/// The group whose instance refresh launches this attempt's template version; none if no refresh was started.
pub async fn group_of(rollout: &Rollout, cx: &Cx) -> Result<Option<String>, StageError> {
    let template = rollout.plan.template.as_str();
    for (name, _) in groups::launching(&cx.aws, template).await? {
        let found = instance_refreshes::list(&cx.aws, &name).await?;
        if refresh_of(&found, template, rollout.to).is_some() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// The new image, as this attempt's template version has it.
pub async fn image_of(rollout: &Rollout, cx: &Cx) -> Result<String, StageError> {
    let version = rollout.to.to_string();
    let image = launch_templates::image_of(&cx.aws, &rollout.plan.template, &version).await?;
    Ok(image.unwrap_or_else(|| "the new image".to_owned()))
}

/// Two groups that alternate: the one that launches this attempt's version, and the one that the load balancer
/// forwards to beside it. The group that served comes first.
pub async fn pair_of(rollout: &Rollout, cx: &Cx) -> Result<Option<[String; 2]>, StageError> {
    let template = &rollout.plan.template;
    let all = groups::launching(&cx.aws, template).await?;
    let Some((name, new)) = all.iter().find(|(_, group)| launches(group, template, rollout.to)) else {
        return Ok(None);
    };
    let Some(arn) = new.target_groups.first() else { return Ok(None) };
    let pair = TargetGroupPair { old: arn.clone(), new: arn.clone() };
    let forwards = listener_weights::read(&cx.aws, &pair).await?;
    let beside = |group: &Group| {
        let names =
            |action: &ForwardAction| group.target_groups.iter().any(|own| action.weight(own).is_some());
        forwards.iter().any(|found| names(&found.action))
    };
    let old = all.iter().find(|(other, group)| other != name && beside(group));
    Ok(old.map(|(old, _)| [old.clone(), name.clone()]))
}

/// Every group of the Region whose template has a version of this attempt. A group that never launched it is found as it was.
pub async fn wave_groups(cx: &Cx) -> Result<Vec<WaveGroup>, StageError> {
    let mut found = Vec::new();
    let mut images: BTreeMap<String, Option<String>> = BTreeMap::new();
    for (name, group) in groups::all_groups(&cx.aws).await? {
        let LaunchSource::Template { id, .. } = group.launch_source else { continue };
        if !images.contains_key(&id) {
            let created = created_versions::read(&cx.aws, cx.key(), &id, 1).await?;
            images.insert(id.clone(), created.into_iter().find_map(|created| created.image));
        }
        if let Some(Some(image)) = images.get(&id) {
            let (aws, image) = (cx.aws.clone(), image.clone());
            found.push(WaveGroup { name, environment: None, aws, image, limits: CapacityLimits::UNKNOWN });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}
