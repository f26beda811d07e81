//! An Auto Scaling group: its settings, instances and refreshes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};

use super::super::super::call::ApiError;
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::Place;
use super::activities::Activity;
use super::config::{Config, invalid};
use super::members::Member;
use super::refresh::Refresh;
use super::tags::GroupTag;
use super::{Key, place};

/// An Auto Scaling group.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    pub place: Place,
    pub arn: String,
    pub config: Config,
    pub min_size: usize,
    pub max_size: usize,
    pub desired: usize,
    pub created: Time,
    pub zones: Vec<String>,
    pub subnets: Vec<String>,
    pub target_groups: Vec<String>,
    /// `EC2`, `ELB`, or a comma-separated list.
    pub health_check_type: String,
    pub grace_seconds: u64,
    pub default_warmup: Option<u64>,
    pub protect_new: bool,
    pub suspended: BTreeSet<String>,
    pub members: BTreeMap<String, Member>,
    /// Newest last.
    pub refreshes: Vec<Refresh>,
    pub(super) maintenance: Option<Maintenance>,
    pub(super) tags: Vec<GroupTag>,
    pub(super) activities: Vec<Activity>,
    /// Settings that are returned as given and have no effect.
    pub(super) other: Map<String, Value>,
    pub(super) warm_pool: Option<Value>,
    /// The earliest time of the next launch after a failed one.
    pub(super) launch_not_before: Option<Time>,
    pub(super) deleting: bool,
}

/// An instance maintenance policy; -1 in a request clears a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maintenance {
    pub min_healthy: usize,
    pub max_healthy: usize,
}

impl Group {
    /// The refresh that has not ended.
    #[must_use]
    pub fn active_refresh(&self) -> Option<&Refresh> {
        self.refreshes.last().filter(|r| r.status.is_active())
    }

    pub(super) fn key(&self) -> Key {
        (self.place.clone(), self.name.clone())
    }

    pub(super) fn suspends(&self, process: &str) -> bool {
        self.suspended.contains(process)
    }

    pub(super) fn live(&self) -> usize {
        self.members.values().filter(|m| m.is_live()).count()
    }

    pub(super) fn checks_load_balancer(&self) -> bool {
        self.health_check_type.split(',').any(|kind| kind.trim() == "ELB")
    }

    pub(super) fn grace(&self) -> Duration {
        Duration::from_secs(self.grace_seconds)
    }

    /// The configuration of the next launch: an active refresh's, otherwise the group's own.
    pub(super) fn launches_from(&self) -> &Config {
        self.active_refresh().map_or(&self.config, Refresh::launches_from)
    }
}

/// The caller's group of this name.
pub(super) fn owned<'a>(
    world: &'a mut World,
    call: &super::super::super::call::Call,
    name: &str,
) -> Result<&'a mut Group, ApiError> {
    let key = (place(call), name.to_owned());
    world.autoscaling.groups.get_mut(&key).filter(|g| !g.deleting).ok_or_else(|| {
        invalid(format!("AutoScalingGroup name not found - AutoScalingGroup {name} not found"))
    })
}
