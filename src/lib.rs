//! bakeline
#![forbid(unsafe_code)]

pub mod evidence;
#[cfg(feature = "rehearsal")]
pub mod rehearsal;
