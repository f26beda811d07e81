//! The calls that start an instance refresh, roll it back and cancel it.

use aws_sdk_autoscaling::types::{
    AlarmSpecification, DesiredConfiguration, LaunchTemplateSpecification, RefreshPreferences,
    RefreshStrategy, ScaleInProtectedInstances, StandbyInstances,
};

use super::error::GroupError;
use super::timing::Timing;
use crate::aws::{Aws, AwsError, Class};
use crate::engine::StageError;
use crate::stage::promote::settings::Settings;

/// Starts the instance refresh to the new image. Every preference is set, so that no default of AWS applies. The call
/// takes no client token, so the client does not retry it.
///
/// # Errors
/// `StartInstanceRefresh` failed; [`StageError::RetryLater`] when a refresh is in progress: the caller reads whose it is.
pub async fn start(
    aws: &Aws,
    settings: &Settings,
    template: &str,
    version: i64,
) -> Result<String, StageError> {
    send(aws, &settings.group, (template, version), preferences(settings)).await
}

/// The capacity limits of an instance refresh that restores a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapacityLimits {
    /// `MinHealthyPercentage` and `MaxHealthyPercentage`.
    pub healthy: [u8; 2],
    /// `InstanceWarmup` in seconds; none for the default of the group.
    pub warmup: Option<u32>,
}

impl CapacityLimits {
    /// The defaults of AWS, for a rollback without the spec.
    pub const UNKNOWN: Self = Self { healthy: [90, 110], warmup: None };

    /// The limits of the spec.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            healthy: [settings.min_healthy_percent, settings.max_healthy_percent],
            warmup: Some(settings.warmup),
        }
    }
}

/// Starts an instance refresh that restores a version of the group's template. It has no checkpoints and no alarms: an
/// alarm may be the reason for the rollback. Instances that run the version already stay.
///
/// # Errors
/// `StartInstanceRefresh` failed; [`StageError::RetryLater`] when a refresh is in progress.
pub async fn start_restore(
    aws: &Aws,
    group: &str,
    brings: (&str, i64),
    limits: CapacityLimits,
) -> Result<String, StageError> {
    let [min, max] = limits.healthy;
    let preferences = RefreshPreferences::builder()
        .min_healthy_percentage(i32::from(min))
        .max_healthy_percentage(i32::from(max))
        .set_instance_warmup(limits.warmup.map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX)))
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
        Ok(answer) => {
            let id = answer.instance_refresh_id;
            Ok(id.ok_or_else(|| GroupError::NoRefreshId { group: group.to_owned() })?)
        }
        Err(error) if error.is("InstanceRefreshInProgress") => Err(StageError::RetryLater(error)),
        Err(error) => Err(error.into()),
    }
}

fn preferences(settings: &Settings) -> RefreshPreferences {
    let timing = Timing::of(settings);
    let seconds = |seconds: u64| i32::try_from(seconds).unwrap_or(i32::MAX);
    let mut preferences = RefreshPreferences::builder()
        .min_healthy_percentage(i32::from(settings.min_healthy_percent))
        .max_healthy_percentage(i32::from(settings.max_healthy_percent))
        .instance_warmup(seconds(settings.warmup.into()))
        .set_checkpoint_percentages(Some(settings.steps.iter().map(|percent| i32::from(*percent)).collect()))
        .checkpoint_delay(seconds(timing.checkpoint_delay()))
        .bake_time(seconds(timing.bake_time()))
        // Instances that run the new version already are replaced too: the analysis is about instances launched now.
        .skip_matching(false)
        .auto_rollback(true)
        // The preflight refuses protected and standby instances. One that appears later stops the refresh.
        .scale_in_protected_instances(ScaleInProtectedInstances::Wait)
        .standby_instances(StandbyInstances::Wait);
    if !settings.alarms.is_empty() {
        let alarms = AlarmSpecification::builder().set_alarms(Some(settings.alarms.clone())).build();
        preferences = preferences.alarm_specification(alarms);
    }
    preferences.build()
}

/// The answer to a request for a rollback or a cancellation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// AWS began with it.
    Accepted,
    /// No refresh is in progress any more, or another one began: read again.
    ReadAgain,
    /// AWS does not roll this refresh back.
    Irreversible,
}

/// Requests the rollback of the refresh in progress.
///
/// # Errors
/// `RollbackInstanceRefresh` failed.
pub async fn roll_back(aws: &Aws, group: &str) -> Result<Requested, StageError> {
    let answer = aws.once.autoscaling.rollback_instance_refresh().auto_scaling_group_name(group).send().await;
    requested(answer.map_err(|e| AwsError::new("autoscaling:RollbackInstanceRefresh", group, e)))
}

/// Requests the cancellation of the refresh in progress. It leaves instances of both images, so it is the last resort.
///
/// # Errors
/// `CancelInstanceRefresh` failed.
pub async fn cancel(aws: &Aws, group: &str) -> Result<Requested, StageError> {
    let answer = aws.once.autoscaling.cancel_instance_refresh().auto_scaling_group_name(group).send().await;
    requested(answer.map_err(|e| AwsError::new("autoscaling:CancelInstanceRefresh", group, e)))
}

fn requested<T>(answer: Result<T, AwsError>) -> Result<Requested, StageError> {
    match answer {
        Ok(_) => Ok(Requested::Accepted),
        Err(error) if error.is("ActiveInstanceRefreshNotFound") || error.is("InstanceRefreshInProgress") => {
            Ok(Requested::ReadAgain)
        }
        Err(error) if error.is("IrreversibleInstanceRefresh") => Ok(Requested::Irreversible),
        // ResourceContention means that AWS changes the group at this moment: it passes.
        Err(error) if error.class == Class::Conflict => Err(StageError::RetryLater(error)),
        Err(error) => Err(error.into()),
    }
}
