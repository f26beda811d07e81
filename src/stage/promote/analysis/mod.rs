//! The analysis of a deployment at its holds: alarms, limits, and the judge's comparison of canary and baseline.

pub mod approval;
pub mod cloudwatch;
pub mod decide;
mod error;
pub mod guards;
pub mod input;
pub mod rules;
#[cfg(test)]
mod tests;
pub mod windows;
