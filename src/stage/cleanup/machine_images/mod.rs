//! Removes machine images that nothing uses, in steps that can be undone until the last.
//!
//! An image is marked, deprecated and disabled, waits in quarantine, and is deregistered. Everything is read again
//! before each step: see [`survey`] and [`quarantine`].

pub mod advance;
pub mod apply;
pub mod calls;
pub mod image;
pub mod inventory;
pub mod plan;
pub mod quarantine;
pub mod queue;
pub mod references;
pub mod removal;
pub mod retention;
pub mod snapshots;
pub mod survey;
#[cfg(test)]
mod tests;
pub mod undo;
mod usage_report;
