//! What a build that is not wanted left in EC2: its images and their snapshots, in every region.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::Filter;
use aws_sdk_imagebuilder::types::Image;

use super::judge::Build;
use crate::aws::{AwsError, Class};
use crate::engine::StageError;
use crate::stage::Cx;

/// The tag Image Builder gives the images of a build.
const BUILT_BY: &str = "tag:Ec2ImageBuilderArn";

/// An image that is to go.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Leftover {
    pub region: String,
    pub id: String,
}

/// The regions a build can have left something in: its own, those it was distributed to, those it names.
pub fn regions(
    cx: &Cx,
    image: &Image,
    build: &Build,
    expected: impl Iterator<Item = String>,
) -> BTreeSet<String> {
    let distributions =
        image.distribution_configuration.iter().flat_map(|c| c.distributions.iter().flatten());
    let mut regions: BTreeSet<String> =
        distributions.map(|distribution| distribution.region.clone()).collect();
    regions.extend(build.images.iter().map(|image| image.region.clone()));
    regions.extend(expected);
    regions.insert(cx.aws.region().to_owned());
    regions
}

/// The account's own images of the build `arn`. Found by the tag Image Builder gives them: a build that was cut short
/// does not name all it made.
pub async fn find(cx: &Cx, arn: &str, regions: &BTreeSet<String>) -> Result<Vec<Leftover>, StageError> {
    let mut found = Vec::new();
    for region in regions {
        let all = cx
            .aws
            .ec2_in(region)
            .describe_images()
            .owners("self")
            .filters(Filter::builder().name(BUILT_BY).values(arn).build())
            .include_disabled(true)
            .include_deprecated(true)
            .into_paginator()
            .items()
            .send()
            .try_collect()
            .await
            .map_err(|error| AwsError::new("ec2:DescribeImages", format!("{arn} in {region}"), error))?;
        let ids = all.into_iter().filter_map(|image| image.image_id);
        found.extend(ids.map(|id| Leftover { region: region.clone(), id }));
    }
    found.sort();
    Ok(found)
}

/// Deregisters an image and has its snapshots deleted; the snapshots that stay, and why. A second call finds no image.
pub async fn remove(cx: &Cx, leftover: &Leftover) -> Result<Vec<String>, StageError> {
    let place = format!("{} in {}", leftover.id, leftover.region);
    let call = cx.aws.ec2_in(&leftover.region).deregister_image();
    match call.image_id(&leftover.id).delete_associated_snapshots(true).send().await {
        Ok(answer) => {
            let stays = |code: &str| !matches!(code, "success" | "skipped");
            let results = answer.delete_snapshot_results.unwrap_or_default().into_iter();
            let told = results.filter_map(|result| Some((result.snapshot_id?, result.return_code?)));
            Ok(told
                .filter(|(_, code)| stays(code.as_str()))
                .map(|(id, code)| format!("snapshot {id} in {} stays ({})", leftover.region, code.as_str()))
                .collect())
        }
        Err(error) => {
            let error = AwsError::new("ec2:DeregisterImage", &place, error);
            let gone = error.class == Class::Missing || error.is("InvalidAMIID.Unavailable");
            if gone { Ok(Vec::new()) } else { Err(error.into()) }
        }
    }
}
