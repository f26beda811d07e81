//! Signs the provenance of the images and hands the release over to the test stage.

use std::collections::BTreeMap;

use aws_sdk_imagebuilder::types as wire;

use super::super::build::calls;
use super::super::gates::{read, sarif, vulnerabilities};
use super::super::images::output::BuildOutput;
use super::super::images::{copies, registry};
use super::super::inputs::{Inputs, output_of_available};
use super::super::provenance::{self, Recipe, Run, SourceArtifact};
use super::super::state::Bake;
use super::super::variables;
use super::read_content::bound;
use super::wait_for_build::is_older;
use crate::engine::key::tag;
use crate::engine::{Outcome, StageError, Step};
use crate::evidence::{self, ContainerIdentity, ResourceDescriptor, Sha256, Stage, layout};
use crate::stage::Cx;
use crate::stage::handover::{ReleaseFiles, SPEC_FILE, SPEC_PROPERTY, hand_over_about};
use crate::stage::store::{Files, input};

/// Signs the statement and stores the output artifact. Ends the action.
pub async fn seal(
    inputs: &Inputs,
    cx: &Cx,
    image: &str,
    content: Option<Sha256>,
) -> Result<Step<Bake>, StageError> {
    let built = calls::get(cx, image).await?;
    let output = output_of_available(inputs, cx, &calls::read(&built, &inputs.account), image)?;
    let Described { subjects, mut variables } = describe(inputs, cx, &output, image, content).await?;
    let digest = Sha256::from_bytes(*inputs.source.archive.digest().await?.as_bytes());
    let artifact = input(&cx.job.inputs)?;
    let mut files = inputs.source.files.clone();
    let source = SourceArtifact {
        uri: artifact.location.to_string(),
        digest,
        spec: cx.job.configuration.get(SPEC_PROPERTY).unwrap_or(SPEC_FILE).to_owned(),
        spec_digest: Sha256::of(files.get(layout::SPEC).map_or(&[][..], Vec::as_slice)),
    };
    if let Some(scan) = &inputs.bake.gates.scan {
        let found = read::findings(cx, image).await?;
        let read_on = cx.now().date_time();
        files.insert(
            layout::BAKE_SCAN.to_owned(),
            sarif::report(scan, &found, image, &source.spec, read_on.date()),
        );
        // Image Builder gives no times of a scan: it starts after the build does, and has ended when it is read.
        let started = built.date_created.as_deref().and_then(provenance::date).unwrap_or(read_on);
        let statement = vulnerabilities::statement(scan, &found, subjects.clone(), started, read_on);
        let statement = statement.map_err(StageError::bug)?;
        let envelope = evidence::seal(&statement, &cx.authority.signer).await?.encode();
        files.insert(layout::BAKE_VULNERABILITIES.to_owned(), envelope);
    }
    let run = run(inputs, image, built);
    let reused = run.reused;
    let statement = provenance::provenance(&run, &source, output.in_other_accounts());
    let service = inputs.source.spec.service.clone();
    let release_files = ReleaseFiles { service, files, statements: Files::new(), source: Some(digest) };
    let valid_for = inputs.source.spec.evidence.valid_for.as_duration();
    let digest = hand_over_about(cx, Stage::Bake, subjects, &statement, release_files, valid_for).await?;
    variables.insert("StatementDigest".into(), digest.to_string());
    Ok(Step::Done(Outcome::Succeeded {
        summary: format!("{} {}", if reused { "reused" } else { "baked" }, output.names()),
        external_id: Some(image.to_owned()),
        variables,
    }))
}

/// The inputs of the build, as Image Builder reports them.
fn run(inputs: &Inputs, build: &str, image: wire::Image) -> Run {
    let recipe = recipe_of(image.image_recipe, image.container_recipe);
    let created = image.date_created;
    Run {
        build: build.to_owned(),
        of: inputs.build_from.clone(),
        service: inputs.source.spec.service.clone(),
        recipe,
        infrastructure: image.infrastructure_configuration.and_then(|configuration| configuration.arn),
        distribution: image.distribution_configuration.and_then(|configuration| configuration.arn),
        reused: is_older(inputs, created.as_deref()),
        created,
    }
}

fn recipe_of(machine: Option<wire::ImageRecipe>, container: Option<wire::ContainerRecipe>) -> Recipe {
    let arns = |all: Option<Vec<wire::ComponentConfiguration>>| {
        all.unwrap_or_default().into_iter().map(|component| component.component_arn).collect()
    };
    if let Some(recipe) = machine {
        return Recipe {
            arn: recipe.arn,
            parent_image: recipe.parent_image,
            parent_digest: None,
            components: arns(recipe.components),
        };
    }
    container.map_or_else(Recipe::default, |recipe| Recipe {
        arn: recipe.arn,
        parent_image: recipe.parent_image,
        parent_digest: recipe.tags.and_then(|mut tags| tags.remove(tag::PARENT_DIGEST)),
        components: arns(recipe.components),
    })
}

/// The subjects of the statement and the output variables of the action.
struct Described {
    subjects: Vec<ResourceDescriptor>,
    variables: BTreeMap<String, String>,
}

async fn describe(
    inputs: &Inputs,
    cx: &Cx,
    output: &BuildOutput,
    build: &str,
    content: Option<Sha256>,
) -> Result<Described, StageError> {
    let region = cx.aws.region();
    match output {
        BuildOutput::MachineImages(copies) => {
            let identities = copies::identities(cx, copies).await?;
            let bound = bound(inputs.bake.content_digest, copies, region, content);
            let subjects =
                identities.iter().zip(bound).map(|(identity, bound)| identity.subject_binding(bound));
            let variables = variables::of_machine_images(copies, region, build);
            Ok(Described { subjects: subjects.collect(), variables })
        }
        BuildOutput::ContainerImages { images, build_tag } => {
            let identities = registry::identities(cx, images, build_tag).await?;
            let subjects = ContainerIdentity::subjects(&identities);
            let variables = variables::of_container_images(&identities, region, build);
            Ok(Described { subjects, variables })
        }
    }
}
