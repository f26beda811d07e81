//! A cleanup plan for one account and region: its header, machine images and container images. Pure.

use std::time::Duration;

use super::container_images;
use super::machine_images;
use crate::engine::Timestamp;
use crate::evidence::predicate::{CleanupPlan, PlanTarget};
use crate::spec;

/// What a plan says beside its images.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    pub service: &'a str,
    pub rules: &'a spec::Cleanup,
    pub account: &'a str,
    pub region: &'a str,
    pub now: Timestamp,
    /// How long the plan may be applied.
    pub valid_for: Duration,
    pub price_per_gib_month: Option<f64>,
}

/// A survey of machine images with its scope.
pub type MachineSurvey<'a> = (&'a machine_images::survey::Survey, &'a machine_images::survey::Scope<'a>);

/// A survey of container images with its scope.
pub type ContainerSurvey<'a> =
    (&'a container_images::survey::Survey, &'a container_images::survey::Scope<'a>);

/// The plan that follows from the surveys of the images that the spec has rules for.
#[must_use]
pub fn make_plan(
    header: &Header<'_>,
    machine: Option<MachineSurvey<'_>>,
    container: Option<ContainerSurvey<'_>>,
) -> CleanupPlan {
    let target = |name: &&str| PlanTarget::AutoScalingGroup { name: (*name).to_owned() };
    let targets = machine.map(|(_, scope)| scope.groups.iter().map(target).collect());
    let images = machine.map(|(survey, scope)| machine_images::plan::planned_images(survey, scope));
    let containers =
        container.map(|(survey, scope)| container_images::plan::planned_images(survey, scope, header.region));
    CleanupPlan {
        service: header.service.to_owned(),
        account: header.account.to_owned(),
        region: header.region.to_owned(),
        policy: serde_json::to_value(header.rules).unwrap_or_default(),
        targets: targets.unwrap_or_default(),
        planned_on: header.now.date_time(),
        expires_on: header.now.plus(header.valid_for).date_time(),
        price_per_gib_month: header.price_per_gib_month,
        images: images.unwrap_or_default(),
        containers: containers.unwrap_or_default(),
    }
}
