//! Malicious and invalid inputs: each is refused with the right failure type, names the input and the position in it,
//! and changes nothing in AWS.

mod artifacts;
mod chains;
mod documents;
pub mod draft;
mod mutations;
mod refusal;
mod tokens;

/// Builds zip archives field by field, as the unit tests of the archive reader do.
#[allow(dead_code, reason = "its two users need different parts")]
#[path = "../../src/artifact/tests/forge.rs"]
pub mod forge;
