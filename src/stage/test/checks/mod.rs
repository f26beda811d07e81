//! What the checks of instances and tasks have in common: their schedule, their outcome and their reports.

pub mod junit;
pub mod outcome;
pub mod page;
pub mod report;
pub mod result;
pub mod schedule;
#[cfg(test)]
mod tests;
