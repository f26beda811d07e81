//! Image builds: start, phases, failure, cancellation and retry.

use std::collections::BTreeMap;
#[cfg(test)]
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::{self, World};
use super::arn::Arn;
use super::image::Image;
use super::phase::Phase;
use super::resource::{self, Kind};
use super::workflow::Workflow;
use super::{
    BuildEvent, ComponentFault, DistributionFault, Event, Outcome, containers, distribute, invalid, not_found,
};

/// The maximum length of `ImageState.reason`.
const REASON_LIMIT: usize = 1024;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Start {
    image_pipeline_arn: String,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// `StartImagePipelineExecution`, for enabled and disabled pipelines.
pub(super) fn start(world: &mut World, call: &Call) -> Answer {
    let input: Start = call.parse()?;
    let arn = input.image_pipeline_arn;
    let pipeline = resource::find(world, &arn)
        .filter(|found| found.kind == Kind::ImagePipeline)
        .ok_or_else(|| not_found(&arn))?
        .clone();
    let mut tags = pipeline.pairs("imageTags");
    tags.extend(input.tags);
    let arn = begin(world, call, &pipeline.body, Some(arn), tags)?;
    Ok(json!({ "imageBuildVersionArn": arn }))
}

pub(super) fn create_image(world: &mut World, call: &Call) -> Answer {
    resource::recipe_and_configurations(world, &call.input)?;
    if call.input.contains_key("workflows") && !call.input.contains_key("executionRole") {
        return Err(invalid("executionRole is required with workflows"));
    }
    let tags = resource::pairs(call.input.get("tags"));
    let arn = begin(world, call, &call.input, None, tags)?;
    Ok(json!({ "imageBuildVersionArn": arn }))
}

/// Starts the next build of the recipe in `source`, a pipeline or a request.
fn begin(
    world: &mut World,
    call: &Call,
    source: &Map<String, Value>,
    pipeline: Option<String>,
    tags: BTreeMap<String, String>,
) -> Result<String, ApiError> {
    let body = |member: &str| -> Result<Option<Map<String, Value>>, ApiError> {
        let Some(arn) = source.get(member).and_then(Value::as_str) else { return Ok(None) };
        let found = resource::find(world, arn)
            .ok_or_else(|| invalid(format!("The resource {arn} does not exist")))?;
        Ok(Some(found.body.clone()))
    };
    let of_container = body("containerRecipeArn")?;
    let is_container = of_container.is_some();
    let recipe = of_container.map_or_else(|| body("imageRecipeArn"), |recipe| Ok(Some(recipe)))?;
    let recipe = recipe.ok_or_else(|| invalid("The build has no recipe"))?;
    let infrastructure = body("infrastructureConfigurationArn")?.unwrap_or_default();
    let distribution = body("distributionConfigurationArn")?;
    let text = |member: &str| recipe.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (name, version) = (text("name"), text("version"));
    let prefix = format!(
        "arn:{}:imagebuilder:{}:{}:image/{}/{version}/",
        crate::partition::id(&call.region),
        call.region,
        call.account,
        super::arn::slug(&name)
    );
    let builds = world.imagebuilder.images.keys().filter(|arn| arn.starts_with(&prefix));
    let build = builds.filter_map(|arn| Arn::parse(arn)?.build).max().unwrap_or(0) + 1;
    let arn = format!("{prefix}{build}");
    let shown = ["executionRole", "workflows", "imageScanningConfiguration", "loggingConfiguration"]
        .into_iter()
        .filter(|member| pipeline.is_none() || *member != "loggingConfiguration")
        .filter_map(|member| Some((member.to_owned(), source.get(member)?.clone())))
        .collect();
    let scanning = source.get("imageScanningConfiguration").and_then(|c| c.get("imageScanningEnabled"))
        == Some(&Value::Bool(true));
    let default_tests = json!({ "imageTestsEnabled": true, "timeoutMinutes": 720 });
    let image = Image {
        arn: arn.clone(),
        phase: Phase::Pending,
        is_container,
        amis: Vec::new(),
        containers: Vec::new(),
        tags,
        created: call.now,
        account: call.account.clone(),
        region: call.region.clone(),
        name,
        version,
        reason: None,
        failure: None,
        attempt: 1,
        outcome: next_outcome(world),
        stopped_in: None,
        pipeline,
        recipe,
        infrastructure,
        distribution,
        tests: source.get("imageTestsConfiguration").cloned().unwrap_or(default_tests),
        scanning,
        scan_abandoned: world.imagebuilder.options.scan_abandoned,
        scanned_at: call.now,
        shown,
        workflows: Vec::new(),
    };
    world.imagebuilder.images.insert(arn.clone(), image);
    enter(world, call.now, &arn, Phase::Pending);
    Ok(arn)
}

/// The outcome of the run that begins now.
fn next_outcome(world: &mut World) -> Outcome {
    let state = &mut world.imagebuilder;
    state.builds += 1;
    match state.options.outcome_builds {
        Some(limit) if state.builds > limit => Outcome::Available,
        _ => state.options.outcome.clone(),
    }
}

/// Moves an image to a phase and schedules the end of the phase.
pub(super) fn enter(world: &mut World, at: Time, arn: &str, phase: Phase) {
    let whole = world.imagebuilder.options.duration;
    let Some(image) = world.imagebuilder.images.get_mut(arn) else { return };
    image.phase = phase;
    let is_container = image.is_container;
    if let Some(workflow) = image.workflows.iter_mut().find(|workflow| workflow.is_running()) {
        workflow.complete(at);
    }
    let takes = phase.duration(whole);
    if let Some(workflow) = Workflow::begin(&mut world.ids, image, phase, at, takes) {
        image.workflows.push(workflow);
    }
    let fails_here = match &image.outcome {
        Outcome::Failed(fault) => failing_phase(fault, image.runs_tests()) == phase,
        Outcome::DistributionFailed(_) => phase == Phase::Distributing,
        _ => false,
    };
    let next = match &image.outcome {
        Outcome::Failed(_) | Outcome::DistributionFailed(_) if fails_here => {
            Some((takes * 2 / 5, BuildEvent::Fail))
        }
        Outcome::Cancelled if phase == Phase::Building => Some((takes / 2, BuildEvent::Cancel)),
        Outcome::Hangs if phase == Phase::Building => None,
        _ => phase.next(image.runs_tests()).map(|next| (takes, BuildEvent::Enter(next))),
    };
    if let Some((after, what)) = next {
        schedule(world, at + after, arn, what);
    }
    match phase {
        Phase::Distributing if is_container => containers::push(world, at, arn),
        Phase::Distributing => distribute::register(world, at, arn, takes),
        Phase::Integrating => distribute::put_parameters(world, at, arn),
        Phase::Available => {
            let lags = world.imagebuilder.options.scan_delay;
            if let Some(image) = world.imagebuilder.images.get_mut(arn) {
                image.scanned_at = at + lags;
            }
        }
        _ => {}
    }
}

/// The phase in which a component fails: `build` and `validate` run in BUILDING, `test` in TESTING.
fn failing_phase(fault: &ComponentFault, tests: bool) -> Phase {
    if fault.phase == "test" && tests { Phase::Testing } else { Phase::Building }
}

pub(super) fn schedule(world: &mut World, at: Time, arn: &str, what: BuildEvent) {
    let Some(attempt) = world.imagebuilder.images.get(arn).map(|image| image.attempt) else { return };
    let event = Event { image: arn.to_owned(), attempt, what };
    world.schedule.add(at, world::Event::ImageBuilder(event));
}

/// Fails the current workflow as the outcome says.
pub(super) fn fail(world: &mut World, at: Time, arn: &str) {
    if let Some(image) = world.imagebuilder.images.get_mut(arn)
        && let Outcome::DistributionFailed(fault) = image.outcome.clone()
    {
        return fail_distribution(image, at, &fault);
    }
    let Some(image) = world.imagebuilder.images.get(arn) else { return };
    let Outcome::Failed(fault) = image.outcome.clone() else { return };
    let component = component_arn(world, image, &fault.component);
    let Some(image) = world.imagebuilder.images.get_mut(arn) else { return };
    let mut failure = json!({
        "imageStatus": image.phase.name(),
        "componentFailure": {
            "componentArn": component,
            "phaseName": fault.phase,
            "stepName": fault.step,
            "action": fault.action,
            "errorMessage": fault.message,
        },
    });
    let mut reason = format!("Component {} failed: {}", fault.component, fault.message);
    if let Some(workflow) = image.workflows.iter_mut().find(|workflow| workflow.is_running()) {
        failure["workflowExecutionId"] = workflow.id.as_str().into();
        failure["workflowArn"] = workflow.arn.as_str().into();
        if let Some((id, name)) = workflow.step_at(at) {
            reason = format!("Workflow execution {} failed in step {name}. {reason}", workflow.id);
            failure["stepExecutionId"] = id.into();
            failure["failedStep"] = name.into();
        }
        workflow.fail(at, &fault.message);
    }
    image.stopped_in = Some(image.phase);
    image.phase = Phase::Failed;
    image.reason = Some(reason.chars().take(REASON_LIMIT).collect());
    image.failure = Some(failure);
}

/// Fails the distribution to one Region; the image itself is created.
fn fail_distribution(image: &mut Image, at: Time, fault: &DistributionFault) {
    let message = format!("Distribution to {} failed: {}", fault.region, fault.message);
    if let Some(workflow) = image.workflows.iter_mut().find(|workflow| workflow.is_running()) {
        workflow.fail(at, &message);
    }
    image.failure = Some(json!({
        "imageStatus": image.phase.name(),
        "distributionFailure": {
            "errorMessage": message,
            "regionFailures": [{ "region": fault.region, "targetAccountId": image.account, "status": "FAILED",
                "errorMessage": fault.message }],
        },
    }));
    image.stopped_in = Some(image.phase);
    image.phase = Phase::Failed;
    image.reason = Some(message);
}

/// The ARN of the recipe's component of this name, with its version resolved.
fn component_arn(world: &World, image: &Image, name: &str) -> String {
    let named = image
        .recipe
        .get("components")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|component| component.get("componentArn")?.as_str())
        .find(|arn| Arn::parse(arn).is_some_and(|parsed| parsed.name == name));
    let known = named.and_then(|arn| resource::find(world, arn)).and_then(|found| found.text("arn"));
    known.or(named).map_or_else(
        || {
            format!(
                "arn:{}:imagebuilder:{}:{}:component/{name}/1.0.0/1",
                crate::partition::id(&image.region),
                image.region,
                image.account
            )
        },
        str::to_owned,
    )
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ByArn {
    image_build_version_arn: String,
}

/// `CancelImageCreation`: requests the cancellation, which takes effect a little later.
pub(super) fn cancel(world: &mut World, call: &Call) -> Answer {
    let arn = call.parse::<ByArn>()?.image_build_version_arn;
    let image = world.imagebuilder.images.get(&arn).ok_or_else(|| not_found(&arn))?;
    if image.phase.is_terminal() {
        return Err(invalid(format!("{arn} is {} and cannot be cancelled", image.phase.name())));
    }
    let takes = world.imagebuilder.options.cancel_takes;
    schedule(world, call.now + takes, &arn, BuildEvent::Cancel);
    Ok(json!({ "imageBuildVersionArn": arn }))
}

/// Ends a build as CANCELLED. Its output resources remain.
pub(super) fn cancelled(world: &mut World, at: Time, arn: &str) {
    let Some(image) = world.imagebuilder.images.get_mut(arn) else { return };
    if let Some(workflow) = image.workflows.iter_mut().find(|workflow| workflow.is_running()) {
        workflow.cancel(at);
    }
    image.stopped_in = Some(image.phase);
    image.phase = Phase::Cancelled;
    image.reason = Some("The image build was cancelled".to_owned());
}

/// `RetryImage`: continues a failed or cancelled build from the test or distribution phase in which it stopped.
pub(super) fn retry(world: &mut World, call: &Call) -> Answer {
    let arn = call.parse::<ByArn>()?.image_build_version_arn;
    let image = world.imagebuilder.images.get(&arn).ok_or_else(|| not_found(&arn))?;
    if !matches!(image.phase, Phase::Failed | Phase::Cancelled) {
        return Err(invalid(format!("{arn} is {} and cannot be retried", image.phase.name())));
    }
    let Some(phase @ (Phase::Testing | Phase::Distributing | Phase::Integrating)) = image.stopped_in else {
        return Err(invalid(format!("{arn} stopped before its test phase and cannot be retried")));
    };
    let outcome = next_outcome(world);
    if let Some(image) = world.imagebuilder.images.get_mut(&arn) {
        image.attempt += 1;
        image.outcome = outcome;
        image.stopped_in = None;
        image.reason = None;
        image.failure = None;
        image.workflows.iter_mut().for_each(Workflow::mark_retried);
    }
    enter(world, call.now, &arn, phase);
    Ok(json!({ "imageBuildVersionArn": arn }))
}

/// Half of a phase's duration, for events in the middle of it.
#[cfg(test)]
pub(super) fn middle_of(phase: Phase, whole: Duration) -> Duration {
    let mut before = Duration::ZERO;
    let mut at = Phase::Pending;
    while at != phase {
        before += at.duration(whole);
        at = at.next(true).unwrap();
    }
    before + phase.duration(whole) / 2
}
