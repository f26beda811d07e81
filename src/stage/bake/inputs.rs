//! What a bake works from: the spec, what to build from, and the images of the build as they are now.

use super::arn;
use super::build::calls;
use super::build::status::{self, Build, BuildPhase};
use super::error::BakeError;
use super::images::output::BuildOutput;
use super::recipe::plan::RecipePlan;
use crate::engine::{StageError, Timestamp};
use crate::evidence::Stage;
use crate::spec;
use crate::stage::Cx;
use crate::stage::handover::Source;

/// What a bake works from.
#[derive(Debug)]
pub struct Inputs {
    pub source: Source,
    pub bake: spec::Bake,
    pub build_from: BuildFrom,
    /// The account that builds.
    pub account: String,
    /// When the action began.
    pub began: Timestamp,
}

/// What an image is built from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BuildFrom {
    /// An existing image pipeline, by its ARN.
    ImagePipeline(String),
    /// The recipe in the spec.
    Recipe(Box<RecipePlan>),
}

impl Inputs {
    /// Reads the spec from the source artifact and enters the environment of the bake.
    ///
    /// # Errors
    /// The source cannot be read, the spec has mistakes, or its resources are not in the worker's region.
    pub async fn load(cx: &mut Cx, began: Timestamp) -> Result<Self, StageError> {
        let source = Source::open(cx).await?;
        let bake = source.spec.bake().map_err(StageError::config)?.clone();
        cx.act_in(Stage::Bake, bake.environment.as_deref()).await?;
        let build_from = BuildFrom::read(&source, &bake)?;
        let arn = build_from.arn();
        let (account, region) =
            arn::account_and_region(arn).ok_or_else(|| BakeError::NotAnArn { arn: arn.to_owned() })?;
        if region != cx.aws.region() {
            let (arn, found, region) = (arn.to_owned(), region.to_owned(), cx.aws.region().to_owned());
            return Err(BakeError::OtherRegion { arn, found, region }.into());
        }
        let account = account.to_owned();
        Ok(Self { source, bake, build_from, account, began })
    }
}

impl BuildFrom {
    fn read(source: &Source, bake: &spec::Bake) -> Result<Self, StageError> {
        let service = &source.spec.service;
        let plan = match (bake.image_pipeline(), &bake.image_recipe, &bake.container_recipe) {
            (Some(arn), None, None) => return Ok(Self::ImagePipeline(arn.to_owned())),
            (None, Some(recipe), None) => RecipePlan::of(service, recipe, &source.files),
            (None, None, Some(container)) => RecipePlan::of_container(service, container, &source.files),
            _ => return Err(BakeError::NoSource.into()),
        };
        Ok(Self::Recipe(Box::new(plan?)))
    }

    /// The ARN of the image pipeline, or of the recipe's infrastructure configuration.
    #[must_use]
    pub fn arn(&self) -> &str {
        match self {
            Self::ImagePipeline(arn) => arn,
            Self::Recipe(plan) => &plan.infrastructure,
        }
    }

    /// Whether other releases may use the same build.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Recipe(plan) if plan.is_shared())
    }
}

/// The images of an available build, read from Image Builder: the token carries no lists.
pub async fn current_output(inputs: &Inputs, cx: &Cx, image: &str) -> Result<BuildOutput, StageError> {
    let build = calls::read(&calls::get(cx, image).await?, &inputs.account);
    output_of_available(inputs, cx, &build, image)
}

/// The images of a build that was available before. Any other status is a stale read, unless a lifecycle policy sets it
/// after a build was available.
pub fn output_of_available(
    inputs: &Inputs,
    cx: &Cx,
    build: &Build,
    image: &str,
) -> Result<BuildOutput, StageError> {
    match BuildPhase::of(&build.status) {
        BuildPhase::Available => expected_output(inputs, cx, build, image),
        BuildPhase::Ended if status::ends_after_available(&build.status) => {
            Err(BakeError::BuildFailed { summary: status::failure_summary(image, build) }.into())
        }
        BuildPhase::Running | BuildPhase::Ended => {
            let (build, status) = (image.to_owned(), build.status.clone());
            Err(BakeError::NoLongerAvailable { build, status }.into())
        }
    }
}

/// The images of a build, if they are all that the spec expects.
pub fn expected_output(
    inputs: &Inputs,
    cx: &Cx,
    build: &Build,
    image: &str,
) -> Result<BuildOutput, StageError> {
    let output =
        BuildOutput::of(&build.images, &build.containers, image, &inputs.bake.gates.copies, &inputs.account)?;
    if let Some(name) = inputs.bake.parameter() {
        output.reaches(cx.aws.region(), name)?;
    }
    Ok(output)
}
