//! Whether the image is the one the chain names, and whether its instance is up. Pure.

use super::error::InstanceError;
use crate::evidence::ImageIdentity;

/// An image, as EC2 describes it now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DescribedImage {
    pub state: String,
    pub owner: Option<String>,
    pub name: Option<String>,
    pub creation_date: Option<String>,
}

/// Checks that an image has the identity in the chain and can be launched.
///
/// # Errors
/// A property differs; says which.
pub fn same_image(identity: &ImageIdentity, found: &DescribedImage) -> Result<(), InstanceError> {
    let members = [
        ("owner", found.owner.as_deref(), identity.account.as_str()),
        ("name", found.name.as_deref(), identity.name.as_str()),
        ("creation date", found.creation_date.as_deref(), identity.creation_date.as_str()),
        ("state", Some(found.state.as_str()), "available"),
    ];
    for (member, found, expected) in members {
        if found != Some(expected) {
            return Err(InstanceError::OtherImage {
                image: format!("{} in {}", identity.image_id, identity.region),
                member,
                found: found.unwrap_or("none").to_owned(),
                expected: expected.to_owned(),
            });
        }
    }
    Ok(())
}

/// Whether an instance in this state is terminated or shutting down.
#[must_use]
pub fn has_ended(state: &str) -> bool {
    matches!(state, "shutting-down" | "terminated")
}

/// The health of a booting instance. A field is empty while its value is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceHealth {
    /// `InstanceState.Name`.
    pub state: String,
    /// `SystemStatus.Status`.
    pub system: String,
    /// `InstanceStatus.Status`.
    pub instance: String,
    /// `PingStatus` of the instance in Systems Manager.
    pub ping: String,
}

/// The state of a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BootState {
    /// Both status checks pass, and the instance answers Systems Manager.
    Ready,
    /// Not ready yet; what is missing.
    Waiting(String),
    /// The instance has ended.
    Ended,
}

/// The state of a boot. A status check that is `impaired` may recover before the deadline.
#[must_use]
pub fn boot_state(health: &InstanceHealth) -> BootState {
    if has_ended(&health.state) || matches!(health.state.as_str(), "stopping" | "stopped") {
        return BootState::Ended;
    }
    let word = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    let mut missing = Vec::new();
    if health.state != "running" {
        missing.push(format!("instance {}", word(&health.state)));
    }
    if health.system != "ok" {
        missing.push(format!("system status {}", word(&health.system)));
    }
    if health.instance != "ok" {
        missing.push(format!("instance status {}", word(&health.instance)));
    }
    if health.ping != "Online" {
        missing.push(format!("Systems Manager ping {}", word(&health.ping)));
    }
    if missing.is_empty() { BootState::Ready } else { BootState::Waiting(missing.join(", ")) }
}
