//! What other accounts make of a shared image, from EC2's image usage report.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    ImageReferenceResourceType, ImageUsageResourceTypeOptionRequest, ImageUsageResourceTypeRequest,
};

use super::graph::{Kind, User};
use crate::aws::{Aws, AwsError, Class};
use crate::engine::{StageError, Timestamp};

/// The kinds a report can be about.
const KINDS: [ImageReferenceResourceType; 2] =
    [ImageReferenceResourceType::Ec2Instance, ImageReferenceResourceType::Ec2LaunchTemplate];

/// The most versions of a launch template that a report looks at; its default is twenty.
const DEPTH: &str = "10000";

/// A report that is older than this, in seconds, says nothing of today.
const DAY: i64 = 86_400;

/// The accounts that use a shared image. A report takes a while: until it is there, nothing is known.
///
/// # Errors
/// As the calls; the report is not there yet, or came to nothing.
pub async fn users(aws: &Aws, image: &str, now: Timestamp) -> Result<BTreeSet<User>, StageError> {
    let mut pages = aws.ec2.describe_image_usage_reports().image_ids(image).into_paginator().items().send();
    let mut newest = None;
    while let Some(report) = pages.next().await {
        let report = report.map_err(|e| AwsError::new("ec2:DescribeImageUsageReports", image, e))?;
        let made = report.creation_time().map(aws_smithy_types::DateTime::secs);
        if newest.as_ref().is_none_or(|(before, _)| *before < made) {
            newest = Some((made, report));
        }
    }
    let not_yet = |what: &str| Err(StageError::NotYet(format!("the usage report of {image} {what}")));
    let old = now.0.saturating_sub(DAY);
    let Some((_, report)) = newest.filter(|(made, _)| made.is_some_and(|made| made > old)) else {
        create(aws, image, now).await?;
        return not_yet("was asked for");
    };
    match (report.state(), report.report_id()) {
        (Some("available"), Some(id)) => entries(aws, image, id).await,
        (Some("pending"), _) => not_yet("is being made"),
        (state, _) => Err(StageError::Rejected(format!(
            "the usage report of {image} is {}: {}; it is not known who uses the image",
            state.unwrap_or("in no state"),
            report.state_reason().unwrap_or("no reason was given")
        ))),
    }
}

/// Asks for a report. One that is being made is found by the next look.
async fn create(aws: &Aws, image: &str, now: Timestamp) -> Result<(), StageError> {
    let kind = |kind: ImageReferenceResourceType| {
        let wanted = ImageUsageResourceTypeRequest::builder().resource_type(kind.as_str());
        let wanted = if kind == ImageReferenceResourceType::Ec2LaunchTemplate {
            let depth = ImageUsageResourceTypeOptionRequest::builder().option_name("version-depth");
            wanted.resource_type_options(depth.option_values(DEPTH).build())
        } else {
            wanted
        };
        wanted.build()
    };
    let sent = aws
        .ec2
        .create_image_usage_report()
        .image_id(image)
        .set_resource_types(Some(KINDS.map(kind).to_vec()))
        .client_token(format!("bakeline-cleanup-{image}-{}", now.0.div_euclid(DAY)))
        .send()
        .await;
    match sent.map_err(|e| AwsError::new("ec2:CreateImageUsageReport", image, e)) {
        Err(error) if error.class != Class::Conflict => Err(error.into()),
        _ => Ok(()),
    }
}

async fn entries(aws: &Aws, image: &str, report: &str) -> Result<BTreeSet<User>, StageError> {
    let ask = aws.ec2.describe_image_usage_report_entries().report_ids(report);
    let mut pages = ask.into_paginator().items().send();
    let mut users = BTreeSet::new();
    while let Some(entry) = pages.next().await {
        let entry = entry.map_err(|e| AwsError::new("ec2:DescribeImageUsageReportEntries", image, e))?;
        let account = entry.account_id().unwrap_or("an unknown account");
        let (count, kind) = (entry.usage_count().unwrap_or(1), entry.resource_type().unwrap_or("resource"));
        if count > 0 {
            users.insert(User { kind: Kind::Account, id: format!("{account} ({count} {kind})") });
        }
    }
    Ok(users)
}
