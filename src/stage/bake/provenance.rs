//! SLSA provenance v1 of a bake. Pure.

use serde_json::json;

use super::images::availability::BuiltImage;
use super::inputs::BuildFrom;
use super::recipe::plan::RecipeKind;
use crate::evidence::predicate::{BuildDefinition, BuildMetadata, Builder, Provenance, RunDetails};
use crate::evidence::{ResourceDescriptor, Sha256};

/// The URI of the builder: EC2 Image Builder, started by bakeline. `docs/predicates.md` describes it.
pub const BUILDER: &str = "https://bakeline.dev/builder/image-builder/v1";
/// The build types: one execution of an image pipeline, a build of a recipe, a build of a container recipe.
pub const BUILD_TYPE: &str = "https://bakeline.dev/build-types/image-builder-pipeline/v1";
pub const RECIPE_BUILD_TYPE: &str = "https://bakeline.dev/build-types/image-builder-recipe/v1";
pub const CONTAINER_BUILD_TYPE: &str = "https://bakeline.dev/build-types/image-builder-container-recipe/v1";

/// The inputs and the id of a build.
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
    /// Whether an earlier action started the build.
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
    /// ARNs in the order in which they are applied. The spec has their parameters.
    pub components: Vec<String>,
}

/// The source artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceArtifact {
    /// Its location: `s3://bucket/key`.
    pub uri: String,
    pub digest: Sha256,
    /// The path of the release spec in it.
    pub spec: String,
    pub spec_digest: Sha256,
}

/// The provenance of the images of `run`. Copies in other accounts are byproducts, not subjects: only their accounts can
/// read their identity.
#[must_use]
pub fn provenance(run: &Run, source: &SourceArtifact, foreign: &[BuiltImage]) -> Provenance {
    let mut dependencies = vec![
        ResourceDescriptor {
            uri: Some(source.uri.clone()),
            ..ResourceDescriptor::named("source", &source.digest)
        },
        ResourceDescriptor::named("spec", &source.spec_digest),
    ];
    let named = |name: &str, uri: &String| ResourceDescriptor {
        name: Some(name.to_owned()),
        ..ResourceDescriptor::at(uri)
    };
    dependencies.extend(run.recipe.arn.iter().map(|arn| named("recipe", arn)));
    dependencies.extend(run.recipe.parent_image.iter().map(|image| {
        let digest = run.recipe.parent_digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:"));
        let digest = digest.map(|digest| ("sha256".to_owned(), digest.to_owned()));
        ResourceDescriptor { digest: digest.into_iter().collect(), ..named("parentImage", image) }
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
    dependencies.extend(run.recipe.components.iter().map(|arn| {
        let name = component_name(arn);
        match document(arn) {
            Some(digest) => {
                ResourceDescriptor { uri: Some(arn.clone()), ..ResourceDescriptor::named(name, &digest) }
            }
            None => named(&name, arn),
        }
    }));
    let mut byproducts = vec![named("imageBuild", &run.build)];
    let partition = run.of.arn().split(':').nth(1).unwrap_or("aws");
    byproducts.extend(foreign.iter().map(|image| distributed(partition, image)));
    let mut internal = json!({
        "infrastructureConfiguration": run.infrastructure,
        "distributionConfiguration": run.distribution,
    });
    let build_type = match &run.of {
        BuildFrom::ImagePipeline(arn) => {
            internal["imagePipeline"] = arn.as_str().into();
            BUILD_TYPE
        }
        BuildFrom::Recipe(plan) => {
            internal["reused"] = run.reused.into();
            match &plan.kind {
                RecipeKind::MachineImage { .. } => RECIPE_BUILD_TYPE,
                RecipeKind::ContainerImage { .. } => CONTAINER_BUILD_TYPE,
            }
        }
    };
    Provenance {
        build_definition: BuildDefinition {
            build_type: build_type.to_owned(),
            external_parameters: json!({
                "source": source.uri,
                "spec": source.spec,
                "service": run.service,
            }),
            internal_parameters: internal,
            resolved_dependencies: dependencies,
        },
        run_details: RunDetails {
            builder: Builder {
                id: BUILDER.to_owned(),
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

/// The descriptor's name of a component: `component/NAME`.
fn component_name(arn: &str) -> String {
    // arn:aws:imagebuilder:REGION:ACCOUNT:component/NAME/VERSION/BUILD
    let name = arn.split("component/").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or(arn);
    format!("component/{name}")
}

/// A copy of the image in another account.
fn distributed(partition: &str, image: &BuiltImage) -> ResourceDescriptor {
    let name = format!("copy/{}/{}", image.region, image.account);
    let mut copy = ResourceDescriptor { name: Some(name), ..ResourceDescriptor::default() };
    copy.uri = Some(format!("arn:{partition}:ec2:{}::image/{}", image.region, image.id));
    copy.annotations.insert("account".into(), image.account.clone().into());
    copy.annotations.insert("bakeline_verified".into(), false.into());
    copy
}

/// Whether a build's `dateCreated` is before a moment; a missing date is not.
#[must_use]
pub fn is_before(created: Option<&str>, moment: time::OffsetDateTime) -> bool {
    created.and_then(date).is_some_and(|created| created < moment)
}

/// A date as Image Builder writes it.
pub fn date(text: &str) -> Option<time::OffsetDateTime> {
    time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()
}
