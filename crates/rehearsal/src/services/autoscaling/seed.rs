//! Fixtures: groups, launch configurations and warm pools that exist when a rehearsal starts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::super::super::world::World;
use super::super::support::Place;
use super::super::{ec2, elbv2};
use super::config::RawConfig;
use super::groups::Group;
use super::keeping::launch_one;
use super::members::Lifecycle;
use super::tags::GroupTag;
use super::wake;

/// A group to seed.
#[derive(Clone, Debug)]
pub struct NewGroup {
    pub account: String,
    pub region: String,
    pub name: String,
    /// The id of its launch template.
    pub launch_template: String,
    /// A number, `$Latest` or `$Default`.
    pub version: String,
    pub size: usize,
    pub min_size: usize,
    pub max_size: usize,
    pub subnets: Vec<String>,
    /// The ARNs of its target groups.
    pub target_groups: Vec<String>,
    /// `EC2`, or `ELB` to use the load balancer's health checks as well.
    pub health_check_type: String,
    pub grace_seconds: u64,
    /// `DefaultInstanceWarmup`.
    pub default_warmup: Option<u64>,
    /// The tags of the group, which new instances inherit.
    pub tags: BTreeMap<String, String>,
}

impl NewGroup {
    /// A group of `size` instances from a template, with common settings.
    #[must_use]
    pub fn new(
        account: &str,
        region: &str,
        name: &str,
        launch_template: &str,
        version: &str,
        size: usize,
    ) -> Self {
        Self {
            account: account.into(),
            region: region.into(),
            name: name.into(),
            launch_template: launch_template.into(),
            version: version.into(),
            size,
            min_size: size.min(1),
            max_size: size * 2,
            subnets: Vec::new(),
            target_groups: Vec::new(),
            health_check_type: "EC2".into(),
            grace_seconds: 120,
            default_warmup: None,
            tags: BTreeMap::new(),
        }
    }
}

/// Seeds a group with its instances in service and healthy in its target groups. If the template or image does not
/// exist, the group lacks instances, as in AWS.
pub fn seed_group(world: &mut World, new: NewGroup) {
    let place = Place::new(new.account, new.region);
    let raw = RawConfig {
        launch_template: Some(ec2::TemplateKey {
            launch_template_id: Some(new.launch_template),
            launch_template_name: None,
            version: Some(new.version),
        }),
        ..RawConfig::default()
    };
    let uuid = world.ids.uuid();
    let mut group = Group {
        arn: arn(&place, &uuid, &new.name),
        name: new.name,
        config: raw.accept(world, &place).unwrap_or_default(),
        place,
        min_size: new.min_size,
        max_size: new.max_size,
        desired: new.size,
        created: world.now,
        zones: Vec::new(),
        subnets: new.subnets,
        target_groups: new.target_groups,
        health_check_type: new.health_check_type,
        grace_seconds: new.grace_seconds,
        default_warmup: new.default_warmup,
        protect_new: false,
        suspended: BTreeSet::new(),
        members: BTreeMap::new(),
        refreshes: Vec::new(),
        maintenance: None,
        tags: new
            .tags
            .into_iter()
            .map(|(key, value)| GroupTag {
                key,
                value: Some(value),
                propagate_at_launch: Some(true),
                resource_id: None,
            })
            .collect(),
        activities: Vec::new(),
        other: Map::new(),
        warm_pool: None,
        launch_not_before: None,
        deleting: false,
    };
    for _ in 0..new.size {
        let Ok(id) = launch_one(world, &mut group) else { break };
        ec2::settle(world, &id);
        if let Some(member) = group.members.get_mut(&id) {
            member.lifecycle = Lifecycle::InService;
            member.in_service = Some(member.joined);
            member.activity = None;
        }
        for target_group in &group.target_groups {
            elbv2::seed_healthy(world, target_group, &id);
        }
    }
    group.activities.clear();
    let zones: BTreeSet<String> = group.members.values().map(|m| m.zone.clone()).collect();
    group.zones = zones.into_iter().collect();
    let (key, now) = (group.key(), world.now);
    world.autoscaling.groups.insert(key.clone(), group);
    wake(world, &key, now);
}

/// A group by name, for tests and reports.
#[must_use]
pub fn group<'a>(world: &'a World, account: &str, region: &str, name: &str) -> Option<&'a Group> {
    world.autoscaling.groups.get(&(Place::new(account, region), name.to_owned()))
}

/// The instances in service of all groups of this name.
pub(crate) fn in_service(world: &World, name: &str) -> Vec<String> {
    let groups = world.autoscaling.groups.values().filter(|group| group.name == name);
    let members = groups.flat_map(|group| group.members.values());
    members.filter(|m| m.lifecycle == Lifecycle::InService).map(|m| m.id.clone()).collect()
}

/// Seeds a launch configuration, given as the model's `LaunchConfiguration`.
pub fn seed_launch_configuration(world: &mut World, account: &str, region: &str, configuration: Value) {
    world.autoscaling.launch_configurations.push((Place::new(account, region), configuration));
}

/// Seeds a group's warm pool, given as `DescribeWarmPool` returns it.
pub fn seed_warm_pool(world: &mut World, account: &str, region: &str, name: &str, pool: Value) {
    if let Some(group) = world.autoscaling.groups.get_mut(&(Place::new(account, region), name.to_owned())) {
        group.warm_pool = Some(pool);
    }
}

pub(super) fn arn(place: &Place, uuid: &str, name: &str) -> String {
    format!(
        "arn:{}:autoscaling:{}:{}:autoScalingGroup:{uuid}:autoScalingGroupName/{name}",
        crate::partition::id(&place.region),
        place.region,
        place.account
    )
}
