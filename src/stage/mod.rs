//! The four stages of a release. Each is a machine of resting places; its judgement is pure and in files of its own.

pub mod bake;
pub mod canary;
pub mod cleanup;
pub mod context;
pub mod handover;
pub mod staging;
pub mod store;

pub use context::{Authority, Cx};
