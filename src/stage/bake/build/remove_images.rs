//! Removes the images of a failed build from EC2 and ECR, with their snapshots, in every region.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::Filter;
use aws_sdk_imagebuilder::types::{ContainerRecipe, Image};

use super::super::arn;
use super::super::images::container::{self, BuiltContainer};
use super::super::images::registry::{self, UnwantedContainer};
use super::status::Build;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::stage::Cx;

/// The tag that Image Builder gives every machine image of a build.
const BUILT_BY: &str = "tag:Ec2ImageBuilderArn";

/// An image to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnwantedImage {
    Machine { region: String, id: String },
    Container(UnwantedContainer),
}

/// The regions that may have images of a build: its own, those it is distributed to and those it lists.
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

/// The images of the build `arn` in this account.
pub async fn find(
    cx: &Cx,
    arn: &str,
    found: &Image,
    build: &Build,
    regions: &BTreeSet<String>,
) -> Result<Vec<UnwantedImage>, StageError> {
    let Some(recipe) = &found.container_recipe else { return machines(cx, arn, regions).await };
    let Some(build_tag) = container::build_tag(arn) else { return Ok(Vec::new()) };
    let places = repositories(
        found,
        recipe,
        build,
        regions,
        arn::account_and_region(arn).map_or("", |(account, _)| account),
    );
    let unwanted = registry::unwanted(cx, places, &build_tag).await?;
    Ok(unwanted.into_iter().map(UnwantedImage::Container).collect())
}

/// Every repository that the build may have pushed to: those it lists, and those of its recipe and distribution. A
/// cancelled build does not list everything it pushed.
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

/// Machine images of the build, found by Image Builder's tag: a cancelled build does not list all of its images.
async fn machines(cx: &Cx, arn: &str, regions: &BTreeSet<String>) -> Result<Vec<UnwantedImage>, StageError> {
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
    Ok(found.into_iter().map(|(region, id)| UnwantedImage::Machine { region, id }).collect())
}

/// Removes an image. Returns what stays of it, and why. Removing an image twice succeeds.
pub async fn remove(cx: &Cx, leftover: &UnwantedImage) -> Result<Vec<String>, StageError> {
    match leftover {
        UnwantedImage::Machine { region, id } => deregister(cx, region, id).await,
        UnwantedImage::Container(unwanted) => Ok(registry::remove(cx, unwanted).await?.into_iter().collect()),
    }
}

/// Deregisters an AMI and deletes its snapshots.
async fn deregister(cx: &Cx, region: &str, id: &str) -> Result<Vec<String>, StageError> {
    let place = format!("{id} in {region}");
    let call = cx.aws.ec2_in(region).deregister_image();
    match call.image_id(id).delete_associated_snapshots(true).send().await {
        Ok(answer) => {
            let is_kept = |code: &str| !matches!(code, "success" | "skipped");
            let results = answer.delete_snapshot_results.unwrap_or_default().into_iter();
            let reported = results.filter_map(|result| Some((result.snapshot_id?, result.return_code?)));
            Ok(reported
                .filter(|(_, code)| is_kept(code.as_str()))
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
    fn a_cancelled_build_is_searched_in_every_repository_of_its_recipe_and_distribution() {
        let to = ContainerDistributionConfiguration::builder().target_repository(target("other")).build();
        let there =
            Distribution::builder().region("eu-west-3").container_distribution_configuration(to).build();
        let distribution =
            DistributionConfiguration::builder().timeout_minutes(1).distributions(there.unwrap()).build();
        let image = Image::builder().distribution_configuration(distribution.unwrap()).build();
        let recipe = ContainerRecipe::builder().target_repository(target("web")).build();
        let listed = BuiltContainer {
            region: "eu-west-1".into(),
            account: "123456789012".into(),
            repository: "web".into(),
            tags: ["1.0.0-1".to_owned(), "latest".to_owned()].into(),
        };
        let build = Build { containers: vec![listed.clone()], ..Build::default() };
        let regions = ["eu-west-1".to_owned(), "eu-west-3".to_owned()].into();
        let found = repositories(&image, &recipe, &build, &regions, "123456789012");
        let places: Vec<_> = found.iter().map(|at| (at.region.as_str(), at.repository.as_str())).collect();
        assert_eq!(places, [("eu-west-1", "web"), ("eu-west-3", "web"), ("eu-west-3", "other")]);
        assert_eq!(found[0], listed, "with the tags that the build lists");
    }
}
