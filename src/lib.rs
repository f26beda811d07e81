//! bakeline
#![forbid(unsafe_code)]

pub mod artifact;
pub mod aws;
pub mod cli;
pub mod digest;
pub mod doctor;
pub mod engine;
pub mod evidence;
pub mod json_schema;
pub mod judge;
pub mod junit;
pub mod partitions;
pub mod spec;
pub mod stage;
pub mod telemetry;
pub mod text;
pub mod worker;
