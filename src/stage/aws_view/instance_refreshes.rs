//! Instance refreshes of an Auto Scaling group.

use aws_sdk_autoscaling::primitives::DateTime;
use aws_sdk_autoscaling::types::InstanceRefresh;

use super::error::ViewError;
use crate::aws::{Aws, AwsError};
use crate::engine::StageError;

/// `InstanceRefreshStatus`, as the Auto Scaling API returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Pending,
    InProgress,
    Baking,
    Cancelling,
    RollbackInProgress,
    Successful,
    Failed,
    Cancelled,
    RollbackSuccessful,
    RollbackFailed,
    /// A status that this version does not know; the caller polls again.
    Unknown,
}

impl Status {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Pending, "Pending"),
        (Self::InProgress, "InProgress"),
        (Self::Baking, "Baking"),
        (Self::Cancelling, "Cancelling"),
        (Self::RollbackInProgress, "RollbackInProgress"),
        (Self::Successful, "Successful"),
        (Self::Failed, "Failed"),
        (Self::Cancelled, "Cancelled"),
        (Self::RollbackSuccessful, "RollbackSuccessful"),
        (Self::RollbackFailed, "RollbackFailed"),
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(status, _)| *status == self).map_or("of an unknown status", |(_, name)| name)
    }

    #[must_use]
    pub fn is_over(self) -> bool {
        match self {
            Self::Successful
            | Self::Failed
            | Self::Cancelled
            | Self::RollbackSuccessful
            | Self::RollbackFailed => true,
            Self::Pending
            | Self::InProgress
            | Self::Baking
            | Self::Cancelling
            | Self::RollbackInProgress
            | Self::Unknown => false,
        }
    }
}

/// An instance refresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    pub id: String,
    pub status: Status,
    /// AWS's reason for the status, and of a rollback.
    pub reason: String,
    /// `PercentageComplete`; AWS resets it to 0 when a rollback begins.
    pub percent: u8,
    /// When it began, in seconds since the Unix epoch.
    pub started: i64,
    /// The launch template and version it brings.
    pub brings: Option<(String, String)>,
}

/// Every refresh of a group in the last six weeks, newest first.
///
/// # Errors
/// `DescribeInstanceRefreshes` failed.
pub async fn list(aws: &Aws, group: &str) -> Result<Vec<Refresh>, StageError> {
    let pages = aws.autoscaling.describe_instance_refreshes().auto_scaling_group_name(group).into_paginator();
    let (mut pages, mut refreshes) = (pages.send(), Vec::new());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("autoscaling:DescribeInstanceRefreshes", group, e))?;
        refreshes.extend(page.instance_refreshes().iter().map(read));
    }
    Ok(refreshes)
}

/// The newest refresh of a group in the last six weeks, if there is one.
///
/// # Errors
/// `DescribeInstanceRefreshes` failed.
pub async fn newest(aws: &Aws, group: &str) -> Result<Option<Refresh>, StageError> {
    let call = aws.autoscaling.describe_instance_refreshes().auto_scaling_group_name(group).max_records(1);
    let answer =
        call.send().await.map_err(|e| AwsError::new("autoscaling:DescribeInstanceRefreshes", group, e))?;
    Ok(answer.instance_refreshes().first().map(read))
}

/// One refresh by id.
///
/// # Errors
/// `DescribeInstanceRefreshes` failed; [`ViewError::RefreshNotListed`] when the refresh is not listed yet.
pub async fn find(aws: &Aws, group: &str, id: &str) -> Result<Refresh, StageError> {
    let answer = aws
        .autoscaling
        .describe_instance_refreshes()
        .auto_scaling_group_name(group)
        .instance_refresh_ids(id)
        .send()
        .await
        .map_err(|e| AwsError::new("autoscaling:DescribeInstanceRefreshes", format!("{id} of {group}"), e))?;
    let found = answer.instance_refreshes().iter().find(|refresh| refresh.instance_refresh_id() == Some(id));
    let missing = || ViewError::RefreshNotListed { refresh: id.to_owned(), group: group.to_owned() };
    Ok(found.map(read).ok_or_else(missing)?)
}

fn read(refresh: &InstanceRefresh) -> Refresh {
    let name = refresh.status().map_or("", |status| status.as_str());
    let rollback = refresh.rollback_details().and_then(|details| details.rollback_reason());
    let reasons: Vec<&str> = [refresh.status_reason(), rollback].into_iter().flatten().collect();
    let template = refresh.desired_configuration().and_then(|desired| desired.launch_template());
    Refresh {
        id: refresh.instance_refresh_id().unwrap_or_default().to_owned(),
        status: Status::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map_or(Status::Unknown, |(status, _)| *status),
        reason: reasons.join("; "),
        percent: refresh.percentage_complete().and_then(|p| u8::try_from(p.clamp(0, 100)).ok()).unwrap_or(0),
        started: refresh.start_time().map_or(0, DateTime::secs),
        brings: template.and_then(|t| Some((t.launch_template_id()?.to_owned(), t.version()?.to_owned()))),
    }
}
