//! The instance of a test in EC2: launched, described and terminated.

use aws_sdk_ec2::types::{
    Filter, HttpTokensState, IamInstanceProfileSpecification, Instance, InstanceInterruptionBehavior,
    InstanceMarketOptionsRequest, InstanceMetadataOptionsRequest, InstanceNetworkInterfaceSpecification,
    InstanceType, MarketType, ResourceType, ShutdownBehavior, SpotInstanceType, SpotMarketOptions, Tag,
    TagSpecification,
};
use aws_sdk_ssm::types::InstanceInformationStringFilter;

use super::boot::{self, DescribedImage, InstanceHealth};
use super::error::InstanceError;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::engine::key::tag;
use crate::evidence::{ImageIdentity, Stage};
use crate::spec;
use crate::stage::Cx;

/// Checks that the image is the one in the chain.
pub async fn verify_image(cx: &Cx, identity: &ImageIdentity) -> Result<(), StageError> {
    let place = format!("{} in {}", identity.image_id, identity.region);
    let answer = cx.aws.ec2.describe_images().image_ids(&identity.image_id).send().await;
    let answer = answer.map_err(|error| AwsError::new("ec2:DescribeImages", &place, error))?;
    let found = answer.images.unwrap_or_default().into_iter().next();
    let found = found.ok_or_else(|| InstanceError::ImageNotFound { image: place })?;
    let found = DescribedImage {
        state: found.state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        owner: found.owner_id,
        name: found.name,
        creation_date: found.creation_date,
    };
    Ok(boot::same_image(identity, &found)?)
}

/// The result of a launch.
#[derive(Debug)]
pub enum Launch {
    /// The id of the instance. EC2 also returns the id of an instance that has been terminated since.
    Launched(String),
    /// EC2 has no capacity in the subnet, or no Spot capacity.
    NoCapacity(AwsError),
}

/// Launches the instance in a subnet, or finds the one of this attempt: the client token launches one instance only.
pub async fn launch(
    cx: &Cx,
    wanted: &spec::Instance,
    image: &str,
    service: &str,
    subnet: u8,
    spot: bool,
) -> Result<Launch, StageError> {
    let profile = IamInstanceProfileSpecification::builder();
    let profile = if wanted.instance_profile.starts_with("arn:") {
        profile.arn(&wanted.instance_profile)
    } else {
        profile.name(&wanted.instance_profile)
    };
    let step = if spot { "launch-spot" } else { "launch" };
    let call = cx
        .aws
        .ec2
        .run_instances()
        .image_id(image)
        .instance_type(InstanceType::from(wanted.instance_type.as_str()))
        .min_count(1)
        .max_count(1)
        .iam_instance_profile(profile.build())
        .metadata_options(
            InstanceMetadataOptionsRequest::builder().http_tokens(HttpTokensState::Required).build(),
        )
        .instance_initiated_shutdown_behavior(ShutdownBehavior::Terminate)
        .set_instance_market_options(spot.then(one_time))
        .client_token(cx.key().client_token(&format!("{step}-{subnet}")))
        .tag_specifications(tags(cx, service, ResourceType::Instance))
        .tag_specifications(tags(cx, service, ResourceType::Volume));
    let subnet = wanted.subnets.get(usize::from(subnet)).cloned();
    let groups = Some(wanted.security_groups.clone());
    // EC2 takes the public address of an instance with its network interface only, and then subnet and groups too.
    let call = match wanted.assign_public_ip {
        None => call.set_subnet_id(subnet).set_security_group_ids(groups),
        Some(assign) => call.network_interfaces(
            InstanceNetworkInterfaceSpecification::builder()
                .device_index(0)
                .set_subnet_id(subnet)
                .set_groups(groups)
                .associate_public_ip_address(assign)
                .delete_on_termination(true)
                .build(),
        ),
    };
    let answer = match call.send().await.map_err(|error| AwsError::new("ec2:RunInstances", image, error)) {
        Ok(answer) => answer,
        Err(error) if error.is(NO_CAPACITY) || (spot && NO_SPOT.iter().any(|code| error.is(code))) => {
            return Ok(Launch::NoCapacity(error));
        }
        Err(error) => return Err(error.into()),
    };
    let launched = answer.instances.unwrap_or_default().into_iter().next();
    launched.and_then(|instance| instance.instance_id).map(Launch::Launched).ok_or_else(|| {
        let (operation, target) = ("ec2:RunInstances", image.to_owned());
        InstanceError::IncompleteResponse { operation, target, member: "instance" }.into()
    })
}

/// EC2's error code for missing capacity in a subnet's zone.
const NO_CAPACITY: &str = "InsufficientInstanceCapacity";

/// EC2's error codes for missing Spot capacity or support.
const NO_SPOT: [&str; 4] = [
    "MaxSpotInstanceCountExceeded",
    "SpotMaxPriceTooLow",
    "SpotInstanceCountLimitExceeded",
    "UnsupportedOperation",
];

/// A Spot instance that is terminated when it is interrupted.
fn one_time() -> InstanceMarketOptionsRequest {
    let spot = SpotMarketOptions::builder()
        .spot_instance_type(SpotInstanceType::OneTime)
        .instance_interruption_behavior(InstanceInterruptionBehavior::Terminate);
    InstanceMarketOptionsRequest::builder().market_type(MarketType::Spot).spot_options(spot.build()).build()
}

/// The console output of the instance; none if EC2 has none.
pub async fn console(cx: &Cx, id: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let answer = cx.aws.ec2.get_console_output().instance_id(id).send().await;
    match answer.map_err(|error| AwsError::new("ec2:GetConsoleOutput", id, error)) {
        Ok(answer) => {
            let output = answer.output?;
            let text = base64::engine::general_purpose::STANDARD.decode(output.trim()).ok()?;
            Some(text.get(text.len().saturating_sub(CONSOLE_BYTES)..).unwrap_or_default().to_vec())
        }
        Err(error) => {
            tracing::info!(%error, "the console output cannot be read");
            None
        }
    }
}

/// Max bytes of console output in the artifact: its last ones. EC2 keeps 64 KiB.
const CONSOLE_BYTES: usize = 64 << 10;

fn tags(cx: &Cx, service: &str, of: ResourceType) -> TagSpecification {
    let tag = |key: &str, value: &str| Tag::builder().key(key).value(value).build();
    let mut tags: Vec<Tag> = cx.key().tags(Stage::Test).iter().map(|(key, value)| tag(key, value)).collect();
    tags.push(tag(tag::SERVICE, service));
    tags.push(tag("Name", &cx.key().name("test")));
    TagSpecification::builder().resource_type(of).set_tags(Some(tags)).build()
}

/// The state of the instance and the reason for it; none if EC2 does not find the instance.
pub async fn state(cx: &Cx, id: &str) -> Result<Option<(String, String)>, StageError> {
    let answer = match cx.aws.ec2.describe_instances().instance_ids(id).send().await {
        Ok(answer) => answer,
        Err(error) => {
            let error = AwsError::new("ec2:DescribeInstances", id, error);
            return if error.class == Class::Missing { Ok(None) } else { Err(error.into()) };
        }
    };
    let mut all =
        answer.reservations.unwrap_or_default().into_iter().flat_map(|r| r.instances.unwrap_or_default());
    Ok(all.next().map(|instance| {
        let reason = instance.state_reason.and_then(|reason| reason.message).unwrap_or_default();
        let state = instance.state.and_then(|state| state.name).map(|name| name.as_str().to_owned());
        (state.unwrap_or_default(), reason)
    }))
}

/// The health of a booting instance.
pub async fn health(cx: &Cx, id: &str) -> Result<InstanceHealth, StageError> {
    let mut health = InstanceHealth::default();
    let call = cx.aws.ec2.describe_instance_status().instance_ids(id).include_all_instances(true);
    match call.send().await {
        Ok(answer) => {
            if let Some(status) = answer.instance_statuses.unwrap_or_default().into_iter().next() {
                let text = |summary: Option<aws_sdk_ec2::types::InstanceStatusSummary>| {
                    summary
                        .and_then(|s| s.status)
                        .map(|status| status.as_str().to_owned())
                        .unwrap_or_default()
                };
                health.state = status
                    .instance_state
                    .and_then(|s| s.name)
                    .map(|n| n.as_str().to_owned())
                    .unwrap_or_default();
                health.system = text(status.system_status);
                health.instance = text(status.instance_status);
            }
        }
        Err(error) => {
            let error = AwsError::new("ec2:DescribeInstanceStatus", id, error);
            if error.class != Class::Missing {
                return Err(error.into());
            }
        }
    }
    if health.state == "running" {
        health.ping = ping(cx, id).await?;
    }
    Ok(health)
}

async fn ping(cx: &Cx, id: &str) -> Result<String, StageError> {
    let filter = InstanceInformationStringFilter::builder().key("InstanceIds").values(id).build();
    let filter = filter.map_err(StageError::bug)?;
    let call = cx.aws.ssm.describe_instance_information().filters(filter);
    let all = call.into_paginator().items().send().try_collect().await;
    let all = all.map_err(|error| AwsError::new("ssm:DescribeInstanceInformation", id, error))?;
    let found = all.into_iter().find(|information| information.instance_id.as_deref() == Some(id));
    Ok(found.and_then(|f| f.ping_status).map(|ping| ping.as_str().to_owned()).unwrap_or_default())
}

/// Terminates instances; false if EC2 does not find one of them. The SDK does not retry the call: the next slice reads the
/// state first.
pub async fn terminate(cx: &Cx, ids: &[String]) -> Result<bool, StageError> {
    let call = cx.aws.once.ec2.terminate_instances().set_instance_ids(Some(ids.to_vec()));
    match call.send().await {
        Ok(_) => Ok(true),
        Err(error) => {
            let error = AwsError::new("ec2:TerminateInstances", ids.join(", "), error);
            if error.class == Class::Missing { Ok(false) } else { Err(error.into()) }
        }
    }
}

/// The instances of this attempt that still run, found by their tags.
pub async fn find(cx: &Cx) -> Result<Vec<String>, AwsError> {
    let filter = |name: String, values: &[&str]| {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Filter::builder().name(name).set_values(Some(values)).build()
    };
    let execution = cx.key().attempt_id.as_str();
    let call = cx
        .aws
        .ec2
        .describe_instances()
        .filters(filter(format!("tag:{}", tag::ATTEMPT), &[execution]))
        .filters(filter("instance-state-name".into(), &["pending", "running", "stopping", "stopped"]));
    let all = call.into_paginator().items().send().try_collect().await;
    let all = all.map_err(|error| AwsError::new("ec2:DescribeInstances", execution, error))?;
    let ids = all.into_iter().flat_map(|reservation| reservation.instances.unwrap_or_default());
    Ok(ids.filter_map(|instance: Instance| instance.instance_id).collect())
}
