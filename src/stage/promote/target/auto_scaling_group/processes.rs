//! The processes of an Auto Scaling group that a deployment needs.

use crate::stage::aws_view::groups::Group;

/// Processes without which an instance refresh replaces nothing, pauses, or continues without health checks.
const NEEDED_PROCESSES: [&str; 6] =
    ["AddToLoadBalancer", "HealthCheck", "InstanceRefresh", "Launch", "ReplaceUnhealthy", "Terminate"];

/// The suspended processes without which a group does not take an image.
#[must_use]
pub fn suspended_processes(group: &Group) -> Vec<&str> {
    let mut suspended: Vec<&str> = group
        .suspended
        .iter()
        .map(String::as_str)
        .filter(|process| NEEDED_PROCESSES.contains(process))
        .collect();
    suspended.sort_unstable();
    suspended
}
