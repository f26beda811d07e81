//! Preferences of an instance refresh: validation and defaults.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::super::call::ApiError;
use super::super::support::present;
use super::config::invalid;
use super::groups::Group;
use super::rolling::Limits;

const TWO_DAYS: i64 = 172_800;
const MOST_ALARMS: usize = 10;
/// The default of `CheckpointDelay`, in seconds.
const DEFAULT_DELAY: i64 = 3600;
/// The default of `MinHealthyPercentage` if neither the call nor a maintenance policy has a value.
const DEFAULT_MIN_HEALTHY: i64 = 90;

/// The `Preferences` of a request.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RawPreferences {
    min_healthy_percentage: Option<i64>,
    max_healthy_percentage: Option<i64>,
    instance_warmup: Option<i64>,
    checkpoint_percentages: Vec<i64>,
    checkpoint_delay: Option<i64>,
    skip_matching: bool,
    auto_rollback: bool,
    scale_in_protected_instances: Option<String>,
    standby_instances: Option<String>,
    alarm_specification: AlarmSpecification,
    bake_time: Option<i64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AlarmSpecification {
    alarms: Vec<String>,
}

/// What to do with protected or standby instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reluctant {
    Replace,
    Ignore,
    Wait,
}

/// Validated preferences.
#[derive(Clone, Debug)]
pub struct Preferences {
    pub limits: Limits,
    pub warmup: Duration,
    pub checkpoints: Vec<usize>,
    pub checkpoint_delay: Duration,
    pub skip_matching: bool,
    pub auto_rollback: bool,
    pub protected: Reluctant,
    pub standby: Reluctant,
    pub alarms: Vec<String>,
    pub bake: Duration,
}

fn seconds(name: &str, value: i64) -> Result<Duration, ApiError> {
    match u64::try_from(value) {
        Ok(seconds) if value <= TWO_DAYS => Ok(Duration::from_secs(seconds)),
        _ => Err(invalid(format!("{name} must be between 0 and {TWO_DAYS} seconds."))),
    }
}

fn percent(name: &str, value: i64, least: i64, most: i64) -> Result<usize, ApiError> {
    match usize::try_from(value) {
        Ok(percent) if (least..=most).contains(&value) => Ok(percent),
        _ => Err(invalid(format!("{name} must be between {least} and {most}."))),
    }
}

impl RawPreferences {
    /// Validates the preferences and fills in the defaults of the group and the API.
    pub fn accept(self, group: &Group) -> Result<Preferences, ApiError> {
        let given_min = self.min_healthy_percentage;
        if self.max_healthy_percentage.is_some() && given_min.is_none() {
            return Err(invalid("MaxHealthyPercentage needs MinHealthyPercentage."));
        }
        let (min_healthy_percent, max_healthy_percent) = match (given_min, group.maintenance) {
            (None, Some(policy)) => (policy.min_healthy, Some(policy.max_healthy)),
            (given, _) => {
                let min = percent("MinHealthyPercentage", given.unwrap_or(DEFAULT_MIN_HEALTHY), 0, 100)?;
                let max = self.max_healthy_percentage;
                (min, max.map(|max| percent("MaxHealthyPercentage", max, 100, 200)).transpose()?)
            }
        };
        if max_healthy_percent.is_some_and(|max| max - min_healthy_percent > 100) {
            return Err(invalid(
                "The difference between MaxHealthyPercentage and MinHealthyPercentage must not exceed 100.",
            ));
        }
        let mut checkpoints = Vec::with_capacity(self.checkpoint_percentages.len());
        for value in self.checkpoint_percentages {
            let checkpoint = percent("CheckpointPercentages", value, 1, 100)?;
            if checkpoints.last().is_some_and(|last| *last >= checkpoint) {
                return Err(invalid("CheckpointPercentages must be unique and in ascending order."));
            }
            checkpoints.push(checkpoint);
        }
        if self.checkpoint_delay.is_some() && checkpoints.is_empty() {
            return Err(invalid("CheckpointDelay needs CheckpointPercentages."));
        }
        let delay = seconds("CheckpointDelay", self.checkpoint_delay.unwrap_or(DEFAULT_DELAY))?;
        if self.alarm_specification.alarms.len() > MOST_ALARMS {
            return Err(invalid(format!("At most {MOST_ALARMS} alarms can be specified.")));
        }
        let warmup = match self.instance_warmup {
            Some(value) => {
                u64::try_from(value).map_err(|_| invalid("InstanceWarmup must not be negative."))?
            }
            None => group.default_warmup.unwrap_or(group.grace_seconds),
        };
        Ok(Preferences {
            limits: Limits { min_healthy_percent, max_healthy_percent },
            warmup: Duration::from_secs(warmup),
            checkpoints,
            checkpoint_delay: delay,
            skip_matching: self.skip_matching,
            auto_rollback: self.auto_rollback,
            protected: reluctant("Refresh", self.scale_in_protected_instances.as_deref())?,
            standby: reluctant("Terminate", self.standby_instances.as_deref())?,
            alarms: self.alarm_specification.alarms,
            bake: seconds("BakeTime", self.bake_time.unwrap_or(0))?,
        })
    }
}

fn reluctant(replace: &str, value: Option<&str>) -> Result<Reluctant, ApiError> {
    match value {
        None | Some("Wait") => Ok(Reluctant::Wait),
        Some("Ignore") => Ok(Reluctant::Ignore),
        Some(value) if value == replace => Ok(Reluctant::Replace),
        Some(value) => Err(invalid(format!("'{value}' must be one of {replace}, Ignore and Wait."))),
    }
}

impl Preferences {
    pub fn view(&self) -> Value {
        let name = |choice: Reluctant, replace: &'static str| match choice {
            Reluctant::Replace => replace,
            Reluctant::Ignore => "Ignore",
            Reluctant::Wait => "Wait",
        };
        let some = |given: bool, value: Value| given.then_some(value);
        present(json!({
            "MinHealthyPercentage": self.limits.min_healthy_percent,
            "MaxHealthyPercentage": self.limits.max_healthy_percent,
            "InstanceWarmup": self.warmup.as_secs(),
            "CheckpointPercentages": some(!self.checkpoints.is_empty(), json!(self.checkpoints)),
            "CheckpointDelay": some(!self.checkpoints.is_empty(), json!(self.checkpoint_delay.as_secs())),
            "SkipMatching": self.skip_matching,
            "AutoRollback": self.auto_rollback,
            "ScaleInProtectedInstances": name(self.protected, "Refresh"),
            "StandbyInstances": name(self.standby, "Terminate"),
            "AlarmSpecification": some(!self.alarms.is_empty(), json!({ "Alarms": self.alarms })),
            "BakeTime": some(!self.bake.is_zero(), json!(self.bake.as_secs())),
        }))
    }
}
