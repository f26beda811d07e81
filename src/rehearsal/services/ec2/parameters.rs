//! The images named by Systems Manager parameters, as launches and references need them.

use super::super::super::world::World;
use super::super::support::Place;

/// Lets `resolve:ssm:NAME` mean an image. `name` may carry `:version` or `:label`.
pub fn seed_parameter(world: &mut World, account: &str, region: &str, name: &str, image_id: &str) {
    world.ec2.parameters.insert((Place::new(account, region), name.to_owned()), image_id.to_owned());
}

/// The image a parameter names.
pub(super) fn value(world: &World, here: &Place, name: &str) -> Option<String> {
    world.ec2.parameters.get(&(here.clone(), name.to_owned())).cloned()
}

/// Names of the parameters that name an image.
pub(super) fn naming<'a>(
    world: &'a World,
    here: &'a Place,
    image_id: &'a str,
) -> impl Iterator<Item = &'a str> {
    world
        .ec2
        .parameters
        .iter()
        .filter(move |((place, _), value)| place == here && *value == image_id)
        .map(|((_, name), _)| name.as_str())
}
