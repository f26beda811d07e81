//! Reads what the gates check: the scan from Image Builder, the properties of the images from EC2.

use aws_sdk_imagebuilder::types::{Image, ImageScanFinding, ImageScanFindingsFilter, ImageScanStatus};

use super::super::images::availability::{BuiltImage, Copies};
use super::error::GateError;
use super::image::ImageProperties;
use super::scan::Finding;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::stage::Cx;

/// `scanState.status` of a build; none if Image Builder does not scan it.
pub fn scan_status(image: &Image) -> Option<&str> {
    image.scan_state.as_ref().and_then(|state| state.status.as_ref()).map(ImageScanStatus::as_str)
}

/// All findings of a build's scan, sorted.
pub async fn findings(cx: &Cx, build: &str) -> Result<Vec<Finding>, StageError> {
    let filter = ImageScanFindingsFilter::builder().name("imageBuildVersionArn").values(build).build();
    let call = cx.aws.imagebuilder.list_image_scan_findings().filters(filter);
    let all = call.into_paginator().items().send().try_collect().await;
    let all = all.map_err(|error| {
        stale_if_missing(AwsError::new("imagebuilder:ListImageScanFindings", build, error))
    })?;
    let mut findings: Vec<Finding> = all.into_iter().map(finding).collect();
    findings.sort();
    Ok(findings)
}

fn finding(found: ImageScanFinding) -> Finding {
    let details = found.package_vulnerability_details;
    let packages = details.iter().flat_map(|details| details.vulnerable_packages.iter().flatten());
    let packages = packages.map(|package| {
        let version = package.version.as_deref().unwrap_or("?");
        format!("{} {version}", package.name.as_deref().unwrap_or("?"))
    });
    Finding {
        packages: packages.collect(),
        url: details.as_ref().and_then(|details| details.source_url.clone()),
        id: details
            .map_or_else(|| found.title.clone().unwrap_or_default(), |details| details.vulnerability_id),
        severity: found.severity.unwrap_or_else(|| "UNTRIAGED".to_owned()),
        title: found.title.unwrap_or_default(),
        fix: found.fix_available.unwrap_or_else(|| "NO".to_owned()),
    }
}

/// An object that was found before and is missing now: a stale read.
fn stale_if_missing(error: AwsError) -> StageError {
    if error.class == Class::Missing { StageError::RetryLater(error) } else { error.into() }
}

/// The properties of each copy in this account.
pub async fn properties<'c>(
    cx: &Cx,
    copies: &'c Copies,
) -> Result<Vec<(&'c BuiltImage, ImageProperties)>, StageError> {
    let mut properties = Vec::with_capacity(copies.own.len());
    for copy in &copies.own {
        properties.push((copy, properties_of(cx, copy).await?));
    }
    Ok(properties)
}

async fn properties_of(cx: &Cx, copy: &BuiltImage) -> Result<ImageProperties, StageError> {
    let place = format!("{} in {}", copy.id, copy.region);
    let answer = cx.aws.ec2_in(&copy.region).describe_images().image_ids(&copy.id).send().await;
    let answer =
        answer.map_err(|error| stale_if_missing(AwsError::new("ec2:DescribeImages", &place, error)))?;
    let found = answer.images.unwrap_or_default().into_iter().next();
    let found = found.ok_or_else(|| GateError::NotFound { image: place.clone() })?;
    let mut mappings = found.block_device_mappings.unwrap_or_default();
    mappings.sort_by(|a, b| a.device_name.cmp(&b.device_name));
    let volumes = mappings.into_iter().filter_map(|mapping| mapping.ebs);
    Ok(ImageProperties {
        public: found.public.unwrap_or_default(),
        architecture: found.architecture.map(|name| name.as_str().to_owned()).unwrap_or_default(),
        boot_mode: found.boot_mode.map(|mode| mode.as_str().to_owned()),
        imds: found.imds_support.map(|support| support.as_str().to_owned()),
        volumes: volumes
            .map(|ebs| {
                let size = ebs.volume_size.and_then(|size| u32::try_from(size).ok()).unwrap_or_default();
                (size, ebs.encrypted.unwrap_or_default())
            })
            .collect(),
    })
}
