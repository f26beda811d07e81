//! Image Builder's own records of a service: builds whose images are all gone, and recipes and components of ours that
//! nothing is made from any more. None of them is needed to launch anything; a bake of the same content makes them anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_ec2::types::Filter;
use aws_sdk_imagebuilder::types::{
    Filter as RecordFilter, ImageRecipe, ImageSummary, OutputResources, Ownership,
};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{Leftover, Run, What};
use crate::aws::{Aws, AwsError};
use crate::engine::key::tag;
use crate::engine::{StageError, Timestamp};
use crate::stage::cleanup::image::moment;

/// Calls to one API that are under way at once.
const AT_ONCE: usize = 4;

/// Values in one filter of EC2.
const BATCH: usize = 200;

/// What Image Builder's lists say of a service.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub builds: Vec<Build>,
    /// Recipes of the account, of other services too: they may be made from the same components.
    pub recipes: Vec<Recipe>,
    pub components: Vec<Component>,
    /// Recipes that image pipelines build.
    pub piped: BTreeSet<String>,
    /// Images, by id, that are still there in any state.
    pub images: BTreeSet<String>,
}

/// A build of the service that has come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// `…:image/NAME/VERSION/BUILD`.
    pub arn: String,
    pub made: Option<Timestamp>,
    /// The images it came to. One that lies where it cannot be looked for is listed as if it were there.
    pub images: Vec<Output>,
}

/// An image that a build came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// In this account.
    Own(String),
    /// In another account, which alone knows whether it is still there.
    Elsewhere,
}

/// An image recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// `…:image-recipe/NAME/VERSION`.
    pub arn: String,
    pub made: Option<Timestamp>,
    /// A bake of the service declared it.
    pub ours: bool,
    pub parent: String,
    /// ARNs of components, with or without their build.
    pub components: Vec<String>,
}

/// A component of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// `…:component/NAME/VERSION/BUILD`.
    pub arn: String,
    pub made: Option<Timestamp>,
}

/// The records that nothing needs and that are older than `age`, in the order in which they can go. Pure.
#[must_use]
pub fn spare(records: &Records, age: Duration, now: Timestamp) -> Vec<Leftover> {
    // What has no date that can be read stays.
    let old = |made: Option<Timestamp>| made.is_some_and(|made| now.since(made) > age);
    let is_parent = |build: &str| records.recipes.iter().any(|recipe| is_of(&recipe.parent, build));
    let is_gone = |output: &Output| match output {
        Output::Own(image) => !records.images.contains(image),
        Output::Elsewhere => false,
    };
    let (gone, kept): (Vec<&Build>, Vec<&Build>) = records
        .builds
        .iter()
        .partition(|build| old(build.made) && build.images.iter().all(is_gone) && !is_parent(&build.arn));
    let is_built = |recipe: &Recipe| {
        // A build and its recipe have the same name and version.
        let of = format!("{}/", recipe.arn.replace(":image-recipe/", ":image/"));
        kept.iter().any(|build| build.arn.starts_with(&of))
    };
    let (spare, needed): (Vec<&Recipe>, Vec<&Recipe>) = records.recipes.iter().partition(|recipe| {
        recipe.ours && old(recipe.made) && !records.piped.contains(&recipe.arn) && !is_built(recipe)
    });
    let unused = records.components.iter().filter(|component| {
        let in_recipe = |recipe: &&Recipe| recipe.components.iter().any(|named| is_of(named, &component.arn));
        old(component.made) && !needed.iter().any(in_recipe)
    });
    let leftover = |what, arn: &String| Leftover { what, id: arn.clone(), run: Run::default() };
    gone.into_iter()
        .map(|build| leftover(What::BuildRecord, &build.arn))
        .chain(spare.into_iter().map(|recipe| leftover(What::Recipe, &recipe.arn)))
        .chain(unused.map(|component| leftover(What::Component, &component.arn)))
        .collect()
}

/// Whether a text names the resource: by its ARN, by its version, or by a version with places left open, `1.x.x`.
fn is_of(text: &str, arn: &str) -> bool {
    let (named, one): (Vec<&str>, Vec<&str>) = (text.split('/').collect(), arn.split('/').collect());
    let [kind, name, version, build @ ..] = named.as_slice() else { return false };
    let [of_kind, of_name, of_version, of_build @ ..] = one.as_slice() else { return false };
    let mut places = version.split('.').zip(of_version.split('.'));
    (kind, name) == (of_kind, of_name)
        && places.all(|(named, one)| named == "x" || named == one)
        && (build.is_empty() || build == of_build)
}

/// Reads every list.
///
/// # Errors
/// As the calls.
pub async fn read(aws: &Aws, account: &str, service: &str) -> Result<Records, StageError> {
    let builds = builds(aws, account, service).await?;
    let images = images(aws, &builds).await?;
    Ok(Records {
        builds: builds.into_iter().map(|(build, _)| build).collect(),
        recipes: recipes(aws, service).await?,
        components: components(aws, service).await?,
        piped: piped(aws).await?,
        images,
    })
}

/// The images of a build, by region.
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

/// A build that has ended; none when it has not.
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
    let made = build.date_created().and_then(moment);
    Some((Build { arn: build.arn()?.to_owned(), made, images }, regions))
}

/// Which of the builds' images are still there, disabled and deprecated ones included.
async fn images(aws: &Aws, builds: &[(Build, Regions)]) -> Result<BTreeSet<String>, StageError> {
    let mut regions = Regions::new();
    for (region, images) in builds.iter().flat_map(|(_, regions)| regions) {
        regions.entry(region.clone()).or_default().extend(images.iter().cloned());
    }
    let mut there = BTreeSet::new();
    for (region, ids) in regions {
        let ec2 = aws.ec2_in(&region);
        for batch in ids.chunks(BATCH) {
            // By filter and not by id, since an id that is gone would be an error.
            let by_id = Filter::builder().name("image-id").set_values(Some(batch.to_vec())).build();
            let ask = ec2.describe_images().owners("self").include_deprecated(true).include_disabled(true);
            let mut pages = ask.filters(by_id).into_paginator().items().send();
            while let Some(image) = pages.next().await {
                let image = image.map_err(|e| AwsError::new("ec2:DescribeImages", &region, e))?;
                there.extend(image.image_id().map(str::to_owned));
            }
        }
    }
    Ok(there)
}

async fn recipes(aws: &Aws, service: &str) -> Result<Vec<Recipe>, StageError> {
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
            made: recipe.and_then(ImageRecipe::date_created).and_then(moment),
            ours: recipe.and_then(ImageRecipe::tags).is_some_and(|tags| is_ours(tags, service)),
            parent: recipe.and_then(ImageRecipe::parent_image).unwrap_or_default().to_owned(),
            components: components.iter().map(|component| component.component_arn().to_owned()).collect(),
            arn,
        })
    };
    stream::iter(listed).map(read).buffered(AT_ONCE).try_collect().await
}

/// Components that bakes of the service declared, known by their name and their tags.
async fn components(aws: &Aws, service: &str) -> Result<Vec<Component>, StageError> {
    let mut pages =
        aws.imagebuilder.list_components().owner(Ownership::SelfValue).into_paginator().items().send();
    let mut listed = Vec::new();
    while let Some(component) = pages.next().await {
        let component =
            component.map_err(|e| AwsError::new("imagebuilder:ListComponents", "every component", e))?;
        let ours = component.name().is_some_and(|name| name.starts_with(&format!("{service}-")));
        listed.extend(component.arn().filter(|_| ours).map(str::to_owned));
    }
    let read = |arn: String| async move {
        let answer = aws.imagebuilder.get_component().component_build_version_arn(&arn).send().await;
        let answer = answer.map_err(|e| AwsError::new("imagebuilder:GetComponent", &arn, e))?;
        let found = answer.component().filter(|one| one.tags().is_some_and(|tags| is_ours(tags, service)));
        Ok::<_, StageError>(found.and_then(|component| {
            let made = component.date_created().and_then(moment);
            Some(Component { arn: component.arn()?.to_owned(), made })
        }))
    };
    let read: Vec<Option<Component>> = stream::iter(listed).map(read).buffered(AT_ONCE).try_collect().await?;
    Ok(read.into_iter().flatten().collect())
}

async fn piped(aws: &Aws) -> Result<BTreeSet<String>, StageError> {
    let mut pages = aws.imagebuilder.list_image_pipelines().into_paginator().items().send();
    let mut recipes = BTreeSet::new();
    while let Some(pipeline) = pages.next().await {
        let pipeline =
            pipeline.map_err(|e| AwsError::new("imagebuilder:ListImagePipelines", "this account", e))?;
        recipes.extend(pipeline.image_recipe_arn().map(str::to_owned));
    }
    Ok(recipes)
}

fn is_ours(tags: &std::collections::HashMap<String, String>, service: &str) -> bool {
    tags.get(tag::SERVICE).is_some_and(|of| of == service) && tags.contains_key(tag::ACTION_EXECUTION)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);
    const MONTH: Duration = Duration::from_hours(720);

    fn arn(rest: &str) -> String {
        format!("arn:aws:imagebuilder:eu-west-1:123456789012:{rest}")
    }

    fn days_ago(days: i64) -> Timestamp {
        Timestamp(NOW.0 - days * 86_400)
    }

    fn build(version: &str, days: i64, images: &[Output]) -> Build {
        let arn = arn(&format!("image/web/{version}/1"));
        Build { arn, made: Some(days_ago(days)), images: images.to_vec() }
    }

    fn recipe(version: &str, days: i64, component: &str) -> Recipe {
        Recipe {
            arn: arn(&format!("image-recipe/web/{version}")),
            made: Some(days_ago(days)),
            ours: true,
            parent: "ami-0123".into(),
            components: vec![arn(&format!("component/{component}"))],
        }
    }

    fn component(version: &str) -> Component {
        Component { arn: arn(&format!("component/web-install/{version}/1")), made: Some(days_ago(90)) }
    }

    fn told(records: &Records) -> Vec<String> {
        let spare = spare(records, MONTH, NOW);
        spare.iter().map(|one| one.id.trim_start_matches(&arn("")).to_owned()).collect()
    }

    /// A release whose image is gone, with its recipe and component.
    fn forgotten() -> Records {
        Records {
            builds: vec![build("1.0.0", 60, &[Output::Own("ami-gone".into())])],
            recipes: vec![recipe("1.0.0", 61, "web-install/1.0.0/1")],
            components: vec![component("1.0.0")],
            ..Records::default()
        }
    }

    #[test]
    fn what_nothing_is_made_from_goes_with_what_it_was_made_from() {
        let all = ["image/web/1.0.0/1", "image-recipe/web/1.0.0", "component/web-install/1.0.0/1"];
        assert_eq!(told(&forgotten()), all);
    }

    #[test]
    fn an_image_that_is_there_keeps_its_whole_descent() {
        let mut records = forgotten();
        records.images.insert("ami-gone".into());
        assert_eq!(told(&records), Vec::<String>::new());
        // And one that cannot be looked for counts as there.
        let mut records = forgotten();
        records.builds[0].images.push(Output::Elsewhere);
        assert_eq!(told(&records), Vec::<String>::new());
    }

    #[test]
    fn every_other_reference_keeps_what_it_names() {
        let mut piped = forgotten();
        piped.piped.insert(arn("image-recipe/web/1.0.0"));
        assert_eq!(told(&piped), ["image/web/1.0.0/1"]);
        let mut of_hand = forgotten();
        of_hand.recipes[0].ours = false;
        assert_eq!(told(&of_hand), ["image/web/1.0.0/1"]);
        // Another service's recipe is made from the component, by an open version.
        let mut shared = forgotten();
        shared.recipes.push(Recipe { ours: false, ..recipe("2.0.0", 1, "web-install/1.x.x") });
        assert_eq!(told(&shared), ["image/web/1.0.0/1", "image-recipe/web/1.0.0"]);
        // A recipe stands on the build.
        let mut parent = forgotten();
        let other =
            Recipe { parent: arn("image/web/x.x.x"), ours: false, ..recipe("3.0.0", 1, "other/1.0.0/1") };
        parent.recipes.push(other);
        assert_eq!(told(&parent), Vec::<String>::new());
    }

    #[test]
    fn what_is_young_or_has_no_date_stays() {
        let mut records = forgotten();
        records.builds[0].made = Some(days_ago(29));
        assert_eq!(told(&records), Vec::<String>::new());
        let mut records = forgotten();
        (records.builds[0].made, records.recipes[0].made, records.components[0].made) = (None, None, None);
        assert_eq!(told(&records), Vec::<String>::new());
    }
}
