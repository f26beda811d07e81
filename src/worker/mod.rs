//! The job protocol of CodePipeline: poll for a job, claim it, run a slice, report the result. A journal keeps each
//! claimed job until its result is reported.

pub mod action;
pub mod claim;
pub mod journal;
pub mod report;
pub mod run_job;
pub mod run_once;
pub mod service;
pub mod slice;

mod deps;
mod error;

pub use deps::WorkerDeps;
pub use error::{ClaimError, WorkerError};
