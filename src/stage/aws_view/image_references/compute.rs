//! References from EC2: instances, Spot requests and fleets.

use aws_sdk_ec2::types::{
    BatchState, BlockDeviceMapping, FleetStateCode, InstanceStateName, Reservation, SpotInstanceState,
};

use super::graph::{ListName, Listings, ResourceKind};
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;

/// The largest page of EC2's lists.
const PAGE: i32 = 1000;

/// Reads every list of this file.
pub async fn everything(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    instances(aws, listings).await?;
    spot_requests(aws, listings).await?;
    fleets(aws, listings).await?;
    spot_fleets(aws, listings).await
}

/// Reads every instance that is not terminated.
async fn instances(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    let mut pages = aws.ec2.describe_instances().max_results(PAGE).into_paginator().send();
    let mut entries = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("ec2:DescribeInstances", "every instance", e))?;
        for instance in page.reservations().iter().flat_map(Reservation::instances) {
            let state = instance.state().and_then(|state| state.name());
            if state == Some(&InstanceStateName::Terminated) {
                continue;
            }
            entries += 1;
            if let (Some(id), Some(image)) = (instance.instance_id(), instance.image_id()) {
                listings.add_text(ResourceKind::Instance, id, image);
            }
        }
    }
    listings.set_length(ListName::Instances, entries);
    Ok(())
}

/// Reads Spot requests that may still launch an instance.
async fn spot_requests(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    let mut pages = aws.ec2.describe_spot_instance_requests().max_results(PAGE).into_paginator().send();
    let mut entries = 0;
    while let Some(page) = pages.next().await {
        let page =
            page.map_err(|e| AwsError::new("ec2:DescribeSpotInstanceRequests", "every Spot request", e))?;
        for request in page.spot_instance_requests() {
            let over = matches!(
                request.state(),
                Some(SpotInstanceState::Closed | SpotInstanceState::Cancelled | SpotInstanceState::Failed)
            );
            let Some(launch) = request.launch_specification().filter(|_| !over) else { continue };
            entries += 1;
            let id = request.spot_instance_request_id().unwrap_or_default();
            if let Some(image) = launch.image_id() {
                listings.add_text(ResourceKind::SpotRequest, id, image);
            }
            listings.add_snapshots(ResourceKind::SpotRequest, id, snapshots(launch.block_device_mappings()));
        }
    }
    listings.set_length(ListName::SpotRequests, entries);
    Ok(())
}

/// Reads EC2 fleets that are not deleted.
async fn fleets(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    let mut pages = aws.ec2.describe_fleets().into_paginator().send();
    let mut entries = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("ec2:DescribeFleets", "every fleet", e))?;
        for fleet in page.fleets() {
            if matches!(fleet.fleet_state(), Some(FleetStateCode::Deleted | FleetStateCode::Failed)) {
                continue;
            }
            entries += 1;
            let id = fleet.fleet_id().unwrap_or_default();
            for config in fleet.launch_template_configs() {
                if let Some(template) = config.launch_template_specification() {
                    let by = (template.launch_template_id(), template.launch_template_name());
                    listings.add_template((ResourceKind::Fleet, id), by, template.version());
                }
                for image in config.overrides().iter().filter_map(|one| one.image_id()) {
                    listings.add_text(ResourceKind::Fleet, id, image);
                }
            }
        }
    }
    listings.set_length(ListName::Fleets, entries);
    Ok(())
}

/// Reads Spot fleet requests that are not cancelled.
async fn spot_fleets(aws: &Aws, listings: &mut Listings) -> Result<(), StageError> {
    let mut pages = aws.ec2.describe_spot_fleet_requests().max_results(PAGE).into_paginator().send();
    let mut entries = 0;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("ec2:DescribeSpotFleetRequests", "every Spot fleet", e))?;
        for request in page.spot_fleet_request_configs() {
            let over = matches!(
                request.spot_fleet_request_state(),
                Some(BatchState::Cancelled | BatchState::Failed)
            );
            let Some(config) = request.spot_fleet_request_config().filter(|_| !over) else { continue };
            entries += 1;
            let id = request.spot_fleet_request_id().unwrap_or_default();
            for launch in config.launch_specifications() {
                if let Some(image) = launch.image_id() {
                    listings.add_text(ResourceKind::SpotFleet, id, image);
                }
                listings.add_snapshots(
                    ResourceKind::SpotFleet,
                    id,
                    snapshots(launch.block_device_mappings()),
                );
            }
            for template in config
                .launch_template_configs()
                .iter()
                .filter_map(|config| config.launch_template_specification())
            {
                let by = (template.launch_template_id(), template.launch_template_name());
                listings.add_template((ResourceKind::SpotFleet, id), by, template.version());
            }
        }
    }
    listings.set_length(ListName::SpotFleets, entries);
    Ok(())
}

/// The snapshots in block device mappings.
fn snapshots(mappings: &[BlockDeviceMapping]) -> impl Iterator<Item = &str> {
    mappings.iter().filter_map(|mapping| mapping.ebs()?.snapshot_id())
}
