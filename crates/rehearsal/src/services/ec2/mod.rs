//! EC2: instances, images, snapshots, launch templates, tags, subnets and security groups.

mod blocks;
mod fleets;
mod image_describe;
mod image_life;
mod images;
mod instance_describe;
mod instance_types;
mod instances;
mod launch;
mod launch_template_versions;
mod launch_templates;
mod network;
mod recycle_bin;
mod references;
mod snapshots;
mod tags;
#[cfg(test)]
mod tests;
mod usage_reports;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::super::call::{Answer, ApiError, Call};
use super::super::instance_behavior::InstanceBehavior;
use super::super::time::Time;
use super::super::world::{self, World};
use super::support::{Place, refuse};

pub use blocks::{BLOCK_SIZE, BLOCKS_PER_GIB, Blocks, Fill};
pub use fleets::{seed_fleet, seed_spot_fleet_request, seed_spot_request};
pub use images::{
    Disk, Image, ImageState, NewImage, Protection, copy_content, register_image, share_snapshots,
    write_block, write_volume,
};
pub use instances::{Instance, InstanceState, lose_zone};
pub(super) use instances::{settle, terminate};
pub(super) use launch::{LaunchSpec, launch};
pub use launch_templates::{LaunchTemplate, TemplateVersion, seed_launch_template};
pub(super) use launch_templates::{TemplateKey, resolve_template};
pub(super) use network::subnet_zone;
pub use network::{
    SecurityGroup, Subnet, place_security_group, place_subnet, seed_security_group, seed_subnet,
};
pub use recycle_bin::Bin;
pub use snapshots::Snapshot;

/// A capacity shortage. A launch matches if it matches every given field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CapacityShortage {
    /// The Region without capacity; `None` for all.
    pub region: Option<String>,
    /// The Availability Zone without capacity; `None` for all.
    pub zone: Option<String>,
    /// The instance type without capacity; `None` for all.
    pub instance_type: Option<String>,
}

#[derive(Clone, Debug, Default)]
pub struct State {
    /// From the creation of a resource until describe calls show it.
    pub visible_after: Duration,
    /// Matching launches fail with `InsufficientInstanceCapacity`.
    pub capacity_shortages: Vec<CapacityShortage>,
    /// Whether there is no Spot capacity.
    pub no_spot: bool,
    pub(in super::super) instances: BTreeMap<String, Instance>,
    pub(in super::super) images: BTreeMap<String, Image>,
    pub(in super::super) snapshots: BTreeMap<String, Snapshot>,
    launch_templates: BTreeMap<String, LaunchTemplate>,
    subnets: BTreeMap<String, Subnet>,
    security_groups: BTreeMap<String, SecurityGroup>,
    remembered: BTreeMap<(Place, &'static str, String), Remembered>,
    fleets: fleets::Seeded,
    /// The Recycle Bin.
    pub bin: Bin,
    usage_reports: BTreeMap<String, usage_reports::Report>,
}

impl State {
    /// Whether describe calls at `now` show a resource created at `created`.
    fn visible(&self, created: Time, now: Time) -> bool {
        created + self.visible_after <= now
    }
}

/// The first request and response of a client token.
#[derive(Clone, Debug)]
struct Remembered {
    input: Value,
    answer: Value,
}

#[derive(Clone, Debug)]
pub enum Event {
    /// A pending instance starts running.
    Running(String),
    /// An instance has passed its status checks.
    StatusOk(String),
    /// An instance that will not boot fails its status checks.
    StatusImpaired(String),
    /// An instance has run out of memory.
    OutOfMemory(String),
    /// A rebooting instance is back.
    Rebooted(String),
    Stopped(String),
    Terminated(String),
    /// A terminated instance is no longer described.
    Forgotten(String),
    /// A pending image can be used.
    ImageAvailable(String),
}

/// The operations that this service implements.
pub const OPERATIONS: &[&str] = &[
    "CopyImage",
    "CreateImage",
    "CreateImageUsageReport",
    "CreateLaunchTemplate",
    "CreateLaunchTemplateVersion",
    "CreateTags",
    "DeleteLaunchTemplate",
    "DeleteLaunchTemplateVersions",
    "DeleteSnapshot",
    "DeleteTags",
    "DeregisterImage",
    "DescribeFleets",
    "DescribeImageAttribute",
    "DescribeImageReferences",
    "DescribeImageUsageReportEntries",
    "DescribeImageUsageReports",
    "DescribeImages",
    "DescribeInstanceStatus",
    "DescribeInstanceTypes",
    "DescribeInstances",
    "DescribeLaunchTemplateVersions",
    "DescribeLaunchTemplates",
    "DescribeRegions",
    "DescribeSecurityGroups",
    "DescribeSnapshots",
    "DescribeSpotFleetRequests",
    "DescribeSpotInstanceRequests",
    "DescribeSubnets",
    "DescribeTags",
    "DisableImage",
    "DisableImageDeprecation",
    "DisableImageDeregistrationProtection",
    "EnableImage",
    "EnableImageDeprecation",
    "EnableImageDeregistrationProtection",
    "GetConsoleOutput",
    "ListImagesInRecycleBin",
    "ListSnapshotsInRecycleBin",
    "ModifyImageAttribute",
    "ModifyLaunchTemplate",
    "RebootInstances",
    "RestoreImageFromRecycleBin",
    "RestoreSnapshotFromRecycleBin",
    "RunInstances",
    "StopInstances",
    "TerminateInstances",
];

/// Handles one EC2 call.
///
/// # Errors
/// EC2's error codes; `DryRunOperation` (412) if `DryRun` was requested.
pub fn call(world: &mut World, call: &Call) -> Answer {
    if call.input.get("DryRun").and_then(Value::as_bool) == Some(true) {
        return Err(ApiError::new(
            "DryRunOperation",
            "Request would have succeeded, but DryRun flag is set.",
        )
        .with_status(412));
    }
    match call.operation.as_str() {
        "CopyImage" => images::copy(world, call),
        "CreateImage" => images::create(world, call),
        "CreateImageUsageReport" => usage_reports::create(world, call),
        "CreateLaunchTemplate" => launch_templates::create(world, call),
        "CreateLaunchTemplateVersion" => launch_template_versions::create(world, call),
        "CreateTags" => tags::create(world, call),
        "DeleteLaunchTemplate" => launch_templates::delete(world, call),
        "DeleteLaunchTemplateVersions" => launch_template_versions::delete(world, call),
        "DeleteSnapshot" => snapshots::delete(world, call),
        "DeleteTags" => tags::delete(world, call),
        "DeregisterImage" => image_life::deregister(world, call),
        "DescribeFleets" => fleets::describe_fleets(world, call),
        "DescribeImageAttribute" => image_describe::attribute(world, call),
        "DescribeImageReferences" => references::describe(world, call),
        "DescribeImageUsageReportEntries" => usage_reports::entries(world, call),
        "DescribeImageUsageReports" => usage_reports::describe(world, call),
        "DescribeImages" => image_describe::images(world, call),
        "DescribeInstanceStatus" => instance_describe::statuses(world, call),
        "DescribeInstanceTypes" => instance_types::describe(call),
        "DescribeInstances" => instance_describe::instances(world, call),
        "DescribeLaunchTemplateVersions" => launch_template_versions::describe(world, call),
        "DescribeLaunchTemplates" => launch_templates::describe(world, call),
        "DescribeRegions" => network::regions(call),
        "DescribeSecurityGroups" => network::describe_security_groups(world, call),
        "DescribeSnapshots" => snapshots::describe(world, call),
        "DescribeSpotFleetRequests" => fleets::describe_spot(world, call),
        "DescribeSpotInstanceRequests" => fleets::describe_spot_requests(world, call),
        "DescribeSubnets" => network::describe_subnets(world, call),
        "DescribeTags" => tags::describe(world, call),
        "DisableImage" => image_life::disable(world, call),
        "DisableImageDeprecation" => image_life::undeprecate(world, call),
        "DisableImageDeregistrationProtection" => image_life::unprotect(world, call),
        "EnableImage" => image_life::enable(world, call),
        "EnableImageDeprecation" => image_life::deprecate(world, call),
        "EnableImageDeregistrationProtection" => image_life::protect(world, call),
        "GetConsoleOutput" => instances::console_output(world, call),
        "ListImagesInRecycleBin" => recycle_bin::images(world, call),
        "ListSnapshotsInRecycleBin" => recycle_bin::snapshots(world, call),
        "ModifyImageAttribute" => image_life::modify_attribute(world, call),
        "ModifyLaunchTemplate" => launch_templates::modify(world, call),
        "RebootInstances" => instances::reboot(world, call),
        "RestoreImageFromRecycleBin" => recycle_bin::restore_image(world, call),
        "RestoreSnapshotFromRecycleBin" => recycle_bin::restore_snapshot(world, call),
        "RunInstances" => launch::run_instances(world, call),
        "StopInstances" => instances::stop(world, call),
        "TerminateInstances" => instances::terminate_instances(world, call),
        other => {
            Err(refuse("InvalidAction", format!("The action {other} is not valid for this web service.")))
        }
    }
}

/// Applies a due event.
pub fn on_event(world: &mut World, at: Time, event: Event) {
    match event {
        Event::ImageAvailable(id) => images::available(world, &id),
        other => instances::on_event(world, at, other),
    }
}

/// How instances of a registered image behave.
#[must_use]
pub fn behavior<'a>(world: &'a World, ami: &str) -> Option<&'a InstanceBehavior> {
    world.ec2.images.get(ami).map(|image| image.behavior.as_ref())
}

/// An instance by id, terminated ones included while EC2 still describes them.
#[must_use]
pub fn instance<'a>(world: &'a World, id: &str) -> Option<&'a Instance> {
    world.ec2.instances.get(id)
}

fn enter(world: &mut World, at: Time, event: Event) {
    world.schedule.add(at, world::Event::Ec2(event));
}

/// The account and Region of a call.
fn place(call: &Call) -> Place {
    Place::new(call.account.clone(), call.region.clone())
}
