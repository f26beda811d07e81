//! Every group of a promotion, the first one and then wave by wave.

use super::group_state::{self, read_states};
use super::instance_refresh::CapacityLimits;
use crate::aws::Aws;
use crate::engine::StageError;
use crate::evidence::predicate::{Units, Wave, WaveGroup as WaveGroupRecord};
use crate::stage::aws_view::groups::LaunchSource;
use crate::stage::promote::inputs::Inputs;

/// A group, with the clients and the image of its Region.
#[derive(Clone, Debug)]
pub struct WaveGroup {
    pub name: String,
    /// The environment of its wave; none for that of the first group.
    pub environment: Option<String>,
    pub aws: Aws,
    /// The new image.
    pub image: String,
    /// The capacity limits of a refresh that restores it.
    pub limits: CapacityLimits,
}

/// Every group of the spec, in order.
///
/// # Errors
/// [`StageError::Bug`] when a Region has no clients.
pub fn of_spec(inputs: &Inputs, aws: &Aws) -> Result<Vec<WaveGroup>, StageError> {
    let limits = CapacityLimits::of(&inputs.settings);
    let image = inputs.subject.machine_image()?.image_id.clone();
    let (name, environment) = (inputs.settings.group.clone(), None);
    let mut groups = vec![WaveGroup { name, environment, aws: aws.clone(), image, limits }];
    for wave in &inputs.settings.waves {
        let region = inputs.region_of(wave)?;
        groups.extend(wave.groups.iter().map(|name| WaveGroup {
            name: name.clone(),
            environment: wave.environment.clone(),
            aws: region.aws.clone(),
            image: region.image.image_id.clone(),
            limits,
        }));
    }
    Ok(groups)
}

/// Every group of the waves as it is now, for the record.
///
/// # Errors
/// A read failed.
pub async fn read_back(inputs: &Inputs) -> Result<Vec<Wave>, StageError> {
    let mut waves = Vec::with_capacity(inputs.settings.waves.len());
    for wave in &inputs.settings.waves {
        let region = inputs.region_of(wave)?;
        let states = read_states(&region.aws, &wave.groups, &region.image.image_id).await?;
        let groups = wave.groups.iter().zip(states).map(|(name, state)| WaveGroupRecord {
            name: name.clone(),
            version: state.group.and_then(|group| match group.launch_source {
                LaunchSource::Template { version, .. } => Some(version),
                LaunchSource::Mixed | LaunchSource::Configuration(_) | LaunchSource::Nothing => None,
            }),
            units: state.units,
        });
        let (name, region) = (wave.name.clone(), region.aws.region().to_owned());
        waves.push(Wave { name, region, groups: groups.collect() });
    }
    Ok(waves)
}

/// The units of the first group and of every wave, and the groups that still have instances on the new image.
///
/// # Errors
/// A read failed.
pub async fn states(groups: &[WaveGroup]) -> Result<Vec<(&str, group_state::GroupState)>, StageError> {
    let mut states = Vec::with_capacity(groups.len());
    // Groups of one environment, Region and image are read together.
    let alike = |a: &WaveGroup, b: &WaveGroup| {
        a.environment == b.environment && a.aws.region() == b.aws.region() && a.image == b.image
    };
    for same in groups.chunk_by(alike) {
        let Some(first) = same.first() else { continue };
        let names: Vec<String> = same.iter().map(|group| group.name.clone()).collect();
        let found = read_states(&first.aws, &names, &first.image).await?;
        states.extend(same.iter().map(|group| group.name.as_str()).zip(found));
    }
    Ok(states)
}

/// The sum of units.
#[must_use]
pub fn sum<'u>(units: impl IntoIterator<Item = &'u Units>) -> Units {
    units.into_iter().fold(Units::default(), |sum, units| Units {
        total: sum.total + units.total,
        updated: sum.updated + units.updated,
        healthy: sum.healthy + units.healthy,
    })
}
