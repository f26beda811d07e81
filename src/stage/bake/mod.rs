//! The bake stage: one execution of an Image Builder pipeline, its images confirmed, tagged and spoken for.

mod build;
mod copies;
pub mod judge;
mod parameter;
pub mod provenance;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::judge::{BuiltImage, Copies, Look, Stand};
use self::provenance::{Recipe, Run, SourceArtifact};
use super::handover::{Baggage, Source, hand_over};
use super::store::{Files, input};
use super::{Cx, StageMachine, goes_forward};
use crate::aws::AwsError;
use crate::engine::{Failure, FailureKind, Machine, Outcome, Progress, StageError, Step, Timestamp};
use crate::evidence::{Sha256, Stage};
use crate::spec;

/// Looks that must find no build before it is believed that none was started.
const RECALLS: u8 = 3;
/// Between looks at a build.
const BUILD_EVERY: Duration = Duration::from_secs(45);
/// Between looks at anything that moves fast.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The resting places of a bake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum Bake {
    /// No build is known. One may have been started: its client token finds it again.
    Start,
    /// The build `image` was started.
    Building { image: String },
    /// The build is available, with every image the spec expects; `seen` looks in a row found them all available.
    Confirming { image: String, seen: u8 },
    /// All images were seen available often enough; the first `done` of the account's own carry their tags.
    Tagging { image: String, done: u16 },
    /// All images of the account are tagged.
    Publishing { image: String },
    /// SSM was asked at `since` to set the parameter, and may still be validating the value.
    Validating { image: String, since: Timestamp },
    /// The parameter, if the spec has one, holds the new image. Only the hand-over is left.
    Sealing { image: String },
    /// Unwinding: a build may have been started; `looks` looks in a row did not find one.
    Recalling { looks: u8, why: Failure },
    /// Unwinding: the build `image` is to be cancelled.
    Cancelling { image: String, why: Failure },
    /// Unwinding: Image Builder was asked to cancel the build and does so in its own time.
    Stopping { image: String, why: Failure },
    /// Unwinding: the build ended well before, and its images stay.
    Leaving { image: String, why: Failure },
}

/// What a bake works from.
#[derive(Debug)]
pub struct Inputs {
    pub source: Source,
    pub bake: spec::Bake,
    /// The image pipeline's account.
    pub account: String,
}

impl StageMachine for Bake {
    const STAGE: Stage = Stage::Bake;

    async fn load(cx: &mut Cx, _at: Timestamp) -> Result<Inputs, StageError> {
        let source = Source::open(cx).await?;
        cx.act_in(source.spec.targets.bake.as_deref()).await?;
        let bake = source.spec.bake().map_err(|missing| StageError::Config(missing.to_string()))?.clone();
        let arn = &bake.image_pipeline;
        let (account, region) = judge::home(arn)
            .ok_or_else(|| StageError::Config(format!("bake.image_pipeline `{arn}` is not an ARN")))?;
        if region != cx.aws.region() {
            return Err(StageError::Config(format!(
                "bake.image_pipeline `{arn}` is in {region}; this worker works in {}",
                cx.aws.region()
            )));
        }
        let account = account.to_owned();
        Ok(Inputs { source, bake, account })
    }

    async fn step_back(self, cx: &Cx) -> Result<Step<Self>, StageError> {
        // A build is its pipeline's account's, which its own ARN names too.
        let account = |image: &str| judge::home(image).map_or("", |(account, _)| account).to_owned();
        match self {
            Self::Recalling { looks, why } => recalling(build::recall_from_any(cx).await, looks, why),
            Self::Cancelling { image, why } => cancelling(&account(&image), cx, image, why).await,
            Self::Stopping { image, why } => stopping(&account(&image), cx, image, why).await,
            Self::Leaving { image, why } => Ok(leaving(&account(&image), cx, &image, why).await),
            forward @ (Self::Start
            | Self::Building { .. }
            | Self::Confirming { .. }
            | Self::Tagging { .. }
            | Self::Publishing { .. }
            | Self::Validating { .. }
            | Self::Sealing { .. }) => Err(goes_forward(&forward)),
        }
    }
}

impl Machine for Bake {
    type Inputs = Inputs;
    type Context = Cx;

    fn start(_: &Inputs) -> Self {
        Self::Start
    }

    fn timeout(inputs: &Inputs) -> Duration {
        inputs.bake.timeout.as_duration()
    }

    fn unwind(self, why: Failure) -> Self {
        match self {
            Self::Start => Self::Recalling { looks: 0, why },
            Self::Building { image } => Self::Cancelling { image, why },
            Self::Confirming { image, .. }
            | Self::Tagging { image, .. }
            | Self::Publishing { image }
            | Self::Validating { image, .. }
            | Self::Sealing { image } => Self::Leaving { image, why },
            Self::Recalling { .. }
            | Self::Cancelling { .. }
            | Self::Stopping { .. }
            | Self::Leaving { .. } => self,
        }
    }

    fn is_unwinding(&self) -> bool {
        match self {
            Self::Start
            | Self::Building { .. }
            | Self::Confirming { .. }
            | Self::Tagging { .. }
            | Self::Publishing { .. }
            | Self::Validating { .. }
            | Self::Sealing { .. } => false,
            Self::Recalling { .. }
            | Self::Cancelling { .. }
            | Self::Stopping { .. }
            | Self::Leaving { .. } => true,
        }
    }

    async fn step(self, inputs: &Inputs, cx: &Cx) -> Result<Step<Self>, StageError> {
        match self {
            Self::Start => {
                let image =
                    build::start(cx, &inputs.bake.image_pipeline, &inputs.source.spec.service).await?;
                Ok(Step::Next(Self::Building { image }))
            }
            Self::Building { image } => building(inputs, cx, image).await,
            Self::Confirming { image, seen } => confirming(inputs, cx, image, seen).await,
            Self::Tagging { image, done } => tagging(inputs, cx, image, done).await,
            Self::Publishing { image } => publishing(inputs, cx, image).await,
            Self::Validating { image, since } => validating(inputs, cx, image, since).await,
            Self::Sealing { image } => sealing(inputs, cx, &image).await,
            Self::Recalling { looks, why } => {
                let found = build::recall(cx, &inputs.bake.image_pipeline).await;
                recalling(found, looks, why)
            }
            Self::Cancelling { image, why } => cancelling(&inputs.account, cx, image, why).await,
            Self::Stopping { image, why } => stopping(&inputs.account, cx, image, why).await,
            Self::Leaving { image, why } => Ok(leaving(&inputs.account, cx, &image, why).await),
        }
    }
}

async fn building(inputs: &Inputs, cx: &Cx, image: String) -> Result<Step<Bake>, StageError> {
    let build = build::read(&build::get(cx, &image).await?, &inputs.account);
    match judge::stand(&build.status) {
        Stand::Going => {
            let progress = build::progress(cx, &image, &build.status).await;
            Ok(Step::Wait { state: Bake::Building { image }, again_in: BUILD_EVERY, progress })
        }
        Stand::Available => {
            release(inputs, cx, &build)?;
            Ok(Step::Next(Bake::Confirming { image, seen: 0 }))
        }
        // The build has ended by itself: there is nothing to cancel.
        Stand::Ended => Ok(Step::Done(Outcome::Failed(Failure::new(
            FailureKind::JobFailed,
            judge::obituary(&image, &build),
        )))),
    }
}

async fn confirming(inputs: &Inputs, cx: &Cx, image: String, seen: u8) -> Result<Step<Bake>, StageError> {
    let copies = reread(inputs, cx, &image).await?;
    let (seen, summary) = match copies::look(cx, &copies).await? {
        Look::Available if seen + 1 >= judge::LOOKS => {
            return Ok(Step::Next(Bake::Tagging { image, done: 0 }));
        }
        Look::Available => (seen + 1, format!("images available, look {} of {}", seen + 1, judge::LOOKS)),
        Look::NotYet(why) => (0, why),
        Look::Broken(why) => return Err(StageError::Rejected(why)),
    };
    let progress = Progress { percent: 97, summary, external_id: Some(image.clone()) };
    Ok(Step::Wait { state: Bake::Confirming { image, seen }, again_in: LOOK_EVERY, progress })
}

async fn tagging(inputs: &Inputs, cx: &Cx, image: String, done: u16) -> Result<Step<Bake>, StageError> {
    let copies = reread(inputs, cx, &image).await?;
    let Some(copy) = copies.own.get(usize::from(done)) else {
        return Ok(Step::Next(Bake::Publishing { image }));
    };
    copies::tag(cx, copy, &inputs.source.spec.service).await?;
    Ok(Step::Next(Bake::Tagging { image, done: done.saturating_add(1) }))
}

async fn publishing(inputs: &Inputs, cx: &Cx, image: String) -> Result<Step<Bake>, StageError> {
    let Some(name) = inputs.bake.parameter.as_deref() else { return Ok(Step::Next(Bake::Sealing { image })) };
    let copies = reread(inputs, cx, &image).await?;
    let here = candidate(&copies, cx, name)?;
    if parameter::value(cx, name).await?.as_ref() == Some(&here.id) {
        return Ok(Step::Next(Bake::Sealing { image }));
    }
    parameter::put(cx, name, &here.id).await?;
    Ok(Step::Next(Bake::Validating { image, since: cx.now() }))
}

async fn validating(
    inputs: &Inputs,
    cx: &Cx,
    image: String,
    since: Timestamp,
) -> Result<Step<Bake>, StageError> {
    let Some(name) = inputs.bake.parameter.as_deref() else { return Ok(Step::Next(Bake::Sealing { image })) };
    let copies = reread(inputs, cx, &image).await?;
    let here = candidate(&copies, cx, name)?;
    let value = parameter::value(cx, name).await?;
    if value.as_ref() == Some(&here.id) {
        return Ok(Step::Next(Bake::Sealing { image }));
    }
    if cx.now().since(since) > judge::VALIDATION {
        return Err(StageError::Rejected(format!(
            "SSM parameter {name} was not set to {} within {} s; it holds {}: SSM refuses an image that the caller \
             may not describe, and says so in an event only",
            here.id,
            judge::VALIDATION.as_secs(),
            value.as_deref().unwrap_or("nothing")
        )));
    }
    let progress =
        Progress { percent: 98, summary: format!("SSM validates {name}"), external_id: Some(image.clone()) };
    Ok(Step::Wait { state: Bake::Validating { image, since }, again_in: LOOK_EVERY, progress })
}

async fn sealing(inputs: &Inputs, cx: &Cx, image: &str) -> Result<Step<Bake>, StageError> {
    let built = build::get(cx, image).await?;
    let copies = available(inputs, cx, &build::read(&built, &inputs.account), image)?;
    let identities = copies::identities(cx, &copies).await?;
    let digest = Sha256::from_bytes(*inputs.source.archive.digest().await?.as_bytes());
    let artifact = input(&cx.job.inputs)?;
    let source = SourceArtifact { name: artifact.name.clone(), uri: artifact.location.to_string(), digest };
    let statement = provenance::provenance(&run(inputs, image, built), &source, &copies.foreign);
    let baggage =
        Baggage { files: inputs.source.files.clone(), statements: Files::new(), source: Some(digest) };
    let valid_for = inputs.source.spec.evidence.valid_for.as_duration();
    let sealed = hand_over(cx, Stage::Bake, &identities, &statement, baggage, valid_for).await?;
    Ok(Step::Done(Outcome::Succeeded {
        summary: format!("baked {}", names(&copies.own)),
        external_id: Some(image.to_owned()),
        variables: variables(&copies, cx.aws.region(), image, sealed),
    }))
}

/// What Image Builder says went into the build.
fn run(inputs: &Inputs, build: &str, image: aws_sdk_imagebuilder::types::Image) -> Run {
    let recipe = image.image_recipe;
    Run {
        build: build.to_owned(),
        image_pipeline: inputs.bake.image_pipeline.clone(),
        service: inputs.source.spec.service.clone(),
        recipe: recipe.map_or_else(Recipe::default, |recipe| Recipe {
            arn: recipe.arn,
            parent_image: recipe.parent_image,
            components: recipe.components.unwrap_or_default().into_iter().map(|c| c.component_arn).collect(),
        }),
        infrastructure: image.infrastructure_configuration.and_then(|configuration| configuration.arn),
        distribution: image.distribution_configuration.and_then(|configuration| configuration.arn),
        created: image.date_created,
    }
}

/// The action's output variables.
fn variables(copies: &Copies, region: &str, build: &str, statement: Sha256) -> BTreeMap<String, String> {
    let mut variables: BTreeMap<String, String> =
        copies.own.iter().map(|copy| (format!("ImageId-{}", copy.region), copy.id.clone())).collect();
    if let Some(here) = copies.in_region(region) {
        variables.insert("ImageId".into(), here.id.clone());
        variables.insert("ImageRegion".into(), here.region.clone());
    }
    variables.insert("ImageBuildArn".into(), build.to_owned());
    variables.insert("StatementDigest".into(), statement.to_string());
    variables
}

fn recalling(
    found: Result<Option<String>, AwsError>,
    looks: u8,
    why: Failure,
) -> Result<Step<Bake>, StageError> {
    match found {
        Ok(Some(image)) => Ok(Step::Next(Bake::Cancelling { image, why })),
        Ok(None) if looks + 1 >= RECALLS => Ok(Step::Done(Outcome::Failed(why))),
        Ok(None) => {
            let progress =
                Progress { summary: "looking for a build to cancel".into(), ..Progress::default() };
            Ok(Step::Wait {
                state: Bake::Recalling { looks: looks + 1, why },
                again_in: LOOK_EVERY,
                progress,
            })
        }
        Err(error) if error.class.is_transient() => Err(error.into()),
        Err(error) => Ok(failed(why, Some(format!("whether a build was started is not known: {error}")))),
    }
}

async fn cancelling(account: &str, cx: &Cx, image: String, why: Failure) -> Result<Step<Bake>, StageError> {
    let build = build::read(&build::get(cx, &image).await?, account);
    if judge::stand(&build.status) != Stand::Going {
        return Ok(failed(why, judge::remains(&build)));
    }
    build::cancel(cx, &image).await?;
    Ok(Step::Next(Bake::Stopping { image, why }))
}

async fn stopping(account: &str, cx: &Cx, image: String, why: Failure) -> Result<Step<Bake>, StageError> {
    let build = build::read(&build::get(cx, &image).await?, account);
    if judge::stand(&build.status) != Stand::Going {
        return Ok(failed(why, judge::remains(&build)));
    }
    let summary = format!("cancelling the build: {}", build.status.to_lowercase());
    let progress = Progress { percent: 0, summary, external_id: Some(image.clone()) };
    Ok(Step::Wait { state: Bake::Stopping { image, why }, again_in: LOOK_EVERY, progress })
}

/// Nothing is undone here, so a look that fails takes nothing from the reason.
async fn leaving(account: &str, cx: &Cx, image: &str, why: Failure) -> Step<Bake> {
    let remains = match build::get(cx, image).await {
        Ok(found) => judge::remains(&build::read(&found, account)),
        Err(error) => Some(format!("the images of build {image} remain ({error})")),
    };
    failed(why, remains)
}

fn failed(mut why: Failure, remark: Option<String>) -> Step<Bake> {
    if let Some(remark) = remark {
        why.message = format!("{}; {remark}", why.message);
    }
    Step::Done(Outcome::Failed(why))
}

/// The build's images, read anew: the token carries no lists.
async fn reread(inputs: &Inputs, cx: &Cx, image: &str) -> Result<Copies, StageError> {
    let build = build::read(&build::get(cx, image).await?, &inputs.account);
    available(inputs, cx, &build, image)
}

/// The images of a build that was available before: a look that shows it otherwise is an old one.
fn available(inputs: &Inputs, cx: &Cx, build: &judge::Build, image: &str) -> Result<Copies, StageError> {
    match judge::stand(&build.status) {
        Stand::Available => release(inputs, cx, build),
        Stand::Going => {
            Err(StageError::NotYet(format!("image build {image} was available and is {}", build.status)))
        }
        Stand::Ended => Err(StageError::Rejected(judge::obituary(image, build))),
    }
}

fn release(inputs: &Inputs, cx: &Cx, build: &judge::Build) -> Result<Copies, StageError> {
    let copies =
        judge::copies(&build.images, &inputs.bake.expect, &inputs.account).map_err(StageError::Rejected)?;
    if let Some(name) = &inputs.bake.parameter {
        candidate(&copies, cx, name)?;
    }
    Ok(copies)
}

/// The image that parameter `name` is to hold.
fn candidate<'a>(copies: &'a Copies, cx: &Cx, name: &str) -> Result<&'a BuiltImage, StageError> {
    copies.in_region(cx.aws.region()).ok_or_else(|| {
        StageError::Rejected(format!(
            "SSM parameter {name} is in {}, and none of the images is: distribute the image there",
            cx.aws.region()
        ))
    })
}

fn names(images: &[BuiltImage]) -> String {
    let names: Vec<String> = images.iter().map(|image| format!("{} in {}", image.id, image.region)).collect();
    names.join(", ")
}
