//! A group's instances.

use super::super::super::time::Time;
use super::config::Template;

/// The part of its life in the group an instance is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    Pending,
    InService,
    Standby,
    /// Leaving: draining first, then being terminated.
    Terminating,
}

impl Lifecycle {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InService => "InService",
            Self::Standby => "Standby",
            Self::Terminating => "Terminating",
        }
    }
}

/// Which refresh made an instance, going forward or back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeBy {
    pub refresh: String,
    pub back: bool,
}

/// One instance of a group.
#[derive(Clone, Debug)]
pub struct Member {
    pub id: String,
    pub lifecycle: Lifecycle,
    pub healthy: bool,
    pub protected: bool,
    pub zone: String,
    pub instance_type: String,
    /// What it was launched from, with the number the version meant then.
    pub template: Option<Template>,
    pub launch_configuration: Option<String>,
    pub image_id: String,
    pub joined: Time,
    pub in_service: Option<Time>,
    pub(super) made_by: Option<MadeBy>,
    /// The activity that is under way for it.
    pub(super) activity: Option<String>,
}

impl Member {
    /// Counts towards the group's capacity.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Pending | Lifecycle::InService)
    }
}
