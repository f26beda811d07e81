//! The part of a deployment to Auto Scaling groups that travels in the token.

use serde::{Deserialize, Serialize};

use crate::stage::promote::settings::Settings;

/// What the preflight found: what the group runs, and what a rollback restores.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Id of the group's launch template.
    pub template: String,
    /// The version that the group launches before the deployment.
    pub from: i64,
    /// The image of that version.
    pub old: String,
    /// Desired and maximum size of the group.
    pub size: [u32; 2],
    /// Of two groups that alternate, the one that the spec names second serves; the image goes into the first.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub swapped: bool,
}

/// A plan whose template version exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollout {
    pub plan: Plan,
    /// The template version with the new image; the version before if the group ran the image already.
    pub to: i64,
    /// Id of the instance refresh, once it is known that it was started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
}

/// The group that served when the promotion began, and the one that is to serve: the same one, unless two alternate.
#[derive(Clone, Copy, Debug)]
pub struct GroupNames<'a> {
    pub old: &'a str,
    pub new: &'a str,
}

impl Plan {
    /// The names of the two groups.
    #[must_use]
    pub fn groups<'s>(&self, settings: &'s Settings) -> GroupNames<'s> {
        let first = settings.group.as_str();
        let second = settings.alternate.as_deref().unwrap_or(first);
        if self.swapped {
            GroupNames { old: second, new: first }
        } else {
            GroupNames { old: first, new: second }
        }
    }
}

impl Rollout {
    /// A rollout before its instance refresh.
    #[must_use]
    pub fn new(plan: Plan, to: i64) -> Self {
        Self { plan, to, refresh: None }
    }
}
