//! Deployment targets: the contract that every target keeps, and the closed set of targets.

pub mod auto_scaling_group;
mod contract;
mod deployment;

pub use contract::{
    Abandon, Advance, Begin, DeploymentTarget, Description, Due, Ended, Hold, ReadBack, Rollback, Version,
};
pub use deployment::Deployment;
