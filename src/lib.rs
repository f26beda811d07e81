//! bakeline
#![forbid(unsafe_code)]

pub mod artifact;
#[cfg(feature = "rehearsal")]
pub mod rehearsal;
