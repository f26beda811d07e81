//! CodePipeline's job protocol: poll, claim, run a slice, report; remember what was claimed until it is answered.

pub mod action;
pub mod by_hand;
pub mod claim;
pub mod journal;
pub mod report;
pub mod run_once;
pub mod service;
pub mod slice;

mod deps;

pub use deps::{WorkerDeps, WorkerError};
