//! A group's instances.

use super::super::super::time::Time;
use super::config::Template;

/// The lifecycle state of an instance in the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    Pending,
    InService,
    Standby,
    /// Being removed: draining, then terminating.
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

/// The refresh that launched an instance, and whether during its rollback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MadeBy {
    pub refresh: String,
    pub back: bool,
}

/// An instance of a group.
#[derive(Clone, Debug)]
pub struct Member {
    pub id: String,
    pub lifecycle: Lifecycle,
    pub healthy: bool,
    pub protected: bool,
    pub zone: String,
    pub instance_type: String,
    /// The launch template, with the version number at launch.
    pub template: Option<Template>,
    pub launch_configuration: Option<String>,
    pub image_id: String,
    pub joined: Time,
    pub in_service: Option<Time>,
    pub(super) made_by: Option<MadeBy>,
    /// The id of its activity in progress.
    pub(super) activity: Option<String>,
}

impl Member {
    /// Whether it counts towards the group's capacity.
    #[must_use]
    pub fn is_live(&self) -> bool {
        matches!(self.lifecycle, Lifecycle::Pending | Lifecycle::InService)
    }
}
