//! What the bake stage says about its images: SLSA provenance v1. Pure.

use serde_json::json;

use super::images::availability::BuiltImage;
use super::inputs::BuildFrom;
use super::recipe::plan::RecipeKind;
use crate::evidence::predicate::{BuildDefinition, BuildMetadata, Builder, Provenance, RunDetails};
use crate::evidence::{ResourceDescriptor, Sha256};

/// How the parameters of a build definition are to be read: `docs/predicates.md` describes them.
pub const BUILD_TYPE: &str = "https://bakeline.dev/build-types/image-builder-pipeline/v1";
pub const RECIPE_BUILD_TYPE: &str = "https://bakeline.dev/build-types/image-builder-recipe/v1";
pub const CONTAINER_BUILD_TYPE: &str = "https://bakeline.dev/build-types/image-builder-container-recipe/v1";

/// What went into a build, and which build it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// The image build version's ARN.
    pub build: String,
    pub of: BuildFrom,
    pub service: String,
    pub recipe: Recipe,
    /// ARN of the infrastructure configuration.
    pub infrastructure: Option<String>,
    /// ARN of the distribution configuration.
    pub distribution: Option<String>,
    /// `dateCreated` of the build, as Image Builder writes it.
    pub created: Option<String>,
    /// Whether the build is older than the action that speaks of it.
    pub reused: bool,
}

/// The recipe as it was when the image was built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recipe {
    pub arn: Option<String>,
    /// An image's ARN or id, as the recipe names it.
    pub parent_image: Option<String>,
    /// `sha256:…`, what the parent image of a container meant when the recipe was made.
    pub parent_digest: Option<String>,
    /// ARNs in the order in which they are applied. Their parameters may be secret and are left out.
    pub components: Vec<String>,
}

/// The source artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceArtifact {
    /// Its name in the pipeline.
    pub name: String,
    /// Where it lay: `s3://bucket/key`.
    pub uri: String,
    pub digest: Sha256,
}

/// The provenance of the images of `run`. Copies in other accounts are byproducts, not subjects: what tells them
/// from other images is known to their accounts alone.
#[must_use]
pub fn provenance(run: &Run, source: &SourceArtifact, foreign: &[BuiltImage]) -> Provenance {
    let mut dependencies = vec![ResourceDescriptor {
        uri: Some(source.uri.clone()),
        ..ResourceDescriptor::named(source.name.clone(), &source.digest)
    }];
    let named = |name: &str, uri: &String| ResourceDescriptor {
        name: Some(name.to_owned()),
        ..ResourceDescriptor::at(uri)
    };
    dependencies.extend(run.recipe.arn.iter().map(|arn| named("image recipe", arn)));
    dependencies.extend(run.recipe.parent_image.iter().map(|image| {
        let digest = run.recipe.parent_digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:"));
        let digest = digest.map(|digest| ("sha256".to_owned(), digest.to_owned()));
        ResourceDescriptor { digest: digest.into_iter().collect(), ..named("parent image", image) }
    }));
    let plan = match &run.of {
        BuildFrom::ImagePipeline(_) => None,
        BuildFrom::Recipe(plan) => Some(plan),
    };
    let document = |arn: &String| {
        let component =
            plan.iter().flat_map(|plan| &plan.components).find(|component| component.arn == *arn)?;
        Some(component.document.as_ref()?.digest)
    };
    dependencies.extend(run.recipe.components.iter().map(|arn| match document(arn) {
        Some(digest) => {
            ResourceDescriptor { uri: Some(arn.clone()), ..ResourceDescriptor::named("component", &digest) }
        }
        None => named("component", arn),
    }));
    let mut byproducts = vec![named("image build version", &run.build)];
    let partition = run.of.arn().split(':').nth(1).unwrap_or("aws");
    byproducts.extend(foreign.iter().map(|image| distributed(partition, image)));
    let mut internal = json!({
        "infrastructureConfiguration": run.infrastructure,
        "distributionConfiguration": run.distribution,
    });
    let (build_type, external) = match &run.of {
        BuildFrom::ImagePipeline(arn) => (BUILD_TYPE, json!({ "imagePipeline": arn, "service": run.service })),
        BuildFrom::Recipe(plan) => {
            internal["reused"] = run.reused.into();
            let mut external =
                json!({ "parentImage": plan.parent_image, "reuse": plan.reuse, "service": run.service });
            match &plan.kind {
                RecipeKind::MachineImage { .. } => (RECIPE_BUILD_TYPE, external),
                RecipeKind::ContainerImage { repository, .. } => {
                    external["repository"] = repository.as_str().into();
                    (CONTAINER_BUILD_TYPE, external)
                }
            }
        }
    };
    Provenance {
        build_definition: BuildDefinition {
            build_type: build_type.to_owned(),
            external_parameters: external,
            internal_parameters: internal,
            resolved_dependencies: dependencies,
        },
        run_details: RunDetails {
            builder: Builder {
                id: run.of.arn().to_owned(),
                version: [("bakeline".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into(),
                builder_dependencies: Vec::new(),
            },
            metadata: BuildMetadata {
                invocation_id: run.build.clone(),
                started_on: run.created.as_deref().and_then(date),
                finished_on: None,
            },
            byproducts,
        },
    }
}

/// A copy of the image in another account.
fn distributed(partition: &str, image: &BuiltImage) -> ResourceDescriptor {
    let mut copy =
        ResourceDescriptor { name: Some("copy in another account".into()), ..ResourceDescriptor::default() };
    copy.uri = Some(format!("arn:{partition}:ec2:{}::image/{}", image.region, image.id));
    copy.annotations.insert("account".into(), image.account.clone().into());
    copy.annotations.insert("looked_at".into(), false.into());
    copy
}

/// Whether a build's `dateCreated` is before a moment; one that is not told is not.
#[must_use]
pub fn is_before(created: Option<&str>, moment: time::OffsetDateTime) -> bool {
    created.and_then(date).is_some_and(|created| created < moment)
}

fn date(text: &str) -> Option<time::OffsetDateTime> {
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()
}
