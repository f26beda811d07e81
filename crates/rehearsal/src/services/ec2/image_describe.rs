//! `DescribeImages` and `DescribeImageAttribute`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::{Answer, ApiError, Call};
use super::super::super::time::Time;
use super::super::super::world::World;
use super::super::support::{Filter, iso, page, present, refuse, tag_list};
use super::image_life::protection;
use super::images::{Image, ImageState, not_found};

/// How long `DescribeImages` by id still returns a deregistered image.
const DEREGISTERED_SHOWS: Duration = Duration::from_mins(1);
/// The delay of `LastLaunchedTime`.
const REPORTED_AFTER: Duration = Duration::from_hours(24);
/// The architecture of every image.
const ARCHITECTURE: &str = "x86_64";

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Describe {
    image_ids: Vec<String>,
    owners: Vec<String>,
    executable_users: Vec<String>,
    filters: Vec<Filter>,
    include_deprecated: bool,
    include_disabled: bool,
    next_token: Option<String>,
    max_results: Option<usize>,
}

pub(super) fn images(world: &World, call: &Call) -> Answer {
    let input: Describe = call.parse()?;
    let is_seen = |i: &Image| {
        i.region == call.region
            && i.launchable_by(&call.account)
            && world.ec2.visible(i.created, call.now)
            && i.ended.is_none_or(|ended| ended + DEREGISTERED_SHOWS > call.now)
    };
    for id in &input.image_ids {
        if !id.starts_with("ami-") {
            return Err(refuse(
                "InvalidAMIID.Malformed",
                format!("Invalid id: \"{id}\" (expecting \"ami-...\")"),
            ));
        }
        let shown = world.ec2.images.get(id).is_some_and(is_seen);
        // A deregistered image that an instance was launched from gives an empty response, not an error.
        let referenced =
            || world.ec2.images.contains_key(id) && world.ec2.instances.values().any(|i| i.image_id == *id);
        if !shown && !referenced() {
            return Err(not_found(id));
        }
    }
    let mut found = Vec::new();
    for image in world.ec2.images.values().filter(|i| is_seen(i)) {
        let named = if input.image_ids.is_empty() {
            image.is_registered()
        } else {
            input.image_ids.contains(&image.id)
        };
        let owner = input.owners.is_empty()
            || input
                .owners
                .iter()
                .any(|o| *o == image.account || (o == "self" && image.account == call.account));
        let executable = input.executable_users.is_empty()
            || input.executable_users.iter().any(|user| match user.as_str() {
                "self" => image.shared_with.contains(&call.account),
                "all" => image.public,
                other => image.shared_with.contains(other),
            });
        let deprecated =
            image.deprecated_at.is_some_and(|at| at <= call.now) && image.account != call.account;
        let shown = (input.include_disabled || image.state != ImageState::Disabled)
            && (input.include_deprecated || !deprecated);
        if named && owner && executable && shown && fits(image, &input.filters)? {
            found.push(image);
        }
    }
    let size = input.max_results.unwrap_or(1000);
    let (found, next) = page(found, input.next_token.as_deref(), size, "InvalidParameterValue")?;
    let views: Vec<Value> = found.into_iter().map(|i| view(i, call.now)).collect();
    Ok(present(json!({ "Images": views, "NextToken": next })))
}

fn fits(image: &Image, filters: &[Filter]) -> Result<bool, ApiError> {
    for filter in filters {
        let fits = match filter.name.as_str() {
            "image-id" => filter.fits(&image.id),
            "name" => filter.fits(&image.name),
            "state" => filter.fits(image.state.name()),
            "owner-id" => filter.fits(&image.account),
            "description" => image.description.as_ref().is_some_and(|d| filter.fits(d)),
            "is-public" => filter.fits(if image.public { "true" } else { "false" }),
            "image-type" => filter.fits("machine"),
            "architecture" => filter.fits(ARCHITECTURE),
            "source-image-id" => image.source_image.as_ref().is_some_and(|s| filter.fits(s)),
            "source-instance-id" => image.source_instance.as_ref().is_some_and(|s| filter.fits(s)),
            "creation-date" => filter.fits(&iso(image.created)),
            "root-device-type" => filter.fits("ebs"),
            "block-device-mapping.snapshot-id" => image.snapshots.iter().any(|s| filter.fits(s)),
            other => match filter.fits_tags(&image.tags) {
                Some(fits) => fits,
                None => {
                    return Err(refuse("InvalidParameterValue", format!("The filter '{other}' is invalid")));
                }
            },
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(true)
}

fn mappings(image: &Image) -> Vec<Value> {
    image
        .snapshots
        .iter()
        .zip(b'a'..=b'z')
        .map(|(snapshot, letter)| {
            json!({
                "DeviceName": if letter == b'a' { "/dev/xvda".to_owned() } else { format!("/dev/sd{}", char::from(letter)) },
                "Ebs": {
                    "SnapshotId": snapshot,
                    "DeleteOnTermination": true,
                    "VolumeSize": image.disk.size,
                    "VolumeType": "gp3",
                    "Encrypted": image.disk.encrypted,
                },
            })
        })
        .collect()
}

fn last_launched(image: &Image, now: Time) -> Option<String> {
    image.last_launched.filter(|at| *at + REPORTED_AFTER <= now).map(iso)
}

fn view(image: &Image, now: Time) -> Value {
    present(json!({
        "ImageId": image.id,
        "ImageLocation": format!("{}/{}", image.account, image.name),
        "Name": image.name,
        "Description": image.description,
        "State": image.state.name(),
        "OwnerId": image.account,
        "CreationDate": iso(image.created),
        "Public": image.public,
        "Architecture": ARCHITECTURE,
        "ImageType": "machine",
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "BlockDeviceMappings": mappings(image),
        "RootDeviceName": "/dev/xvda",
        "RootDeviceType": "ebs",
        "VirtualizationType": "hvm",
        "Hypervisor": "xen",
        "EnaSupport": true,
        "BootMode": "uefi-preferred",
        "ImdsSupport": image.imds_v2.then_some("v2.0"),
        "DeprecationTime": image.deprecated_at.map(iso),
        "DeregistrationProtection": protection(image.protection, now),
        "LastLaunchedTime": last_launched(image, now),
        "SourceImageId": image.source_image,
        "SourceImageRegion": image.source_region,
        "SourceInstanceId": image.source_instance,
        "Tags": tag_list(&image.tags),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Attribute {
    attribute: String,
    image_id: String,
}

pub(super) fn attribute(world: &World, call: &Call) -> Answer {
    let input: Attribute = call.parse()?;
    let image = world
        .ec2
        .images
        .get(&input.image_id)
        .filter(|i| i.region == call.region && i.is_registered() && i.launchable_by(&call.account))
        .ok_or_else(|| not_found(&input.image_id))?;
    if image.account != call.account {
        return Err(refuse("AuthFailure", format!("Not authorized for image: {}", input.image_id)));
    }
    let text = |value: Option<String>| json!({ "Value": value });
    let (member, value) = match input.attribute.as_str() {
        "launchPermission" => {
            let all = image.public.then(|| json!({ "Group": "all" }));
            let users = image.shared_with.iter().map(|id| json!({ "UserId": id }));
            ("LaunchPermissions", Value::Array(all.into_iter().chain(users).collect()))
        }
        "description" => ("Description", text(image.description.clone())),
        "blockDeviceMapping" => ("BlockDeviceMappings", Value::Array(mappings(image))),
        "lastLaunchedTime" => ("LastLaunchedTime", text(last_launched(image, call.now))),
        "deregistrationProtection" => {
            ("DeregistrationProtection", text(Some(protection(image.protection, call.now).to_owned())))
        }
        "imdsSupport" => ("ImdsSupport", text(image.imds_v2.then(|| "v2.0".to_owned()))),
        "bootMode" => ("BootMode", text(Some("uefi-preferred".to_owned()))),
        "productCodes" => ("ProductCodes", json!([])),
        other => {
            return Err(refuse(
                "InvalidParameterValue",
                format!("Value ({other}) for parameter attribute is invalid."),
            ));
        }
    };
    Ok(present(json!({ "ImageId": image.id, member: value })))
}
