//! The container images of a build: pushed to a repository of ECR in each Region they are distributed to.

use std::time::Duration;

use serde_json::Value;

use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::ecr;
use super::build::schedule;
use super::distribute::distributions;
use super::image::{Image, OutputContainer};
use super::{DistributionFault, Happening, Outcome};

/// A repository the image is pushed to, and the tags it gets there.
struct Target {
    region: String,
    repository: String,
    tags: Vec<String>,
}

/// Pushes the image wherever it is not yet: a retried distribution goes on with what there is. One Region that refuses
/// fails the build.
pub(super) fn push(world: &mut World, at: Time, arn: &str) {
    let Some(image) = world.imagebuilder.images.get(arn) else { return };
    let (account, manifest) = (image.account.clone(), ecr::sample_manifest(arn));
    let barred = match &image.outcome {
        Outcome::DistributionFailed(fault) => Some(fault.region.clone()),
        _ => None,
    };
    for target in targets(image) {
        if barred.as_ref() == Some(&target.region) {
            continue;
        }
        let place = (account.as_str(), target.region.as_str());
        let tags: Vec<&str> = target.tags.iter().map(String::as_str).collect();
        match ecr::push(world, place, &target.repository, &tags, &manifest) {
            Ok(_) => output(world, arn, &account, target),
            Err(refusal) => {
                if let Some(image) = world.imagebuilder.images.get_mut(arn) {
                    let fault = DistributionFault { region: target.region, message: refusal.message };
                    image.outcome = Outcome::DistributionFailed(fault);
                }
                schedule(world, at + Duration::from_secs(30), arn, Happening::Fail);
                return;
            }
        }
    }
}

fn output(world: &mut World, arn: &str, account: &str, target: Target) {
    let Some(image) = world.imagebuilder.images.get_mut(arn) else { return };
    if image.containers.iter().any(|there| there.region == target.region) {
        return;
    }
    let Target { region, repository, tags } = target;
    let registry = format!("{account}.dkr.ecr.{region}.amazonaws.com");
    let uris = tags.iter().map(|tag| format!("{registry}/{repository}:{tag}")).collect();
    image.containers.push(OutputContainer { region, uris });
}

/// One target for each Region of the distribution, or the recipe's own where the build is. Every image has a tag of its
/// version and build beside those that the distribution names.
fn targets(image: &Image) -> Vec<Target> {
    let own_tag = format!("{}-{}", image.version, image.build());
    let repository = |from: Option<&Value>| {
        Some(from?.get("targetRepository")?.get("repositoryName")?.as_str()?.to_owned())
    };
    let of_recipe = image.recipe.get("targetRepository").and_then(|target| target.get("repositoryName"));
    let of_recipe = of_recipe.and_then(Value::as_str).unwrap_or_default();
    let mut targets: Vec<Target> = distributions(image)
        .filter_map(|distribution| {
            let settings = distribution.get("containerDistributionConfiguration");
            let tags = settings.and_then(|settings| settings.get("containerTags")?.as_array());
            let tags = tags.into_iter().flatten().filter_map(|tag| tag.as_str().map(str::to_owned));
            Some(Target {
                region: distribution.get("region")?.as_str()?.to_owned(),
                repository: repository(settings).unwrap_or_else(|| of_recipe.to_owned()),
                tags: tags.chain([own_tag.clone()]).collect(),
            })
        })
        .collect();
    if targets.is_empty() {
        let (region, repository) = (image.region.clone(), of_recipe.to_owned());
        targets.push(Target { region, repository, tags: vec![own_tag] });
    }
    targets
}
