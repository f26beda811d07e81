//! bakeline
#![forbid(unsafe_code)]

#[cfg(feature = "rehearsal")]
pub mod rehearsal;

pub mod spec;
