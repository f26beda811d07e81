//! The instance refresh: found, started, rolled back, cancelled.

use aws_sdk_autoscaling::primitives::DateTime;
use aws_sdk_autoscaling::types::{
    AlarmSpecification, DesiredConfiguration, InstanceRefresh, LaunchTemplateSpecification,
    RefreshPreferences, RefreshStrategy, ScaleInProtectedInstances, StandbyInstances,
};

use super::pace::Pace;
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::spec::GroupPromotion;

/// `InstanceRefreshStatus`.
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
    /// One that this program does not know: looked at again.
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

/// An instance refresh, as far as a promotion depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refresh {
    pub id: String,
    pub status: Status,
    /// AWS's reason for the status, and of a rollback.
    pub reason: String,
    /// `PercentageComplete`; it falls back to 0 in a rollback.
    pub percent: u8,
    /// When it began, in seconds since the Unix epoch.
    pub started: i64,
    /// The launch template and version it brings.
    pub brings: Option<(String, String)>,
}

/// Every refresh of a group that AWS remembers (six weeks), newest first.
///
/// # Errors
/// As the call.
pub async fn list(aws: &Aws, group: &str) -> Result<Vec<Refresh>, StageError> {
    let pages = aws.autoscaling.describe_instance_refreshes().auto_scaling_group_name(group).into_paginator();
    let (mut pages, mut refreshes) = (pages.send(), Vec::new());
    while let Some(page) = pages.next().await {
        let page = page.map_err(|e| AwsError::new("autoscaling:DescribeInstanceRefreshes", group, e))?;
        refreshes.extend(page.instance_refreshes().iter().map(read));
    }
    Ok(refreshes)
}

/// The newest refresh of a group, if AWS remembers one.
///
/// # Errors
/// As the call.
pub async fn newest(aws: &Aws, group: &str) -> Result<Option<Refresh>, StageError> {
    let call = aws.autoscaling.describe_instance_refreshes().auto_scaling_group_name(group).max_records(1);
    let answer =
        call.send().await.map_err(|e| AwsError::new("autoscaling:DescribeInstanceRefreshes", group, e))?;
    Ok(answer.instance_refreshes().first().map(read))
}

/// One refresh by id.
///
/// # Errors
/// As the call; [`StageError::NotYet`] when it is not in the answer.
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
    found
        .map(read)
        .ok_or_else(|| StageError::NotYet(format!("the instance refresh {id} of {group} is not listed yet")))
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

/// Starts the refresh with every preference spelled out, so that no default of AWS decides. The call takes no
/// client token and is sent once.
///
/// # Errors
/// As the call; [`StageError::NotYet`] when a refresh is already in progress: the caller looks whose it is.
pub async fn start(aws: &Aws, promote: &GroupPromotion, template: &str, version: i64) -> Result<String, StageError> {
    send(aws, &promote.group, (template, version), preferences(promote)).await
}

/// How a group is refreshed on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapacityLimits {
    /// The least and the most of the group that may run meanwhile, in percent.
    pub healthy: [u8; 2],
    /// Seconds a new instance warms up; none is as the group has it.
    pub warmup: Option<u32>,
}

impl CapacityLimits {
    /// When the spec is gone: AWS's own defaults, spelled out.
    pub const UNKNOWN: Self = Self { healthy: [90, 110], warmup: None };

    /// As the spec has it.
    #[must_use]
    pub fn of(promote: &GroupPromotion) -> Self {
        Self {
            healthy: [promote.min_healthy_percent, promote.max_healthy_percent],
            warmup: promote.warmup.map(crate::spec::Span::as_secs),
        }
    }
}

/// Starts a refresh that takes a group back to a version of its template. It holds nowhere and no alarm stops it, for
/// the alarm may be why; what runs that version already stays.
///
/// # Errors
/// As [`start`].
pub async fn start_back(
    aws: &Aws,
    group: &str,
    brings: (&str, i64),
    gentle: CapacityLimits,
) -> Result<String, StageError> {
    let [least, most] = gentle.healthy;
    let preferences = RefreshPreferences::builder()
        .min_healthy_percentage(i32::from(least))
        .max_healthy_percentage(i32::from(most))
        .set_instance_warmup(gentle.warmup.map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX)))
        .skip_matching(true)
        .auto_rollback(false)
        .scale_in_protected_instances(ScaleInProtectedInstances::Wait)
        .standby_instances(StandbyInstances::Wait);
    send(aws, group, brings, preferences.build()).await
}

async fn send(
    aws: &Aws,
    group: &str,
    (template, version): (&str, i64),
    preferences: RefreshPreferences,
) -> Result<String, StageError> {
    let launches = LaunchTemplateSpecification::builder()
        .launch_template_id(template)
        .version(version.to_string())
        .build();
    let answer = aws
        .once
        .autoscaling
        .start_instance_refresh()
        .auto_scaling_group_name(group)
        .strategy(RefreshStrategy::Rolling)
        .desired_configuration(DesiredConfiguration::builder().launch_template(launches).build())
        .preferences(preferences)
        .send()
        .await
        .map_err(|e| AwsError::new("autoscaling:StartInstanceRefresh", group, e));
    match answer {
        Ok(answer) => answer
            .instance_refresh_id
            .ok_or_else(|| StageError::NotYet("StartInstanceRefresh answered without an id".into())),
        Err(error) if error.is("InstanceRefreshInProgress") => Err(StageError::NotYet(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

fn preferences(promote: &GroupPromotion) -> RefreshPreferences {
    let pace = Pace::of(promote);
    let seconds = |seconds: u64| i32::try_from(seconds).unwrap_or(i32::MAX);
    let mut preferences = RefreshPreferences::builder()
        .min_healthy_percentage(i32::from(promote.min_healthy_percent))
        .max_healthy_percentage(i32::from(promote.max_healthy_percent))
        .set_instance_warmup(promote.warmup.map(|warmup| seconds(warmup.as_secs().into())))
        .set_checkpoint_percentages(Some(
            promote.steps.iter().map(|percent| i32::from(*percent)).collect(),
        ))
        .checkpoint_delay(seconds(pace.checkpoint_delay()))
        .bake_time(seconds(pace.bake_time()))
        // An instance that already runs the new version is replaced as well: what is judged was launched now.
        .skip_matching(false)
        .auto_rollback(true)
        // Preflight refuses both kinds; one that turns up later stops the refresh rather than be ended or left.
        .scale_in_protected_instances(ScaleInProtectedInstances::Wait)
        .standby_instances(StandbyInstances::Wait);
    if !promote.alarms.is_empty() {
        let alarms = AlarmSpecification::builder().set_alarms(Some(promote.alarms.clone())).build();
        preferences = preferences.alarm_specification(alarms);
    }
    preferences.build()
}

/// What became of asking for a rollback or a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// AWS has begun with it.
    Begun,
    /// Nothing is in progress any more, or something else has begun: look again.
    LookAgain,
    /// AWS will not roll this refresh back.
    Irreversible,
}

/// Asks AWS to roll back the refresh in progress.
///
/// # Errors
/// As the call.
pub async fn roll_back(aws: &Aws, group: &str) -> Result<Asked, StageError> {
    let answer = aws.once.autoscaling.rollback_instance_refresh().auto_scaling_group_name(group).send().await;
    asked(answer.map_err(|e| AwsError::new("autoscaling:RollbackInstanceRefresh", group, e)))
}

/// Asks AWS to cancel the refresh in progress, which leaves a mixed fleet: the last resort.
///
/// # Errors
/// As the call.
pub async fn cancel(aws: &Aws, group: &str) -> Result<Asked, StageError> {
    let answer = aws.once.autoscaling.cancel_instance_refresh().auto_scaling_group_name(group).send().await;
    asked(answer.map_err(|e| AwsError::new("autoscaling:CancelInstanceRefresh", group, e)))
}

fn asked<T>(answer: Result<T, AwsError>) -> Result<Asked, StageError> {
    match answer {
        Ok(_) => Ok(Asked::Begun),
        Err(error) if error.is("ActiveInstanceRefreshNotFound") || error.is("InstanceRefreshInProgress") => {
            Ok(Asked::LookAgain)
        }
        Err(error) if error.is("IrreversibleInstanceRefresh") => Ok(Asked::Irreversible),
        // The code of ResourceContention is one of a fault on AWS's side; it passes.
        Err(error) if error.class == Class::Conflict => Err(StageError::NotYet(error.to_string())),
        Err(error) => Err(error.into()),
    }
}
