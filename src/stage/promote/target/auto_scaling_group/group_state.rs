//! The state of groups of a wave: what each launches, and which image its instances run.

use std::collections::BTreeMap;

use crate::aws::Aws;
use crate::engine::StageError;
use crate::evidence::predicate::Units;
use crate::stage::aws_view::fleet::FleetView;
use crate::stage::aws_view::groups::{Group, groups};
use crate::stage::aws_view::images;

/// The state of a group, without the health in its target groups, which would take one call for each.
#[derive(Clone, Debug)]
pub struct GroupState {
    /// None when the group does not exist.
    pub group: Option<Group>,
    pub units: Units,
    /// Why the group is not wholly on the image.
    pub not_ready: Option<String>,
}

/// The states of groups of one Region, in their order. It takes one call for every fifty groups and one for every
/// hundred instances.
///
/// # Errors
/// A read failed.
pub async fn read_states(aws: &Aws, names: &[String], image: &str) -> Result<Vec<GroupState>, StageError> {
    let mut found = groups(aws, names).await?;
    let ids: Vec<String> =
        found.values().flat_map(|group| &group.instances).map(|instance| instance.id.clone()).collect();
    let images = images::images_of(aws, &ids).await?;
    let state = |name: &String| {
        let Some(group) = found.remove(name) else {
            let not_ready = Some("it does not exist any more".to_owned());
            return GroupState { group: None, units: Units::default(), not_ready };
        };
        let of = |id: &str| images.get(id).map(|image| (id.to_owned(), image.clone()));
        let images = group.instances.iter().filter_map(|instance| of(&instance.id)).collect();
        let fleet = FleetView { group, images, targets: BTreeMap::new() };
        let (units, not_ready) = (fleet.units(image), fleet.not_ready(image));
        GroupState { group: Some(fleet.group), units, not_ready }
    };
    Ok(names.iter().map(state).collect())
}
