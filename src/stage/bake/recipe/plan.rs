//! The components and the recipe that a spec needs in Image Builder. Pure.

use std::collections::BTreeMap;

use serde_json::json;

use super::dockerfile;
use super::error::RecipeError;
use super::version::{
    ArnScope, ComponentDocument, RecipeVersion, component_document, scope_of, version_numbers,
};
use crate::digest::Sha256;
use crate::evidence::layout;
use crate::spec::{self, Reuse, RootVolume};
use crate::stage::store::Files;

/// A recipe of the spec, with everything that Image Builder needs for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipePlan {
    /// Where its resources are.
    pub scope: ArnScope,
    pub service: String,
    /// As the spec has it.
    pub parent_image: String,
    pub components: Vec<Component>,
    pub kind: RecipeKind,
    pub infrastructure: String,
    pub distribution: Option<String>,
    pub reuse: Reuse,
    /// Paths of the source artifact that go into the image; an empty list means all.
    pub sources: Vec<String>,
}

/// What a recipe makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecipeKind {
    MachineImage {
        volume: Option<RootVolume>,
    },
    ContainerImage {
        /// The text of the Dockerfile template.
        dockerfile: String,
        /// The repository that Image Builder pushes to.
        repository: String,
    },
}

/// A component of a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The document to create the component from; none for an existing component.
    pub document: Option<ComponentDocument>,
    pub arn: String,
    pub parameters: BTreeMap<String, String>,
}

impl RecipePlan {
    /// Reads the recipe of a machine image, and the documents that it names.
    ///
    /// # Errors
    /// A document is missing, or Image Builder would refuse it; says which and why.
    pub fn of(service: &str, recipe: &spec::ImageRecipe, files: &Files) -> Result<Self, RecipeError> {
        let scope = scope_of(&recipe.infrastructure_configuration, "image_recipe")?;
        Ok(Self {
            service: service.to_owned(),
            parent_image: recipe.parent_image.clone(),
            components: components(&scope, service, &recipe.components, files)?,
            kind: RecipeKind::MachineImage { volume: recipe.root_volume.clone() },
            infrastructure: recipe.infrastructure_configuration.clone(),
            distribution: recipe.distribution_configuration.clone(),
            reuse: recipe.reuse,
            sources: recipe.source_paths.clone(),
            scope,
        })
    }

    /// Reads the recipe of a container image, the documents that it names, and its Dockerfile template.
    ///
    /// # Errors
    /// A document or the template is missing, or Image Builder would refuse it; says which and why.
    pub fn of_container(
        service: &str,
        container: &spec::ContainerRecipe,
        files: &Files,
    ) -> Result<Self, RecipeError> {
        let scope = scope_of(&container.infrastructure_configuration, "container_recipe")?;
        let has_components = !container.components.is_empty();
        let dockerfile = match &container.dockerfile {
            None => dockerfile::DEFAULT.to_owned(),
            Some(path) => {
                let bytes = files.get(&layout::source(path));
                let bytes = bytes.ok_or_else(|| RecipeError::NoFile {
                    path: path.clone(),
                    what: "the Dockerfile template",
                })?;
                dockerfile::read(path, bytes, has_components)?
            }
        };
        Ok(Self {
            service: service.to_owned(),
            parent_image: container.parent_image.clone(),
            components: components(&scope, service, &container.components, files)?,
            kind: RecipeKind::ContainerImage { dockerfile, repository: container.repository.clone() },
            infrastructure: container.infrastructure_configuration.clone(),
            distribution: container.distribution_configuration.clone(),
            reuse: container.reuse,
            sources: container.source_paths.clone(),
            scope,
        })
    }

    /// Whether several releases may share a build.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.reuse != Reuse::Never
    }

    /// The version of the recipe on a parent image.
    #[must_use]
    pub fn version_on(&self, parent: &str) -> RecipeVersion {
        let [first, second, _] = version_numbers(&self.content());
        let [third, ..] = version_numbers(&Sha256::of(parent.as_bytes()));
        let version = format!("{first}.{second}.{third}");
        RecipeVersion {
            recipe_arn: self.scope.arn(self.kind.resource_type(), &self.service, &version),
            image_arn: self.scope.arn("image", &self.service, &version),
            name: self.service.clone(),
            version,
        }
    }

    /// Whether a version is this recipe on any parent image.
    #[must_use]
    pub fn is_version(&self, version: &str) -> bool {
        let [first, second, _] = version_numbers(&self.content());
        version.strip_prefix(&format!("{first}.{second}.")).is_some_and(|third| third.parse::<u32>().is_ok())
    }

    /// The bake key: the digest of the recipe, its configurations, the sources and, unless `reuse` ignores it, the parent
    /// image. Two bakes with the same key make the same image.
    #[must_use]
    pub fn bake_key(&self, parent: &str, sources: &Sha256) -> Sha256 {
        let parent = if self.reuse == Reuse::UnchangedExceptParent { None } else { Some(parent) };
        let key = json!({
            "recipe": self.content().to_string(),
            "infrastructure": self.infrastructure,
            "distribution": self.distribution,
            "sources": sources.to_string(),
            "parent": parent,
        });
        Sha256::of(key.to_string().as_bytes())
    }

    /// The digest of everything in the recipe but its parent image.
    fn content(&self) -> Sha256 {
        let components: Vec<_> =
            self.components.iter().map(|c| json!({ "arn": c.arn, "parameters": c.parameters })).collect();
        let whole = match &self.kind {
            RecipeKind::MachineImage { volume } => json!({ "components": components, "volume": volume }),
            RecipeKind::ContainerImage { dockerfile, repository } => {
                json!({ "components": components, "dockerfile": dockerfile, "repository": repository })
            }
        };
        Sha256::of(whole.to_string().as_bytes())
    }
}

impl RecipeKind {
    /// The resource type in the ARN of the recipe.
    const fn resource_type(&self) -> &'static str {
        match self {
            Self::MachineImage { .. } => "image-recipe",
            Self::ContainerImage { .. } => "container-recipe",
        }
    }
}

fn components(
    scope: &ArnScope,
    service: &str,
    given: &[spec::Component],
    files: &Files,
) -> Result<Vec<Component>, RecipeError> {
    let component = |given: &spec::Component| {
        let (document, arn) = match (&given.path, &given.arn) {
            (Some(path), None) => {
                let document = component_document(service, path, files)?;
                let arn = scope.arn("component", &document.name, &document.version) + "/1";
                (Some(document), arn)
            }
            (None, Some(arn)) => (None, arn.clone()),
            (Some(_), Some(_)) | (None, None) => {
                return Err(RecipeError::ComponentSource);
            }
        };
        Ok(Component { document, arn, parameters: given.parameters.clone() })
    };
    given.iter().map(component).collect()
}

/// The digest of the source files of a bake: of their paths and digests, in the order of the paths.
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
        Files::from([("source/image/Web_Server.yaml".to_owned(), document.as_bytes().to_vec())])
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

    fn plan(recipe: &spec::ImageRecipe, document: &str) -> RecipePlan {
        RecipePlan::of("web", recipe, &files(document)).unwrap()
    }

    #[test]
    fn the_version_of_a_given_content_never_changes() {
        let plan = plan(&spec(), "name: web\n");
        assert_eq!(
            plan.components[0].arn,
            "arn:aws:imagebuilder:eu-west-1:123456789012:component/web-web-server/594006887.815711604.828376719/1"
        );
        assert_eq!(plan.components[1].arn, "arn:aws:imagebuilder:eu-west-1:aws:component/update-linux/1.0.2");
        let version = plan.version_on("ami-1");
        assert!(
            version.recipe_arn.ends_with(&format!(":image-recipe/web/{}", version.version)),
            "{version:?}"
        );
        assert!(version.image_arn.ends_with(&format!(":image/web/{}", version.version)), "{version:?}");
    }

    #[test]
    fn every_change_of_a_recipe_changes_its_version_and_the_parent_changes_the_last_number() {
        let base = plan(&spec(), "a").version_on("ami-1");
        let other = |change: fn(&mut spec::ImageRecipe)| {
            let mut changed = spec();
            change(&mut changed);
            plan(&changed, "a").version_on("ami-1").version
        };
        let prefix = base.version.rsplit_once('.').unwrap().0;
        for version in [
            plan(&spec(), "b").version_on("ami-1").version,
            other(|r| r.components[0].parameters.clear()),
            other(|r| r.components.reverse()),
            other(|r| r.root_volume = None),
            other(|r| r.root_volume.as_mut().unwrap().encrypted = false),
        ] {
            assert!(!version.starts_with(prefix), "{version}");
        }
        let on_another = plan(&spec(), "a").version_on("ami-2").version;
        assert!(on_another.starts_with(prefix) && on_another != base.version, "{on_another}");
        assert!(plan(&spec(), "a").is_version(&on_another) && !plan(&spec(), "b").is_version(&on_another));
        // The infrastructure configuration is no part of the recipe, only of the bake key.
        let elsewhere = other(|r| r.infrastructure_configuration.push('2'));
        assert_eq!(elsewhere, base.version);
    }

    #[test]
    fn the_version_of_a_container_recipe_follows_from_components_dockerfile_and_repository() {
        let version = |container: &spec::ContainerRecipe, dockerfile: &str| {
            let mut files = files("a");
            files.insert("source/image/Dockerfile".into(), dockerfile.as_bytes().to_vec());
            RecipePlan::of_container("web", container, &files).map(|plan| plan.version_on("base@sha256:1"))
        };
        let base = version(&container(), dockerfile::DEFAULT).unwrap();
        assert!(base.recipe_arn.ends_with(&format!(":container-recipe/web/{}", base.version)), "{base:?}");
        assert!(base.image_arn.ends_with(&format!(":image/web/{}", base.version)), "{base:?}");
        assert_eq!(version(&spec::ContainerRecipe { dockerfile: None, ..container() }, "").unwrap(), base);
        let commented = format!("# web\n{}", dockerfile::DEFAULT);
        for other in [
            version(&container(), &commented),
            version(
                &spec::ContainerRecipe { repository: "team/web".into(), ..container() },
                dockerfile::DEFAULT,
            ),
            version(&spec::ContainerRecipe { components: Vec::new(), ..container() }, dockerfile::DEFAULT),
        ] {
            assert_ne!(other.unwrap().version, base.version);
        }
        let missing = RecipePlan::of_container("web", &container(), &files("a")).unwrap_err().to_string();
        assert!(missing.contains("has no image/Dockerfile"), "{missing}");
        assert!(
            version(&container(), "FROM x\n").unwrap_err().to_string().contains("imagebuilder:parentImage")
        );
    }

    #[test]
    fn the_bake_key_depends_on_the_parent_unless_reuse_ignores_it() {
        let sources = Sha256::of(b"s");
        let key = |reuse, parent: &str, sources: &Sha256| {
            let plan = plan(&spec::ImageRecipe { reuse, ..spec() }, "a");
            plan.bake_key(parent, sources)
        };
        assert_eq!(key(Reuse::Unchanged, "ami-1", &sources), key(Reuse::Unchanged, "ami-1", &sources));
        assert_ne!(key(Reuse::Unchanged, "ami-1", &sources), key(Reuse::Unchanged, "ami-2", &sources));
        assert_eq!(
            key(Reuse::UnchangedExceptParent, "ami-1", &sources),
            key(Reuse::UnchangedExceptParent, "ami-2", &sources)
        );
        assert_ne!(
            key(Reuse::UnchangedExceptParent, "ami-1", &sources),
            key(Reuse::UnchangedExceptParent, "ami-1", &Sha256::of(b"t"))
        );
    }

    #[test]
    fn a_document_that_image_builder_would_refuse_is_refused() {
        for (document, words) in [
            (String::new(), "has 0 characters"),
            ("x".repeat(super::super::document::LIMIT + 1), "has 16001 characters"),
            ("a\0b".into(), "none of them NUL"),
        ] {
            let error = RecipePlan::of("web", &spec(), &files(&document)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        assert!(
            RecipePlan::of("web", &spec(), &Files::new())
                .unwrap_err()
                .to_string()
                .contains("has no image/Web_Server.yaml")
        );
    }

    #[test]
    fn a_source_path_means_a_file_or_a_whole_folder() {
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
        fn image_builder_takes_every_version(document in "[a-z\n]{1,60}", parent in "ami-[0-9a-f]{8}") {
            let plan = plan(&spec(), &format!("x{document}"));
            let versions = [plan.version_on(&parent).version, plan.components[0].document.clone().unwrap().version];
            for version in versions {
                let numbers: Vec<u32> = version.split('.').map(|n| n.parse().unwrap()).collect();
                prop_assert!(numbers.len() == 3 && numbers.iter().all(|n| *n < 1 << 30), "{}", version);
            }
        }
    }
}
