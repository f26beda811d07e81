//! Two groups that alternate during a deployment, the traffic between them, and changes that someone else made.

use super::alternate::{AlternateGroups, TargetGroupPair};
use super::error::GroupError;
use super::listener_weights::{self, Forwarding};
use super::rollout::{GroupNames, Rollout};
use crate::aws::Aws;
use crate::engine::StageError;
use crate::stage::aws_view::ViewError;
use crate::stage::aws_view::groups::{self, Group, LaunchSource};
use crate::stage::aws_view::instance_refreshes;

/// The two groups before anything is changed.
///
/// # Errors
/// A read failed.
pub async fn before(aws: &Aws, first: &str, second: &str) -> Result<AlternateGroups, StageError> {
    let names = [first.to_owned(), second.to_owned()];
    let found = [groups::group(aws, first).await?, groups::group(aws, second).await?];
    let mut both = AlternateGroups { names, groups: found, forwards: Vec::new() };
    if let (Some(old), Some(new)) = (both.target_group(0), both.target_group(1)) {
        let pair = TargetGroupPair { old: old.to_owned(), new: new.to_owned() };
        let found = listener_weights::read(aws, &pair).await?;
        both.forwards = found.into_iter().map(|found| found.action).collect();
    }
    Ok(both)
}

/// The two groups of a deployment under way.
pub struct Both {
    pub old: Group,
    pub new: Group,
    pub pair: TargetGroupPair,
}

/// Reads the two groups of a deployment under way.
///
/// # Errors
/// A read failed; [`ViewError::NoGroup`] or [`GroupError::TargetGroups`] when a group or its only target group does not exist any more.
pub async fn read(names: GroupNames<'_>, aws: &Aws) -> Result<Both, StageError> {
    let gone = |name: &str| ViewError::NoGroup { group: name.to_owned() };
    let old = groups::group(aws, names.old).await?.ok_or_else(|| gone(names.old))?;
    let new = groups::group(aws, names.new).await?.ok_or_else(|| gone(names.new))?;
    let only = |group: &Group, name: &str| match group.target_groups.first() {
        Some(arn) if group.target_groups.len() == 1 => Ok(arn.clone()),
        _ => Err(GroupError::TargetGroups { group: name.to_owned() }),
    };
    let pair = TargetGroupPair { old: only(&old, names.old)?, new: only(&new, names.new)? };
    Ok(Both { old, new, pair })
}

/// Sets the weights of the listener or rule at index `done`; the index of the next one then, and none when all have
/// the weights.
///
/// # Errors
/// A call failed; [`GroupError::NoListener`] when no listener forwards to the pair any more.
pub async fn set_next(
    pair: &TargetGroupPair,
    percent: u8,
    done: u8,
    aws: &Aws,
) -> Result<Option<u8>, StageError> {
    let all = listener_weights::read(aws, pair).await?;
    if all.is_empty() {
        return Err(GroupError::NoListener.into());
    }
    let Some(next) = all.get(usize::from(done)) else { return Ok(None) };
    if !next.action.gives(pair, percent) {
        next.set_percent(aws, pair, percent).await?;
    }
    Ok(Some(done.saturating_add(1)))
}

/// Whether a group launches this template version.
#[must_use]
pub fn launches(group: &Group, template: &str, version: i64) -> bool {
    matches!(&group.launch_source, LaunchSource::Template { id, version: at } if id == template && *at == version.to_string())
}

/// How someone else changed the launch template of a group, if someone did. `new` is checked only if it is given.
#[must_use]
pub fn changed_template(
    rollout: &Rollout,
    names: GroupNames<'_>,
    old: &Group,
    new: Option<&Group>,
) -> Option<String> {
    let plan = &rollout.plan;
    let changed = |name: &str| {
        Some(format!("someone else gave {name} another launch template or version during the deployment"))
    };
    if !launches(old, &plan.template, plan.from) {
        return changed(names.old);
    }
    match new {
        Some(new) if !launches(new, &plan.template, rollout.to) => changed(names.new),
        _ => None,
    }
}

/// The instance refresh that someone else started on a group, if someone did.
///
/// # Errors
/// `DescribeInstanceRefreshes` failed.
pub async fn other_refresh(names: GroupNames<'_>, aws: &Aws) -> Result<Option<String>, StageError> {
    for name in [names.old, names.new] {
        let found = instance_refreshes::list(aws, name).await?;
        if let Some(other) = found.iter().find(|refresh| !refresh.status.is_over()) {
            return Ok(Some(format!(
                "the instance refresh {} of {name} was started by someone else",
                other.id
            )));
        }
    }
    Ok(None)
}

/// The weights that are not those that were set; none if all are.
#[must_use]
pub fn other_weights(found: &[Forwarding], pair: &TargetGroupPair, percent: u8) -> Option<String> {
    if found.is_empty() {
        return Some("no listener forwards to the two target groups any more".to_owned());
    }
    let other = found.iter().find(|found| !found.action.gives(pair, percent))?;
    let weight = |arn: &str| other.action.weight(arn).map_or("none".to_owned(), |weight| weight.to_string());
    Some(format!(
        "{} gives {} to the old image and {} to the new one, not {} and {percent}",
        other.action.arn,
        weight(&pair.old),
        weight(&pair.new),
        100 - percent
    ))
}
