//! Log lines and metrics. Each is a typed event: its text, its fields and its metrics are written in one place.

pub mod event;
pub mod json;
pub mod metric;

pub use event::{Event, JobLabel, Telemetry};
pub use metric::Measurement;
