//! Promotes a release to a deployment target, judged at holds and rolled back when in doubt.
//!
//! [`machine`] is neutral to the target: it proves, decides, signs and reports. [`target`] has the contract that a target
//! keeps, and the closed set of targets. [`analysis`] reads alarms, limits and the judge's comparison.

pub mod analysis;
pub mod check;
mod error;
pub mod history;
mod hold;
mod inputs;
pub mod log;
mod machine;
mod record;
mod report;
mod seal;
pub mod settings;
pub mod subject;
pub mod target;
#[cfg(test)]
mod tests;

pub use self::error::PromoteError;
pub use self::inputs::{Inputs, RegionContext};
pub use self::machine::Promote;
