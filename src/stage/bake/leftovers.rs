//! What a build that is not wanted left in EC2 and ECR: its images and their snapshots, in every region.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::Filter;
use aws_sdk_imagebuilder::types::{ContainerRecipe, Image};

use super::container::{self, BuiltContainer};
use super::judge::{self, Build};
use super::registry::{self, Unwanted};
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::stage::Cx;

/// The tag Image Builder gives the images of a build.
const BUILT_BY: &str = "tag:Ec2ImageBuilderArn";

/// An image that is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leftover {
    Machine { region: String, id: String },
    Container(Unwanted),
}

/// The regions a build can have left something in: its own, those it was distributed to, those it names.
pub fn regions(
    cx: &Cx,
    image: &Image,
    build: &Build,
    expected: impl Iterator<Item = String>,
) -> BTreeSet<String> {
    let distributions =
        image.distribution_configuration.iter().flat_map(|c| c.distributions.iter().flatten());
    let mut regions: BTreeSet<String> =
        distributions.map(|distribution| distribution.region.clone()).collect();
    regions.extend(build.images.iter().map(|image| image.region.clone()));
    regions.extend(build.containers.iter().map(|container| container.region.clone()));
    regions.extend(expected);
    regions.insert(cx.aws.region().to_owned());
    regions
}

/// The account's own images of the build `arn`.
pub async fn find(
    cx: &Cx,
    arn: &str,
    found: &Image,
    build: &Build,
    regions: &BTreeSet<String>,
) -> Result<Vec<Leftover>, StageError> {
    let Some(recipe) = &found.container_recipe else { return machines(cx, arn, regions).await };
    let Some(own_tag) = container::own_tag(arn) else { return Ok(Vec::new()) };
    let places =
        repositories(found, recipe, build, regions, judge::home(arn).map_or("", |(account, _)| account));
    let unwanted = registry::unwanted(cx, places, &own_tag).await?;
    Ok(unwanted.into_iter().map(Leftover::Container).collect())
}

/// Every repository that a build may have pushed to: those it names, and those it was to push to, since one that was cut
/// short does not name all it made.
fn repositories(
    found: &Image,
    recipe: &ContainerRecipe,
    build: &Build,
    regions: &BTreeSet<String>,
    account: &str,
) -> Vec<BuiltContainer> {
    let mut places = build.containers.clone();
    let mut add = |region: &str, repository: &str| {
        let is_it = |place: &BuiltContainer| {
            (place.region.as_str(), place.repository.as_str()) == (region, repository)
        };
        if !repository.is_empty() && !places.iter().any(is_it) {
            let (region, account) = (region.to_owned(), account.to_owned());
            places.push(BuiltContainer {
                region,
                account,
                repository: repository.to_owned(),
                tags: BTreeSet::new(),
            });
        }
    };
    let of_recipe = recipe.target_repository.as_ref().map_or("", |target| target.repository_name.as_str());
    for region in regions {
        add(region, of_recipe);
    }
    for distribution in found.distribution_configuration.iter().flat_map(|c| c.distributions.iter().flatten())
    {
        let target = distribution.container_distribution_configuration.as_ref().map(|c| &c.target_repository);
        let target = target.and_then(|target| target.as_ref());
        add(&distribution.region, target.map_or("", |target| target.repository_name.as_str()));
    }
    places
}

/// Machine images, found by the tag Image Builder gives them: a build that was cut short does not name all it made.
async fn machines(cx: &Cx, arn: &str, regions: &BTreeSet<String>) -> Result<Vec<Leftover>, StageError> {
    let mut found = Vec::new();
    for region in regions {
        let all = cx
            .aws
            .ec2_in(region)
            .describe_images()
            .owners("self")
            .filters(Filter::builder().name(BUILT_BY).values(arn).build())
            .include_disabled(true)
            .include_deprecated(true)
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| AwsError::new("ec2:DescribeImages", format!("{arn} in {region}"), error))?;
        let ids = all.into_iter().filter_map(|image| image.image_id);
        found.extend(ids.map(|id| (region.clone(), id)));
    }
    found.sort();
    Ok(found.into_iter().map(|(region, id)| Leftover::Machine { region, id }).collect())
}

/// Removes an image; what of it stays, and why. A second call finds none.
pub async fn remove(cx: &Cx, leftover: &Leftover) -> Result<Vec<String>, StageError> {
    match leftover {
        Leftover::Machine { region, id } => deregister(cx, region, id).await,
        Leftover::Container(unwanted) => Ok(registry::remove(cx, unwanted).await?.into_iter().collect()),
    }
}

/// Deregisters an image and has its snapshots deleted.
async fn deregister(cx: &Cx, region: &str, id: &str) -> Result<Vec<String>, StageError> {
    let place = format!("{id} in {region}");
    let call = cx.aws.ec2_in(region).deregister_image();
    match call.image_id(id).delete_associated_snapshots(true).send().await {
        Ok(answer) => {
            let stays = |code: &str| !matches!(code, "success" | "skipped");
            let results = answer.delete_snapshot_results.unwrap_or_default().into_iter();
            let told = results.filter_map(|result| Some((result.snapshot_id?, result.return_code?)));
            Ok(told
                .filter(|(_, code)| stays(code.as_str()))
                .map(|(id, code)| format!("snapshot {id} in {region} stays ({})", code.as_str()))
                .collect())
        }
        Err(error) => {
            let error = AwsError::new("ec2:DeregisterImage", &place, error);
            let gone = error.class == Class::Missing || error.is("InvalidAMIID.Unavailable");
            if gone { Ok(Vec::new()) } else { Err(error.into()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_imagebuilder::types::{
        ContainerDistributionConfiguration, ContainerRepositoryService, Distribution,
        DistributionConfiguration, TargetContainerRepository,
    };

    use super::*;

    fn target(name: &str) -> TargetContainerRepository {
        let ecr = TargetContainerRepository::builder().service(ContainerRepositoryService::Ecr);
        ecr.repository_name(name).build().unwrap()
    }

    #[test]
    fn a_build_that_was_cut_short_is_looked_for_wherever_it_was_to_push() {
        let to = ContainerDistributionConfiguration::builder().target_repository(target("other")).build();
        let there =
            Distribution::builder().region("eu-west-3").container_distribution_configuration(to).build();
        let distribution =
            DistributionConfiguration::builder().timeout_minutes(1).distributions(there.unwrap()).build();
        let image = Image::builder().distribution_configuration(distribution.unwrap()).build();
        let recipe = ContainerRecipe::builder().target_repository(target("web")).build();
        let told = BuiltContainer {
            region: "eu-west-1".into(),
            account: "123456789012".into(),
            repository: "web".into(),
            tags: ["1.0.0-1".to_owned(), "latest".to_owned()].into(),
        };
        let build = Build { containers: vec![told.clone()], ..Build::default() };
        let regions = ["eu-west-1".to_owned(), "eu-west-3".to_owned()].into();
        let found = repositories(&image, &recipe, &build, &regions, "123456789012");
        let places: Vec<_> = found.iter().map(|at| (at.region.as_str(), at.repository.as_str())).collect();
        assert_eq!(places, [("eu-west-1", "web"), ("eu-west-3", "web"), ("eu-west-3", "other")]);
        assert_eq!(found[0], told, "with the tags that the build names");
    }
}
