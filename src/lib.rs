//! bakeline
#![forbid(unsafe_code)]

pub mod aws;
pub mod engine;
#[cfg(feature = "rehearsal")]
pub mod rehearsal;
