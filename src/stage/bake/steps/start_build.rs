//! Starts the build: of an image pipeline at once, of a recipe once its parent image, components and recipe exist.

use std::collections::BTreeMap;

use super::super::build::calls::BuildRequest;
use super::super::build::reuse::{Choice, choose};
use super::super::build::{calls, find};
use super::super::error::BakeError;
use super::super::images::availability::Availability;
use super::super::inputs::{BuildFrom, Inputs, expected_output};
use super::super::recipe::create;
use super::super::recipe::plan::{RecipePlan, is_source, sources_digest};
use super::super::state::Bake;
use crate::engine::key::{ClientToken, tag};
use crate::engine::{StageError, Step};
use crate::evidence::Stage;
use crate::stage::Cx;

/// Starts a build of the image pipeline, or finds the one that this attempt started.
pub async fn start_pipeline(inputs: &Inputs, cx: &Cx) -> Result<Step<Bake>, StageError> {
    let BuildFrom::ImagePipeline(arn) = &inputs.build_from else {
        return Ok(Step::Next(Bake::ResolvingParent));
    };
    let image = calls::start_pipeline(cx, arn, &inputs.source.spec.service).await?;
    Ok(building(image))
}

/// Resolves the parent image of the recipe.
pub async fn resolve_parent(inputs: &Inputs, cx: &Cx) -> Result<Step<Bake>, StageError> {
    let parent = create::resolve_parent(cx, plan(inputs)?).await?;
    Ok(Step::Next(Bake::CreatingComponents { parent, done: 0 }))
}

/// Creates the next component, unless it exists.
pub async fn create_component(
    inputs: &Inputs,
    cx: &Cx,
    parent: String,
    done: u16,
) -> Result<Step<Bake>, StageError> {
    let plan = plan(inputs)?;
    let Some(component) = plan.components.get(usize::from(done)) else {
        return Ok(Step::Next(Bake::CreatingRecipe { parent }));
    };
    create::ensure_component(cx, plan, component).await?;
    Ok(Step::Next(Bake::CreatingComponents { parent, done: done.saturating_add(1) }))
}

/// Creates the recipe, unless it exists.
pub async fn create_recipe(inputs: &Inputs, cx: &Cx, parent: String) -> Result<Step<Bake>, StageError> {
    create::ensure_recipe(cx, plan(inputs)?, &parent).await?;
    Ok(Step::Next(Bake::StartingBuild { parent }))
}

/// Reuses an earlier build where the spec allows it; otherwise starts one, or finds the one that this attempt started.
pub async fn start_build(inputs: &Inputs, cx: &Cx, parent: &str) -> Result<Step<Bake>, StageError> {
    let plan = plan(inputs)?;
    let scan = inputs.bake.gates.scan.is_some();
    let recipe = plan.version_on(parent).recipe_arn;
    let mut tags = BTreeMap::from([(tag::SERVICE.to_owned(), plan.service.clone())]);
    if !plan.is_shared() {
        tags.extend(cx.key().tags(Stage::Bake));
        let request = BuildRequest { token: cx.key().client_token("build"), tags, scan };
        return Ok(building(calls::start_recipe(cx, plan, &recipe, request).await?));
    }
    let key = bake_key(inputs, plan, parent).await?;
    let builds = find::earlier_builds(cx, plan, parent).await?;
    let mut unusable = Vec::new();
    let generation = loop {
        match choose(&builds, &key, &unusable) {
            Choice::Reuse(candidates) => {
                for candidate in candidates {
                    if is_complete(inputs, cx, &candidate).await? {
                        return Ok(building(candidate));
                    }
                    unusable.push(candidate);
                }
            }
            Choice::Join(image) => return Ok(building(image)),
            Choice::Start { generation } => break generation,
        }
    };
    // Releases that want the same build derive the same token and tags from the bake key: Image Builder starts it once.
    tags.insert(tag::BAKE_KEY.to_owned(), key.clone());
    let token = ClientToken::of_content(&format!("build {key} {generation} {scan}"));
    Ok(building(calls::start_recipe(cx, plan, &recipe, BuildRequest { token, tags, scan }).await?))
}

/// The bake key: two bakes with the same key make the same image. Reads the source files that go into the image.
pub async fn bake_key(inputs: &Inputs, plan: &RecipePlan, parent: &str) -> Result<String, StageError> {
    let wanted = |path: &str| is_source(path, &plan.sources);
    let files = inputs.source.archive.digests(wanted).await?;
    Ok(plan.bake_key(parent, &sources_digest(&files)).to_string())
}

/// Whether the images of an earlier build are available and all that the spec expects.
async fn is_complete(inputs: &Inputs, cx: &Cx, image: &str) -> Result<bool, StageError> {
    let build = calls::read(&calls::get(cx, image).await?, &inputs.account);
    let Ok(output) = expected_output(inputs, cx, &build, image) else { return Ok(false) };
    Ok(output.availability(cx).await? == Availability::Available)
}

fn building(image: String) -> Step<Bake> {
    Step::Next(Bake::Building { image, last_progress: None, retries: 0 })
}

fn plan(inputs: &Inputs) -> Result<&RecipePlan, StageError> {
    match &inputs.build_from {
        BuildFrom::Recipe(plan) => Ok(plan.as_ref()),
        BuildFrom::ImagePipeline(arn) => Err(BakeError::NotARecipe { arn: arn.clone() }.into()),
    }
}
