//! The instances of an Auto Scaling group: which image each runs, and whether it is healthy.

use std::collections::BTreeMap;

use super::error::ViewError;
use super::groups::{self, Group, Lifecycle};
use super::images;
use super::target_health::{self, TargetProblem};
use crate::aws::Aws;
use crate::engine::StageError;
use crate::evidence::predicate::Units;

/// The instances of a group at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetView {
    pub group: Group,
    /// Images by instance.
    pub images: BTreeMap<String, String>,
    /// Problems of targets by target group and instance; none for a healthy target.
    pub targets: BTreeMap<String, BTreeMap<String, Option<TargetProblem>>>,
}

impl FleetView {
    /// Reads a group, the images of its instances, and their health in its target groups.
    ///
    /// # Errors
    /// A read failed; [`ViewError::NoGroup`] when the group does not exist.
    pub async fn read(aws: &Aws, name: &str) -> Result<Self, StageError> {
        let group = groups::group(aws, name).await?;
        let group = group.ok_or_else(|| ViewError::NoGroup { group: name.to_owned() })?;
        Self::of_group(aws, group).await
    }

    /// Reads the images of a group's instances, and their health in its target groups.
    ///
    /// # Errors
    /// A read failed.
    pub async fn of_group(aws: &Aws, group: Group) -> Result<Self, StageError> {
        let ids: Vec<String> = group.instances.iter().map(|instance| instance.id.clone()).collect();
        let images = images::images_of(aws, &ids).await?;
        let mut targets = BTreeMap::new();
        for arn in &group.target_groups {
            targets.insert(arn.clone(), target_health::targets(aws, arn).await?);
        }
        Ok(Self { group, images, targets })
    }

    /// Counts the instances in service, those of them that run `image`, and those that are healthy.
    #[must_use]
    pub fn units(&self, image: &str) -> Units {
        let mut units = Units::default();
        for instance in self.group.instances.iter().filter(|one| one.lifecycle == Lifecycle::InService) {
            units.total += 1;
            units.updated += u32::from(self.images.get(&instance.id).is_some_and(|on| on == image));
            units.healthy += u32::from(self.problem(&instance.id, instance.healthy).is_none());
        }
        units
    }

    /// The problem of an instance, as Auto Scaling or one of its target groups reports it.
    fn problem(&self, id: &str, healthy: bool) -> Option<String> {
        if !healthy {
            return Some("unhealthy".to_owned());
        }
        self.targets.iter().find_map(|(arn, targets)| {
            let group = arn.rsplit(':').next().unwrap_or(arn);
            match targets.get(id) {
                Some(None) => None,
                Some(Some(problem)) => Some(format!("{} in {group}", problem.state)),
                None => Some(format!("not registered with {group}")),
            }
        })
    }

    /// Why the group is not wholly on `image`, at its desired capacity and healthy; none if it is.
    #[must_use]
    pub fn not_ready(&self, image: &str) -> Option<String> {
        let group = &self.group;
        let mut missing = Vec::new();
        let staying = || group.instances.iter().filter(|one| one.lifecycle != Lifecycle::Terminating);
        let mut others: BTreeMap<&str, usize> = BTreeMap::new();
        for instance in staying() {
            let on = self.images.get(&instance.id).map_or("an image that is not known yet", String::as_str);
            if on != image {
                *others.entry(on).or_default() += 1;
            }
        }
        missing.extend(others.iter().map(|(on, count)| format!("{count} on {on}")));
        let in_service = staying().filter(|one| one.lifecycle == Lifecycle::InService);
        let (mut count, mut unhealthy) = (0u32, Vec::new());
        for instance in in_service {
            count += 1;
            let problem = self.problem(&instance.id, instance.healthy);
            unhealthy.extend(problem.map(|what| format!("{} {what}", instance.id)));
        }
        if group.desired == 0 {
            missing.push("no instance is desired".to_owned());
        } else if count < group.desired {
            missing.push(format!("{count} of {} in service", group.desired));
        }
        let more = unhealthy.len().saturating_sub(3);
        missing.extend(unhealthy.into_iter().take(3));
        if more > 0 {
            missing.push(format!("{more} more not healthy"));
        }
        (!missing.is_empty()).then(|| missing.join(", "))
    }
}
