//! What the world may hand to the program, and how each of it is refused: with the thing and the place named, the
//! right kind of failure, and nothing changed.

mod artifacts;
mod chains;
mod documents;
pub mod draft;
mod mutations;
mod refusal;
mod tokens;

/// Archives made by hand, field by field; the same forge that the archive reader's own tests use.
#[allow(dead_code, reason = "each of its two users needs other parts of it")]
#[path = "../../src/artifact/tests/forge.rs"]
mod forge;
