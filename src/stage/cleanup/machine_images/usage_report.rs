//! Which other accounts use a shared image, from EC2's image usage report.

use std::collections::BTreeSet;

use aws_sdk_ec2::types::{
    ImageReferenceResourceType, ImageUsageResourceTypeOptionRequest, ImageUsageResourceTypeRequest,
};

use crate::aws::{Aws, AwsError, Class};
use crate::engine::error::{ErrorClass, ModuleError};
use crate::engine::{StageError, Timestamp};
use crate::stage::aws_view::image_references::graph::{Resource, ResourceKind};

/// The resource types a report can cover.
const RESOURCE_TYPES: [ImageReferenceResourceType; 2] =
    [ImageReferenceResourceType::Ec2Instance, ImageReferenceResourceType::Ec2LaunchTemplate];

/// How many versions of each launch template the report covers; EC2's default is 20.
const VERSION_DEPTH: &str = "10000";

/// Maximum age of a report, in seconds.
const MAX_AGE: i64 = 86_400;

/// Why no usage report can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    #[error("EC2 is creating the usage report of {image}")]
    Pending { image: String },
    #[error("the usage report of {image} has the state {state} (reason: {reason}), so its users are unknown")]
    Failed { image: String, state: String, reason: String },
}

impl ModuleError for ReportError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Pending { .. } => ErrorClass::NotYet,
            Self::Failed { .. } => ErrorClass::Rejected,
        }
    }
}

/// Reads which accounts use a shared image. EC2 creates the report in the background: the first call requests it.
///
/// # Errors
/// As the calls; [`ReportError`] while the report is missing, or if EC2 could not create it.
pub async fn accounts(aws: &Aws, image: &str, now: Timestamp) -> Result<BTreeSet<Resource>, StageError> {
    let mut pages = aws.ec2.describe_image_usage_reports().image_ids(image).into_paginator().items().send();
    let mut newest = None;
    while let Some(report) = pages.next().await {
        let report = report.map_err(|e| AwsError::new("ec2:DescribeImageUsageReports", image, e))?;
        let made = report.creation_time().map(aws_smithy_types::DateTime::secs);
        if newest.as_ref().is_none_or(|(before, _)| *before < made) {
            newest = Some((made, report));
        }
    }
    let old = now.0.saturating_sub(MAX_AGE);
    let Some((_, report)) = newest.filter(|(made, _)| made.is_some_and(|made| made > old)) else {
        create(aws, image, now).await?;
        return Err(ReportError::Pending { image: image.to_owned() }.into());
    };
    match (report.state(), report.report_id()) {
        (Some("available"), Some(id)) => entries(aws, image, id).await,
        (Some("pending"), _) => Err(ReportError::Pending { image: image.to_owned() }.into()),
        (state, _) => Err(ReportError::Failed {
            image: image.to_owned(),
            state: state.unwrap_or("missing").to_owned(),
            reason: report.state_reason().unwrap_or("none given").to_owned(),
        }
        .into()),
    }
}

/// Requests a report. The next call finds one that EC2 is already creating.
async fn create(aws: &Aws, image: &str, now: Timestamp) -> Result<(), StageError> {
    let kind = |kind: ImageReferenceResourceType| {
        let wanted = ImageUsageResourceTypeRequest::builder().resource_type(kind.as_str());
        let wanted = if kind == ImageReferenceResourceType::Ec2LaunchTemplate {
            let depth = ImageUsageResourceTypeOptionRequest::builder().option_name("version-depth");
            wanted.resource_type_options(depth.option_values(VERSION_DEPTH).build())
        } else {
            wanted
        };
        wanted.build()
    };
    let sent = aws
        .ec2
        .create_image_usage_report()
        .image_id(image)
        .set_resource_types(Some(RESOURCE_TYPES.map(kind).to_vec()))
        .client_token(format!("bakeline-cleanup-{image}-{}", now.0.div_euclid(MAX_AGE)))
        .send()
        .await;
    match sent.map_err(|e| AwsError::new("ec2:CreateImageUsageReport", image, e)) {
        Err(error) if error.class != Class::Conflict => Err(error.into()),
        _ => Ok(()),
    }
}

async fn entries(aws: &Aws, image: &str, report: &str) -> Result<BTreeSet<Resource>, StageError> {
    let ask = aws.ec2.describe_image_usage_report_entries().report_ids(report);
    let mut pages = ask.into_paginator().items().send();
    let mut accounts = BTreeSet::new();
    while let Some(entry) = pages.next().await {
        let entry = entry.map_err(|e| AwsError::new("ec2:DescribeImageUsageReportEntries", image, e))?;
        let account = entry.account_id().unwrap_or("an unknown account");
        let (count, kind) = (entry.usage_count().unwrap_or(1), entry.resource_type().unwrap_or("resource"));
        if count > 0 {
            accounts
                .insert(Resource { kind: ResourceKind::Account, id: format!("{account} ({count} {kind})") });
        }
    }
    Ok(accounts)
}
