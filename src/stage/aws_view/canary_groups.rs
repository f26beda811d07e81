//! The Auto Scaling groups that a canary analysis creates, canary and baseline, recognized by name.

use crate::aws::{Aws, AwsError};
use crate::engine::StageError;

/// The roles of the two groups, as `ExecutionKey::name` takes them.
pub const ROLES: [&str; 2] = ["baseline", "canary"];

/// Whether a group's name is that of a canary or a baseline group, of any action execution.
#[must_use]
pub fn is_canary_group(name: &str) -> bool {
    ROLES
        .iter()
        .any(|role| name.strip_prefix("bakeline-").is_some_and(|rest| rest.starts_with(&format!("{role}-"))))
}

/// Every instance that a group ever launched, and why its last launch failed, if one did. Read from the scaling
/// activities, which outlive the group by six weeks.
///
/// # Errors
/// `DescribeScalingActivities` failed.
pub async fn launch_history(aws: &Aws, name: &str) -> Result<(Vec<String>, Option<String>), StageError> {
    let pages = aws
        .autoscaling
        .describe_scaling_activities()
        .auto_scaling_group_name(name)
        .include_deleted_groups(true)
        .into_paginator();
    let activities: Vec<_> = pages
        .items()
        .send()
        .try_collect()
        .await
        .map_err(|e| AwsError::new("autoscaling:DescribeScalingActivities", name, e))?;
    let mut instances: Vec<String> = Vec::new();
    let mut failed = None;
    // Newest first.
    for activity in &activities {
        let description = activity.description().unwrap_or_default();
        if let Some(id) = description.strip_prefix("Launching a new EC2 instance: ") {
            let id: String = id.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
            instances.push(id);
        }
        let status = activity.status_code().map_or("", |status| status.as_str());
        if status == "Failed" && failed.is_none() {
            failed = activity.status_message().map(str::to_owned);
        }
    }
    instances.sort();
    instances.dedup();
    Ok((instances, failed))
}

#[cfg(test)]
mod tests {
    use super::is_canary_group;

    #[test]
    fn only_names_of_the_two_roles_are_canary_groups() {
        assert!(is_canary_group("bakeline-canary-0123456789abcdef"));
        assert!(is_canary_group("bakeline-baseline-0123456789abcdef"));
        for other in ["bakeline-test-0123456789abcdef", "canary-0123456789abcdef", "bakeline-canary", "web"] {
            assert!(!is_canary_group(other), "{other}");
        }
    }
}
