//! One typed event is a log line, and whatever else is made of it: a progress line, a metric.

pub mod event;
pub mod json;
pub mod metric;

pub use event::{Event, JobLabel, Telemetry};
pub use metric::Measured;
