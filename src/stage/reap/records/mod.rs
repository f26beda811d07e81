//! Image Builder's own records of a service: builds whose images are all gone, and recipes and components of ours that
//! nothing is made from any more. None of them is needed to launch anything; a bake of the same content makes them anew.

mod read;

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Leftover, Run, What};
use crate::engine::Timestamp;

pub use read::read;

/// What Image Builder's lists say of a service.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub builds: Vec<Build>,
    /// Recipes of the account, of other services too: they may be made from the same components.
    pub recipes: Vec<Recipe>,
    pub components: Vec<Component>,
    /// Recipes that image pipelines build.
    pub piped: BTreeSet<String>,
    /// Images that are still there in any state: machine images by id, container images as a build names them.
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

/// A recipe, of a machine image or of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// `…:image-recipe/NAME/VERSION`, or of a `container-recipe`.
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
        let image = recipe.arn.replace(":image-recipe/", ":image/").replace(":container-recipe/", ":image/");
        let of = format!("{image}/");
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
        // And so does a container image.
        let mut records = forgotten();
        let uri = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/web:1.0.0-1";
        records.builds[0].images = vec![Output::Own(uri.into())];
        records.recipes[0].arn = arn("container-recipe/web/1.0.0");
        assert_eq!(told(&records).len(), 3);
        records.images.insert(uri.into());
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
