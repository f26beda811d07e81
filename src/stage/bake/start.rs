//! The way to a build: of an image pipeline at once, of a recipe by way of its parent image, components and itself.

use std::collections::BTreeMap;

use super::judge::Look;
use super::recipe::{Plan, is_source, sources_digest};
use super::reuse::{Choice, choose};
use super::{Bake, Inputs, Of, build, declare, release};
use crate::evidence::Stage;
use crate::engine::key::{ClientToken, tag};
use crate::engine::{StageError, Step};
use crate::stage::Cx;

pub async fn pipeline(inputs: &Inputs, cx: &Cx) -> Result<Step<Bake>, StageError> {
    let Of::Pipeline(arn) = &inputs.of else { return Ok(Step::Next(Bake::Resolving)) };
    let image = build::start(cx, arn, &inputs.source.spec.service).await?;
    Ok(begun(image))
}

pub async fn resolving(inputs: &Inputs, cx: &Cx) -> Result<Step<Bake>, StageError> {
    let parent = declare::parent(cx, plan(inputs)?).await?;
    Ok(Step::Next(Bake::Declaring { parent, done: 0 }))
}

pub async fn declaring(
    inputs: &Inputs,
    cx: &Cx,
    parent: String,
    done: u16,
) -> Result<Step<Bake>, StageError> {
    let plan = plan(inputs)?;
    let Some(component) = plan.components.get(usize::from(done)) else {
        return Ok(Step::Next(Bake::Composing { parent }));
    };
    declare::component(cx, plan, component).await?;
    Ok(Step::Next(Bake::Declaring { parent, done: done.saturating_add(1) }))
}

pub async fn composing(inputs: &Inputs, cx: &Cx, parent: String) -> Result<Step<Bake>, StageError> {
    declare::recipe(cx, plan(inputs)?, &parent).await?;
    Ok(Step::Next(Bake::Starting { parent }))
}

/// Takes an earlier build where the spec lets it, or starts one, or finds the one it started.
pub async fn starting(inputs: &Inputs, cx: &Cx, parent: &str) -> Result<Step<Bake>, StageError> {
    let plan = plan(inputs)?;
    let scan = inputs.bake.gates.scan.is_some();
    let recipe = plan.named(parent).recipe;
    let mut tags = BTreeMap::from([(tag::SERVICE.to_owned(), plan.service.clone())]);
    if !plan.is_shared() {
        tags.extend(cx.key().tags(Stage::Bake));
        let order = build::Order { token: cx.key().client_token("build"), tags, scan };
        return Ok(begun(build::start_recipe(cx, plan, &recipe, order).await?));
    }
    let key = bake_key(inputs, plan, parent).await?;
    let builds = build::earlier(cx, plan, parent).await?;
    let mut rejected = Vec::new();
    let generation = loop {
        match choose(&builds, &key, &rejected) {
            Choice::Take(candidates) => {
                for candidate in candidates {
                    if is_whole(inputs, cx, &candidate).await? {
                        return Ok(begun(candidate));
                    }
                    rejected.push(candidate);
                }
            }
            Choice::Join(image) => return Ok(begun(image)),
            Choice::Bake { generation } => break generation,
        }
    };
    // Whoever asks for the same build at this moment gives the same token and tags, and gets the same build.
    tags.insert(tag::BAKE_KEY.to_owned(), key.clone());
    let token = ClientToken::of_content(&format!("build {key} {generation} {scan}"));
    Ok(begun(build::start_recipe(cx, plan, &recipe, build::Order { token, tags, scan }).await?))
}

/// What makes two bakes the same; reads the sources that go into the image.
pub async fn bake_key(inputs: &Inputs, plan: &Plan, parent: &str) -> Result<String, StageError> {
    let wanted = |path: &str| is_source(path, &plan.sources);
    let files = inputs.source.archive.digests(wanted).await?;
    Ok(plan.bake_key(parent, &sources_digest(&files)).to_string())
}

/// Whether the images of an earlier build are all there and all that the spec expects.
async fn is_whole(inputs: &Inputs, cx: &Cx, image: &str) -> Result<bool, StageError> {
    let build = build::read(&build::get(cx, image).await?, &inputs.account);
    let Ok(product) = release(inputs, cx, &build, image) else { return Ok(false) };
    Ok(product.look(cx).await? == Look::Available)
}

fn begun(image: String) -> Step<Bake> {
    Step::Next(Bake::Building { image, watch: None, retries: 0 })
}

fn plan(inputs: &Inputs) -> Result<&Plan, StageError> {
    match &inputs.of {
        Of::Recipe(plan) => Ok(plan.as_ref()),
        Of::Pipeline(arn) => {
            Err(StageError::Config(format!("the action began with a recipe, and the spec names {arn}")))
        }
    }
}
