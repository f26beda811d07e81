//! Images: a build version of an image, and its API views.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::super::call::{Answer, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::arn::Arn;
use super::phase::Phase;
use super::workflow::Workflow;
use super::{Outcome, date, invalid, not_found};

/// A build version of an image.
#[derive(Clone, Debug)]
pub struct Image {
    /// `arn:aws:imagebuilder:REGION:ACCOUNT:image/NAME/VERSION/BUILD`.
    pub arn: String,
    pub phase: Phase,
    /// Whether it is built from a container recipe.
    pub(super) is_container: bool,
    /// The AMIs created so far.
    pub amis: Vec<OutputAmi>,
    /// The container images pushed so far, one entry per Region.
    pub containers: Vec<OutputContainer>,
    pub tags: BTreeMap<String, String>,
    pub created: Time,
    pub(super) account: String,
    pub(super) region: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) reason: Option<String>,
    pub(super) failure: Option<Value>,
    pub(super) attempt: u32,
    pub(super) outcome: Outcome,
    /// The phase in which the build failed or was cancelled.
    pub(super) stopped_in: Option<Phase>,
    pub(super) pipeline: Option<String>,
    pub(super) recipe: Map<String, Value>,
    pub(super) infrastructure: Map<String, Value>,
    pub(super) distribution: Option<Map<String, Value>>,
    pub(super) tests: Value,
    pub(super) scanning: bool,
    pub(super) scan_abandoned: bool,
    /// The time when the scan's findings are complete.
    pub(super) scanned_at: Time,
    /// Members of the request that are returned and have no effect: `executionRole`, `workflows`, ….
    pub(super) shown: Map<String, Value>,
    pub(super) workflows: Vec<Workflow>,
}

/// An output AMI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputAmi {
    pub region: String,
    pub account: String,
    pub image: String,
    pub name: String,
    pub(super) description: String,
}

/// The output container images of one Region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputContainer {
    pub region: String,
    /// `REGISTRY/REPOSITORY:TAG`, one per tag.
    pub uris: Vec<String>,
}

impl Image {
    pub(super) fn runs_tests(&self) -> bool {
        self.tests.get("imageTestsEnabled") != Some(&Value::Bool(false))
    }

    fn state(&self) -> Value {
        let mut state = json!({ "status": self.phase.name() });
        if let Some(reason) = &self.reason {
            state["reason"] = reason.as_str().into();
        }
        if let Some(failure) = &self.failure {
            state["failureContext"] = failure.clone();
        }
        state
    }

    fn output_resources(&self) -> Value {
        let ready = matches!(self.phase, Phase::Integrating | Phase::Available);
        let state = if ready { "AVAILABLE" } else { self.phase.name() };
        let amis: Vec<Value> = self
            .amis
            .iter()
            .map(|ami| {
                json!({
                    "region": ami.region,
                    "image": ami.image,
                    "name": ami.name,
                    "description": Some(&ami.description).filter(|text| !text.is_empty()),
                    "accountId": ami.account,
                    "state": { "status": state },
                })
            })
            .collect();
        let mut output = json!({});
        if !amis.is_empty() {
            output["amis"] = amis.into();
        }
        let container = |out: &OutputContainer| json!({ "region": out.region, "imageUris": out.uris });
        if !self.containers.is_empty() {
            output["containers"] = self.containers.iter().map(container).collect();
        }
        output
    }

    /// The status of the vulnerability scan.
    pub(super) fn scan_state(&self, now: Time) -> &'static str {
        match self.phase {
            Phase::Pending | Phase::Creating | Phase::Building => "PENDING",
            Phase::Testing => "SCANNING",
            Phase::Distributing | Phase::Integrating => "COLLECTING",
            Phase::Available if now < self.scanned_at => "COLLECTING",
            Phase::Available if !self.scan_abandoned => "COMPLETED",
            Phase::Available | Phase::Cancelled | Phase::Failed => "ABANDONED",
        }
    }

    /// The members that `GetImage` and the lists share.
    pub(super) fn summary(&self) -> Value {
        json!({
            "arn": self.arn,
            "type": self.kind(),
            "name": self.name,
            "version": format!("{}/{}", self.version, self.build()),
            "platform": "Linux",
            "state": self.state(),
            "dateCreated": date(self.created),
            "outputResources": self.output_resources(),
            "tags": self.tags,
            "buildType": "USER_INITIATED",
            "imageSource": "CUSTOM",
        })
    }

    /// `ImageType`.
    pub(super) fn kind(&self) -> &'static str {
        if self.is_container { "DOCKER" } else { "AMI" }
    }

    pub(super) fn build(&self) -> u32 {
        Arn::parse(&self.arn).and_then(|arn| arn.build).unwrap_or(1)
    }

    fn view(&self, pipeline_name: Option<&str>, now: Time) -> Value {
        let mut view = self.summary();
        view["enhancedImageMetadataEnabled"] = true.into();
        let recipe = if self.is_container { "containerRecipe" } else { "imageRecipe" };
        view[recipe] = Value::Object(self.recipe.clone());
        view["infrastructureConfiguration"] = Value::Object(self.infrastructure.clone());
        if let Some(distribution) = &self.distribution {
            view["distributionConfiguration"] = Value::Object(distribution.clone());
        }
        view["imageTestsConfiguration"] = self.tests.clone();
        if let Some(arn) = &self.pipeline {
            view["sourcePipelineArn"] = arn.as_str().into();
            view["sourcePipelineName"] = pipeline_name.unwrap_or_default().into();
        }
        if self.scanning {
            view["scanState"] = json!({ "status": self.scan_state(now) });
        }
        for (member, value) in &self.shown {
            view[member.as_str()] = value.clone();
        }
        view
    }
}

pub(super) fn get(world: &World, call: &Call) -> Answer {
    let input: ByArn = call.parse()?;
    let text = input.image_build_version_arn;
    let image = match world.imagebuilder.images.get(&text) {
        Some(image) => image,
        None => latest_available(world, &text).ok_or_else(|| not_found(&text))?,
    };
    let pipeline_name = image.pipeline.as_deref().and_then(Arn::parse).map(|arn| arn.name);
    Ok(json!({ "image": image.view(pipeline_name, call.now) }))
}

/// Resolves an ARN without a build number, or with `x` in its version, to the newest AVAILABLE build.
fn latest_available<'w>(world: &'w World, text: &str) -> Option<&'w Image> {
    let wanted = Arn::parse(text).filter(|arn| arn.build.is_none())?;
    world
        .imagebuilder
        .images
        .values()
        .filter(|image| image.phase == Phase::Available)
        .filter_map(|image| Some((Arn::parse(&image.arn)?, image)))
        .filter(|(arn, _)| wanted.covers(arn))
        .max_by_key(|(arn, _)| arn.order())
        .map(|(_, image)| image)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ByArn {
    image_build_version_arn: String,
}

/// `DeleteImage`: removes the record only. AMIs and snapshots remain.
pub(super) fn delete(world: &mut World, call: &Call) -> Answer {
    let input: ByArn = call.parse()?;
    let arn = input.image_build_version_arn;
    let image = world.imagebuilder.images.get(&arn).ok_or_else(|| not_found(&arn))?;
    if !image.phase.is_terminal() {
        return Err(invalid(format!("{arn} is {} and cannot be deleted", image.phase.name())));
    }
    world.imagebuilder.images.remove(&arn);
    Ok(json!({ "imageBuildVersionArn": arn }))
}
