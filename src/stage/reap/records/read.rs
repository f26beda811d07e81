//! Reads Image Builder's records, and which of the images they produced still exist.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_ec2::types::Filter;
use aws_sdk_imagebuilder::types::{
    Container, ContainerRecipe, Filter as RecordFilter, ImageRecipe, ImageSummary, OutputResources, Ownership,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Build, Component, Output, Recipe, Records};
use crate::aws::ecr::Reference;
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::tag;
use crate::stage::aws_view::dates;
use crate::stage::aws_view::image_references::AT_ONCE;

/// EC2's maximum number of values in one filter.
const BATCH: usize = 200;

/// Reads every list.
///
/// # Errors
/// As the calls.
pub async fn read(aws: &Aws, account: &str, service: &str) -> Result<Records, StageError> {
    let builds = builds(aws, account, service).await?;
    let mut images = images(aws, &builds).await?;
    images.extend(containers(aws, &builds).await?);
    let recipes = [image_recipes(aws, service).await?, container_recipes(aws, service).await?].concat();
    Ok(Records {
        builds: builds.into_iter().map(|(build, _)| build).collect(),
        recipes,
        components: components(aws, service).await?,
        pipeline_recipes: pipeline_recipes(aws).await?,
        images,
    })
}

/// The machine images of a build, by region.
type Regions = BTreeMap<String, Vec<String>>;

async fn builds(aws: &Aws, account: &str, service: &str) -> Result<Vec<(Build, Regions)>, StageError> {
    let named = RecordFilter::builder().name("name").values(service).build();
    let mut versions = aws
        .imagebuilder
        .list_images()
        .owner(Ownership::SelfValue)
        .filters(named)
        .into_paginator()
        .items()
        .send();
    let mut found = Vec::new();
    while let Some(version) = versions.next().await {
        let version = version.map_err(|e| AwsError::new("imagebuilder:ListImages", service, e))?;
        let Some(arn) = version.arn() else { continue };
        let ask = aws.imagebuilder.list_image_build_versions().image_version_arn(arn);
        let mut builds = ask.into_paginator().items().send();
        while let Some(build) = builds.next().await {
            let build = build.map_err(|e| AwsError::new("imagebuilder:ListImageBuildVersions", arn, e))?;
            found.extend(ended(&build, account));
        }
    }
    Ok(found)
}

/// A finished build; `None` for an unfinished one.
fn ended(build: &ImageSummary, account: &str) -> Option<(Build, Regions)> {
    let status = build.state()?.status()?.as_str();
    if !matches!(status, "AVAILABLE" | "CANCELLED" | "FAILED" | "DEPRECATED") {
        return None;
    }
    let (mut images, mut regions) = (Vec::new(), Regions::new());
    for ami in build.output_resources().map(OutputResources::amis).unwrap_or_default() {
        let Some(image) = ami.image() else { continue };
        if ami.account_id().is_none_or(|owner| owner == account) {
            images.push(Output::Own(image.to_owned()));
            let region = ami.region().unwrap_or_default().to_owned();
            regions.entry(region).or_default().push(image.to_owned());
        } else {
            images.push(Output::Elsewhere);
        }
    }
    let containers = build.output_resources().map(OutputResources::containers).unwrap_or_default();
    images.extend(containers.iter().flat_map(Container::image_uris).map(|uri| Output::Own(uri.clone())));
    let created_on = build.date_created().and_then(dates::parse);
    Some((Build { arn: build.arn()?.to_owned(), created_on, images }, regions))
}

/// Reads which of the builds' machine images exist, including disabled and deprecated ones.
async fn images(aws: &Aws, builds: &[(Build, Regions)]) -> Result<BTreeSet<String>, StageError> {
    let mut regions = Regions::new();
    for (region, images) in builds.iter().flat_map(|(_, regions)| regions) {
        regions.entry(region.clone()).or_default().extend(images.iter().cloned());
    }
    let mut present = BTreeSet::new();
    for (region, ids) in regions {
        let ec2 = aws.ec2_in(&region);
        for batch in ids.chunks(BATCH) {
            // By filter: a missing id would be an error.
            let by_id = Filter::builder().name("image-id").set_values(Some(batch.to_vec())).build();
            let ask = ec2.describe_images().owners("self").include_deprecated(true).include_disabled(true);
            let mut pages = ask.filters(by_id).into_paginator().items().send();
            while let Some(image) = pages.next().await {
                let image = image.map_err(|e| AwsError::new("ec2:DescribeImages", &region, e))?;
                present.extend(image.image_id().map(str::to_owned));
            }
        }
    }
    Ok(present)
}

/// Reads which of the builds' container images exist, from the tags of their repositories. An address that cannot be
/// parsed counts as existing.
async fn containers(aws: &Aws, builds: &[(Build, Regions)]) -> Result<BTreeSet<String>, StageError> {
    let outputs = builds.iter().flat_map(|(build, _)| &build.images);
    let uris = outputs.filter_map(|output| match output {
        Output::Own(name) if !name.starts_with("ami-") => Some(name),
        Output::Own(_) | Output::Elsewhere => None,
    });
    let mut present = BTreeSet::new();
    let mut repositories: BTreeMap<(String, String, String), Vec<(String, String)>> = BTreeMap::new();
    for uri in uris {
        match Reference::parse(uri) {
            Some(Reference { account, region, repository, tag: Some(tag), .. }) => {
                repositories.entry((region, account, repository)).or_default().push((tag, uri.clone()));
            }
            Some(_) | None => {
                present.insert(uri.clone());
            }
        }
    }
    for ((region, account, repository), tagged) in repositories {
        let tags = tags(aws, &region, &account, &repository).await?;
        present.extend(tagged.into_iter().filter(|(tag, _)| tags.contains(tag)).map(|(_, uri)| uri));
    }
    Ok(present)
}

/// Reads every tag of a repository; none if it does not exist.
async fn tags(
    aws: &Aws,
    region: &str,
    account: &str,
    repository: &str,
) -> Result<BTreeSet<String>, StageError> {
    let ask = aws.ecr_in(region).list_images().registry_id(account).repository_name(repository);
    let mut pages = ask.into_paginator().items().send();
    let mut tags = BTreeSet::new();
    while let Some(image) = pages.next().await {
        match image.map_err(|e| AwsError::new("ecr:ListImages", repository, e)) {
            Ok(image) => tags.extend(image.image_tag),
            Err(error) if error.class == Class::Missing => return Ok(BTreeSet::new()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(tags)
}

async fn container_recipes(aws: &Aws, service: &str) -> Result<Vec<Recipe>, StageError> {
    let ask = aws.imagebuilder.list_container_recipes().owner(Ownership::SelfValue);
    let mut pages = ask.into_paginator().items().send();
    let mut listed = Vec::new();
    while let Some(recipe) = pages.next().await {
        let recipe =
            recipe.map_err(|e| AwsError::new("imagebuilder:ListContainerRecipes", "every recipe", e))?;
        listed.extend(recipe.arn().map(str::to_owned));
    }
    let read = |arn: String| async move {
        let answer = aws.imagebuilder.get_container_recipe().container_recipe_arn(&arn).send().await;
        let answer = answer.map_err(|e| AwsError::new("imagebuilder:GetContainerRecipe", &arn, e))?;
        let recipe = answer.container_recipe();
        let components = recipe.map(ContainerRecipe::components).unwrap_or_default();
        Ok::<_, StageError>(Recipe {
            created_on: recipe.and_then(ContainerRecipe::date_created).and_then(dates::parse),
            declared_by_bake: recipe
                .and_then(ContainerRecipe::tags)
                .is_some_and(|tags| is_declared_by_bake(tags, service)),
            parent: recipe.and_then(ContainerRecipe::parent_image).unwrap_or_default().to_owned(),
            components: components.iter().map(|component| component.component_arn().to_owned()).collect(),
            arn,
        })
    };
    stream::iter(listed).map(read).buffered(AT_ONCE).try_collect().await
}

async fn image_recipes(aws: &Aws, service: &str) -> Result<Vec<Recipe>, StageError> {
    let ask = aws.imagebuilder.list_image_recipes().owner(Ownership::SelfValue);
    let mut pages = ask.into_paginator().items().send();
    let mut listed = Vec::new();
    while let Some(recipe) = pages.next().await {
        let recipe = recipe.map_err(|e| AwsError::new("imagebuilder:ListImageRecipes", "every recipe", e))?;
        listed.extend(recipe.arn().map(str::to_owned));
    }
    let read = |arn: String| async move {
        let answer = aws.imagebuilder.get_image_recipe().image_recipe_arn(&arn).send().await;
        let answer = answer.map_err(|e| AwsError::new("imagebuilder:GetImageRecipe", &arn, e))?;
        let recipe = answer.image_recipe();
        let components = recipe.map(ImageRecipe::components).unwrap_or_default();
        Ok::<_, StageError>(Recipe {
            created_on: recipe.and_then(ImageRecipe::date_created).and_then(dates::parse),
            declared_by_bake: recipe
                .and_then(ImageRecipe::tags)
                .is_some_and(|tags| is_declared_by_bake(tags, service)),
            parent: recipe.and_then(ImageRecipe::parent_image).unwrap_or_default().to_owned(),
            components: components.iter().map(|component| component.component_arn().to_owned()).collect(),
            arn,
        })
    };
    stream::iter(listed).map(read).buffered(AT_ONCE).try_collect().await
}

/// Reads the components that bakes of the service declared, known by their name and tags.
async fn components(aws: &Aws, service: &str) -> Result<Vec<Component>, StageError> {
    let mut pages =
        aws.imagebuilder.list_components().owner(Ownership::SelfValue).into_paginator().items().send();
    let mut listed = Vec::new();
    while let Some(component) = pages.next().await {
        let component =
            component.map_err(|e| AwsError::new("imagebuilder:ListComponents", "every component", e))?;
        let declared_by_bake = component.name().is_some_and(|name| name.starts_with(&format!("{service}-")));
        listed.extend(component.arn().filter(|_| declared_by_bake).map(str::to_owned));
    }
    let read = |arn: String| async move {
        let answer = aws.imagebuilder.get_component().component_build_version_arn(&arn).send().await;
        let answer = answer.map_err(|e| AwsError::new("imagebuilder:GetComponent", &arn, e))?;
        let found = answer
            .component()
            .filter(|one| one.tags().is_some_and(|tags| is_declared_by_bake(tags, service)));
        Ok::<_, StageError>(found.and_then(|component| {
            let created_on = component.date_created().and_then(dates::parse);
            Some(Component { arn: component.arn()?.to_owned(), created_on })
        }))
    };
    let read: Vec<Option<Component>> = stream::iter(listed).map(read).buffered(AT_ONCE).try_collect().await?;
    Ok(read.into_iter().flatten().collect())
}

async fn pipeline_recipes(aws: &Aws) -> Result<BTreeSet<String>, StageError> {
    let mut pages = aws.imagebuilder.list_image_pipelines().into_paginator().items().send();
    let mut recipes = BTreeSet::new();
    while let Some(pipeline) = pages.next().await {
        let pipeline =
            pipeline.map_err(|e| AwsError::new("imagebuilder:ListImagePipelines", "this account", e))?;
        let named = [pipeline.image_recipe_arn(), pipeline.container_recipe_arn()];
        recipes.extend(named.into_iter().flatten().map(str::to_owned));
    }
    Ok(recipes)
}

fn is_declared_by_bake(tags: &HashMap<String, String>, service: &str) -> bool {
    tags.get(tag::SERVICE).is_some_and(|of| of == service) && tags.contains_key(tag::ATTEMPT)
}
