//! EC2 Image Builder: recipes, configurations, pipelines, and builds that take virtual time.
//!
//! The rules come from the service model 2019-12-02 and the user guide.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};

use super::super::call::{Answer, ApiError, Call};
use super::super::instance_behavior::InstanceBehavior;
use super::super::time::Time;
use super::super::world::World;

mod arn;
mod build;
mod containers;
mod distribute;
mod image;
mod phase;
mod query;
mod resource;
mod scan;
mod workflow;

pub use image::{Image, OutputAmi, OutputContainer};
pub use phase::Phase;
pub use scan::Finding;

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &[
    "CancelImageCreation",
    "CreateComponent",
    "CreateContainerRecipe",
    "CreateDistributionConfiguration",
    "CreateImage",
    "CreateImagePipeline",
    "CreateImageRecipe",
    "CreateInfrastructureConfiguration",
    "DeleteComponent",
    "DeleteContainerRecipe",
    "DeleteImage",
    "DeleteImageRecipe",
    "GetComponent",
    "GetContainerRecipe",
    "GetDistributionConfiguration",
    "GetImage",
    "GetImagePipeline",
    "GetImageRecipe",
    "GetInfrastructureConfiguration",
    "GetWorkflowExecution",
    "ListComponents",
    "ListContainerRecipes",
    "ListDistributionConfigurations",
    "ListImageBuildVersions",
    "ListImagePipelineImages",
    "ListImagePipelines",
    "ListImageRecipes",
    "ListImageScanFindings",
    "ListImages",
    "ListInfrastructureConfigurations",
    "ListTagsForResource",
    "ListWorkflowExecutions",
    "ListWorkflowStepExecutions",
    "RetryImage",
    "StartImagePipelineExecution",
    "TagResource",
    "UntagResource",
];

/// The behavior of builds, set by the scenario.
#[derive(Clone, Debug)]
pub struct Options {
    /// The behavior of instances of the built images.
    pub baked: InstanceBehavior,
    /// The time from the start of a build to AVAILABLE.
    pub duration: Duration,
    pub outcome: Outcome,
    /// How many builds end with `outcome` before the others succeed; `None` means all.
    pub outcome_builds: Option<u32>,
    /// The time from the cancellation request to CANCELLED.
    pub cancel_takes: Duration,
    /// Whether a scan ends as ABANDONED although the image becomes AVAILABLE.
    pub scan_abandoned: bool,
    /// The time from AVAILABLE until the scan's findings are complete.
    pub scan_delay: Duration,
    /// The findings of every scan.
    pub findings: Vec<Finding>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            baked: InstanceBehavior::default(),
            duration: Duration::from_mins(25),
            outcome: Outcome::Available,
            outcome_builds: None,
            cancel_takes: Duration::from_secs(30),
            scan_abandoned: false,
            scan_delay: Duration::ZERO,
            findings: Vec::new(),
        }
    }
}

/// How a build ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Available,
    Failed(ComponentFault),
    /// The image is created, and its distribution to one Region fails.
    DistributionFailed(DistributionFault),
    /// Someone else cancels the build.
    Cancelled,
    /// The build stays in BUILDING until it is cancelled.
    Hangs,
}

/// The failure of a distribution, and its Region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistributionFault {
    pub region: String,
    pub message: String,
}

/// The failure of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentFault {
    /// The name of the component, as in its ARN.
    pub component: String,
    /// `build` or `validate` fail in BUILDING, `test` in TESTING.
    pub phase: String,
    pub step: String,
    /// The step's action module, such as `ExecuteBash`.
    pub action: String,
    pub message: String,
}

/// Account, Region, operation and client token.
type TokenUse = (String, String, String, String);
/// The input and response of the first call with a token.
type Remembered = (Map<String, Value>, Value);

/// All resources and images.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub options: Options,
    resources: BTreeMap<String, resource::Resource>,
    images: BTreeMap<String, Image>,
    /// The number of builds and retries started so far.
    builds: u32,
    /// The first call of each client token.
    tokens: BTreeMap<TokenUse, Remembered>,
}

/// A scheduled event of the `attempt`-th run of an image.
#[derive(Clone, Debug)]
pub struct Event {
    image: String,
    attempt: u32,
    what: BuildEvent,
}

#[derive(Clone, Debug)]
enum BuildEvent {
    Enter(Phase),
    Fail,
    Cancel,
}

/// An image by its build version ARN.
#[must_use]
pub fn image<'w>(world: &'w World, arn: &str) -> Option<&'w Image> {
    world.imagebuilder.images.get(arn)
}

/// An AMI of the newest image with output AMIs.
pub(in super::super) fn newest_output(world: &World) -> Option<String> {
    let images = world.imagebuilder.images.values().filter(|image| !image.amis.is_empty());
    Some(images.max_by_key(|image| image.created)?.amis.first()?.image.clone())
}

/// The ARN of the image that is being built.
pub(in super::super) fn building(world: &World) -> Option<String> {
    let images = world.imagebuilder.images.values().filter(|image| !image.phase.is_terminal());
    images.max_by_key(|image| image.created).map(|image| image.arn.clone())
}

/// Handles one API call.
///
/// # Errors
/// The error that the service returns.
pub fn call(world: &mut World, call: &Call) -> Answer {
    match call.operation.as_str() {
        "CancelImageCreation" => once(world, call, build::cancel),
        "CreateComponent"
        | "CreateContainerRecipe"
        | "CreateDistributionConfiguration"
        | "CreateImagePipeline"
        | "CreateImageRecipe"
        | "CreateInfrastructureConfiguration" => once(world, call, resource::create),
        "CreateImage" => once(world, call, build::create_image),
        "DeleteComponent" | "DeleteContainerRecipe" | "DeleteImageRecipe" => resource::delete(world, call),
        "DeleteImage" => image::delete(world, call),
        "GetComponent"
        | "GetContainerRecipe"
        | "GetDistributionConfiguration"
        | "GetImagePipeline"
        | "GetImageRecipe"
        | "GetInfrastructureConfiguration" => resource::get(world, call),
        "GetImage" => image::get(world, call),
        "GetWorkflowExecution" => workflow::get(world, call),
        "ListComponents"
        | "ListContainerRecipes"
        | "ListDistributionConfigurations"
        | "ListImagePipelines"
        | "ListImageRecipes"
        | "ListInfrastructureConfigurations" => query::resources(world, call),
        "ListImageBuildVersions" => query::build_versions(world, call),
        "ListImagePipelineImages" => query::pipeline_images(world, call),
        "ListImageScanFindings" => scan::list(world, call),
        "ListImages" => query::images(world, call),
        "ListTagsForResource" => resource::list_tags(world, call),
        "ListWorkflowExecutions" => workflow::list(world, call),
        "ListWorkflowStepExecutions" => workflow::list_steps(world, call),
        "RetryImage" => once(world, call, build::retry),
        "StartImagePipelineExecution" => once(world, call, build::start),
        "TagResource" => resource::tag(world, call),
        "UntagResource" => resource::untag(world, call),
        other => Err(ApiError::new("UnknownOperationException", other)),
    }
}

/// Applies a due event.
#[allow(clippy::needless_pass_by_value, reason = "the signature is the same in every service")]
pub fn on_event(world: &mut World, at: Time, event: Event) {
    let Some(image) = world.imagebuilder.images.get(&event.image) else { return };
    if image.attempt != event.attempt || image.phase.is_terminal() {
        return;
    }
    match event.what {
        BuildEvent::Enter(phase) => build::enter(world, at, &event.image, phase),
        BuildEvent::Fail => build::fail(world, at, &event.image),
        BuildEvent::Cancel => build::cancelled(world, at, &event.image),
    }
}

/// Runs a call once per client token: the same token with the same input returns the first response.
fn once(world: &mut World, call: &Call, operation: fn(&mut World, &Call) -> Answer) -> Answer {
    let mut input = call.input.clone();
    let token = input.remove("clientToken");
    let Some(token) = token.as_ref().and_then(Value::as_str).filter(|token| !token.is_empty()) else {
        return Err(invalid("clientToken is required"));
    };
    let key = (call.account.clone(), call.region.clone(), call.operation.clone(), token.to_owned());
    if let Some((first, answer)) = world.imagebuilder.tokens.get(&key) {
        if *first == input {
            return Ok(answer.clone());
        }
        return Err(ApiError::new(
            "IdempotentParameterMismatchException",
            format!("The client token {token} was used with other parameters"),
        ));
    }
    let mut answer = operation(world, call)?;
    answer["clientToken"] = token.into();
    world.imagebuilder.tokens.insert(key, (input, answer.clone()));
    Ok(answer)
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidRequestException", message)
}

/// The error of an unknown resource. The model lists it for a few operations; the service returns it for all.
fn not_found(arn: &str) -> ApiError {
    ApiError::new("ResourceNotFoundException", format!("The resource {arn} was not found")).with_status(404)
}

/// A date in the API's format: a string, not a number.
fn date(at: Time) -> String {
    let format = ::time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    ::time::OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000)
        .ok()
        .and_then(|date| date.format(&format).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
