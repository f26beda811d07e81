//! The container images of a build, pushed to an ECR repository in each Region of the distribution.

use std::time::Duration;

use serde_json::Value;

use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::ecr;
use super::build::schedule;
use super::distribute::distributions;
use super::image::{Image, OutputContainer};
use super::{BuildEvent, DistributionFault, Outcome};

/// A repository that the image is pushed to, and the image's tags.
struct Target {
    region: String,
    repository: String,
    tags: Vec<String>,
}

/// Pushes the image to every Region that does not have it yet, so that a retry continues a distribution. A failure in
/// one Region fails the build.
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
                schedule(world, at + Duration::from_secs(30), arn, BuildEvent::Fail);
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
    let registry = format!("{account}.dkr.ecr.{region}.{}", crate::partition::dns_suffix(&region));
    let uris = tags.iter().map(|tag| format!("{registry}/{repository}:{tag}")).collect();
    image.containers.push(OutputContainer { region, uris });
}

/// One target per Region of the distribution; without a distribution, the recipe's repository in the build's Region.
/// Every image has a tag of its version and build in addition to the distribution's tags.
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::super::test_aws::TestAws;

    const BUILD: u64 = 25 * 60;

    /// A container recipe with a distribution to two Regions, and these repositories.
    fn aws(repositories: &[&'static str]) -> TestAws {
        let mut aws = TestAws::new();
        let home = aws.region;
        for region in repositories {
            aws.region = region;
            aws.ok("ecr", "CreateRepository", json!({ "repositoryName": "web" }));
        }
        aws.region = home;
        let target = json!({ "service": "ECR", "repositoryName": "web" });
        let there = |region: &str| {
            json!({ "region": region, "containerDistributionConfiguration":
                { "targetRepository": target, "containerTags": ["latest"] } })
        };
        let distribution = json!({ "name": "web", "clientToken": "d",
            "distributions": [there("eu-west-1"), there("eu-central-1")] });
        aws.ok("imagebuilder", "CreateDistributionConfiguration", distribution);
        let infrastructure = json!({ "name": "web", "instanceProfileName": "b", "clientToken": "i" });
        aws.ok("imagebuilder", "CreateInfrastructureConfiguration", infrastructure);
        let recipe = json!({ "containerType": "DOCKER", "name": "web", "semanticVersion": "1.0.0",
            "parentImage": "amazonlinux:2023", "dockerfileTemplateData": "FROM x", "targetRepository": target,
            "clientToken": "r" });
        aws.ok("imagebuilder", "CreateContainerRecipe", recipe);
        aws
    }

    fn arn(kind: &str) -> String {
        format!("arn:aws:imagebuilder:eu-west-1:111122223333:{kind}")
    }

    fn build(aws: &mut TestAws) -> String {
        let input = json!({ "containerRecipeArn": arn("container-recipe/web/1.0.0"), "clientToken": "b",
            "infrastructureConfigurationArn": arn("infrastructure-configuration/web"),
            "distributionConfigurationArn": arn("distribution-configuration/web") });
        let started = aws.ok("imagebuilder", "CreateImage", input);
        aws.pass(BUILD + 60);
        started["imageBuildVersionArn"].as_str().unwrap().to_owned()
    }

    fn get(aws: &mut TestAws, build: &str) -> Value {
        aws.ok("imagebuilder", "GetImage", json!({ "imageBuildVersionArn": build }))["image"].clone()
    }

    fn tags(aws: &mut TestAws, region: &'static str) -> Value {
        let home = std::mem::replace(&mut aws.region, region);
        let found = aws.ok("ecr", "DescribeImages", json!({ "repositoryName": "web" }));
        aws.region = home;
        found["imageDetails"].clone()
    }

    #[test]
    fn a_build_pushes_to_every_region_with_its_own_tag_and_those_of_the_distribution() {
        let mut aws = aws(&["eu-west-1", "eu-central-1"]);
        let build = build(&mut aws);
        let image = get(&mut aws, &build);
        assert_eq!((&image["state"]["status"], &image["type"]), (&json!("AVAILABLE"), &json!("DOCKER")));
        assert_eq!(image["containerRecipe"]["targetRepository"]["repositoryName"], "web");
        assert_eq!(image.get("imageRecipe"), None);
        let uri = |region: &str, tag: &str| format!("111122223333.dkr.ecr.{region}.amazonaws.com/web:{tag}");
        assert_eq!(
            image["outputResources"]["containers"],
            json!([
                { "region": "eu-west-1", "imageUris": [uri("eu-west-1", "latest"), uri("eu-west-1", "1.0.0-1")] },
                { "region": "eu-central-1",
                  "imageUris": [uri("eu-central-1", "latest"), uri("eu-central-1", "1.0.0-1")] },
            ])
        );
        let (here, there) = (tags(&mut aws, "eu-west-1"), tags(&mut aws, "eu-central-1"));
        assert_eq!(here[0]["imageDigest"], there[0]["imageDigest"]);
        assert_eq!(here[0]["imageTags"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_missing_repository_fails_the_build_and_a_retry_pushes_to_the_remaining_regions() {
        let mut aws = aws(&["eu-west-1"]);
        let build = build(&mut aws);
        let failed = get(&mut aws, &build);
        assert_eq!(failed["state"]["status"], "FAILED");
        let failure = &failed["state"]["failureContext"]["distributionFailure"]["regionFailures"][0];
        assert_eq!(failure["region"], "eu-central-1");
        aws.region = "eu-central-1";
        aws.ok("ecr", "CreateRepository", json!({ "repositoryName": "web" }));
        aws.region = "eu-west-1";
        aws.ok("imagebuilder", "RetryImage", json!({ "imageBuildVersionArn": build, "clientToken": "z" }));
        aws.pass(BUILD);
        let image = get(&mut aws, &build);
        assert_eq!(image["state"]["status"], "AVAILABLE");
        assert_eq!(image["outputResources"]["containers"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn a_build_requires_exactly_one_recipe_and_a_recipe_one_dockerfile() {
        let mut aws = aws(&[]);
        let infrastructure = arn("infrastructure-configuration/web");
        let none = json!({ "infrastructureConfigurationArn": infrastructure, "clientToken": "n" });
        assert_eq!(aws.refused("imagebuilder", "CreateImage", none), "InvalidRequestException");
        let recipe = json!({ "containerType": "DOCKER", "name": "none", "semanticVersion": "1.0.0",
            "parentImage": "amazonlinux:2023", "clientToken": "two",
            "targetRepository": { "service": "ECR", "repositoryName": "web" } });
        assert_eq!(aws.refused("imagebuilder", "CreateContainerRecipe", recipe), "InvalidRequestException");
    }
}
