//! Readers of AWS state that several stages share. None of them changes anything, and none knows a stage.

pub mod alarms;
pub mod canary_groups;
pub mod dates;
mod error;
pub mod fleet;
pub mod groups;
pub mod image_references;
pub mod images;
pub mod instance_refreshes;
pub mod launch_templates;
pub mod metric_data;
pub mod target_health;

pub use error::ViewError;
