//! The recipe of a spec as Image Builder's resources, named and numbered by their content. Pure.
//!
//! A semantic version has three numbers below 2^30. A component's are taken from the digest of its document. A
//! recipe's first two are taken from the digest of its components and its volume, the third from that of its parent
//! image: recipes that differ in their parent alone differ in the last number alone. What did not change has the name
//! it had before, and nothing new is made.

use std::collections::BTreeMap;

use serde_json::json;

use super::{dockerfile, document};
use crate::digest::Sha256;
use crate::spec::{self, Reuse, RootVolume};
use crate::stage::store::Files;

/// A recipe to be declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub home: Home,
    pub service: String,
    /// As the spec names it.
    pub parent_image: String,
    pub components: Vec<Component>,
    pub made: Made,
    pub infrastructure: String,
    pub distribution: Option<String>,
    pub reuse: Reuse,
    /// Paths of the source artifact that go into the image; none is all.
    pub sources: Vec<String>,
}

/// What comes of a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    Machine {
        volume: Option<RootVolume>,
    },
    Container {
        /// The Dockerfile, as a template of Image Builder.
        dockerfile: String,
        /// The repository it is pushed to.
        repository: String,
    },
}

/// Where a build's resources are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home {
    pub partition: String,
    pub region: String,
    pub account: String,
}

/// One component of a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// What is to be declared; none for a component that exists.
    pub declared: Option<Declared>,
    pub arn: String,
    pub parameters: BTreeMap<String, String>,
}

/// A component whose document is in the source artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// Its document's path in the source artifact.
    pub path: String,
    pub name: String,
    pub version: String,
    pub data: String,
    pub digest: Sha256,
}

/// A recipe by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub version: String,
    /// `arn:…:image-recipe/NAME/VERSION`, or of a `container-recipe`.
    pub recipe: String,
    /// `arn:…:image/NAME/VERSION`: what builds of the recipe are versions of.
    pub image: String,
}

impl Plan {
    /// Reads the recipe of a spec and the documents it names.
    ///
    /// # Errors
    /// A document is missing or not one that Image Builder takes; in words.
    pub fn of(service: &str, recipe: &spec::ImageRecipe, files: &Files) -> Result<Self, String> {
        let home = home_of(&recipe.infrastructure_configuration, "recipe")?;
        Ok(Self {
            service: service.to_owned(),
            parent_image: recipe.parent_image.clone(),
            components: components(&home, service, &recipe.components, files)?,
            made: Made::Machine { volume: recipe.root_volume.clone() },
            infrastructure: recipe.infrastructure_configuration.clone(),
            distribution: recipe.distribution_configuration.clone(),
            reuse: recipe.reuse,
            sources: recipe.source_paths.clone(),
            home,
        })
    }

    /// Reads the recipe of a container, the documents it names and its Dockerfile.
    ///
    /// # Errors
    /// A document or the Dockerfile is missing or not one that Image Builder takes; in words.
    pub fn of_container(service: &str, container: &spec::ContainerRecipe, files: &Files) -> Result<Self, String> {
        let home = home_of(&container.infrastructure_configuration, "container")?;
        let has_components = !container.components.is_empty();
        let dockerfile = match &container.dockerfile {
            None => dockerfile::DEFAULT.to_owned(),
            Some(path) => {
                let bytes = files.get(&crate::evidence::layout::source(path));
                let bytes = bytes
                    .ok_or_else(|| format!("the source artifact has no {path}, the Dockerfile template"))?;
                dockerfile::read(path, bytes, has_components)?
            }
        };
        Ok(Self {
            service: service.to_owned(),
            parent_image: container.parent_image.clone(),
            components: components(&home, service, &container.components, files)?,
            made: Made::Container { dockerfile, repository: container.repository.clone() },
            infrastructure: container.infrastructure_configuration.clone(),
            distribution: container.distribution_configuration.clone(),
            reuse: container.reuse,
            sources: container.source_paths.clone(),
            home,
        })
    }

    /// Whether a build may be another release's too.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.reuse != Reuse::Never
    }

    /// The recipe on a parent image.
    #[must_use]
    pub fn named(&self, parent: &str) -> Named {
        let [first, second, _] = numbers(&self.content());
        let [third, ..] = numbers(&Sha256::of(parent.as_bytes()));
        let version = format!("{first}.{second}.{third}");
        Named {
            recipe: self.home.arn(self.made.kind(), &self.service, &version),
            image: self.home.arn("image", &self.service, &version),
            name: self.service.clone(),
            version,
        }
    }

    /// Whether a version of this recipe's name is this recipe on some parent image.
    #[must_use]
    pub fn is_version(&self, version: &str) -> bool {
        let [first, second, _] = numbers(&self.content());
        version.strip_prefix(&format!("{first}.{second}.")).is_some_and(|third| third.parse::<u32>().is_ok())
    }

    /// What makes two bakes the same: the recipe, the configurations it is built and distributed by, the sources and,
    /// unless a newer one alone bakes nothing, the parent image.
    #[must_use]
    pub fn bake_key(&self, parent: &str, sources: &Sha256) -> Sha256 {
        let parent = if self.reuse == Reuse::UnchangedExceptParent { None } else { Some(parent) };
        let whole = json!({
            "recipe": self.content().to_string(),
            "infrastructure": self.infrastructure,
            "distribution": self.distribution,
            "sources": sources.to_string(),
            "parent": parent,
        });
        Sha256::of(whole.to_string().as_bytes())
    }

    /// The digest of everything that is the recipe's own.
    fn content(&self) -> Sha256 {
        let components: Vec<_> =
            self.components.iter().map(|c| json!({ "arn": c.arn, "parameters": c.parameters })).collect();
        let whole = match &self.made {
            Made::Machine { volume } => json!({ "components": components, "volume": volume }),
            Made::Container { dockerfile, repository } => {
                json!({ "components": components, "dockerfile": dockerfile, "repository": repository })
            }
        };
        Sha256::of(whole.to_string().as_bytes())
    }
}

impl Made {
    /// The kind's word in the recipe's ARN.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Machine { .. } => "image-recipe",
            Self::Container { .. } => "container-recipe",
        }
    }
}

impl Home {
    fn arn(&self, kind: &str, name: &str, version: &str) -> String {
        let Self { partition, region, account } = self;
        format!("arn:{partition}:imagebuilder:{region}:{account}:{kind}/{name}/{version}")
    }
}

fn home_of(infrastructure: &str, section: &str) -> Result<Home, String> {
    home(infrastructure)
        .ok_or_else(|| format!("bake.{section}.infrastructure `{infrastructure}` is not an ARN"))
}

fn components(
    home: &Home,
    service: &str,
    given: &[spec::Component],
    files: &Files,
) -> Result<Vec<Component>, String> {
    let component = |given: &spec::Component| {
        let (declared, arn) = match (&given.path, &given.arn) {
            (Some(path), None) => {
                let declared = declare(service, path, files)?;
                let arn = home.arn("component", &declared.name, &declared.version) + "/1";
                (Some(declared), arn)
            }
            (None, Some(arn)) => (None, arn.clone()),
            (Some(_), Some(_)) | (None, None) => {
                return Err("a component of the recipe has neither or both of path and arn".into());
            }
        };
        Ok(Component { declared, arn, parameters: given.parameters.clone() })
    };
    given.iter().map(component).collect()
}

/// The digest of the sources of a bake: of the paths and the digests of the files, in the order of the paths.
#[must_use]
pub fn sources_digest(files: &BTreeMap<String, Sha256>) -> Sha256 {
    let lines: Vec<String> = files.iter().map(|(path, digest)| format!("{digest}  {path}\n")).collect();
    Sha256::of(lines.concat().as_bytes())
}

/// Whether a file of the source artifact goes into the image.
#[must_use]
pub fn is_source(path: &str, sources: &[String]) -> bool {
    let inside = |folder: &String| {
        path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    sources.is_empty() || sources.iter().any(inside)
}

fn declare(service: &str, path: &str, files: &Files) -> Result<Declared, String> {
    let bytes = files
        .get(path)
        .ok_or_else(|| format!("the source artifact has no {path}, a component's document"))?;
    let data = document::text(path, "a component's document", bytes)?;
    let digest = Sha256::of(bytes);
    let [first, second, third] = numbers(&digest);
    Ok(Declared {
        name: format!("{service}-{}", stem(path)),
        version: format!("{first}.{second}.{third}"),
        data: data.to_owned(),
        path: path.to_owned(),
        digest,
    })
}

/// The file's name without its extension, as a resource's name may have it.
fn stem(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    stem.chars().take(60).map(plain).collect::<String>().trim_matches('-').to_owned()
}

/// Three numbers of 30 bits out of a digest.
fn numbers(digest: &Sha256) -> [u32; 3] {
    let bytes = digest.as_bytes();
    [0, 4, 8].map(|at| {
        let four = bytes.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok()).unwrap_or_default();
        u32::from_be_bytes(four) >> 2
    })
}

/// The partition, region and account of an Image Builder ARN.
fn home(arn: &str) -> Option<Home> {
    let mut parts = arn.split(':').skip(1);
    let partition = parts.next()?.to_owned();
    let (region, account) = (parts.nth(1)?.to_owned(), parts.next()?.to_owned());
    (!region.is_empty() && !account.is_empty()).then_some(Home { partition, region, account })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec() -> spec::ImageRecipe {
        serde_json::from_value(json!({
            "parent_image": "ami-0123456789abcdef0",
            "components": [
                { "path": "image/Web_Server.yaml", "parameters": { "Port": "8080" } },
                { "arn": "arn:aws:imagebuilder:eu-west-1:aws:component/update-linux/1.0.2" },
            ],
            "root_volume": { "size_gib": 8 },
            "infrastructure_configuration": "arn:aws:imagebuilder:eu-west-1:123456789012:infrastructure-configuration/web",
        }))
        .unwrap()
    }

    fn files(document: &str) -> Files {
        Files::from([("image/Web_Server.yaml".to_owned(), document.as_bytes().to_vec())])
    }

    fn container() -> spec::ContainerRecipe {
        serde_json::from_value(json!({
            "parent_image": "123456789012.dkr.ecr.eu-west-1.amazonaws.com/base:1",
            "components": [{ "path": "image/Web_Server.yaml" }],
            "dockerfile": "image/Dockerfile",
            "repository": "web",
            "infrastructure_configuration": "arn:aws:imagebuilder:eu-west-1:123456789012:infrastructure-configuration/web",
        }))
        .unwrap()
    }

    fn plan(recipe: &spec::ImageRecipe, document: &str) -> Plan {
        Plan::of("web", recipe, &files(document)).unwrap()
    }

    #[test]
    fn a_released_version_numbers_the_same_content_the_same_for_ever() {
        let plan = plan(&spec(), "name: web\n");
        assert_eq!(
            plan.components[0].arn,
            "arn:aws:imagebuilder:eu-west-1:123456789012:component/web-web-server/594006887.815711604.828376719/1"
        );
        assert_eq!(plan.components[1].arn, "arn:aws:imagebuilder:eu-west-1:aws:component/update-linux/1.0.2");
        let named = plan.named("ami-1");
        assert!(named.recipe.ends_with(&format!(":image-recipe/web/{}", named.version)), "{named:?}");
        assert!(named.image.ends_with(&format!(":image/web/{}", named.version)), "{named:?}");
    }

    #[test]
    fn whatever_changes_in_a_recipe_gives_it_another_version_and_a_parent_the_last_number() {
        let base = plan(&spec(), "a").named("ami-1");
        let other = |change: fn(&mut spec::ImageRecipe)| {
            let mut changed = spec();
            change(&mut changed);
            plan(&changed, "a").named("ami-1").version
        };
        let prefix = base.version.rsplit_once('.').unwrap().0;
        for version in [
            plan(&spec(), "b").named("ami-1").version,
            other(|r| r.components[0].parameters.clear()),
            other(|r| r.components.reverse()),
            other(|r| r.root_volume = None),
            other(|r| r.root_volume.as_mut().unwrap().encrypted = false),
        ] {
            assert!(!version.starts_with(prefix), "{version}");
        }
        let on_another = plan(&spec(), "a").named("ami-2").version;
        assert!(on_another.starts_with(prefix) && on_another != base.version, "{on_another}");
        assert!(plan(&spec(), "a").is_version(&on_another) && !plan(&spec(), "b").is_version(&on_another));
        // Where it is built makes no other recipe, and another bake.
        let elsewhere = other(|r| r.infrastructure_configuration.push('2'));
        assert_eq!(elsewhere, base.version);
    }

    #[test]
    fn a_container_recipe_is_numbered_by_its_components_its_dockerfile_and_its_repository() {
        let named = |container: &spec::ContainerRecipe, dockerfile: &str| {
            let mut files = files("a");
            files.insert("image/Dockerfile".into(), dockerfile.as_bytes().to_vec());
            Plan::of_container("web", container, &files).map(|plan| plan.named("base@sha256:1"))
        };
        let base = named(&container(), dockerfile::DEFAULT).unwrap();
        assert!(base.recipe.ends_with(&format!(":container-recipe/web/{}", base.version)), "{base:?}");
        assert!(base.image.ends_with(&format!(":image/web/{}", base.version)), "{base:?}");
        assert_eq!(named(&spec::ContainerRecipe { dockerfile: None, ..container() }, "").unwrap(), base);
        let commented = format!("# web\n{}", dockerfile::DEFAULT);
        for other in [
            named(&container(), &commented),
            named(&spec::ContainerRecipe { repository: "team/web".into(), ..container() }, dockerfile::DEFAULT),
            named(&spec::ContainerRecipe { components: Vec::new(), ..container() }, dockerfile::DEFAULT),
        ] {
            assert_ne!(other.unwrap().version, base.version);
        }
        let missing = Plan::of_container("web", &container(), &files("a")).unwrap_err();
        assert!(missing.contains("has no image/Dockerfile"), "{missing}");
        assert!(named(&container(), "FROM x\n").unwrap_err().contains("imagebuilder:parentImage"));
    }

    #[test]
    fn the_bake_key_depends_on_the_parent_unless_told_not_to() {
        let sources = Sha256::of(b"s");
        let key = |reuse, parent: &str, sources: &Sha256| {
            let plan = plan(&spec::ImageRecipe { reuse, ..spec() }, "a");
            plan.bake_key(parent, sources)
        };
        assert_eq!(key(Reuse::Unchanged, "ami-1", &sources), key(Reuse::Unchanged, "ami-1", &sources));
        assert_ne!(key(Reuse::Unchanged, "ami-1", &sources), key(Reuse::Unchanged, "ami-2", &sources));
        assert_eq!(key(Reuse::UnchangedExceptParent, "ami-1", &sources), key(Reuse::UnchangedExceptParent, "ami-2", &sources));
        assert_ne!(key(Reuse::UnchangedExceptParent, "ami-1", &sources), key(Reuse::UnchangedExceptParent, "ami-1", &Sha256::of(b"t")));
    }

    #[test]
    fn a_document_that_image_builder_would_refuse_is_told() {
        for (document, words) in [
            (String::new(), "has 0 characters"),
            ("x".repeat(document::LIMIT + 1), "has 16001 characters"),
            ("a\0b".into(), "none of them NUL"),
        ] {
            let error = Plan::of("web", &spec(), &files(&document)).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
        assert!(
            Plan::of("web", &spec(), &Files::new()).unwrap_err().contains("has no image/Web_Server.yaml")
        );
    }

    #[test]
    fn sources_are_whole_files_and_folders() {
        let sources = ["app".to_owned(), "VERSION".to_owned()];
        for (path, is) in
            [("app/a", true), ("app", true), ("apple", false), ("VERSION", true), ("x/app/a", false)]
        {
            assert_eq!(is_source(path, &sources), is, "{path}");
        }
        assert!(is_source("anything", &[]));
    }

    proptest! {
        #[test]
        fn every_version_is_one_that_image_builder_takes(document in "[a-z\n]{1,60}", parent in "ami-[0-9a-f]{8}") {
            let plan = plan(&spec(), &format!("x{document}"));
            let versions = [plan.named(&parent).version, plan.components[0].declared.clone().unwrap().version];
            for version in versions {
                let numbers: Vec<u32> = version.split('.').map(|n| n.parse().unwrap()).collect();
                prop_assert!(numbers.len() == 3 && numbers.iter().all(|n| *n < 1 << 30), "{}", version);
            }
        }
    }
}
