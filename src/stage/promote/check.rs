//! One check of a preflight, and what more than one of them looks at.

use super::observe::Group;
use crate::engine::FailureKind;
use crate::evidence::predicate::Preflight;

/// Processes without which a refresh replaces nothing, pauses, or goes on blindly.
const NEEDED: [&str; 6] =
    ["AddToLoadBalancer", "HealthCheck", "InstanceRefresh", "Launch", "ReplaceUnhealthy", "Terminate"];

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub check: &'static str,
    pub holds: bool,
    pub observed: String,
    /// What to do when it does not hold.
    pub hint: &'static str,
    /// What CodePipeline is told when it does not hold.
    pub kind: FailureKind,
}

impl From<&Check> for Preflight {
    fn from(check: &Check) -> Self {
        Self { check: check.check.to_owned(), holds: check.holds, observed: check.observed.clone() }
    }
}

/// The suspended processes without which a group does not take an image.
pub(super) fn hindered(group: &Group) -> Vec<&str> {
    let mut suspended: Vec<&str> =
        group.suspended.iter().map(String::as_str).filter(|process| NEEDED.contains(process)).collect();
    suspended.sort_unstable();
    suspended
}
