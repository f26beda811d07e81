//! The output variables of the action that name its image. Pure.

use std::collections::BTreeMap;

use super::images::availability::Copies;
use crate::evidence::ContainerIdentity;

/// Output variables of a machine image: `Image` and `ImageId` of this region, `ImageId-REGION` of every region.
#[must_use]
pub fn of_machine_images(copies: &Copies, region: &str, build: &str) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> =
        copies.own.iter().map(|copy| (format!("ImageId-{}", copy.region), copy.id.clone())).collect();
    if let Some(here) = copies.in_region(region) {
        variables.insert("Image".into(), here.id.clone());
        variables.insert("ImageId".into(), here.id.clone());
        variables.insert("ImageRegion".into(), here.region.clone());
    }
    variables.insert("ImageKind".into(), "machine_image".into());
    variables.insert("ImageBuildArn".into(), build.to_owned());
    variables
}

/// Output variables of a container image: `Image` and `ImageURI` of this region, `ImageURI-REGION` of every region, each
/// with the digest that it is pulled by.
#[must_use]
pub fn of_container_images(
    containers: &[ContainerIdentity],
    region: &str,
    build: &str,
) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> =
        containers.iter().map(|one| (format!("ImageURI-{}", one.region), one.reference())).collect();
    if let Some(here) = containers.iter().find(|one| one.region == region) {
        variables.insert("Image".into(), here.reference());
        variables.insert("ImageURI".into(), here.reference());
        variables.insert("ImageDigest".into(), format!("sha256:{}", here.digest));
        variables.insert("ImageRegion".into(), here.region.clone());
    }
    variables.insert("ImageKind".into(), "container_image".into());
    variables.insert("ImageBuildArn".into(), build.to_owned());
    variables
}
