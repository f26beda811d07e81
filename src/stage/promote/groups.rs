//! Every group of a promotion in order, the first one and then wave by wave, and how they stand.

use std::collections::BTreeMap;

use super::observe::{self, Group, Launches};
use super::refresh::CapacityLimits;
use super::{Inputs, template};
use crate::aws::Aws;
use crate::engine::StageError;
use crate::engine::key::ExecutionKey;
use crate::evidence::predicate::{Fleet, Wave, WaveGroup};
use crate::spec;

/// Names in one call of `DescribeAutoScalingGroups`.
const BATCH: usize = 50;

/// A group of the line, and the clients and the image of its region.
#[derive(Clone, Debug)]
pub struct Place {
    pub name: String,
    pub aws: Aws,
    /// The new image.
    pub image: String,
    /// How it is refreshed on its way back.
    pub gentle: CapacityLimits,
}

impl Inputs {
    /// The wave at this place in the spec, with the clients of its region and the image there.
    ///
    /// # Errors
    /// [`StageError::Bug`] when there is none.
    pub(super) fn wave(&self, at: u8) -> Result<(&spec::GroupWave, &super::RegionContext), StageError> {
        let wave = self.promote.waves.get(usize::from(at));
        let wave = wave.ok_or_else(|| StageError::Bug(format!("the spec has no wave {at}")))?;
        Ok((wave, self.there(wave)?))
    }

    fn there(&self, wave: &spec::GroupWave) -> Result<&super::RegionContext, StageError> {
        let region = wave.region.as_deref().unwrap_or(&self.home);
        let there = self.there.get(region);
        there.ok_or_else(|| StageError::Bug(format!("there are no clients for {region}")))
    }

    /// Every group in order.
    ///
    /// # Errors
    /// As [`Inputs::wave`].
    pub(super) fn line(&self, aws: &Aws) -> Result<Vec<Place>, StageError> {
        let gentle = CapacityLimits::of(&self.promote);
        let image = self.image.image_id.clone();
        let mut line = vec![Place { name: self.promote.group.clone(), aws: aws.clone(), image, gentle }];
        for wave in &self.promote.waves {
            let there = self.there(wave)?;
            line.extend(wave.groups.iter().map(|name| Place {
                name: name.clone(),
                aws: there.aws.clone(),
                image: there.image.image_id.clone(),
                gentle,
            }));
        }
        Ok(line)
    }
}

/// Groups by name, those that are there.
///
/// # Errors
/// As the calls.
pub async fn groups(aws: &Aws, names: &[String]) -> Result<BTreeMap<String, Group>, StageError> {
    let mut found = BTreeMap::new();
    for batch in names.chunks(BATCH) {
        found.extend(observe::groups(aws, batch).await?);
    }
    Ok(found)
}

/// What the group launches, and what its instances run: without their health in target groups, which takes a call each.
#[derive(Clone, Debug)]
pub struct Standing {
    pub group: Option<Group>,
    pub fleet: Fleet,
    /// What keeps it from being wholly on the image.
    pub lacks: Option<String>,
}

/// How groups of one region stand to an image, in their order: a call for every fifty groups and every hundred instances.
///
/// # Errors
/// As the calls.
pub async fn standings(aws: &Aws, names: &[String], image: &str) -> Result<Vec<Standing>, StageError> {
    let mut found = groups(aws, names).await?;
    let ids: Vec<String> =
        found.values().flat_map(|group| &group.instances).map(|instance| instance.id.clone()).collect();
    let images = observe::images_of(aws, &ids).await?;
    let standing = |name: &String| {
        let Some(group) = found.remove(name) else {
            let fleet = Fleet { in_service: 0, on_new_image: 0, healthy: 0 };
            return Standing { group: None, fleet, lacks: Some("it is gone".to_owned()) };
        };
        let of = |id: &str| images.get(id).map(|image| (id.to_owned(), image.clone()));
        let images = group.instances.iter().filter_map(|instance| of(&instance.id)).collect();
        let census = super::Census { group, images, targets: BTreeMap::new() };
        let (fleet, lacks) = (census.tally(image), census.lacks(image));
        Standing { group: Some(census.group), fleet, lacks }
    };
    Ok(names.iter().map(standing).collect())
}

/// Every group of the waves as it is now, for the record.
///
/// # Errors
/// As the calls.
pub(super) async fn read_back(inputs: &Inputs) -> Result<Vec<Wave>, StageError> {
    let mut waves = Vec::with_capacity(inputs.promote.waves.len());
    for wave in &inputs.promote.waves {
        let there = inputs.there(wave)?;
        let standings = standings(&there.aws, &wave.groups, &there.image.image_id).await?;
        let groups = wave.groups.iter().zip(standings).map(|(name, standing)| WaveGroup {
            name: name.clone(),
            version: standing.group.and_then(|group| match group.launches {
                Launches::Template { version, .. } => Some(version),
                Launches::Mixed | Launches::Configuration(_) | Launches::Nothing => None,
            }),
            fleet: standing.fleet,
        });
        waves.push(Wave { region: there.aws.region().to_owned(), groups: groups.collect() });
    }
    Ok(waves)
}

/// Fleets together.
#[must_use]
pub fn sum<'f>(fleets: impl IntoIterator<Item = &'f Fleet>) -> [u32; 3] {
    fleets.into_iter().fold([0; 3], |[in_service, on_new, healthy], fleet| {
        [in_service + fleet.in_service, on_new + fleet.on_new_image, healthy + fleet.healthy]
    })
}

/// The versions of a template that this promotion made, from `since` on.
///
/// # Errors
/// As the call.
pub async fn made(
    aws: &Aws,
    key: &ExecutionKey,
    template: &str,
    since: i64,
) -> Result<Vec<template::Made>, StageError> {
    let mut made = template::made(aws, template, since).await?;
    made.retain(|made| {
        let token = made.mark.token.as_str();
        token == key.client_token(FIRST).as_str()
            || token == key.client_token(&following(template, made.mark.from)).as_str()
    });
    Ok(made)
}

/// The step that makes the version of the first group's template, as its client token names it.
pub const FIRST: &str = "promote-version";

/// The step that makes the version which follows one of a template: groups that launch the same share it.
#[must_use]
pub fn following(template: &str, from: i64) -> String {
    format!("{FIRST} {template} {from}")
}
