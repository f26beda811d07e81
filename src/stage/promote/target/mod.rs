//! Deployment targets: the contract that every target keeps, and the closed set of targets.

pub mod auto_scaling_group;
mod contract;
mod deployment;

pub use contract::{
    Abandon, Advance, Begin, Description, Due, Ended, Hold, DeploymentTarget, ReadBack, Rollback, Version,
};
pub use deployment::Deployment;
