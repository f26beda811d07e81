//! Readers of AWS state that several stages share. They change nothing and belong to no stage.

pub mod dates;
pub mod image_references;
