//! Auto Scaling groups as a deployment target: rolling, canary, blue/green, and waves of further groups.

pub mod alternate;
pub mod begin;
pub mod blue_green;
pub mod canary;
pub mod canary_groups;
pub mod checkpoint;
pub mod created_versions;
pub mod describe;
mod discover;
mod error;
pub mod group_state;
mod group_traffic;
pub mod instance_refresh;
pub mod listener_weights;
pub mod preflight;
mod processes;
mod progress;
pub mod rolling;
mod rolling_back;
pub mod rollout;
pub mod take_back;
pub mod template_version;
#[cfg(test)]
mod tests;
pub mod timing;
pub mod wave_groups;
pub mod wave_progress;
pub mod wave_rollback;
pub mod waves;
pub mod world;

pub use blue_green::BlueGreen;
pub use canary::Canary;
pub use error::GroupError;
pub use rolling::Rolling;
pub use rollout::{Plan, Rollout};
pub use waves::Waves;
