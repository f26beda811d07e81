//! The fleet as it is read back: which instance runs what, and how it does.

use std::collections::BTreeMap;

use super::observe::{self, Ailment, Group, Life};
use crate::aws::Aws;
use crate::engine::StageError;
use crate::evidence::predicate::Fleet;

/// The fleet at one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Census {
    pub group: Group,
    /// Images by instance.
    pub images: BTreeMap<String, String>,
    /// Targets by target group and instance.
    pub targets: BTreeMap<String, BTreeMap<String, Option<Ailment>>>,
}

impl Census {
    /// Reads a group, the images of its instances, and their health in its target groups.
    ///
    /// # Errors
    /// As the calls; [`StageError::Rejected`] when the group is gone.
    pub async fn take(aws: &Aws, name: &str) -> Result<Self, StageError> {
        let group = observe::group(aws, name)
            .await?
            .ok_or_else(|| StageError::Rejected(format!("the Auto Scaling group {name} is gone")))?;
        Self::of(aws, group).await
    }

    /// Reads the images of a group's instances, and their health in its target groups.
    ///
    /// # Errors
    /// As the calls.
    pub async fn of(aws: &Aws, group: Group) -> Result<Self, StageError> {
        let ids: Vec<String> = group.instances.iter().map(|instance| instance.id.clone()).collect();
        let images = observe::images_of(aws, &ids).await?;
        let mut targets = BTreeMap::new();
        for arn in &group.target_groups {
            targets.insert(arn.clone(), observe::targets(aws, arn).await?);
        }
        Ok(Self { group, images, targets })
    }

    /// How many instances are in service, how many of them run `image`, and how many of them are well.
    #[must_use]
    pub fn tally(&self, image: &str) -> Fleet {
        let mut fleet = Fleet { in_service: 0, on_new_image: 0, healthy: 0 };
        for instance in self.group.instances.iter().filter(|instance| instance.life == Life::InService) {
            fleet.in_service += 1;
            fleet.on_new_image += u32::from(self.images.get(&instance.id).is_some_and(|on| on == image));
            fleet.healthy += u32::from(self.ailment(&instance.id, instance.healthy).is_none());
        }
        fleet
    }

    /// What is wrong with an instance: with Auto Scaling, or in any target group.
    fn ailment(&self, id: &str, healthy: bool) -> Option<String> {
        if !healthy {
            return Some("unhealthy".to_owned());
        }
        self.targets.iter().find_map(|(arn, targets)| {
            let group = arn.rsplit(':').next().unwrap_or(arn);
            match targets.get(id) {
                Some(None) => None,
                Some(Some(ailment)) => Some(format!("{} in {group}", ailment.state)),
                None => Some(format!("not registered with {group}")),
            }
        })
    }

    /// What keeps the fleet from being wholly on `image` and well; none if nothing does.
    #[must_use]
    pub fn lacks(&self, image: &str) -> Option<String> {
        let group = &self.group;
        let mut lacks = Vec::new();
        let staying = || group.instances.iter().filter(|instance| instance.life != Life::Leaving);
        let mut others: BTreeMap<&str, usize> = BTreeMap::new();
        for instance in staying() {
            let on = self.images.get(&instance.id).map_or("an image that is not known yet", String::as_str);
            if on != image {
                *others.entry(on).or_default() += 1;
            }
        }
        lacks.extend(others.iter().map(|(on, count)| format!("{count} on {on}")));
        let in_service = staying().filter(|instance| instance.life == Life::InService);
        let (mut count, mut unwell) = (0u32, Vec::new());
        for instance in in_service {
            count += 1;
            unwell.extend(
                self.ailment(&instance.id, instance.healthy).map(|what| format!("{} {what}", instance.id)),
            );
        }
        if group.desired == 0 {
            lacks.push("no instance is desired".to_owned());
        } else if count < group.desired {
            lacks.push(format!("{count} of {} in service", group.desired));
        }
        let more = unwell.len().saturating_sub(3);
        lacks.extend(unwell.into_iter().take(3));
        if more > 0 {
            lacks.push(format!("{more} more not healthy"));
        }
        (!lacks.is_empty()).then(|| lacks.join(", "))
    }
}
