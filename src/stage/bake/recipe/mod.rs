//! The recipe of a spec, as components and a recipe of Image Builder.

pub mod create;
pub mod dockerfile;
pub mod document;
pub mod error;
pub mod plan;
pub mod version;
