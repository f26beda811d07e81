//! Image Builder's records of a service that nothing needs: builds whose images no longer exist, and recipes and
//! components that bakes declared and nothing uses any more.
//!
//! None of them is needed to launch anything, and a bake of the same content creates them again.

mod read;

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Leftover, LeftoverKind, Run};
use crate::engine::Timestamp;

pub use read::read;

/// The contents of Image Builder's lists.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub builds: Vec<Build>,
    /// Recipes of the account, including those of other services, which may use the same components.
    pub recipes: Vec<Recipe>,
    pub components: Vec<Component>,
    /// Recipes that image pipelines build.
    pub pipeline_recipes: BTreeSet<String>,
    /// Images that exist in any state: machine images by id, container images by the address in the build's output.
    pub images: BTreeSet<String>,
}

/// A finished build of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// `…:image/NAME/VERSION/BUILD`.
    pub arn: String,
    pub created_on: Option<Timestamp>,
    /// The images it produced. An image that cannot be looked up counts as existing.
    pub images: Vec<Output>,
}

/// An image that a build produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// An image of this account.
    Own(String),
    /// An image of another account, where bakeline cannot look it up.
    Elsewhere,
}

/// A recipe of a machine image or of a container image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// `…:image-recipe/NAME/VERSION`, or of a `container-recipe`.
    pub arn: String,
    pub created_on: Option<Timestamp>,
    /// Whether a bake of the service declared it.
    pub declared_by_bake: bool,
    pub parent: String,
    /// ARNs of components, with or without their build number.
    pub components: Vec<String>,
}

/// A component that a bake declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// `…:component/NAME/VERSION/BUILD`.
    pub arn: String,
    pub created_on: Option<Timestamp>,
}

/// The records older than `age` that nothing needs, in the order in which they can be deleted. Pure.
#[must_use]
pub fn unused(records: &Records, age: Duration, now: Timestamp) -> Vec<Leftover> {
    // A record without a readable date stays.
    let is_old = |created_on: Option<Timestamp>| created_on.is_some_and(|at| now.since(at) > age);
    let is_parent = |build: &str| records.recipes.iter().any(|recipe| is_named(&recipe.parent, build));
    let is_missing = |output: &Output| match output {
        Output::Own(image) => !records.images.contains(image),
        Output::Elsewhere => false,
    };
    let (builds, kept_builds): (Vec<&Build>, Vec<&Build>) = records.builds.iter().partition(|build| {
        is_old(build.created_on) && build.images.iter().all(is_missing) && !is_parent(&build.arn)
    });
    let is_built = |recipe: &Recipe| {
        // A build has the name and version of its recipe.
        let image = recipe.arn.replace(":image-recipe/", ":image/").replace(":container-recipe/", ":image/");
        let prefix = format!("{image}/");
        kept_builds.iter().any(|build| build.arn.starts_with(&prefix))
    };
    let (recipes, kept_recipes): (Vec<&Recipe>, Vec<&Recipe>) = records.recipes.iter().partition(|recipe| {
        recipe.declared_by_bake
            && is_old(recipe.created_on)
            && !records.pipeline_recipes.contains(&recipe.arn)
            && !is_built(recipe)
    });
    let components = records.components.iter().filter(|component| {
        let uses = |recipe: &&Recipe| recipe.components.iter().any(|named| is_named(named, &component.arn));
        is_old(component.created_on) && !kept_recipes.iter().any(uses)
    });
    let leftover = |kind, arn: &String| Leftover { kind, id: arn.clone(), run: Run::default() };
    builds
        .into_iter()
        .map(|build| leftover(LeftoverKind::BuildRecord, &build.arn))
        .chain(recipes.into_iter().map(|recipe| leftover(LeftoverKind::Recipe, &recipe.arn)))
        .chain(components.map(|component| leftover(LeftoverKind::Component, &component.arn)))
        .collect()
}

/// Whether a text names a resource: by its ARN, by its version, or by a version with wildcards such as `1.x.x`.
fn is_named(text: &str, arn: &str) -> bool {
    let (named, one): (Vec<&str>, Vec<&str>) = (text.split('/').collect(), arn.split('/').collect());
    let [kind, name, version, build @ ..] = named.as_slice() else { return false };
    let [of_kind, of_name, of_version, of_build @ ..] = one.as_slice() else { return false };
    let mut places = version.split('.').zip(of_version.split('.'));
    (kind, name) == (of_kind, of_name)
        && places.all(|(named, one)| named == "x" || named == one)
        && (build.is_empty() || build == of_build)
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
        Build { arn, created_on: Some(days_ago(days)), images: images.to_vec() }
    }

    fn recipe(version: &str, days: i64, component: &str) -> Recipe {
        Recipe {
            arn: arn(&format!("image-recipe/web/{version}")),
            created_on: Some(days_ago(days)),
            declared_by_bake: true,
            parent: "ami-0123".into(),
            components: vec![arn(&format!("component/{component}"))],
        }
    }

    fn component(version: &str) -> Component {
        Component { arn: arn(&format!("component/web-install/{version}/1")), created_on: Some(days_ago(90)) }
    }

    fn unused_ids(records: &Records) -> Vec<String> {
        let found = unused(records, MONTH, NOW);
        found.iter().map(|one| one.id.trim_start_matches(&arn("")).to_owned()).collect()
    }

    /// A release whose image no longer exists, with its recipe and component.
    fn unused_release() -> Records {
        Records {
            builds: vec![build("1.0.0", 60, &[Output::Own("ami-gone".into())])],
            recipes: vec![recipe("1.0.0", 61, "web-install/1.0.0/1")],
            components: vec![component("1.0.0")],
            ..Records::default()
        }
    }

    #[test]
    fn a_release_without_images_is_unused_with_its_recipe_and_component() {
        let all = ["image/web/1.0.0/1", "image-recipe/web/1.0.0", "component/web-install/1.0.0/1"];
        assert_eq!(unused_ids(&unused_release()), all);
    }

    #[test]
    fn an_existing_image_keeps_its_build_recipe_and_component() {
        let mut records = unused_release();
        records.images.insert("ami-gone".into());
        assert_eq!(unused_ids(&records), Vec::<String>::new());
        // The same for a container image.
        let mut records = unused_release();
        let uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1.0.0-1";
        records.builds[0].images = vec![Output::Own(uri.into())];
        records.recipes[0].arn = arn("container-recipe/web/1.0.0");
        assert_eq!(unused_ids(&records).len(), 3);
        records.images.insert(uri.into());
        assert_eq!(unused_ids(&records), Vec::<String>::new());
        // An image that cannot be looked up counts as existing.
        let mut records = unused_release();
        records.builds[0].images.push(Output::Elsewhere);
        assert_eq!(unused_ids(&records), Vec::<String>::new());
    }

    #[test]
    fn pipelines_people_and_other_recipes_keep_what_they_use() {
        let mut pipeline_recipes = unused_release();
        pipeline_recipes.pipeline_recipes.insert(arn("image-recipe/web/1.0.0"));
        assert_eq!(unused_ids(&pipeline_recipes), ["image/web/1.0.0/1"]);
        let mut by_person = unused_release();
        by_person.recipes[0].declared_by_bake = false;
        assert_eq!(unused_ids(&by_person), ["image/web/1.0.0/1"]);
        // The recipe of another service uses the component, with a version wildcard.
        let mut shared = unused_release();
        shared.recipes.push(Recipe { declared_by_bake: false, ..recipe("2.0.0", 1, "web-install/1.x.x") });
        assert_eq!(unused_ids(&shared), ["image/web/1.0.0/1", "image-recipe/web/1.0.0"]);
        // A recipe uses the build as its parent.
        let mut parent = unused_release();
        let other = Recipe {
            parent: arn("image/web/x.x.x"),
            declared_by_bake: false,
            ..recipe("3.0.0", 1, "other/1.0.0/1")
        };
        parent.recipes.push(other);
        assert_eq!(unused_ids(&parent), Vec::<String>::new());
    }

    #[test]
    fn young_and_undated_records_stay() {
        let mut records = unused_release();
        records.builds[0].created_on = Some(days_ago(29));
        assert_eq!(unused_ids(&records), Vec::<String>::new());
        let mut records = unused_release();
        (records.builds[0].created_on, records.recipes[0].created_on, records.components[0].created_on) =
            (None, None, None);
        assert_eq!(unused_ids(&records), Vec::<String>::new());
    }
}
